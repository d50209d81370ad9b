"""What a solver is: settings, a start and steps."""

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from w261reg.errors import InputError
from w261reg.evaluation import Evaluation
from w261reg.losses import Loss
from w261reg.objective import Objective

Array = NDArray[np.float64]


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
class State:
    """Where a solver is.

    Attributes:
        evaluation: of the objective, at the current theta.
        step: length of the last step.
        stalled: why no further step is possible, or "".
        condition: condition number of the last linear system; NaN where none was solved.
        memory: what the solver keeps from step to step.
    """

    evaluation: Evaluation
    step: float = float("nan")
    stalled: str = ""
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
