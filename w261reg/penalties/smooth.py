"""Smooth coefficients, for features with a natural order."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from w261reg.penalties.base import Array, Penalty


@dataclass(frozen=True)
class Smooth(Penalty):
    """R(w) = gamma/2 sum_k (v_k - v_{k+1})^2 with v = w[order], the listed weights in order.

    Its gradient is gamma L v with the Laplacian L of a path: 1, 2, ..., 2, 1 on the diagonal and -1
    beside it (Whittaker 1923, *On a New Method of Graduation*, with first differences). It is on
    raw weights whatever the scale, for neighbours are compared with each other. A feature without
    spread has weight 0, and its neighbours are drawn to that.

    Attributes:
        gamma: >= 0.
        order: indices of the features in their natural order (k,); None is all, as they stand.
    """

    gamma: float
    order: NDArray[np.int64] | None = None

    name = "smooth"
    option = "smooth_param"
    order_option = "smooth_order"
    quadratic = True
    coercive = False
    help = (
        "strength G of the penalty G/2 sum (w_j - w_{j+1})^2 on differences of neighbouring "
        "coefficients, as they are (neither the convention nor the standardization counts); "
        "default 0"
    )
    order_help = (
        "the features that --smooth-param compares, in their natural order; others are not "
        "smoothed; default: all, in the order of their columns"
    )

    @classmethod
    def of(cls, strength: float, scale: Array) -> Self:
        return cls(strength)

    def along(self, order: NDArray[np.int64]) -> Self:
        return replace(self, order=order)

    def _listed(self, w: Array) -> Array:
        return w if self.order is None else w[self.order]

    def _spread(self, v: Array, n: int) -> Array:
        """Values of the listed features (k,) among all (n,), 0 elsewhere."""
        if self.order is None:
            return v
        total = np.zeros(n)
        total[self.order] = v
        return total

    def _path(self, k: int) -> Array:
        """The diagonal of L for k features (k,)."""
        ends = np.zeros(k)
        ends[1:] += 1.0
        ends[:-1] += 1.0
        return ends

    def value(self, w: Array) -> float:
        return 0.5 * self.gamma * float(np.sum(np.diff(self._listed(w)) ** 2))

    def gradient(self, w: Array) -> Array:
        v = self._listed(w)
        jump = self.gamma * np.diff(v)
        slope = np.zeros_like(v)
        slope[:-1] -= jump
        slope[1:] += jump
        return self._spread(slope, len(w))

    def hessian(self, w: Array) -> Array:
        total = np.diag(self.diagonal(w))
        order = np.arange(len(w)) if self.order is None else self.order
        total[order[:-1], order[1:]] = total[order[1:], order[:-1]] = -self.gamma
        return total

    def diagonal(self, w: Array) -> Array:
        return self._spread(self.gamma * self._path(len(self._listed(w))), len(w))

    def kink(self, w: Array) -> Array:
        return np.zeros_like(w)

    def prox(self, v: Array, step: float) -> Array:
        """(I + step gamma L)^-1 v on the listed features: a tridiagonal solve."""
        listed, strength = self._listed(v), step * self.gamma
        if len(listed) < 2:
            return v.copy()
        band = np.full((2, len(listed)), -strength)  # above the diagonal, and the diagonal
        band[1] = 1.0 + strength * self._path(len(listed))
        near = v.copy()
        solved = np.asarray(solveh_banded(band, listed), dtype=float)
        near[slice(None) if self.order is None else self.order] = solved
        return near
