"""What the rows of each class weigh, and what their features sum to."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import pieces
from w261reg.blocks import Block

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClassSums:
    """Sums over the rows of each of K classes.

    Attributes:
        weight: sum s, (K,).
        total: sum s (x - reference), (n, K).
        reference: (n,), near all values where they are large beside their spread, so that no digits
            are lost.
    """

    weight: Array
    total: Array
    reference: Array

    @classmethod
    def of(cls, block: Block, classes: int) -> "ClassSums":
        """Those of some rows, labels being 0 to K - 1."""
        reference = block.reference()
        weight, total = np.zeros(classes), np.zeros((block.n_features, classes))
        for piece in pieces(block, classes):
            own = np.zeros((piece.rows, classes))
            own[np.arange(piece.rows), piece.y.astype(np.int64)] = piece.weight
            weight += own.sum(axis=0)
            total += piece.t_dot(own, reference)
        return cls(weight, total, reference)

    def merge(self, right: "ClassSums") -> "ClassSums":
        """Both sets of rows, about the first's reference."""
        own = right.about(self.reference)
        return replace(self, weight=self.weight + own.weight, total=self.total + own.total)

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
