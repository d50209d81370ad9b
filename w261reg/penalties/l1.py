"""The lasso's penalty."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from w261reg.penalties.base import Array, Penalty, soft_threshold


@dataclass(frozen=True)
class L1(Penalty):
    """R(w) = l1 sum_j d_j |w_j|; subgradient l1 d_j sign(w_j) with sign(0) = 0.

    Tibshirani (1996), *Regression Shrinkage and Selection via the Lasso*.
    """

    l1: float
    scale: Array

    name = "l1"
    kinked = True

    @classmethod
    def of(cls, strength: float, scale: Array) -> Self:
        return cls(strength, scale)

    def value(self, w: Array) -> float:
        return self.l1 * float(np.sum(np.abs(self.scale * w)))

    def gradient(self, w: Array) -> Array:
        return self.l1 * self.scale * np.sign(w)

    def hessian(self, w: Array) -> Array:
        return np.zeros_like(w)

    def kink(self, w: Array) -> Array:
        return self.l1 * self.scale

    def prox(self, v: Array, step: float) -> Array:
        return soft_threshold(v, step * self.l1 * self.scale)
