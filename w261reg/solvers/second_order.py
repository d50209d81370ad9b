"""Newton's method, damped, and its proximal form for L1."""

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.evaluation import Evaluation
from w261reg.objective import Objective
from w261reg.solvers.base import Solver, State, start_at
from w261reg.solvers.heat import heated, heats, next_heat
from w261reg.solvers.in_basis import minimise_root_l1, newton_step
from w261reg.solvers.line_search import STALLED, Ray, hopeless, search
from w261reg.solvers.linear import solve
from w261reg.solvers.quadratic import decrease, quadratic_step
from w261reg.solvers.recentring import recentred

Array = NDArray[np.float64]
# steps whose decrease rounding hides: the gradient knows the way still, but not for ever
MOST_HIDDEN = 4
EXHAUSTED = "the data's condition allows no more digits"


@dataclass(frozen=True)
class Move:
    """A direction (p,), and the decrease its model predicts at the full step (< 0)."""

    direction: Array
    slope: float
    condition: float


@dataclass(frozen=True)
class Memory:
    """What is kept from step to step.

    Attributes:
        heat: of the next step, see `heats`.
        hidden: steps so far whose decrease rounding hid.
    """

    heat: float = 1.0
    hidden: int = 0


@dataclass(frozen=True)
class _SecondOrder(Solver):
    """A step: minimise the second-order model, then go as far as the objective descends.

    One pass an iteration: loss, gradient and Hessian at the full step, which is nearly always
    taken.
    """

    head_start = True

    @abstractmethod
    def model(self, objective: Objective, now: Evaluation) -> Move:
        """The step that minimises the second-order model at `now`."""

    def init(self, objective: Objective, start: Array | None) -> State:
        return State(start_at(objective, start, 2))

    def step(self, objective: Objective, state: State) -> State:
        now = objective.sharpened(recentred(objective, state.evaluation))
        memory = state.memory or Memory()
        state = replace(state, evaluation=now)
        for heat in heats(objective, now, memory.heat):
            own = now if heat == 1 else heated(objective, now, heat)
            move = self.model(objective, own)
            hidden = memory.hidden + (now.curved is not None and -move.slope <= now.rounding)
            state = replace(state, condition=move.condition)
            if hidden > MOST_HIDDEN:
                return replace(state, stalled=EXHAUSTED)
            found = self._search(objective, now, move, state.step)
            if found is not None:
                after = Memory(next_heat(heat, found[1]), hidden)
                return replace(state, evaluation=found[0], step=found[1], memory=after)
        return replace(state, stalled=STALLED)

    def _search(
        self, objective: Objective, now: Evaluation, move: Move, last: float
    ) -> tuple[Evaluation, float] | None:
        if not move.direction.any() or hopeless(now, move.slope):
            return None
        ray = Ray(
            start=now,
            point=lambda t: now.theta + t * move.direction,
            # the model's decrease is at least proportional to the step: F is convex
            change=lambda theta: move.slope * _share(theta - now.theta, move.direction),
            first=1.0,
            order=2,
            label=f"{self.name} step",
            doubtful=last < 1,
        )
        return search(objective, ray)


def _share(part: Array, whole: Array) -> float:
    """The t of part = t whole."""
    unit = float(np.abs(whole).max())  # squares of the components may leave the range of numbers
    whole = whole / unit
    return float((part / unit) @ whole) / float(whole @ whole)


@dataclass(frozen=True)
class Newton(_SecondOrder):
    """w <- w - t H^-1 g on weights and intercept together, t by Armijo.

    Nocedal and Wright, *Numerical Optimization*, 3.3; for logistic loss, iteratively reweighted
    least squares (McCullagh and Nelder, *Generalized Linear Models*, 2.5). The first step is free:
    the Hessian at the null model is a multiple of the Gram matrix of the first pass. Under
    constraints the step is that of their null space, from a start that satisfies them.
    """

    name = "newton"
    about = "damped Newton on weights and intercept together; a pass an iteration"
    smooth_only = True
    takes_constraints = True

    def model(self, objective: Objective, now: Evaluation) -> Move:
        assert now.hessian is not None
        if now.curved is not None:
            solution = newton_step(now.curved, now.gradient)
        else:
            solution = solve(now.hessian, -now.gradient)
        return Move(solution.x, float(now.gradient @ solution.x), solution.condition)


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
        if now.curved is not None:
            direction = minimise_root_l1(now.curved.root, smooth, kink, now.theta)
        else:
            direction = quadratic_step(now.hessian, smooth, kink, now.theta)
        return Move(direction, decrease(now, kink, direction), float("nan"))
