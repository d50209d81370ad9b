"""Solvers one after the other: `auto` goes on with another where the first was a bad guess."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.evaluation import rounding_of
from w261reg.objective import Objective
from w261reg.solvers.base import Solver
from w261reg.solvers.choose import PROVING, Choice
from w261reg.solvers.loop import FitResult, Iteration, Monitor, Status, minimise

Array = NDArray[np.float64]
log = logging.getLogger("w261reg")
# a solver is judged by how its residual fell in so many iterations
JUDGED = 8
# iterations that are kept for the next solver: so many times the passes that it is expected to take
KEPT = 2


def relay(
    choice: Choice,
    solver_of: Callable[[str], Solver],
    objective: Objective,
    start: Array | None,
    monitor: Monitor,
    began: float,
) -> tuple[FitResult, Choice]:
    """Run the chosen solver, and where it does not converge, the other candidates from there.

    How many passes a solver takes is a guess about the data. One that has taken more than that, and
    whose residual falls so slowly that another candidate would be done sooner, hands over the point
    that it reached. So does one that cannot go on, and one that would use up the iterations
    without an end in sight. All share `max_iter`.

    Args:
        choice: the first solver, and the estimates of all candidates; where there are none, there
            is one solver.
        solver_of: makes the solver of a name.
        objective, start, monitor, began: those of `minimise`.

    Returns:
        What was found, with the history of all solvers, and the choice of the last.

    Raises:
        InputError: the solver cannot handle this problem.
    """
    waiting = _order(choice)
    history: tuple[Iteration, ...] = ()
    best: tuple[FitResult, Choice] | None = None
    while True:
        done = max(0, len(history) - 1)
        solver = solver_of(choice.solver)
        solver = replace(solver, max_iter=solver.max_iter - done)
        handover = _Handover(choice, waiting[0], solver) if waiting else None
        at = start if best is None else best[0].evaluation.theta
        result = minimise(solver, objective, at, _counted(monitor, done), began, handover)
        history = _joined(history, result.history)
        result = replace(result, history=history, n_iter=len(history) - 1)
        if result.status not in (Status.MAX_ITER, Status.DIVERGED):
            return result, choice
        if result.evaluation.finite and (best is None or _better(result, best[0])):
            best = result, choice
        if not waiting or not result.n_iter - done < solver.max_iter:
            found, last = best or (result, choice)
            return replace(found, history=history, n_iter=len(history) - 1), last
        log.info("%s: %s", choice.solver, result.message)
        reason = f"{choice.solver} did not converge in {history[-1].passes} passes ({choice.why})"
        choice = replace(choice, solver=waiting[0], why=reason)
        log.info("solver %s goes on", choice.solver)
        waiting = waiting[1:]


def _better(result: FitResult, than: FitResult) -> bool:
    """Whether it is lower by more than rounding: else what is proven of the other one counts."""
    now, before = result.evaluation, than.evaluation
    known = max(rounding_of(before.objective), before.rounding, now.rounding)
    return now.objective < before.objective - known


def _order(choice: Choice) -> Sequence[str]:
    """The other candidates: first those that prove their answer, then by cost."""
    others = [name for name in choice.estimates if name != choice.solver]
    return sorted(others, key=lambda name: (name not in PROVING, choice.estimates[name].seconds))


@dataclass(frozen=True)
class _Handover:
    """Whether a solver should hand over to the next, as its history (one line an iteration) tells.

    Attributes:
        choice: the solver, and the estimates.
        following: the next solver.
        solver: with the iterations that are left.
    """

    choice: Choice
    following: str
    solver: Solver

    def __call__(self, history: Sequence[Iteration]) -> bool:
        own = self.choice.estimates[self.choice.solver]
        other = self.choice.estimates[self.following]
        left = self.solver.max_iter - (len(history) - 1)
        needed = _iterations_to(self.solver.tol, [line.residual for line in history])
        kept = min(KEPT * other.passes, self.solver.max_iter // 2)
        if needed > left and left <= kept:
            return True
        # the first lines of a damped Newton tell nothing of its last
        if self.choice.solver in PROVING or len(history) <= own.passes:
            return False
        return needed * own.seconds / own.passes > other.seconds


def _iterations_to(tol: float, residuals: Sequence[float]) -> float:
    """How many more it takes at the rate of the last ones; 0 before there is a rate."""
    if len(residuals) <= JUDGED:
        return 0.0
    before, now = min(residuals[:-JUDGED]), min(residuals[-JUDGED:])
    if not 0 < tol < now < before:
        return 0.0 if now <= tol else math.inf
    return JUDGED * math.log(now / tol) / math.log(before / now)


def _counted(monitor: Monitor, done: int) -> Monitor:
    """Iterations numbered on; the start of a solver that goes on is told already."""

    def told(entry: Iteration) -> None:
        if not (done and entry.iteration == 0):
            monitor(replace(entry, iteration=entry.iteration + done))

    return told


def _joined(before: tuple[Iteration, ...], after: tuple[Iteration, ...]) -> tuple[Iteration, ...]:
    """One history: the start of what follows is the end of what was."""
    if not before:
        return after
    done = before[-1].iteration
    start = replace(after[0], iteration=done, step=before[-1].step)
    further = (replace(line, iteration=line.iteration + done) for line in after[1:])
    return (*before[:-1], start, *further)
