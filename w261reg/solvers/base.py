"""The loop that all solvers share: init, step, stop."""

import enum
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from w261reg.constrained import Constrained
from w261reg.errors import InputError
from w261reg.evaluation import Evaluation
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.solvers.certificates import Existence, existence, suboptimality_bound
from w261reg.solvers.choose import MAX_HESSIAN_FEATURES

Array = NDArray[np.float64]
# what is known of an answer whose loss gives no derivative
NUMERICAL = (
    "the loss gives no derivative: differences of its values are right to about 1e-10 of them, and "
    "the residual is no better known"
)


class Status(enum.StrEnum):
    """Why a fit ended, as in model.json."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    DIVERGED = "diverged"
    SEPARATED = "separated"


class FirstPass(enum.Enum):
    """What a solver wants of the first pass, beside the moments."""

    MOMENTS = "moments"
    GRAM = "Gram matrix"
    SAMPLE = "Gram matrix of a sample of the rows"


@dataclass(frozen=True)
class Steps:
    """How a user wants gradient steps taken; None is the solver's habit.

    Attributes:
        size: in canonical terms.
        rule: constant, inverse, inverse_sqrt or armijo.
        batch_rows: rows of a mini-batch.
        seed: of the order of rows.
        standardized: whether the problem is.
    """

    size: float | None = None
    rule: str | None = None
    batch_rows: int | None = None
    seed: int = 0
    standardized: bool = False


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


@dataclass(frozen=True)
class State:
    """Where a solver is.

    Attributes:
        evaluation: of the objective, at the current theta.
        step: length of the last step.
        stalled: why no further step is possible, or "".
        note: what the user should know about the answer, or "".
        condition: condition number of the last linear system; NaN where none was solved.
        memory: what the solver keeps from step to step.
    """

    evaluation: Evaluation
    step: float = float("nan")
    stalled: str = ""
    note: str = ""
    condition: float = float("nan")
    memory: Any = None


@dataclass(frozen=True)
class Solver(ABC):
    """Settings only; a solver is one file in this folder, found by its `name`.

    Attributes:
        max_iter: the most iterations.
        tol: the residual at which to stop.
        smooth_only: cannot handle a penalty with an L1 part.
        takes_constraints: can keep to linear equality constraints.
        quadratic_only: needs a quadratic loss.
        subgradients: a loss with kinks, which has no curvature, is its problem too.
        kinked_only: no other loss is.
        first_pass: what the first pass should compute.
        ignores_start: a start is of no use to it.
        head_start: starts near the optimum of a few rows, where that is to be had.
        takes_step_size: has a step size that a user may fix.
        unitless_steps: a factor of the objective, which conventions differ by, changes no step.
        step_rules: the step rules that a user may choose from.
        takes_batches: can take its steps by mini-batches.
        needs_batches: takes them by mini-batches whether or not a user says so.
    """

    max_iter: int = 100
    tol: float = 1e-9

    name: ClassVar[str]
    about: ClassVar[str]
    smooth_only: ClassVar[bool] = False
    takes_constraints: ClassVar[bool] = False
    quadratic_only: ClassVar[bool] = False
    subgradients: ClassVar[bool] = False
    kinked_only: ClassVar[bool] = False
    first_pass: ClassVar[FirstPass] = FirstPass.GRAM
    ignores_start: ClassVar[bool] = False
    head_start: ClassVar[bool] = False
    takes_step_size: ClassVar[bool] = False
    unitless_steps: ClassVar[bool] = False
    step_rules: ClassVar[Sequence[str]] = ()
    takes_batches: ClassVar[bool] = False
    needs_batches: ClassVar[bool] = False

    @classmethod
    def of(cls, max_iter: int, tol: float, steps: Steps) -> Self:
        """The solver for what a user can ask for; one with more settings overrides this.

        Args:
            max_iter, tol: as above.
            steps: its size is None unless `takes_step_size`.
        """
        return cls(max_iter, tol)

    @classmethod
    def wants(
        cls, loss: Loss, n_features: int, max_iter: int, at_null: bool, batches: bool
    ) -> FirstPass:
        """What the first pass should compute for this problem.

        Args:
            loss: the loss.
            n_features: n.
            max_iter: the most iterations.
            at_null: whether the fit starts at the null model.
            batches: whether the user asked for mini-batches.
        """
        return cls.first_pass if at_null else FirstPass.MOMENTS

    @abstractmethod
    def init(self, objective: Objective, start: Array | None) -> State:
        """The state at theta = start, or at the null model."""

    @abstractmethod
    def step(self, objective: Objective, state: State) -> State:
        """The state after one iteration."""

    @classmethod
    def needs_no_more(cls, loss: Loss, first: FirstPass, batches: bool) -> bool:
        """Whether it nearly always ends after the first pass, which then keeps no blocks.

        Args:
            loss: the loss.
            first: what the first pass computes.
            batches: whether the user asked for mini-batches.
        """
        return False

    def by_gram(self, loss: Loss) -> bool:
        """Whether its evaluations may come out of a Gram matrix, where there is one."""
        return False

    def caution(self, objective: Objective) -> str:
        """What is known beforehand to be wrong with the steps on this problem, or ""."""
        return ""

    @classmethod
    def check(cls, loss: Loss, kinked: bool, ridge: bool = True, constrained: bool = False) -> None:
        """Raise InputError where a problem is not this solver's: before the first pass.

        Args:
            loss: the loss.
            kinked: whether a penalty has an L1 part.
            ridge: whether the penalty is L2 alone.
            constrained: whether there are linear equality constraints.
        """
        if constrained and not cls.takes_constraints:
            raise InputError(
                f"solver {cls.name} takes no constraints; use auto, gram (loss mse) or newton"
            )
        if cls.smooth_only and kinked:
            raise InputError(
                f"solver {cls.name} needs a penalty without an L1 part; use solver proximal or "
                "auto, or elastic_net_param 0"
            )
        if cls.quadratic_only and not loss.quadratic:
            raise InputError(f"solver {cls.name} needs a quadratic loss, not {loss.name}; use auto")
        if loss.kinked and not cls.subgradients:
            raise InputError(
                f"solver {cls.name} needs a loss with a derivative, not {loss.name}; use auto"
            )
        if cls.kinked_only and not loss.kinked:
            raise InputError(f"solver {cls.name} is for loss hinge, not {loss.name}; use auto")


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


def start_at(objective: Objective, start: Array | None, order: int) -> Evaluation:
    """The evaluation at the start; what the first pass tells costs no further one."""
    if start is None:
        if objective.head is not None and order == 2:
            return objective.head
        known = objective.null_evaluation()
        if known is not None and (order < 2 or known.hessian is not None):
            return known
        start = objective.null_theta()
    return objective.evaluate(start, order, "start")


def minimise(
    solver: Solver,
    objective: Objective,
    start: Array | None = None,
    monitor: Monitor = lambda _: None,
    began: float | None = None,
) -> FitResult:
    """Run a solver until it converges, cannot go on, or has used its iterations.

    Args:
        solver: what takes the steps.
        objective: what is minimised.
        start: theta (p,), or None for the null model.
        monitor: called once an iteration.
        began: `time.perf_counter()` at the start of the fit; now if None.

    Raises:
        InputError: the solver cannot handle this problem.
    """
    constrained = isinstance(objective, Constrained)
    solver.check(objective.loss, not objective.smooth, objective.ridge, constrained)
    began = time.perf_counter() if began is None else began
    objective.by_gram = objective.summary.gram and solver.by_gram(objective.loss)
    try:
        return _minimise(solver, objective, start, monitor, began)
    finally:
        objective.by_gram = False


def _minimise(
    solver: Solver, objective: Objective, start: Array | None, monitor: Monitor, began: float
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
        ended = _ended(solver, state, first)
        separates = not objective.coercive and objective.loss.may_separate
        # larger weights cost nothing only where there is no penalty at all
        if separates and objective.unpenalised and now.margin > 0 and np.isfinite(now.margin):
            ended = (
                Status.SEPARATED,
                "the model separates the classes without an error, so larger weights always fit "
                "better and there is no optimum; add a penalty",
            )
        elif ended and ended[0] is Status.CONVERGED and separates:
            # a residual that tends to 0 while the weights tend to infinity is no convergence;
            # the proof may cost a pass, so it is tried again only after real progress
            claimed, ended = ended, None
            if now.residual <= 0.1 * certified_at:
                certified_at = now.residual
                ended, state = _certify(objective, state, claimed)
        if ended is None and state.stalled:
            ended = Status.MAX_ITER, f"{state.stalled}; the residual is {now.residual:.2g}"
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
        if ended and ended[0] is Status.MAX_ITER and separates and now.hessian is None:
            ended = _separated_after_all(objective, now) or ended
        if ended is not None:
            return _result(solver, objective, state, ended, iteration, history)
        objective.riding = _expected(history, now.hessian is not None) <= solver.tol
        after = solver.step(objective, state)
        if not after.evaluation.finite:
            ended = Status.DIVERGED, "the objective left the range of numbers: the step is too long"
            return _result(solver, objective, state, ended, iteration + 1, history)
        state = after
        iteration += 1


def _expected(history: list[Iteration], second_order: bool) -> float:
    """The next residual: second order squares it, nearly; others go on as they did."""
    now = history[-1].residual
    if second_order:
        return now**2
    return now * now / history[-2].residual if len(history) > 1 else now


def _ended(solver: Solver, state: State, first: Evaluation) -> tuple[Status, str] | None:
    now = state.evaluation
    if now.residual <= solver.tol:
        return Status.CONVERGED, f"the residual is {now.residual:.2g}, within tol = {solver.tol:g}"
    if now.objective > first.objective + 1e6 * max(first.objective, 1e-300):
        return Status.DIVERGED, "the objective grows without bound: the step size is too long"
    return None


def _certify(
    objective: Objective, state: State, converged: tuple[Status, str] | None
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
        now = replace(now, hessian=second.hessian)
        state = replace(state, evaluation=now)
    proof = existence(objective, now)
    if proof is Existence.ATTAINED:
        return converged, state
    if proof is Existence.SEPARATED:
        return (
            Status.SEPARATED,
            "a direction separates some rows without an error (quasi-separation), so larger "
            f"weights always fit better and there is no optimum; {_remedy(objective)}",
        ), state
    # other losses have no proof: that no flat direction separates is all that can be said
    return (None if objective.loss.self_concordant else converged), state


def _remedy(objective: Objective) -> str:
    return "add a penalty" if objective.unpenalised else "add an L2 penalty"


def _separated_after_all(objective: Objective, at: Evaluation) -> tuple[Status, str] | None:
    """Whether data on which a first-order solver ran out of iterations separates.

    Gradients alone creep towards infinity too slowly to show it, so Newton goes on from there; its
    passes count. Where there is an optimum, this takes the few that prove so.
    """
    from w261reg.solvers.second_order import Newton  # itself a solver, built on this module

    if objective.p > MAX_HESSIAN_FEATURES:
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
    # a proof that an optimum exists, or a step that was not taken, may have cost passes since
    history[-1] = replace(history[-1], passes=objective.dataset.passes)
    solved = status in (Status.CONVERGED, Status.MAX_ITER)
    note = solver.caution(objective) if status is Status.DIVERGED else state.note if solved else ""
    numerical = NUMERICAL if solved and objective.loss.numerical else ""
    return FitResult(
        w=objective.coordinates.weights(evaluation.theta),
        intercept=objective.coordinates.intercept(evaluation.theta),
        status=status,
        message="; ".join(filter(None, [message, note, numerical])),
        evaluation=evaluation,
        suboptimality_bound=suboptimality_bound(objective, evaluation) if solved else None,
        condition_number=state.condition if np.isfinite(state.condition) else None,
        n_iter=n_iter,
        history=tuple(history),
    )
