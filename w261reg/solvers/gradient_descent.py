"""Gradient descent, as taught."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Trail
from w261reg.objective import Objective
from w261reg.solvers.base import State, start_at
from w261reg.solvers.descent import RATES, Descent
from w261reg.solvers.line_search import STALLED, Ray, search

Array = NDArray[np.float64]

GROW_AFTER = 3


@dataclass(frozen=True)
class GradientDescent(Descent):
    """w <- w - eta dF/dw, b <- b - eta dF/db, in the user's own coordinates.

    With `step_size`, or a rule of its own, the step is that of `Descent`; without either, or with
    the rule armijo, it is chosen by Armijo backtracking (Nocedal and Wright, *Numerical
    Optimization*, 3.1) from the last step, doubled after three that needed none. Under L1 the
    direction is the subgradient that takes sign(0) = 0, which gives no exact zeros, converges
    slowly, and under Armijo's rule ends at the first kink where it does not descend: that is what
    it is there to show.
    """

    name = "gd"
    about = "gradient descent: fixed step with --step-size, else Armijo; subgradient under L1"
    takes_batches = False
    step_rules = (*RATES, "armijo")

    def advance(self, trail: Trail, gradient: Array, eta: float) -> Trail:
        return replace(trail, point=trail.point - eta * gradient, steps=trail.steps + 1)

    @property
    def _armijo(self) -> bool:
        return self.step_rule == "armijo" or (self.step_rule is None and self.step_size is None)

    def init(self, objective: Objective, start: Array | None) -> State:
        if not self._armijo:
            return super().init(objective, start)
        first = start_at(objective, start, 1)
        return State(first, memory=(self._first_step(objective), GROW_AFTER))

    def step(self, objective: Objective, state: State) -> State:
        if not self._armijo:
            return super().step(objective, state)
        now = state.evaluation
        user = objective.user(self.standardized)
        direction = -user.theta(user.gradient(now.gradient))
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
        bend = objective.null.curvature() * self.spread(objective)
        return 1 / bend if 1e-300 < bend < 1e300 else 1.0
