"""Squared error from one pass."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.aggregators import Triangular
from w261reg.blas import one_blas_thread
from w261reg.constrained import Constrained
from w261reg.errors import InputError
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.solvers.base import FirstPass, Solver, State
from w261reg.solvers.linear import Solution, solve
from w261reg.solvers.quadratic import quadratic_step

Array = NDArray[np.float64]

# the Gram matrix squares the condition number of the data: from here on fewer than half of the
# digits would be left, and an orthogonal factor is worth a pass
MAX_CONDITION = 1e8


@dataclass(frozen=True)
class Gram(Solver):
    """The minimiser out of X'SX and X'Sy, which one pass holds whole.

    Without an L1 part by Cholesky (the normal equations, centred and scaled), with one by
    coordinate descent on the Gram matrix. Where the matrix is so ill-conditioned that the normal
    equations would lose more than half of the digits, one more pass computes an orthogonal factor
    of the data (Bjorck, *Numerical Methods for Least Squares Problems*, 2.4; under constraints by
    the null space, 5.1.3). A start is of no use to it.
    """

    name = "gram"
    about = "squared error from one pass: Cholesky, coordinate descent where there is L1"
    quadratic_only = True
    takes_constraints = True
    ignores_start = True

    @classmethod
    def needs_no_more(cls, loss: Loss, first: FirstPass, batches: bool) -> bool:
        return True

    def init(self, objective: Objective, start: Array | None) -> State:
        known = objective.null_evaluation()
        if known is None or known.hessian is None:
            raise InputError("solver gram needs the Gram matrix of the first pass")
        return State(known)

    def step(self, objective: Objective, state: State) -> State:
        now = state.evaluation
        assert now.hessian is not None
        if state.memory is not None:  # solved already, and rounding is all that is left
            return self._refine(objective, state)
        # as a move: beside a label of 1e12 the digits of its gradient would be lost
        if objective.smooth:
            move = solve(now.hessian, -now.gradient)
            solution = replace(move, x=now.theta + move.x)
        else:
            smooth = now.gradient - objective.kink * np.sign(now.theta)
            step = quadratic_step(now.hessian, smooth, objective.kink, now.theta)
            solution = Solution(now.theta + step, float("nan"), len(step))
        after = objective.quadratic_evaluation(solution.x)
        if objective.smooth and not solution.condition < MAX_CONDITION:
            solution, hessian = self._orthogonal(objective)
            after = replace(objective.evaluate(solution.x, 1, "accurate residual"), hessian=hessian)
        elif not objective.gram_suffices(after):
            after = replace(
                objective.evaluate(solution.x, 1, "accurate residual"), hessian=now.hessian
            )
        return State(after, 1.0, "", solution.note, solution.condition, memory=True)

    def _refine(self, objective: Objective, state: State) -> State:
        """One step of iterative refinement, kept if it helps: the residual from the data itself."""
        now = state.evaluation
        assert now.hessian is not None
        if not objective.smooth:
            return replace(state, stalled="the Gram matrix allows no more digits")
        theta = now.theta - solve(now.hessian, now.gradient).x
        after = replace(objective.evaluate(theta, 1, "refine"), hessian=now.hessian)
        if not after.residual < 0.5 * now.residual:
            return replace(state, stalled="the data's condition allows no more digits")
        return replace(state, evaluation=after, step=1.0)

    def _orthogonal(self, objective: Objective) -> tuple[Solution, Array]:
        """Least squares out of a triangular factor of the data: one pass. Also F's Hessian."""
        coordinates, summary = objective.coordinates, objective.summary
        unit = coordinates.full_unit()
        factor = objective.dataset.aggregate(
            Triangular(coordinates.centre, unit, summary.y_mean if objective.fit_intercept else 0.0)
        )
        root = np.sqrt(summary.weight)
        columns = 1 + coordinates.active
        if objective.fit_intercept:
            columns = np.append(columns, 0)
        design, label = factor[:, columns] / root, factor[:, -1] / root
        ridge = objective.regularizer.hessian(objective.zero)
        with one_blas_thread():
            if ridge.any():
                values, vectors = np.linalg.eigh(ridge)
                half = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
                design = np.vstack([design, half])
                label = np.append(label, np.zeros(len(half)))
            # what is left to explain where the move starts: at the null model, or where the
            # constraints hold
            base = objective.null_theta()
            if isinstance(objective, Constrained):
                label = label - design @ (base - objective.null.theta)
                design, label = objective.restricted_rows(design, label)
            threshold = 4 * max(16, objective.p) * np.finfo(float).eps
            x, _, rank, singular = linalg.lstsq(design, label, cond=threshold)
        condition = float(singular[0] / singular[-1]) ** 2 if singular[-1] > 0 else float("inf")
        return Solution(base + x, condition, int(rank)), design.T @ design
