"""Quasi-Newton from the Hessian of a sample of the rows, and its proximal form for L1."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.evaluation import Evaluation
from w261reg.objective import Objective
from w261reg.solvers.base import FirstPass, Solver, State, start_at
from w261reg.solvers.line_search import STALLED, Ray, hopeless, search
from w261reg.solvers.linear import solve
from w261reg.solvers.quadratic import decrease, quadratic_step

Array = NDArray[np.float64]

# the step whose evaluation estimates the Hessian anew: near enough to the optimum to last
REFRESHED_AT = 2


@dataclass(frozen=True)
class Model:
    """The matrix of the second-order model (p, p), and how many steps it is old."""

    hessian: Array
    steps: int = 0


@dataclass(frozen=True)
class Sampled(Solver):
    """B <- the Hessian of sampled rows, then BFGS updates from exact gradients; a gradient a pass.

    For many features a Hessian of all rows costs more than the passes that it saves. That of a
    sample of some twenty rows a feature leaves few directions to learn, and learning them is what
    the updates of Broyden, Fletcher, Goldfarb and Shanno are for (Nocedal and Wright, *Numerical
    Optimization*, 6.1; Byrd, Chin, Neveitt and Nocedal 2011, *On the Use of Stochastic Hessian
    Information in Optimization Methods for Machine Learning*). The first estimate rides with the
    first pass, and one more with a later one. Under L1 each step minimises the model + the L1 part
    (Lee, Sun and Saunders 2014), so zeros are exact.
    """

    name = "sampled"
    about = "quasi-Newton from the Hessian of sampled rows, proximal under L1; for wide dense data"
    first_pass = FirstPass.SAMPLE

    def init(self, objective: Objective, start: Array | None) -> State:
        known = None if start is not None else objective.sampled_null_hessian()
        if known is None:
            theta = objective.null_theta() if start is None else start
            first = objective.evaluate(theta, 1, "start", sampled=True)
            assert first.sampled is not None
            return State(first, memory=Model(first.sampled))
        return State(start_at(objective, None, 1), memory=Model(known))

    def step(self, objective: Objective, state: State) -> State:
        now, kink, model = state.evaluation, objective.kink, state.memory
        if objective.smooth:
            solution = solve(model.hessian, -now.gradient)
            direction, condition = solution.x, solution.condition
            slope = float(now.gradient @ direction)
        else:
            direction = quadratic_step(model.hessian, _smooth(now, kink), kink, now.theta)
            slope, condition = decrease(now, kink, direction), float("nan")
        if not direction.any() or hopeless(now, slope):
            return self._again(objective, state)
        unit = float(np.linalg.norm(direction))
        ray = Ray(
            start=now,
            point=lambda t: now.theta + t * direction,
            change=lambda theta: slope * float(np.linalg.norm(theta - now.theta)) / unit,
            first=1.0,
            order=1,
            label="quasi-Newton step",
            doubtful=state.step < 1,
            sampled=model.steps + 1 == REFRESHED_AT,
        )
        found = search(objective, ray)
        if found is None:
            return self._again(objective, state)
        after, step = found
        hessian = after.sampled if after.sampled is not None else _updated(model, now, after, kink)
        memory = Model(hessian, model.steps + 1)
        return replace(state, evaluation=after, step=step, condition=condition, memory=memory)

    def _again(self, objective: Objective, state: State) -> State:
        """A model that leads nowhere is estimated anew, once; else there is no way on."""
        if state.memory.steps == 0 and state.step == 0:
            return replace(state, stalled=STALLED)
        fresh = objective.evaluate(state.evaluation.theta, 1, "estimate anew", sampled=True)
        assert fresh.sampled is not None
        return replace(state, evaluation=fresh, step=0.0, memory=Model(fresh.sampled))


def _smooth(at: Evaluation, kink: Array) -> Array:
    return at.gradient - kink * np.sign(at.theta)


def _updated(model: Model, now: Evaluation, after: Evaluation, kink: Array) -> Array:
    """B + y y'/y's - B s s'B / s'Bs for the move s and the change y of the smooth gradient."""
    hessian: Array = model.hessian
    move = after.theta - now.theta
    change = _smooth(after, kink) - _smooth(now, kink)
    along = float(move @ change)
    if not along > 1e-12 * float(np.linalg.norm(move) * np.linalg.norm(change)):
        return hessian  # no curvature along the move, within rounding
    pushed = hessian @ move
    updated: Array = (
        hessian
        + np.multiply.outer(change, change / along)
        - np.multiply.outer(pushed, pushed / float(move @ pushed))
    )
    return updated
