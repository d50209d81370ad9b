"""Stochastic subgradient descent for kinked losses, with a proof of how good its answer is."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import LocalSteps
from w261reg.errors import InputError
from w261reg.evaluation import Evaluation, rounding_of
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.solvers.base import FirstPass, Solver, State, start_at
from w261reg.solvers.planes import Floor, Planes, floor

Array = NDArray[np.float64]

# points between the best so far and the least of the planes, at which a pass takes subgradients
SHARES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02)
MAX_PLANES = 240
# numbers that the planes may hold
PLANE_NUMBERS = 2**26
# passes in a row in which the local steps found nothing better, after which they end
PATIENCE = 3


@dataclass(frozen=True)
class Rounds:
    """What is kept from pass to pass.

    Attributes:
        planes: below the mean loss.
        floor: the least of planes + penalty.
        average: theta that the local steps of the last pass came to (p,), or None.
        number: passes so far.
        idle: those in a row whose average was not the best.
    """

    planes: Planes
    floor: Floor
    average: Array | None = None
    number: int = 0
    idle: int = 0


@dataclass(frozen=True)
class Pegasos(Solver):
    """Pegasos within each leaf, averaged; cutting planes say how far it can be from the optimum.

    In a pass each leaf takes many steps from the best point so far (see `LocalSteps`), and the
    average of what they come to is a point of the next pass. The subgradients that a pass finds at
    its points are planes below the mean loss; the least of planes + penalty bounds F from below: it
    is the dual objective at a convex combination of feasible dual points, one of each subgradient.
    Where that least is, and on the way there, are the further points of the next pass (Teo,
    Vishwanathan, Smola and Le 2010, *Bundle Methods for Regularized Risk Minimization*; Franc and
    Sonnenburg 2008, *Optimized Cutting Plane Algorithm for Support Vector Machines*): they lead to
    an accuracy that steps of 1/(l2 t) never see. A subgradient does not tend to 0 at a kink, so the
    residual here is the gap between F and its bound, relative to F.
    """

    name = "pegasos"
    about = (
        "hinge with L2: subgradient steps in each leaf, averaged, and cutting planes; "
        "its residual is the duality gap relative to the objective"
    )
    first_pass = FirstPass.MOMENTS
    subgradients = True
    kinked_only = True

    @classmethod
    def check(cls, loss: Loss, kinked: bool, ridge: bool = True, constrained: bool = False) -> None:
        super().check(loss, kinked, ridge, constrained)
        if not ridge:
            raise InputError(
                f"solver {cls.name} needs a penalty of L2 alone, reg_param > 0 and "
                "elastic_net_param 0; use solver gd with a step_size"
            )

    def init(self, objective: Objective, start: Array | None) -> State:
        first = start_at(objective, start, 1)
        planes = Planes.none(objective.p).with_tangents(
            first.theta[:, None], np.array([first.loss]), first.loss_gradient[:, None]
        )
        found = floor(planes, _ridge(objective))
        return State(_proven(first, found.bound), memory=Rounds(planes, found))

    def step(self, objective: Objective, state: State) -> State:
        now, rounds = state.evaluation, state.memory
        if now.gap is not None and now.gap <= rounding_of(now.objective):
            return replace(state, stalled="rounding allows no smaller gap")
        way = rounds.floor.theta - now.theta
        points = [now.theta + share * way for share in SHARES]
        if rounds.average is not None:
            points.append(rounds.average)
        steps = None if rounds.idle >= PATIENCE else _local_steps(objective, now, rounds.number)
        found, stepped = objective.subgradients(np.column_stack(points), "subgradients", steps)
        values = np.array([at.objective for at in found])
        best = int(np.nanargmin(np.where(np.isfinite(values), values, np.inf)))
        planes = rounds.planes.with_tangents(
            np.column_stack(points),
            np.array([at.loss for at in found]),
            np.column_stack([at.loss_gradient for at in found]),
        )
        if stepped is not None:
            height, slope = np.array([stepped.height]), stepped.slope[:, None]
            planes = planes.joined(height, slope, np.array([stepped.size]))
        lowest = floor(planes, _ridge(objective))
        if lowest.bound < rounds.floor.bound:  # by rounding: more planes are never lower
            lowest = replace(lowest, bound=rounds.floor.bound)
        improved = values[best] < now.objective
        idle = 0 if improved and best == len(SHARES) else rounds.idle + 1
        most = max(16, min(MAX_PLANES, PLANE_NUMBERS // max(1, objective.p)))
        kept = planes.bearing(lowest.shares, most)
        average = None if stepped is None else stepped.theta
        memory = Rounds(kept, lowest, average, rounds.number + 1, idle)
        after = _proven(found[best] if improved else now, lowest.bound)
        length = (*SHARES, float("nan"))[best] if improved else 0.0
        return replace(state, evaluation=after, step=length, memory=memory)


def _ridge(objective: Objective) -> Array:
    return objective.regularizer.diagonal(objective.zero)


def _proven(at: Evaluation, bound: float) -> Evaluation:
    gap = max(0.0, at.objective - bound)
    return replace(at, gap=gap, residual=gap / at.objective if at.objective > 0 else 0.0)


def _local_steps(objective: Objective, at: Evaluation, number: int) -> LocalSteps:
    coordinates, strengths = objective.coordinates, objective.strengths
    scale = np.zeros(coordinates.n_features)
    scale[coordinates.active] = strengths.scale[coordinates.active]
    active, summary = coordinates.active, objective.summary
    mean = 0.0 if coordinates.fit_intercept else summary.mean[active]
    with np.errstate(over="ignore"):
        size = float(np.sum((np.hypot(summary.sd()[:-1][active], mean) / scale[active]) ** 2))
    return LocalSteps(
        objective.loss,
        coordinates.weights(at.theta),
        float(coordinates.centred_intercept(at.theta)),
        coordinates.centre,
        scale=scale,
        l2=strengths.l2,
        # no loss is negative, so l2 |d w|^2 / 2 <= F at the optimum
        radius=float(np.sqrt(2 * at.objective / strengths.l2)),
        size=size + coordinates.fit_intercept,
        fit_intercept=coordinates.fit_intercept,
        round=number,
    )
