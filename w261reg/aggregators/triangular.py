"""A QR factor of the data in one pass."""

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block

Array = NDArray[np.float64]


class Triangular(Aggregator[Array]):
    """R of the QR factorisation of sqrt(s) [1, (X - centre) D, y - y_centre]: (n + 2, n + 2).

    R'R is the Gram matrix, but R loses log10(cond) digits where the Gram matrix loses twice as
    many. Factors merge by factoring one on top of the other (TSQR: Demmel, Grigori, Hoemmen and
    Langou 2012, *Communication-optimal parallel and sequential QR and LU factorizations*).

    Args:
        centre: (n,) subtracted from the features.
        scale: D's diagonal (n,).
        y_centre: subtracted from the label.
    """

    name = "triangular factor"

    def __init__(self, centre: Array, scale: Array, y_centre: float) -> None:
        self.centre, self.scale, self.y_centre = centre, scale, y_centre

    def zero(self) -> Array:
        return np.zeros((0, len(self.centre) + 2))

    def add(self, state: Array, block: Block) -> Array:
        if block.rows == 0:
            return state
        root = np.sqrt(block.weight)[:, None]
        design = block.design(block.weight, self.centre, self.scale)
        label = root * (block.y - self.y_centre)[:, None]
        return _factor(np.vstack([state, np.hstack([root, design, label])]))

    def merge(self, left: Array, right: Array) -> Array:
        return _factor(np.vstack([left, right]))

    def nbytes(self) -> int:
        return 8 * (len(self.centre) + 2) ** 2 + 4096


def _factor(a: Array) -> Array:
    return np.asarray(np.linalg.qr(a, mode="r"))
