"""What is known of the objective at one point."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.basis import Curved

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """The objective at one theta (p,).

    Attributes:
        theta: where.
        loss: mean loss.
        objective: F = loss + penalty.
        loss_gradient: of the mean loss alone, in theta (p,).
        gradient: of F, in theta; at a kink the subgradient that takes sign(0) = 0.
        residual: the scale-free optimality residual (see `Objective.residual`).
        hessian: of F away from kinks (p, p); None where only the gradient was asked for. Of several
            outputs, it is bent in the directions that F does not see (see `Regularizer`).
        margin: smallest margin of any row; infinite for losses without one.
        rounding: how far rounding may have moved the objective, beyond its own last digits.
        blur: how far rounding may have moved `loss_gradient` (p,); None where it is not known.
        blurred: how far that may have moved the residual.
        sampled: an estimate of `hessian` from a sample of the rows, where it was asked for.
        diagonal: of `hessian` (p,), where it alone was asked for.
        beside: F at other points that rode along (k,).
        also: what another aggregator that rode along found.
        curved: the Hessian in a basis of the rows, where the objective has one; `hessian` is then
            for its large eigenvalues only.
        gap: F less a lower bound of its minimum, where a solver has proven one.
    """

    theta: Array
    loss: float
    objective: float
    loss_gradient: Array
    gradient: Array
    residual: float
    hessian: Array | None = None
    margin: float = np.inf
    rounding: float = 0.0
    blur: Array | None = None
    blurred: float = 0.0
    sampled: Array | None = None
    diagonal: Array | None = None
    beside: Array | None = None
    also: Any = None
    gap: float | None = None
    curved: Curved | None = None

    @property
    def finite(self) -> bool:
        """Whether the objective and its gradient are numbers."""
        return bool(np.isfinite(self.objective) and np.isfinite(self.gradient).all())


@dataclass(frozen=True)
class Stepped:
    """What local steps came to: theta (p,), and a plane height + slope'theta below the loss.

    `size` is that of the height's terms, which rounding is a share of.
    """

    theta: Array
    height: float
    slope: Array
    size: float


def shortest_subgradient(at: Evaluation, kink: Array) -> Array:
    """The subgradient of F of least length, (p,)."""
    g = at.gradient
    at_kink = (at.theta == 0) & (kink > 0)
    return np.where(at_kink, np.sign(g) * np.maximum(np.abs(g) - kink, 0.0), g)


def rounding_of(value: float) -> float:
    """Differences of an objective of this size, up to here, are rounding errors."""
    return 64 * float(np.finfo(float).eps) * abs(value)
