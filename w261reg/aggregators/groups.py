"""Moments and orthogonal factors of groups of rows, each on its own, in one pass."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.aggregators.summary import Summarise, Summary
from w261reg.blocks import Block, Census

Array = NDArray[np.float64]


def by_group(block: Block, n_features: int) -> Iterator[tuple[int, Block]]:
    """(code, rows) of each group that a block has, ascending.

    Args:
        block: whose column behind the features holds the codes, 0 and up.
        n_features: n.
    """
    column = np.zeros((n_features + 1, 1))
    column[n_features] = 1.0
    codes = block.dot(column, np.zeros(n_features + 1))[:, 0].astype(np.int64)  # exact: integers
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    for code, rows in zip(present, np.split(order, starts[1:]), strict=True):
        yield int(code), block.take(rows).leading(n_features)


@dataclass
class Grouped:
    """What the first pass found: the census of all rows, and the moments of each group."""

    census: Census = field(default_factory=Census)
    groups: dict[int, Summary] = field(default_factory=dict)


class SummariseGroups(Aggregator[Grouped]):
    """`Summarise` with the Gram matrix, for each group of rows.

    Args:
        n_features: n.
        n_groups: how many groups there are, for the size of a state.
    """

    def __init__(self, n_features: int, n_groups: int) -> None:
        self.n, self.n_groups = n_features, n_groups
        self.inner = Summarise(n_features, gram=True)
        self.name = f"read, Gram matrix of each of {n_groups} groups"

    def zero(self) -> Grouped:
        return Grouped()

    def add(self, state: Grouped, block: Block) -> Grouped:
        state.census = state.census.merge(block.census)
        if block.rows and not block.census.defects:
            for code, rows in by_group(block, self.n):
                before = state.groups.get(code, Summary())
                state.groups[code] = self.inner.add(before, rows)
        return state

    def merge(self, left: Grouped, right: Grouped) -> Grouped:
        left.census = left.census.merge(right.census)
        for code, own in right.groups.items():
            before = left.groups.get(code)
            left.groups[code] = own if before is None else self.inner.merge(before, own)
        return left

    def nbytes(self) -> int:
        return self.n_groups * self.inner.nbytes() + 4096


class GroupFactors(Aggregator[dict[int, Array]]):
    """For each group, rows R with R'R = sum s (1, D (x - centre), y - y_centre)(...)'.

    Orthogonal factors keep the digits that a Gram matrix, which squares the condition of the data
    and holds a sum of squares as a difference, would lose. Rows are gathered until a factor of them
    is less than half as large, so that many small groups cost no more than one.

    Args:
        n_features: n, behind which blocks hold the groups' codes.
        n_groups: how many groups there are, for the size of a state.
        centre: (n,) subtracted from the features.
        scale: D's diagonal (n,).
        y_centre: subtracted from the label.
    """

    name = "triangular factor of each group"

    def __init__(
        self, n_features: int, n_groups: int, centre: Array, scale: Array, y_centre: float
    ) -> None:
        self.n, self.n_groups = n_features, n_groups
        self.centre, self.scale, self.y_centre = centre, scale, y_centre

    def zero(self) -> dict[int, Array]:
        return {}

    def add(self, state: dict[int, Array], block: Block) -> dict[int, Array]:
        if block.rows and not block.census.defects:
            for code, rows in by_group(block, self.n):
                root = np.sqrt(rows.weight)[:, None]
                design = rows.design(rows.weight, self.centre, self.scale)
                label = root * (rows.y - self.y_centre)[:, None]
                self._join(state, code, np.hstack([root, design, label]))
        return state

    def merge(self, left: dict[int, Array], right: dict[int, Array]) -> dict[int, Array]:
        for code, rows in right.items():
            self._join(left, code, rows)
        return left

    def _join(self, state: dict[int, Array], code: int, rows: Array) -> None:
        if code in state:
            rows = np.vstack([state[code], rows])
        most = 2 * (self.n + 2)
        state[code] = rows if len(rows) <= most else np.asarray(np.linalg.qr(rows, mode="r"))

    def nbytes(self) -> int:
        return self.n_groups * 8 * 2 * (self.n + 2) ** 2 + 4096
