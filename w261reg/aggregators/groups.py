"""Moments and residuals of groups of rows, each on its own, in one pass."""

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


class GroupResiduals(Aggregator[Array]):
    """Sums of r = y - (x - centre)'w_g - b_g over each group g, a row each (G, n + 2).

    sum s r^2, then D sum s r (x - centre), then sum s r: squared error and its slope from the rows
    themselves, which keeps the digits that a Gram matrix would lose where a model explains nearly
    all.

    Args:
        w, b: a model for each group, (G, n) and (G,).
        centre: (n,).
        scale: D's diagonal (n,).
    """

    name = "residuals of each group"

    def __init__(self, w: Array, b: Array, centre: Array, scale: Array) -> None:
        self.w, self.b, self.centre, self.scale = w, b, centre, scale

    def zero(self) -> Array:
        return np.zeros((len(self.b), len(self.centre) + 2))

    def add(self, state: Array, block: Block) -> Array:
        if block.rows == 0 or block.census.defects:
            return state
        for code, rows in by_group(block, len(self.centre)):
            r = rows.y - rows.dot(self.w[code][:, None], self.centre)[:, 0] - self.b[code]
            own = rows.weight * r
            state[code, 0] += own @ r
            state[code, 1:-1] += self.scale * rows.t_dot(own[:, None], self.centre)[:, 0]
            state[code, -1] += own.sum()
        return state

    def merge(self, left: Array, right: Array) -> Array:
        return left + right

    def nbytes(self) -> int:
        return 8 * len(self.b) * (len(self.centre) + 2) + 4096
