"""How far to go along a direction: Armijo's rule, several steps a pass."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.evaluation import Evaluation, rounding_of, shortest_subgradient
from w261reg.objective import Objective
from w261reg.solvers.in_basis import newton_step

Array = NDArray[np.float64]

SUFFICIENT_DECREASE = 1e-4  # Nocedal and Wright, *Numerical Optimization*, 3.1
# side by side in one pass; those of the second row only where the first has none that descends
TRIALS = (2.0 ** -np.arange(1, 7), 2.0 ** -np.arange(7, 31))
STALLED = "no step descends any further in floating point"


@dataclass(frozen=True)
class Ray:
    """The points that a step may lead to.

    Attributes:
        start: where the step starts.
        point: theta (p,) after a step of a given length.
        change: the change of F that the model predicts for a theta, < 0 beyond rounding.
        first: the length to try first.
        order: of the evaluations: 1 for gradients, 2 for Hessians too.
        label: of the passes.
        doubtful: the first length may well be too long: F at shorter ones rides along.
        sampled, diagonal: whether the evaluation of the first length should estimate the Hessian,
            or have its diagonal.
    """

    start: Evaluation
    point: Callable[[float], Array]
    change: Callable[[Array], float]
    first: float
    order: int
    label: str
    doubtful: bool = False
    sampled: bool = False
    diagonal: bool = False

    def points(self, lengths: NDArray[np.floating[Any]]) -> Array:
        """(p, k)."""
        return np.column_stack([self.point(float(length)) for length in lengths])


def search(objective: Objective, ray: Ray) -> tuple[Evaluation, float] | None:
    """The evaluation after a step that descends, and the step's length.

    One pass evaluates the first step, which is nearly always taken. Where it does not descend, one
    pass tries shorter ones side by side (none, where they rode along), and one more evaluates the
    best of those that satisfy Armijo's rule. Where the predicted change is within rounding of F,
    values tell nothing: gradients at shorter steps, side by side, decide.

    Returns:
        None where no step descends in floating point.
    """
    now, theta = ray.start, ray.point(ray.first)
    shorter = ray.points(ray.first * TRIALS[0]) if ray.doubtful else None
    trial = objective.evaluate(theta, ray.order, ray.label, shorter, ray.sampled, ray.diagonal)
    if _accepts(ray, trial):
        return trial, ray.first
    if -ray.change(theta) <= _rounding(now, trial):
        return _within_rounding(objective, ray)
    for number, trials in enumerate(TRIALS):
        lengths = ray.first * trials
        thetas = ray.points(lengths)
        values = trial.beside if number == 0 else None
        if values is None:
            values = objective.values(thetas, "line search")
        bounds = np.array([SUFFICIENT_DECREASE * ray.change(column) for column in thetas.T])
        enough = values <= now.objective + bounds
        if enough.any():
            best = int(np.nanargmin(np.where(enough, values, np.nan)))
            after = objective.evaluate(thetas[:, best], ray.order, ray.label)
            if after.objective < now.objective or after.residual < now.residual:
                return after, float(lengths[best])
            return None  # descent within rounding only
    return None


def _within_rounding(objective: Objective, ray: Ray) -> tuple[Evaluation, float] | None:
    """The one of some shorter steps that has the least gradient, if that is descent."""
    lengths = ray.first * TRIALS[0]
    trials, _ = objective.subgradients(ray.points(lengths), "line search")
    smaller = [i for i, trial in enumerate(trials) if _accepts(ray, trial)]
    if not smaller:
        return None
    gradients = [shortest_subgradient(trial, objective.kink) for trial in trials]
    best = min(smaller, key=lambda i: _length(ray.start, gradients[i]))
    # side by side rows add up in another order, which may be all that is smaller
    after = objective.evaluate(trials[best].theta, ray.order, ray.label)
    return (after, float(lengths[best])) if _accepts(ray, after) else None


def _accepts(ray: Ray, trial: Evaluation) -> bool:
    """Armijo's rule; within rounding of the objective, a smaller gradient counts as descent.

    Steps of second order make it much smaller, or only rounding does; others may creep, and a value
    that is less by rounding alone may be all that they have to go by.
    """
    if not trial.finite:
        return False
    now, change = ray.start, ray.change(trial.theta)
    rounding = _rounding(now, trial)
    descends = trial.objective <= now.objective + SUFFICIENT_DECREASE * change
    if descends and (-change > rounding or (ray.order == 1 and trial.objective < now.objective)):
        return True
    if not trial.objective <= now.objective + rounding:
        return False
    # a loss whose l'' has no bound has gradients of unknown rounding, which proves no blur
    blurred = now.residual <= now.blurred < math.inf
    enough = 0.5 if blurred else 0.9 if ray.order == 2 else 1.0
    if trial.residual < enough * now.residual:
        return True
    # the residual is a maximum, which may rise for a moment where the gradient as a whole shrinks
    less, length = (0.9 if ray.order == 2 else 0.999), _length(now, now.gradient)
    if now.curved is not None:
        blurred, less = False, 0.5 if length <= now.curved.blur else less
    return not blurred and _length(now, trial.gradient) < less * length


def _length(now: Evaluation, gradient: Array) -> float:
    """Of a gradient in theta (p,); in a basis of the rows that which H^-1 at the start gives it.

    That is the root of twice the decrease that a quadratic with this gradient promises (natural
    monotonicity: Deuflhard, *Newton Methods for Nonlinear Problems*, 2.1). In theta the slope along
    all of some collinear features hides those along their differences: where features are 1e12, its
    rounding alone is larger than theirs, and says nothing of how far F has to go.
    """
    if now.curved is None:
        return float(np.linalg.norm(gradient))
    return math.sqrt(max(0.0, -float(gradient @ newton_step(now.curved, gradient).x)))


def hopeless(now: Evaluation, slope: float) -> bool:
    """Whether a direction of this slope, by its model, does not descend: beyond rounding of F."""
    return not slope < _rounding(now, now)


def _rounding(now: Evaluation, trial: Evaluation) -> float:
    """Differences of the objective up to here are rounding errors."""
    known = max(now.rounding, trial.rounding)
    return max(rounding_of(max(abs(now.objective), abs(trial.objective))), known)
