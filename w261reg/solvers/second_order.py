"""Newton's method, damped, and its proximal form for L1."""

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.objective import Evaluation, Objective
from w261reg.solvers.base import Solver, State, start_at
from w261reg.solvers.linear import solve
from w261reg.solvers.quadratic import minimise_quadratic_l1

Array = NDArray[np.float64]

SUFFICIENT_DECREASE = 1e-4  # Armijo's constant (Nocedal and Wright, *Numerical Optimization*, 3.1)
TRIALS = 2.0 ** -np.arange(1, 25)  # steps tried in one pass when the full one does not descend


@dataclass(frozen=True)
class Move:
    """A direction (p,), the decrease its model predicts at the full step (< 0), and a note."""

    direction: Array
    slope: float
    note: str
    condition: float


@dataclass(frozen=True)
class _SecondOrder(Solver):
    """A step: minimise the second-order model, then go as far as the objective descends.

    One pass an iteration: loss, gradient and Hessian at the full step, which is nearly always
    taken. Where it does not descend, one pass tries 24 shorter steps side by side and one more
    evaluates the best.
    """

    @abstractmethod
    def model(self, objective: Objective, now: Evaluation) -> Move:
        """The step that minimises the second-order model at `now`."""

    def init(self, objective: Objective, start: Array | None) -> State:
        return State(start_at(objective, start, 2))

    def step(self, objective: Objective, state: State) -> State:
        now = state.evaluation
        move = self.model(objective, now)
        state = replace(state, note=move.note, condition=move.condition)
        if not move.slope < 0:
            return replace(state, stalled="no step descends any further in floating point")
        label = f"{self.name} step"
        trial = objective.evaluate(now.theta + move.direction, 2, label)
        if accepts(now, trial, move.slope):
            return replace(state, evaluation=trial, step=1.0)
        points = now.theta[:, None] + move.direction[:, None] * TRIALS
        values = objective.values(points, "line search")
        enough = values <= now.objective + SUFFICIENT_DECREASE * TRIALS * move.slope
        if not enough.any():
            return replace(state, stalled="no step descends any further in floating point")
        best = int(np.nanargmin(np.where(enough, values, np.nan)))
        after = objective.evaluate(points[:, best], 2, label)
        return replace(state, evaluation=after, step=float(TRIALS[best]))


def accepts(now: Evaluation, trial: Evaluation, slope: float) -> bool:
    """Armijo's rule; within rounding of the objective, a smaller residual counts as descent."""
    if not trial.finite:
        return False
    if trial.objective <= now.objective + SUFFICIENT_DECREASE * slope:
        return True
    rounding = 64 * np.finfo(float).eps * max(abs(now.objective), abs(trial.objective))
    return trial.objective <= now.objective + rounding and trial.residual < now.residual


@dataclass(frozen=True)
class Newton(_SecondOrder):
    """w <- w - t H^-1 g on weights and intercept together, t by Armijo.

    Nocedal and Wright, *Numerical Optimization*, 3.3; for logistic loss, iteratively reweighted
    least squares (McCullagh and Nelder, *Generalized Linear Models*, 2.5). The first step is free:
    the Hessian at the null model is a multiple of the Gram matrix of the first pass.
    """

    name = "newton"
    about = "damped Newton on weights and intercept together; a pass an iteration"
    smooth_only = True

    def model(self, objective: Objective, now: Evaluation) -> Move:
        assert now.hessian is not None
        solution = solve(now.hessian, -now.gradient)
        slope = float(now.gradient @ solution.x)
        return Move(solution.x, slope, solution.note, solution.condition)


@dataclass(frozen=True)
class Proximal(_SecondOrder):
    """Proximal Newton: each step minimises the quadratic model of the smooth part + the L1 part.

    Lee, Sun and Saunders (2014), *Proximal Newton-Type Methods for Minimizing Composite Functions*;
    the inner problem is solved on the driver, exactly, so zeros are exact.
    """

    name = "proximal"
    about = "proximal Newton: exact zeros under L1; a pass an iteration"

    def model(self, objective: Objective, now: Evaluation) -> Move:
        assert now.hessian is not None
        kink = objective.kink
        smooth = now.gradient - kink * np.sign(now.theta)
        target = minimise_quadratic_l1(
            now.hessian, now.hessian @ now.theta - smooth, kink, now.theta
        )
        direction = target - now.theta
        change = float(kink @ (np.abs(target) - np.abs(now.theta)))
        return Move(direction, float(smooth @ direction) + change, "", float("nan"))
