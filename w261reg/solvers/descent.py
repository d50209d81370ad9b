"""What all variants of gradient descent share: coordinates, step sizes, passes."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Descend, Trail
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.scaling import UserCoordinates
from w261reg.solvers.base import FirstPass, Solver, State, Steps, start_at

Array = NDArray[np.float64]

RATES = ("constant", "inverse", "inverse_sqrt")
# the Gram matrix of so few features takes little beside reading them, and tells lambda_max
FEW_FEATURES = 128
# a Gram matrix of n features takes as long as n/40 gradients (n multiply-adds a number at 4e10 a
# second, against 8 bytes a number at 8e9); one of so many features is 8 MiB
FEATURES_PER_STEP, MOST_FEATURES = 40, 1024
# rounding errors of a sum, beside its largest value by the inequality of Cauchy and Schwarz
NOISE = 64 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Course:
    """Where a descent is, and how it goes on.

    Attributes:
        rule: the solver, its step size settled.
        user: the coordinates of its steps.
        trail: where it is; by mini-batches, where the next iteration will be.
        noise: gradients up to here are rounding errors, (q,).
        eta: length of the first step on the way there.
        number: iterations so far.
    """

    rule: "Descent"
    user: UserCoordinates
    trail: Trail
    noise: Array
    eta: float = float("nan")
    number: int = 0


@dataclass(frozen=True)
class Descent(Solver):
    """Steps along gradients of F in the user's own coordinates; under L1 along subgradients.

    On raw features, the steps are those of the textbook on raw w and b; on a standardized problem,
    those on standardized features. Squared error whose Gram matrix came with the first pass takes
    any number of iterations out of it; any other iteration is a pass. With `batch_rows`, in one
    pass every leaf of the data takes its own steps by mini-batches of its rows, and where they lead
    is averaged (local SGD, see `Descend`); F at the average rides with the next pass.

    A variant is one small file with `advance`.

    Attributes:
        step_size: eta in canonical terms; None is `habit`, or a size that cannot be too long.
        standardized: take the steps on d_j w_j and centred features.
        step_rule: step t = 1, 2, ... has length eta (constant, None), eta/t (inverse) or
            eta/sqrt(t) (inverse_sqrt; Robbins and Monro 1951, *A Stochastic Approximation Method*;
            Bottou, Curtis and Nocedal 2018, *Optimization Methods for Large-Scale Machine
            Learning*, 4).
        batch_rows: rows of a mini-batch; None is all rows.
        seed: of the order of rows in mini-batches.
        habit: the step size where none is given; None where it follows from the data.
        slots: how many vectors a step leaves for the next.
    """

    step_size: float | None = None
    standardized: bool = False
    step_rule: str | None = None
    batch_rows: int | None = None
    seed: int = 0

    first_pass = FirstPass.MOMENTS
    takes_step_size = True
    takes_batches = True
    subgradients = True
    step_rules: ClassVar[Sequence[str]] = RATES
    habit: ClassVar[float | None] = None
    slots: ClassVar[int] = 0

    @classmethod
    def of(cls, max_iter: int, tol: float, steps: Steps) -> Self:
        batch = {} if steps.batch_rows is None else {"batch_rows": steps.batch_rows}
        own: dict[str, Any] = {"step_rule": steps.rule, "seed": steps.seed, **batch}
        return cls(max_iter, tol, steps.size, steps.standardized, **own)

    @classmethod
    def wants(
        cls, loss: Loss, n_features: int, max_iter: int, at_null: bool, batches: bool
    ) -> FirstPass:
        most = FEW_FEATURES
        if cls._tells_all(loss, batches):
            most = max(most, min(MOST_FEATURES, FEATURES_PER_STEP * max_iter))
        return FirstPass.GRAM if n_features <= most else FirstPass.MOMENTS

    @classmethod
    def needs_no_more(cls, loss: Loss, first: FirstPass, batches: bool) -> bool:
        return first is FirstPass.GRAM and cls._tells_all(loss, batches)

    def by_gram(self, loss: Loss) -> bool:
        return self._tells_all(loss, self.batch_rows is not None)

    @classmethod
    def _tells_all(cls, loss: Loss, batches: bool) -> bool:
        """Whether a Gram matrix holds every step."""
        return loss.quadratic and not (batches or cls.needs_batches)

    @abstractmethod
    def advance(self, trail: Trail, gradient: Array, eta: float) -> Trail:
        """The trail after a step of length eta along the gradient of F in phi (q,)."""

    def rate(self, number: int) -> float:
        """The length of step 1, 2, ..., once `step_size` is set."""
        assert self.step_size is not None
        if self.step_rule == "inverse":
            return self.step_size / number
        return self.step_size / number**0.5 if self.step_rule == "inverse_sqrt" else self.step_size

    def stretch(self) -> float:
        """Constant steps longer than this over lambda_max diverge, of a quadratic F."""
        return 2.0

    # --- what is known without a pass -----------------------------------------------------------

    def caution(self, objective: Objective) -> str:
        if self.step_size is None or self.step_rule not in (None, "constant"):
            return ""
        largest, stretch = objective.lambda_max(self.standardized), self.stretch()
        if largest is None or not self.step_size * largest > stretch:
            return ""
        factor = 1.0 if self.unitless_steps else objective.strengths.step
        what = "diverge" if objective.loss.quadratic else "may oscillate or diverge"
        return (
            f"step_size {self.step_size / factor:.6g} is longer than {stretch:.3g}/lambda_max = "
            f"{stretch / largest / factor:.6g}, so that steps {what}"
        )

    def settled(self, objective: Objective) -> Self:
        """With a step size: the habit, or 1/lambda_max, or 1 over a bound of it."""
        if self.step_size is not None:
            return self
        if self.habit is not None:
            return replace(self, step_size=self.habit)
        # a single row may bend as much as the trace, which is that of a row on average
        largest = objective.lambda_max(self.standardized) if self.batch_rows is None else None
        bend = self._trace(objective) if largest is None else largest
        return replace(self, step_size=1 / bend if 1e-305 < bend < 1e305 else 1.0)

    def _trace(self, objective: Objective) -> float:
        """The trace of F's Hessian in phi where l'' is largest, which is at least lambda_max."""
        bound, n = objective.loss.most_curved, len(objective.coordinates.active)
        curvature = bound if np.isfinite(bound) else objective.null.curvature()
        penalty = objective.regularizer.diagonal(objective.zero)[:n]
        active = objective.coordinates.active
        per = objective.user(self.standardized).per[active] / objective.coordinates.unit
        with np.errstate(over="ignore", under="ignore"):
            return curvature * self.spread(objective) + float(per**2 @ penalty)

    def sizes(self, objective: Objective) -> Array:
        """Root mean square of each feature in phi, and 1 for the intercept: (q,)."""
        user, summary = objective.user(self.standardized), objective.summary
        with np.errstate(over="ignore", under="ignore"):
            size = np.hypot(summary.sd()[:-1], summary.mean - user.centre) * user.per
        slopes = user.to.line(size)  # of all features, not of the active ones alone
        return np.append(slopes, np.ones(user.to.outputs)) if user.to.fit_intercept else slopes

    def spread(self, objective: Objective) -> float:
        """The trace of the second moments in phi, of one output."""
        with np.errstate(over="ignore", under="ignore"):
            return float(np.sum(self.sizes(objective) ** 2)) / objective.loss.outputs

    # --- steps ----------------------------------------------------------------------------------

    def init(self, objective: Objective, start: Array | None) -> State:
        user = objective.user(self.standardized)
        first = start_at(objective, start, 1)
        point = user.phi(first.theta)
        trail = Trail(point, np.zeros((self.slots, len(point))))
        noise = NOISE * objective.rho * self.sizes(objective)
        return State(first, memory=Course(self.settled(objective), user, trail, noise))

    def step(self, objective: Objective, state: State) -> State:
        course: Course = state.memory
        if self.batch_rows is not None:
            return self._by_batches(objective, state, course)
        eta = course.rule.rate(course.trail.steps + 1)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            gradient = course.user.gradient(state.evaluation.gradient)
            if self.unitless_steps:  # which would make a step of eta out of rounding errors
                gradient = np.where(np.abs(gradient) <= course.noise, 0.0, gradient)
            trail = course.rule.advance(course.trail, gradient, eta)
            theta = course.user.theta(trail.point)
        after = objective.evaluate(theta, 1, "gradient step")
        return replace(state, evaluation=after, step=eta, memory=replace(course, trail=trail))

    def _by_batches(self, objective: Objective, state: State, course: Course) -> State:
        """F where the last pass led, and the local steps from there on in the same pass."""
        if course.number == 0:
            course = _led(course, objective.dataset.aggregate(_descend(objective, course)).trail)
        theta = course.user.theta(course.trail.point)
        more = _descend(objective, course) if course.number < self.max_iter else None
        after = objective.evaluate(theta, 1, "mini-batches", also=more)
        further = course if more is None else _led(course, after.also.trail)
        return replace(state, evaluation=replace(after, also=None), step=course.eta, memory=further)


def _descend(objective: Objective, course: Course) -> Descend:
    """The local steps of one pass."""
    rule, user = course.rule, course.user
    assert rule.batch_rows is not None
    return Descend(
        objective.loss,
        objective.penalty,
        rule,
        course.trail,
        user.per,
        user.centre,
        rule.batch_rows,
        rule.seed,
        course.number,
    )


def _led(course: Course, trail: Trail) -> Course:
    """The course after a pass that led there."""
    eta = course.rule.rate(course.trail.steps + 1)
    return replace(course, trail=trail, eta=eta, number=course.number + 1)
