"""Immutable runs of rows, dense or sparse, and their linear algebra."""

from w261reg.blocks.base import Block, symmetric
from w261reg.blocks.census import Census
from w261reg.blocks.dense import DenseBlock
from w261reg.blocks.sparse import SparseBlock

__all__ = ["Block", "Census", "DenseBlock", "SparseBlock", "symmetric"]
