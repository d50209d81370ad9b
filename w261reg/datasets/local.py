"""Blocks in this process: numpy only, no JVM."""

from collections.abc import Iterable
from typing import TypeVar

from w261reg.aggregators.base import Aggregator
from w261reg.datasets.base import Dataset
from w261reg.datasets.tree import Leaf, finish, fold
from w261reg.errors import InputError

S = TypeVar("S")


class LocalDataset(Dataset):
    """Leaves held in memory; a pass gives the bits that Spark gives for the same leaves."""

    def __init__(self, leaves: Iterable[Leaf], n_features: int) -> None:
        super().__init__(n_features)
        self.leaves = list(leaves)
        self.rows = sum(block.rows for _, block in self.leaves)

    def _run(self, aggregator: Aggregator[S], keep: bool) -> S:
        nodes = list(fold(self.leaves, aggregator))
        if not nodes:
            raise InputError("the data has no rows")
        return finish(nodes, aggregator)[2]

    @property
    def parallelism(self) -> str:
        leaves = "leaf" if len(self.leaves) == 1 else "leaves"
        return f"{len(self.leaves)} {leaves} in one process"
