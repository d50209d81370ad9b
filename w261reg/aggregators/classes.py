"""What the rows of each class weigh, and what their features sum to."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClassSums:
    """Sums over the rows of each of K classes.

    Attributes:
        weight: sum s, (K,).
        total: sum s (x - reference), (n, K).
        reference: (n,), near all values where they are large beside their spread, so that no digits
            are lost; empty without rows.
    """

    weight: Array
    total: Array
    reference: Array

    def about(self, reference: Array) -> "ClassSums":
        """The same with another reference (n,)."""
        shift = np.multiply.outer(self.reference - reference, self.weight)
        return replace(self, total=self.total + shift, reference=reference)

    def covariance(self, p: Array) -> Array:
        """(1/S) sum s (p_k - 1{y = k}) x_j for probabilities p (K,) with the classes' mean: (n, K).

        Independent of the reference where p are the classes' shares; else about it.
        """
        whole = self.total.sum(axis=1)
        found: Array = (np.multiply.outer(whole, p) - self.total) / self.weight.sum()
        return found


class ClassMoments(Aggregator[ClassSums]):
    """Rides with the first pass of a loss of several classes.

    Args:
        n_features: n.
        classes: K; labels are 0 to K - 1.
    """

    name = "class sums"

    def __init__(self, n_features: int, classes: int) -> None:
        self.n, self.classes = n_features, classes

    def zero(self) -> ClassSums:
        return ClassSums(np.zeros(self.classes), np.zeros((self.n, self.classes)), np.zeros(0))

    def add(self, state: ClassSums, block: Block) -> ClassSums:
        if block.rows == 0 or block.census.defects:
            return state
        own = np.zeros((block.rows, self.classes))
        own[np.arange(block.rows), block.y.astype(np.int64)] = block.weight
        reference = block.reference()
        total = block.t_dot(own, reference)
        return self.merge(state, ClassSums(own.sum(axis=0), total, reference))

    def merge(self, left: ClassSums, right: ClassSums) -> ClassSums:
        if not len(left.reference) or not len(right.reference):
            return right if len(right.reference) else left
        right = right.about(left.reference)
        return ClassSums(left.weight + right.weight, left.total + right.total, left.reference)

    def nbytes(self) -> int:
        return 8 * (self.n + 1) * (self.classes + 1) + 4096
