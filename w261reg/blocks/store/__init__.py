"""Blocks in files of the machine that packed them, for passes to read again and again.

A file holds the blocks of one partition, one after the other; a handle says where each lies. What
a pass reads is what was packed, or `Lost` is raised: every block has a checksum, and every read of
it is checked.
"""

from w261reg.blocks.store.files import folders, remove
from w261reg.blocks.store.packed import Packed
from w261reg.blocks.store.reading import Lost
from w261reg.blocks.store.writing import Packer

__all__ = ["Lost", "Packed", "Packer", "folders", "remove"]
