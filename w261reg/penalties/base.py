"""What a penalty is: a convex function of the weights, never of the intercept."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Penalty(ABC):
    """R(w) for weights w (n,) with a scale d (n,) (1, or the sd of each feature).

    A penalty is one file in this folder: a concrete subclass with a `name` is found by itself. One
    that sets `option` gets a command line option of its own, whose value is the `strength` that
    `of` receives; without one it is driven by reg_param and elastic_net_param. `kinked` says that
    it has an L1 part, so that a solver can be chosen before the first pass.

    One that goes by an order of the features sets `order_option` and its help, too, for their names
    on the command line, and gets their positions through `along`. `quadratic` says that R is
    w'Pw/2, whose P is the Hessian everywhere, which makes proofs possible; `coercive` that R grows
    without bound in every direction, so that with it there is an optimum whatever the data; one
    that does not is quadratic.
    """

    name: ClassVar[str]
    option: ClassVar[str | None] = None
    kinked: ClassVar[bool] = False
    help: ClassVar[str] = ""
    order_option: ClassVar[str | None] = None
    order_help: ClassVar[str] = ""
    quadratic: ClassVar[bool] = False
    coercive: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def of(cls, strength: float, scale: Array) -> Self:
        """The penalty with this strength >= 0 and scale d (n,)."""

    def along(self, order: NDArray[np.int64]) -> Self:
        """The penalty on the features at these positions (k,), in this order."""
        raise TypeError(f"the penalty {self.name} goes by no order")

    @abstractmethod
    def value(self, w: Array) -> float:
        """R(w)."""

    @abstractmethod
    def gradient(self, w: Array) -> Array:
        """The gradient (n,); at a kink the subgradient that takes sign(0) = 0."""

    @abstractmethod
    def hessian(self, w: Array) -> Array:
        """The second derivative away from kinks: its diagonal (n,), or a matrix (n, n)."""

    def diagonal(self, w: Array) -> Array:
        """The diagonal of `hessian` (n,); overridden where that is a matrix, to do without it."""
        hessian = self.hessian(w)
        return hessian if hessian.ndim == 1 else np.diagonal(hessian).copy()

    def kink(self, w: Array) -> Array:
        """Half the jump of dR/dw_j at w_j = 0 (n,): l1 d_j where there is an L1 part, else 0."""
        return np.zeros_like(w)

    def prox(self, v: Array, step: float) -> Array:
        """argmin_w |w - v|^2 / (2 step) + R(w), shape (n,); no solver here needs it."""
        raise TypeError(f"the penalty {self.name} has no prox")

    def residual(self, w: Array, g: Array) -> Array:
        """Distance of -g from the subdifferential of R at w, one a feature (n,).

        Zero everywhere exactly where w minimises loss + R and g is the gradient of the loss.
        """
        return subdifferential_distance(w, g + self.gradient(w), self.kink(w))


def subdifferential_distance(w: Array, total: Array, kink: Array) -> Array:
    """Length of the shortest subgradient, one a feature, from the one that takes sign(0) = 0."""
    at_kink = np.maximum(np.abs(total) - kink, 0.0)
    return np.where((w == 0.0) & (kink > 0.0), at_kink, np.abs(total))


def soft_threshold(v: Array, t: Array) -> Array:
    """sign(v) max(|v| - t, 0): the prox of t |.|, with exact zeros."""
    return np.sign(v) * np.maximum(np.abs(v) - t, 0.0)
