"""The loop that all solvers share: init, step, stop."""

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.constrained import Constrained
from w261reg.evaluation import Evaluation, rounding_of
from w261reg.objective import Objective
from w261reg.solvers import flat
from w261reg.solvers.base import Solver, State
from w261reg.solvers.basis_bounds import sees
from w261reg.solvers.certificates import hessian_proves, regular, suboptimality_bound
from w261reg.solvers.choose import MAX_HESSIAN_FEATURES
from w261reg.solvers.existence import Existence, existence, separates_every_row
from w261reg.solvers.second_order import Newton

Array = NDArray[np.float64]
# what is known of an answer whose loss gives no derivative
NUMERICAL = (
    "the loss gives no derivative: differences of its values are right to about 1e-10 of them, and "
    "the residual is no better known"
)
NO_NUMBER = "the objective left the range of numbers"


# an objective within so many times its own rounding of the minimum is as good as the minimum
TO_ROUNDING = 64
# of the objective: what a proof leaves open where a residual is within `tol`, at most
PROVEN = 1e-6
# of a feature's variance, for one row
MUCH = 0.25


class Status(enum.StrEnum):
    """Why a fit ended, as in model.json."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    DIVERGED = "diverged"
    SEPARATED = "separated"


@dataclass(frozen=True)
class Iteration:
    """One line of the history.

    Attributes:
        iteration: 0 is the start.
        objective: F.
        residual: the scale-free optimality residual, which `tol` bounds.
        step: length of the step along its direction (a gradient step's eta); NaN at the start.
        passes: passes over the data so far, that which reads and packs it included.
        seconds: wall time since the fit began.
    """

    iteration: int
    objective: float
    residual: float
    step: float
    passes: int
    seconds: float


Monitor = Callable[[Iteration], None]
# of the history so far: whether another solver should go on
Handover = Callable[[Sequence[Iteration]], bool]


@dataclass(frozen=True)
class FitResult:
    """What a solver found.

    Attributes:
        w: weights on the raw scale (n,), of K > 1 outputs (n, K).
        intercept: b, or (K,).
        status, message: why it ended, as a word and as a sentence.
        evaluation: of the objective at the answer.
        suboptimality_bound: F - F* is proven to be at most this; None where nothing is proven.
        condition_number: of the last linear system, or None.
        n_iter: iterations.
        history: one entry an iteration, the start first.
    """

    w: Array
    intercept: Any
    status: Status
    message: str
    evaluation: Evaluation
    suboptimality_bound: float | None
    condition_number: float | None
    n_iter: int
    history: tuple[Iteration, ...] = field(default=())


def minimise(
    solver: Solver,
    objective: Objective,
    start: Array | None = None,
    monitor: Monitor = lambda _: None,
    began: float | None = None,
    handover: Handover | None = None,
) -> FitResult:
    """Run a solver until it converges, cannot go on, or has used its iterations.

    Args:
        solver: what takes the steps.
        objective: what is minimised.
        start: theta (p,), or None for the null model.
        monitor: called once an iteration.
        began: `time.perf_counter()` at the start of the fit; now if None.
        handover: where another solver stands ready, whether it should go on from here.

    Raises:
        InputError: the solver cannot handle this problem.
    """
    constrained = isinstance(objective, Constrained)
    solver.check(objective.loss, not objective.smooth, objective.ridge, constrained)
    began = time.perf_counter() if began is None else began
    objective.by_gram = objective.summary.gram and solver.by_gram(objective.loss)
    try:
        return _minimise(solver, objective, start, monitor, began, handover)
    finally:
        objective.by_gram = False


def _minimise(
    solver: Solver,
    objective: Objective,
    start: Array | None,
    monitor: Monitor,
    began: float,
    handover: Handover | None,
) -> FitResult:
    state = solver.init(objective, start)
    first = state.evaluation
    history: list[Iteration] = []
    certified_at = np.inf
    iteration = 0
    while True:
        now = state.evaluation
        seconds = time.perf_counter() - began
        passes = objective.dataset.passes
        history.append(
            Iteration(iteration, now.objective, now.residual, state.step, passes, seconds)
        )
        monitor(history[-1])
        ended = _ended(solver, state, first) if now.finite else (Status.DIVERGED, NO_NUMBER)
        if state.stalled or (ended and ended[0] is Status.CONVERGED):
            # a small gradient says nothing of directions in which the rows hardly vary
            doubtful = objective.suspect or objective.basis is not None or _held(objective)
            if now.hessian is None and doubtful and objective.p <= MAX_HESSIAN_FEATURES:
                second = objective.evaluate(now.theta, 2, "collinear features or a far row")
                now = replace(now, hessian=second.hessian, curved=second.curved)
            now = objective.sharpened(now, settled=True)
            if now is not state.evaluation:
                state = replace(state, evaluation=now, stalled="")
                ended = _ended(solver, state, first)
        if state.stalled and ended is None:
            ended = _to_rounding(objective, now)
        if ended and ended[0] is Status.CONVERGED and _says_nothing(objective, now):
            ended = None
        separates = not objective.coercive and objective.loss.may_separate
        # larger weights cost nothing only where there is no penalty at all
        if separates and objective.unpenalised and separates_every_row(objective, now):
            ended = (
                Status.SEPARATED,
                "the model separates the classes without an error, so larger weights always fit "
                "better and there is no optimum; add a penalty",
            )
        elif ended and ended[0] is Status.CONVERGED and separates:
            # a residual that tends to 0 while the weights tend to infinity is no convergence;
            # the proof may cost a pass, so it is tried again only after real progress
            claimed, ended = ended, None
            if state.stalled or now.residual <= 0.1 * certified_at:
                certified_at = now.residual
                ended, state = _certify(objective, state, claimed, solver.tol)
        if ended is None and state.stalled:
            left = f"the residual is {now.residual:.2g}"
            if now.residual <= solver.tol:
                left += ", for rounding may explain the rest, but there is no proof of an optimum"
            ended = Status.MAX_ITER, f"{state.stalled}; {left}"
        if ended is None and iteration >= solver.max_iter:
            ended = (
                Status.MAX_ITER,
                (
                    f"stopped after max_iter = {solver.max_iter} iterations with the residual at "
                    f"{now.residual:.2g}, above tol = {solver.tol:g}"
                    if now.residual > solver.tol
                    else "stopped at max_iter without a proof that the optimum is attained"
                ),
            )
            if now.objective > first.objective * (1 + 1e-9):
                ended = (
                    Status.DIVERGED,
                    ("the objective is larger than at the start: the step size is too long"),
                )
        if ended is None and handover is not None and handover(history):
            ended = Status.MAX_ITER, f"the residual falls too slowly, from {now.residual:.2g}"
        if ended and ended[0] is Status.MAX_ITER and separates and handover is None:
            ended = _separated_after_all(objective, now) or ended
        if ended is not None:
            return _result(solver, objective, state, ended, iteration, history)
        objective.riding = _expected(history, now.hessian is not None) <= solver.tol
        after = solver.step(objective, state)
        if not after.evaluation.finite:
            ended = Status.DIVERGED, f"{NO_NUMBER}: the step is too long"
            return _result(solver, objective, state, ended, iteration + 1, history)
        state = after
        iteration += 1


def _expected(history: list[Iteration], second_order: bool) -> float:
    """The next residual: second order squares it, nearly; others go on as they did."""
    now = history[-1].residual
    if second_order:
        return now**2
    before = history[-2].residual if len(history) > 1 else 0.0
    return now * now / before if before > 0 else now


def _ended(solver: Solver, state: State, first: Evaluation) -> tuple[Status, str] | None:
    now = state.evaluation
    if now.residual <= solver.tol:
        return Status.CONVERGED, f"the residual is {now.residual:.2g}, within tol = {solver.tol:g}"
    if (now.objective - first.objective) / 1e6 > max(first.objective, 1e-300):
        return Status.DIVERGED, "the objective grows without bound: the step size is too long"
    return None


def _held(objective: Objective) -> bool:
    """Whether one row may hold the others of a classifier, see `_says_nothing`.

    It has a large part of the variance of some feature. Without a Hessian's proof, of several: of
    one, the solvers find their way to the optimum.
    """
    if _provable(objective):
        least = 1
    elif objective.loss.quadratic or objective.loss.self_concordant:
        return False
    else:
        least = 2
    summary, active = objective.summary, objective.coordinates.active
    mean, sd = summary.mean[active], summary.sd()[active]
    low, high = summary.low[active], summary.high[active]
    far = np.maximum(high - mean, mean - low) > np.sqrt(summary.rows * MUCH) * sd
    # the others of an indicator that is seldom 1 do not vary, so that it hides nothing of them
    one = mean * (1 - mean)
    indicator = (low == 0) & (high == 1) & (np.abs(sd**2 - one) <= 1e-9 * one)
    return int((far & ~indicator).sum()) >= least


def _provable(objective: Objective) -> bool:
    """Whether near an optimum, which there is, a Hessian proves that it is near."""
    return objective.coercive and hessian_proves(objective)


def _says_nothing(objective: Objective, now: Evaluation) -> bool:
    """Whether a gradient is small without the proof that comes with it near an optimum.

    Where one far row is all but fitted, its slope and its curvature vanish alike, and it holds all
    others, whose slopes are small beside that row's size, or are put down to rounding in a basis.
    Near an optimum a Hessian proves that such a slope costs no more than its square. Without a
    penalty `_certify` asks for that proof anyway. Other losses have none: there a row that may hold
    the others leaves it open, but where the objective is bounded in another way.
    """
    if now.hessian is None:
        return False
    if not _provable(objective):
        held = now.curved is not None and _held(objective)
        return held and suboptimality_bound(objective, now) is None
    if now.curved is not None:
        told = sees(objective, now.curved)
    else:
        told = regular(now) or (objective.smooth and objective.coercive)
    if not told:
        return False
    bound = suboptimality_bound(objective, now)
    # next to nothing of what there was to gain is as good as nothing
    share = PROVEN * max(abs(now.objective), PROVEN * objective.null.value())
    enough = max(share, TO_ROUNDING * now.rounding)
    return bound is None or not bound <= enough


def _to_rounding(objective: Objective, now: Evaluation) -> tuple[Status, str] | None:
    """Whether a point from which no step descends is as good as numbers allow: proven so.

    Far from 0, as where a feature is 1e12 and there is no intercept, rounding of the gradient alone
    is a residual above any `tol`.
    """
    bound = suboptimality_bound(objective, now)
    # what rounding of the rows' sums may have done is known, too, and no step can see beyond it
    known = min(TO_ROUNDING * now.rounding, PROVEN * abs(now.objective))
    if bound is None or not bound <= max(TO_ROUNDING * rounding_of(now.objective), known):
        return None
    return (
        Status.CONVERGED,
        f"no step descends any further in floating point, and the objective is proven within "
        f"{bound:.2g} of its minimum; the residual is {now.residual:.2g}",
    )


def _certify(
    objective: Objective, state: State, converged: tuple[Status, str], tol: float
) -> tuple[tuple[Status, str] | None, State]:
    """Whether the optimum of an unpenalised classifier exists; gets a Hessian if it needs one."""
    now = state.evaluation
    if now.hessian is None:
        if objective.p > MAX_HESSIAN_FEATURES:
            return (
                Status.MAX_ITER,
                f"the residual is {now.residual:.2g}, within tol, but the proof that an optimum "
                f"exists needs a Hessian, which is too large for {objective.p:,} coefficients; "
                f"{_remedy(objective)}",
            ), state
        second = objective.evaluate(now.theta, 2, "does the optimum exist")
        now = objective.sharpened(replace(now, hessian=second.hessian, curved=second.curved), True)
        state = replace(state, evaluation=now)
        if not now.residual <= tol:
            return None, state
    proof = existence(objective, now)
    if proof is Existence.ATTAINED:
        return converged, state
    if proof is Existence.SEPARATED:
        return _separated(objective), state
    # other losses have no proof: that no flat direction separates is all that can be said
    return (None if objective.loss.self_concordant else converged), state


def _remedy(objective: Objective) -> str:
    return "add a penalty" if objective.unpenalised else "add an L2 penalty"


def _separated(objective: Objective) -> tuple[Status, str]:
    return (
        Status.SEPARATED,
        "a direction separates some rows without an error (quasi-separation), so larger "
        f"weights always fit better and there is no optimum; {_remedy(objective)}",
    )


def _separated_after_all(objective: Objective, at: Evaluation) -> tuple[Status, str] | None:
    """Whether data on which a solver ran out of iterations, or could not go on, separates.

    Where that stays open, and only gradients were at hand, Newton goes on from there, for gradients
    alone creep towards infinity too slowly to show it; its passes count. Where there is an optimum,
    this takes the few that prove so.
    """
    if objective.p > MAX_HESSIAN_FEATURES:
        return None
    if existence(objective, at) is Existence.SEPARATED:
        return _separated(objective)
    if at.hessian is not None or objective.separation.separated is not None:
        return None
    further = minimise(Newton(max_iter=60), objective, at.theta)
    return (Status.SEPARATED, further.message) if further.status is Status.SEPARATED else None


def _result(
    solver: Solver,
    objective: Objective,
    state: State,
    ended: tuple[Status, str],
    n_iter: int,
    history: list[Iteration],
) -> FitResult:
    status, message = ended
    evaluation = objective.identified(state.evaluation)
    w = objective.coordinates.weights(evaluation.theta)
    intercept = objective.coordinates.intercept(evaluation.theta)
    if not (np.isfinite(w).all() and np.isfinite(intercept).all()):
        status, message = Status.DIVERGED, "the coefficients left the range of numbers"
    solved = status in (Status.CONVERGED, Status.MAX_ITER)
    bound = suboptimality_bound(objective, evaluation) if solved else None
    if bound is not None:
        bound = suboptimality_bound(objective, evaluation, flat.exactly(objective))
    # a proof that an optimum exists, or a step that was not taken, may have cost passes since
    history[-1] = replace(history[-1], passes=objective.dataset.passes)
    note = flat.note(objective, evaluation) if solved else ""
    if status is Status.DIVERGED:
        note = solver.caution(objective)
    numerical = NUMERICAL if solved and objective.loss.numerical else ""
    return FitResult(
        w=w,
        intercept=intercept,
        status=status,
        message="; ".join(filter(None, [message, note, numerical])),
        evaluation=evaluation,
        suboptimality_bound=bound,
        condition_number=state.condition if np.isfinite(state.condition) else None,
        n_iter=n_iter,
        history=tuple(history),
    )
