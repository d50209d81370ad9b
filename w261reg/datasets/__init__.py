"""Places that hold blocks and can run one pass over them."""

from w261reg.datasets.base import Dataset
from w261reg.datasets.local import LocalDataset

__all__ = ["Dataset", "LocalDataset"]
