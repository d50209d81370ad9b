"""The penalty in theta: on the weights of each output alike, never on the intercepts."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from w261reg.penalties import PenaltySum
from w261reg.scaling import Coordinates

Array = NDArray[np.float64]


class Regularizer:
    """R(w), of K outputs the sum of R over the weights of each, as a function of theta (p,).

    Where z moves alike in all of K > 1 outputs, the loss does not change. Where the penalty does
    not either, F has no unique minimum and its Hessian is singular; but gradients have no part
    along these directions, so whatever curvature is put there changes no step of Newton's method,
    nor any proof, but that none leads along them. `gauge` is such a curvature.

    Strengths and units may be such that a penalty leaves the range of numbers: it is infinite then.

    Args:
        penalty: of the weights of one output.
        coordinates: of theta.
        curved: the diagonal of a Hessian of the loss in one output's theta (p / K,), for the size
            of the gauge.

    Attributes:
        kink: half the jump of R's derivative at u_j = 0, (p,).
        free: whether common moves of all outputs' weights change nothing.
    """

    def __init__(self, penalty: PenaltySum, coordinates: Coordinates, curved: Array) -> None:
        self.penalty, self.coordinates = penalty, coordinates
        shape = (coordinates.n_features, coordinates.outputs)
        zero = np.zeros(shape if coordinates.outputs > 1 else shape[:1])
        self.kink = self.to_theta(self._of_each(penalty.kink, zero))
        coercive = any(term.coercive for term in penalty.terms)
        self.free = coordinates.outputs > 1 and not (coercive or self.kink.any())
        self._gauge = curved / coordinates.outputs
        if not self.free:
            self._gauge[: len(coordinates.active)] = 0.0

    @staticmethod
    def _of_each(function: Callable[[Array], Array], w: Array) -> Array:
        """A function of the weights of one output, (n,) -> (n,), for each: as w."""
        return function(w) if w.ndim == 1 else np.column_stack([function(own) for own in w.T])

    def value(self, w: Array) -> float:
        """R of weights (n,) or (n, K)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(sum(self.penalty.value(own) for own in np.atleast_2d(w.T)))

    def gradient(self, w: Array) -> Array:
        """In theta (p,); at a kink the subgradient that takes sign(0) = 0."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.to_theta(self._of_each(self.penalty.gradient, w))

    def hessian(self, w: Array) -> Array:
        """Away from kinks, in theta (p, p), with the gauge."""
        own = self.own_hessian(w)
        return own + self.gauge() if self.coordinates.outputs > 1 else own

    def own_hessian(self, w: Array) -> Array:
        """The same without gauge."""
        to = self.coordinates
        n = len(to.active)
        total = np.zeros((to.p, to.p))
        with np.errstate(over="ignore", invalid="ignore"):
            for k, own in enumerate(np.atleast_2d(w.T)):
                block = slice(k * n, (k + 1) * n)
                total[block, block] = self._block(self.penalty.hessian(own))
        return total

    def gauge(self) -> Array:
        """The gauge in theta (p, p): for each coordinate, its size times the outputs' (1 1')."""
        to = self.coordinates
        total = np.zeros((to.p, to.p))
        if to.outputs > 1:
            places = [to.of_output(k) for k in range(to.outputs)]
            for rows in places:
                for columns in places:
                    total[rows, columns] = self._gauge
        return total

    def _block(self, raw: Array) -> Array:
        """A second derivative in the weights of one output, (n,) or (n, n), in its theta."""
        active, unit = self.coordinates.active, self.coordinates.unit
        if raw.ndim == 1:
            # d before d^2: (unit d)^2 stays in range where d^2 alone may not
            return np.diag(unit * (raw[active] * unit))
        block: Array = unit[:, None] * raw[np.ix_(active, active)] * unit
        return block

    def diagonal(self, w: Array) -> Array:
        """The diagonal of `hessian` (p,), which may be all that fits in memory; without gauge."""
        with np.errstate(over="ignore", invalid="ignore"):
            to = self.coordinates
            raw = self._of_each(self.penalty.diagonal, w)[to.active]
            unit = to.unit if raw.ndim == 1 else to.unit[:, None]
            return to.extended(unit * (raw * unit), 0.0)

    def distance(self, w: Array, gradient: Array) -> Array:
        """Of a loss's gradient, both raw (n,) or (n, K), from what R allows: as w."""
        with np.errstate(over="ignore", invalid="ignore"):
            if w.ndim == 1:
                return self.penalty.residual(w, gradient)
            both = zip(w.T, gradient.T, strict=True)
            return np.column_stack([self.penalty.residual(own, g) for own, g in both])

    def to_theta(self, raw: Array) -> Array:
        """A derivative in w, (n,) or (n, K), as a derivative in theta (p,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            to = self.coordinates
            unit = to.unit if raw.ndim == 1 else to.unit[:, None]
            return to.extended(unit * raw[to.active], 0.0)
