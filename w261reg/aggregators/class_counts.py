"""What naive Bayes counts, in one pass."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator, pieces
from w261reg.blocks import Block, Census

Array = NDArray[np.float64]


@dataclass
class Counts:
    """Sums of n features by K classes.

    Attributes:
        census: what packing saw.
        rows: rows of positive weight.
        weight: sum s of each class (K,).
        sums: sum s x of each feature and class (n, K).
        low: smallest value of each feature (n,).
    """

    rows: int
    weight: Array
    sums: Array
    low: Array
    census: Census = field(default_factory=Census)


class CountClasses(Aggregator[Counts]):
    """Weights and sums of the features by class, for labels that are codes 0 to K - 1.

    Args:
        n_features, classes: n and K.
    """

    name = "read, pack, counts by class"

    def __init__(self, n_features: int, classes: int) -> None:
        self.n, self.classes = n_features, classes

    def zero(self) -> Counts:
        n, k = self.n, self.classes
        return Counts(0, np.zeros(k), np.zeros((n, k)), np.full(n, np.inf))

    def add(self, state: Counts, block: Block) -> Counts:
        state.census = state.census.merge(block.census)
        if block.rows == 0:
            return state
        state.rows += block.rows
        state.low = np.minimum(state.low, block.range()[0])
        centre = np.zeros(self.n)
        for piece in pieces(block, self.classes):
            own = np.zeros((piece.rows, self.classes))
            own[np.arange(piece.rows), piece.y.astype(np.int64)] = piece.weight
            state.weight += own.sum(axis=0)
            with np.errstate(over="ignore"):
                state.sums += piece.t_dot(own, centre)
        return state

    def merge(self, left: Counts, right: Counts) -> Counts:
        return Counts(
            left.rows + right.rows,
            left.weight + right.weight,
            left.sums + right.sums,
            np.minimum(left.low, right.low),
            left.census.merge(right.census),
        )

    def nbytes(self) -> int:
        return 8 * (self.n + 1) * (self.classes + 1) + 4096
