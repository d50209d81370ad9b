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


@dataclass(frozen=True)
class UserCoordinates:
    """phi = (v, b') of n features and the intercept, in which gradient descent takes its steps.

        w = per v,      z = (x - centre)'w + b'

    The user's own weights and intercept on raw features (per 1, centre 0), or on standardized ones.

    Attributes:
        to: theta's coordinates.
        per: (n,); 0 for features without spread, whose weight stays 0.
        centre: (n,).
    """

    to: Coordinates
    per: Array
    centre: Array

    @classmethod
    def of(cls, to: Coordinates, scale: Array | None) -> "UserCoordinates":
        """Of raw features, or of those divided by `scale` (n,) and, with an intercept, centred."""
        per = np.zeros(to.n_features)
        per[to.active] = 1.0 if scale is None else 1.0 / scale[to.active]
        return cls(to, per, np.zeros(to.n_features) if scale is None else to.centre)

    @property
    def _shift(self) -> Array:
        """b0 = b' + shift'w, of the active features."""
        return (self.to.centre - self.centre)[self.to.active]

    def gradient(self, gradient: Array) -> Array:
        """A gradient in theta (p,) as one in phi."""
        to, n = self.to, len(self.to.active)
        raw = gradient[:n] / to.unit
        if to.fit_intercept:
            raw = raw + self._shift * gradient[n]
        found = np.zeros(to.n_features)
        found[to.active] = self.per[to.active] * raw
        return to.extended(found, float(gradient[n]) if to.fit_intercept else 0.0)

    def theta(self, phi: Array) -> Array:
        """theta (p,) of phi: a linear map."""
        w = (self.per * phi[: self.to.n_features])[self.to.active]
        b = float(phi[-1] + self._shift @ w) if self.to.fit_intercept else 0.0
        return self.to.extended(w / self.to.unit, b)

    def phi(self, theta: Array) -> Array:
        """phi of theta (p,)."""
        to, w = self.to, self.to.weights(theta)
        v = np.zeros(to.n_features)
        v[to.active] = w[to.active] / self.per[to.active]
        b = float(theta[-1] - self._shift @ w[to.active]) if to.fit_intercept else 0.0
        return to.extended(v, b)

    def hessian(self, hessian: Array) -> Array:
        """A second derivative in theta (p, p) as one in phi, of the active features only."""
        to, n = self.to, len(self.to.active)
        per = to.extended(self.per[to.active] / to.unit, 1.0)
        total = per[:, None] * hessian * per
        if to.fit_intercept:
            # theta = T phi, whose last row is (shift per, 1)
            last = np.append(self._shift * self.per[to.active], 0.0)
            cross = np.multiply.outer(last, per * hessian[n])
            total += cross + cross.T + hessian[n, n] * np.multiply.outer(last, last)
        return total
