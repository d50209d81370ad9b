"""The ridge penalty."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from w261reg.penalties.base import Array, Penalty


@dataclass(frozen=True)
class L2(Penalty):
    """R(w) = l2/2 sum_j (d_j w_j)^2.

    Hoerl and Kennard (1970), *Ridge Regression: Biased Estimation for Nonorthogonal Problems*.
    """

    l2: float
    scale: Array

    name = "l2"
    quadratic = True

    @classmethod
    def of(cls, strength: float, scale: Array) -> Self:
        return cls(strength, scale)

    def value(self, w: Array) -> float:
        return 0.5 * self.l2 * float(np.sum((self.scale * w) ** 2))

    def gradient(self, w: Array) -> Array:
        # (d w) first: with d = 1e150 and w = 1e-150 every step stays in range
        return self.l2 * self.scale * (self.scale * w)

    def hessian(self, w: Array) -> Array:
        return self.l2 * self.scale**2

    def kink(self, w: Array) -> Array:
        return np.zeros_like(w)

    def prox(self, v: Array, step: float) -> Array:
        return v / (1.0 + step * self.l2 * self.scale**2)
