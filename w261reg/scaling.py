"""The coordinates in which solvers work: scaled and centred, while the data stays raw."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

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

    A model of K > 1 outputs has w (n, K), b (K,), and theta = (u of the first output, ..., u of the
    last, the K of b0). Weights (n,), and all that is one number a feature, stand for (n, K) there.

    Attributes:
        n_features: n.
        active: indices of the features with spread.
        exponent: of the units, unit = 2^-exponent, one an active feature.
        centre: (n,) the means, or 0 without an intercept.
        fit_intercept: whether theta ends with b0.
        outputs: K.
    """

    n_features: int
    active: NDArray[np.int64]
    exponent: NDArray[np.int64]
    centre: Array
    fit_intercept: bool
    outputs: int = 1

    @classmethod
    def of(cls, summary: Summary, fit_intercept: bool, outputs: int = 1) -> "Coordinates":
        """The coordinates that the data's moments suggest."""
        sd = summary.sd()[:-1]
        active = np.flatnonzero(summary.low[:-1] < summary.high[:-1])
        active = active[sd[active] > 0]
        size = sd if fit_intercept else np.hypot(sd, summary.mean)
        exponent = np.clip(np.frexp(size[active])[1].astype(np.int64), -1000, 1000)
        centre = summary.mean if fit_intercept else np.zeros(len(sd))
        return cls(len(sd), active, exponent, centre, fit_intercept, outputs)

    @property
    def single(self) -> "Coordinates":
        """Those of one output."""
        return replace(self, outputs=1)

    @property
    def p(self) -> int:
        """Length of theta."""
        return self.outputs * (len(self.active) + self.fit_intercept)

    @property
    def slopes(self) -> int:
        """How many of theta are weights: they come first."""
        return self.outputs * len(self.active)

    def of_output(self, k: int) -> NDArray[np.int64]:
        """Where theta of output k alone lies within theta, (p / K,)."""
        n = len(self.active)
        own = np.arange(k * n, (k + 1) * n)
        return np.append(own, self.slopes + k) if self.fit_intercept else own

    def columns(self, slopes: Array) -> Array:
        """What theta says of weights (K n_active,) as (n_active,), of K > 1 outputs (n_active, K).

        Inverse: `line`.
        """
        return slopes if self.outputs == 1 else slopes.reshape(self.outputs, -1).T

    def line(self, columns: Array) -> Array:
        """Values of the active features in theta's order, (K n_active,).

        Args:
            columns: (n_active, K), or (n_active,), one number for each output of a feature.
        """
        if columns.ndim == 1:
            return np.tile(columns, self.outputs) if self.outputs > 1 else columns
        return columns.T.ravel()

    @property
    def unit(self) -> Array:
        """w per u, one an active feature."""
        return np.ldexp(1.0, -self.exponent)

    def full_unit(self) -> Array:
        """The units of all features (n,); 0 for those without spread."""
        unit = np.zeros(self.n_features)
        unit[self.active] = self.unit
        return unit

    def spanned(self, edges: Array, of_edge: Callable[[int], Array]) -> Array:
        """sum_e (a_e a_e') x M_e in theta's order: (p, p).

        Args:
            edges: the a_e (P, K).
            of_edge: M_e, (p / K, p / K) in one output's theta.
        """
        if self.outputs == 1:
            return of_edge(0)
        total = np.zeros((self.p, self.p))
        places = [self.of_output(k) for k in range(self.outputs)]
        for e, edge in enumerate(edges):
            matrix, ends = of_edge(e), np.flatnonzero(edge)
            for k in ends:
                for j in ends:
                    total[np.ix_(places[k], places[j])] += edge[k] * edge[j] * matrix
        return total

    def extended(self, features: Array, intercept: float | Array) -> Array:
        """(p,) of a value for each active feature, and one for the intercept if there is one.

        Args:
            features: (n_active,), or (n_active, K) or in theta's order for each output.
            intercept: one number, or (K,).
        """
        slopes = features if features.shape == (self.slopes,) else self.line(features)
        if not self.fit_intercept:
            return slopes
        return np.append(slopes, np.broadcast_to(intercept, self.outputs))

    def weights(self, theta: Array) -> Array:
        """w of theta (p,): (n,), of K > 1 outputs (n, K); of (p, k) side by side, (n, k K)."""
        if theta.ndim == 1:
            u = self.columns(theta[: self.slopes])
        else:
            n, k = len(self.active), theta.shape[1]
            # (K n_active, k) as (n_active, k K); n_active may be 0
            u = theta[: self.slopes].reshape(self.outputs, n, k).transpose(1, 2, 0)
            u = u.reshape(n, k * self.outputs)
        w = np.zeros((self.n_features, *u.shape[1:]))
        w[self.active] = u * (self.unit if u.ndim == 1 else self.unit[:, None])
        return w

    def centred_intercept(self, theta: Array) -> Array:
        """b0: shape () or (K,) for theta (p,), (k K,) for (p, k)."""
        if self.outputs == 1:
            return theta[-1] if self.fit_intercept else np.zeros(theta.shape[1:])
        if not self.fit_intercept:
            return np.zeros(self.outputs * (theta.shape[1] if theta.ndim == 2 else 1))
        return theta[self.slopes :].T.ravel()

    def intercept(self, theta: Array) -> Any:
        """b of theta (p,): a number, of K > 1 outputs (K,)."""
        if not self.fit_intercept:
            return 0.0 if self.outputs == 1 else np.zeros(self.outputs)
        b = self._uncentred(theta, np.zeros(self.outputs))
        return float(b[0]) if self.outputs == 1 else b

    def unstored(self, theta: Array) -> Array:
        """b - the exact b0 - centre'w (K,): what `intercept`, a number, leaves out of theta (p,).

        Weights lose nothing: their units are powers of two.
        """
        if not self.fit_intercept:
            return np.zeros(self.outputs)
        return -self._uncentred(theta, np.atleast_1d(self.intercept(theta)))

    def _uncentred(self, theta: Array, less: Array) -> Array:
        """b0 - centre'w - less (K,), rounded once; as floating point has it where that is infinite.

        b0 and centre'w may be far larger than their difference: features of 1e12 that vary by 1.
        """
        w = self.weights(theta)[self.active].reshape(len(self.active), self.outputs)
        b0, centre = np.atleast_1d(self.centred_intercept(theta)), self.centre[self.active]
        with np.errstate(over="ignore", invalid="ignore"):
            plain = b0 - centre @ w - less
            finite = np.isfinite(np.abs(centre) @ np.abs(w) + np.abs(b0))
        for k in np.flatnonzero(finite):
            plain[k] = math.fsum([b0[k], -less[k], *exact_products(-centre, w[:, k])])
        return plain

    def theta(self, w: Array, b: Any) -> Array:
        """theta (p,) of weights and intercept; weights without spread are dropped."""
        kept = np.zeros_like(w)
        kept[self.active] = w[self.active]
        unit = self.unit if w.ndim == 1 else self.unit[:, None]
        return self.extended(w[self.active] / unit, b + self.centre @ kept)


def exact_products(a: Array, b: Array) -> Array:
    """Numbers whose exact sum is the sum of a_j b_j: the products' two halves (2n,).

    Dekker (1971), *A Floating-Point Technique for Extending the Available Precision*, on mantissas,
    so that nothing overflows on the way.
    """
    (a, i), (b, j) = np.frexp(a), np.frexp(b)
    high = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    low = ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2
    return np.ldexp(np.concatenate([high, low]), np.concatenate([i + j, i + j]))


def _halves(a: Array) -> tuple[Array, Array]:
    """a as a sum of two numbers of half as many digits."""
    c = 134217729.0 * a
    high = c - (c - a)
    return high, a - high


@dataclass(frozen=True)
class UserCoordinates:
    """phi = (v, b') of n features and the intercept, in which gradient descent takes its steps.

        w = per v,      z = (x - centre)'w + b'

    Of K outputs: the v of each, then the K of b'.

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

    def _all(self, active: Array) -> Array:
        """Values of the active features among all, output by output: (K n,)."""
        to = self.to
        found = np.zeros((to.n_features, *active.shape[1:]))
        found[to.active] = active
        return found if active.ndim == 1 else found.T.ravel()

    def gradient(self, gradient: Array) -> Array:
        """A gradient in theta (p,) as one in phi."""
        to = self.to
        at_intercept = gradient[to.slopes :]
        raw = to.columns(gradient[: to.slopes]) / self._beside(to.unit)
        if to.fit_intercept:
            raw = raw + self._outer(self._shift, at_intercept)
        found = self._all(self._beside(self.per[to.active]) * raw)
        return np.append(found, at_intercept)

    def _beside(self, values: Array) -> Array:
        """One number a feature (n_active,), to go with weights of one output or of several."""
        return values if self.to.outputs == 1 else values[:, None]

    def _outer(self, values: Array, intercepts: Array) -> Array:
        return values * intercepts[0] if self.to.outputs == 1 else np.outer(values, intercepts)

    def theta(self, phi: Array) -> Array:
        """theta (p,) of phi: a linear map."""
        to = self.to
        v = phi[: to.outputs * to.n_features]
        v = v if to.outputs == 1 else v.reshape(to.outputs, -1).T
        w = self._beside(self.per[to.active]) * v[to.active]
        b = phi[len(v) * to.outputs :] + self._shift @ w if to.fit_intercept else 0.0
        return to.extended(w / self._beside(to.unit), b)

    def phi(self, theta: Array) -> Array:
        """phi of theta (p,)."""
        to, w = self.to, self.to.weights(theta)[self.to.active]
        v = self._all(w / self._beside(self.per[to.active]))
        if not to.fit_intercept:
            return v
        return np.append(v, theta[to.slopes :] - self._shift @ w)

    def hessian(self, hessian: Array) -> Array:
        """A second derivative in theta (p, p) as one in phi: one output, active features only."""
        to, n = self.to.single, len(self.to.active)
        per = to.extended(self.per[to.active] / to.unit, 1.0)
        total = per[:, None] * hessian * per
        if to.fit_intercept:
            # theta = T phi, whose last row is (shift per, 1)
            last = np.append(self._shift * self.per[to.active], 0.0)
            cross = np.multiply.outer(last, per * hessian[n])
            total += cross + cross.T + hessian[n, n] * np.multiply.outer(last, last)
        return total
