"""Gradient descent, as taught."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from w261reg.objective import Objective
from w261reg.solvers.base import FirstPass, Solver, State, start_at
from w261reg.solvers.line_search import STALLED, Ray, search

Array = NDArray[np.float64]

GROW_AFTER = 3


@dataclass(frozen=True)
class GradientDescent(Solver):
    """w <- w - eta dF/dw, b <- b - eta dF/db, in the user's own coordinates.

    On raw features, the steps are those of the textbook on raw w and b; on a standardized problem,
    those on standardized features. With `step_size` eta is fixed; without, it is chosen by Armijo
    backtracking (Nocedal and Wright, *Numerical Optimization*, 3.1) from the last step, doubled
    after three that needed none. Under L1 the direction is the subgradient that takes sign(0) = 0,
    which gives no exact zeros, converges slowly, and under Armijo's rule ends at the first kink
    where it does not descend: that is what it is there to show.

    Attributes:
        step_size: eta in canonical terms, or None for Armijo.
        standardized: take the steps on d_j w_j and centred features.
    """

    step_size: float | None = None
    standardized: bool = False

    name = "gd"
    about = "gradient descent: fixed step with --step-size, else Armijo; subgradient under L1"
    first_pass = FirstPass.MOMENTS
    takes_step_size = True
    subgradients = True

    @classmethod
    def of(cls, max_iter: int, tol: float, step_size: float | None, standardized: bool) -> Self:
        return cls(max_iter, tol, step_size, standardized)

    def init(self, objective: Objective, start: Array | None) -> State:
        return State(
            start_at(objective, start, 1), memory=(self._first_step(objective), GROW_AFTER)
        )

    def step(self, objective: Objective, state: State) -> State:
        now = state.evaluation
        direction = -self._walk(objective, now.gradient)
        if self.step_size is not None:
            theta = now.theta + self.step_size * direction
            after = objective.evaluate(theta, 1, "gradient step")
            return replace(state, evaluation=after, step=self.step_size)
        eta, streak = state.memory
        longer = streak >= GROW_AFTER
        if longer:
            eta, streak = 2 * eta, 0
        ray = Ray(
            start=now,
            point=lambda t: now.theta + t * direction,
            change=lambda theta: float(now.gradient @ (theta - now.theta)),
            first=eta,
            order=1,
            label="gradient step",
            doubtful=longer,
        )
        found = search(objective, ray)
        if found is None:
            if objective.loss.kinked:
                kinked = "the subgradient is no direction of descent at a kink: give a step_size"
                return replace(state, stalled=kinked)
            kinked = "the subgradient is no direction of descent at a kink: try solver proximal"
            return replace(state, stalled=STALLED if objective.smooth else kinked)
        after, step = found
        streak = streak + 1 if step == eta else 0
        return replace(state, evaluation=after, step=step, memory=(step, streak))

    def _first_step(self, objective: Objective) -> float:
        """1 / (l'' times the trace of the features' second moments), at most 1/lambda_max there."""
        active = objective.coordinates.active
        sd, mean = objective.summary.sd()[active], objective.summary.mean[active]
        size = sd / objective.strengths.scale[active] if self.standardized else np.hypot(sd, mean)
        with np.errstate(over="ignore", under="ignore"):
            trace = float(np.sum(size**2)) + objective.fit_intercept
        bend = objective.null.curvature() * trace
        return 1 / bend if 1e-300 < bend < 1e300 else 1.0

    def _walk(self, objective: Objective, gradient: Array) -> Array:
        """The step in theta that a gradient step in the user's coordinates makes.

        With theta = T phi for the user's phi, dF/dphi = T'g and so the step is T T'g.
        """
        coordinates = objective.coordinates
        active, n = coordinates.active, len(coordinates.active)
        unit = coordinates.unit
        if self.standardized:
            # phi = (d w, b0): u = phi / (d unit)
            per = 1 / (objective.strengths.scale[active] * unit)
            step = gradient.copy()
            step[:n] *= per**2
            return step
        # phi = (w, b): u = w / unit, b0 = b + centre'w
        if not objective.fit_intercept:
            return gradient / unit**2
        centre = coordinates.centre[active]
        w_gradient = gradient[:n] / unit + centre * gradient[n]
        return np.append(w_gradient / unit, gradient[n] + centre @ w_gradient)
