"""The coordinates in which solvers work: scaled and centred, while the data stays raw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Summary

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Coordinates:
    """theta = (u, b0), p numbers, for the weights w (n,) and the intercept b of a linear model.

        z = x'w + b = (x - centre)'w + b0,      w_active = u * unit,      b0 = b + centre'w

    With the means as centre, weights and intercept hardly interact; with a unit near 1/sd, all
    weights are of one size. The units are powers of two, so that scaling costs no digits. Features
    without spread are left out: their weight is 0.

    Attributes:
        n_features: n.
        active: indices of the features with spread.
        exponent: of the units, unit = 2^-exponent, one an active feature.
        centre: (n,) the means, or 0 without an intercept.
        fit_intercept: whether theta ends with b0.
    """

    n_features: int
    active: NDArray[np.int64]
    exponent: NDArray[np.int64]
    centre: Array
    fit_intercept: bool

    @classmethod
    def of(cls, summary: Summary, fit_intercept: bool) -> "Coordinates":
        """The coordinates that the data's moments suggest."""
        sd = summary.sd()[:-1]
        active = np.flatnonzero(summary.low[:-1] < summary.high[:-1])
        active = active[sd[active] > 0]
        size = sd if fit_intercept else np.hypot(sd, summary.mean)
        exponent = np.clip(np.frexp(size[active])[1].astype(np.int64), -1000, 1000)
        centre = summary.mean if fit_intercept else np.zeros(len(sd))
        return cls(len(sd), active, exponent, centre, fit_intercept)

    @property
    def p(self) -> int:
        """Length of theta."""
        return len(self.active) + self.fit_intercept

    @property
    def unit(self) -> Array:
        """w per u, one an active feature."""
        return np.ldexp(1.0, -self.exponent)

    def full_unit(self) -> Array:
        """The units of all features (n,); 0 for those without spread."""
        unit = np.zeros(self.n_features)
        unit[self.active] = self.unit
        return unit

    def extended(self, features: Array, intercept: float) -> Array:
        """(p,) of a value for each active feature, and one for the intercept if there is one."""
        return np.append(features, intercept) if self.fit_intercept else features

    def weights(self, theta: Array) -> Array:
        """w: (n,) for theta (p,), (n, k) for (p, k)."""
        w = np.zeros((self.n_features, *theta.shape[1:]))
        u = theta[: len(self.active)]
        w[self.active] = u * (self.unit if theta.ndim == 1 else self.unit[:, None])
        return w

    def centred_intercept(self, theta: Array) -> Array:
        """b0: shape () for theta (p,), (k,) for (p, k)."""
        return theta[-1] if self.fit_intercept else np.zeros(theta.shape[1:])

    def intercept(self, theta: Array) -> float:
        """b of theta (p,)."""
        if not self.fit_intercept:
            return 0.0
        return float(theta[-1] - self.centre @ self.weights(theta))

    def theta(self, w: Array, b: float) -> Array:
        """theta (p,) of weights (n,) and intercept; weights without spread are dropped."""
        u = w[self.active] / self.unit
        if not self.fit_intercept:
            return u
        kept = np.zeros_like(w)
        kept[self.active] = w[self.active]
        return np.append(u, b + self.centre @ kept)
