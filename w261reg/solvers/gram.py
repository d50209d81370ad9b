"""Squared error from one pass."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.basis import MAX_CONDITION, Basis, Curved
from w261reg.errors import InputError
from w261reg.evaluation import Evaluation, rounding_of
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.solvers.base import FirstPass, Solver, State
from w261reg.solvers.in_basis import minimise_root_l1, newton_step
from w261reg.solvers.linear import solve
from w261reg.solvers.quadratic import quadratic_step

__all__ = ["MAX_CONDITION", "Gram"]

Array = NDArray[np.float64]

ACCURATE = "accurate residual"
# a step of refinement that changes theta by more than this share is worth a pass
WORTH = 1e-12


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
        if state.memory is not None:  # solved already, and rounding is all that is left
            return self._refine(objective, state)
        now = objective.sharpened(state.evaluation)
        assert now.hessian is not None
        # as a move: beside a label of 1e12 the digits of its gradient would be lost
        if not objective.smooth:
            slope = now.gradient - objective.kink * np.sign(now.theta)
            theta = now.theta + quadratic_step(now.hessian, slope, objective.kink, now.theta)
            condition = float("nan")
        elif now.curved is not None:
            return self._orthogonal(objective, now, now.curved.basis)
        else:
            solution = solve(now.hessian, -now.gradient)
            theta, condition = now.theta + solution.x, solution.condition
        after = objective.quadratic_evaluation(theta)
        state = State(after, 1.0, condition=condition, memory=True)
        if objective.gram_suffices(after):
            return state
        after = replace(objective.evaluate(theta, 1, ACCURATE), hessian=now.hessian)
        state = replace(state, evaluation=after)
        # that pass has the gradient that a step of refinement needs
        step = solve(now.hessian, after.gradient).x
        return self._once_more(objective, state, step) if objective.smooth else state

    def _once_more(self, objective: Objective, state: State, step: Array) -> State:
        """After one refinement, where that changes anything."""
        if not np.abs(step).max() > WORTH * np.abs(state.evaluation.theta).max():
            return state
        return replace(self._refine(objective, state), stalled="")

    def _refine(self, objective: Objective, state: State) -> State:
        """One step of iterative refinement, kept if it helps: the residual from the data itself."""
        now = state.evaluation
        assert now.hessian is not None
        if now.curved is not None:
            step = self._step_in_basis(objective, now, now.curved)
        elif objective.smooth:
            step = -solve(now.hessian, now.gradient).x
        else:
            return replace(state, stalled="the Gram matrix allows no more digits")
        after = self._evaluated(objective, now, now.theta + step, "refine")
        blur = max(now.rounding, after.rounding, rounding_of(now.objective))
        if not (after.residual < 0.5 * now.residual or after.objective < now.objective - blur):
            return replace(state, stalled="the data's condition allows no more digits")
        return replace(state, evaluation=after, step=1.0)

    def _step_in_basis(self, objective: Objective, now: Evaluation, curved: Curved) -> Array:
        if objective.smooth:
            return newton_step(curved, now.gradient).x
        smooth = now.gradient - objective.kink * np.sign(now.theta)
        return minimise_root_l1(curved.root, smooth, objective.kink, now.theta)

    def _evaluated(
        self, objective: Objective, now: Evaluation, theta: Array, label: str
    ) -> Evaluation:
        """Out of a pass, with the Hessian that all points share."""
        if now.curved is not None:
            return objective.evaluate(theta, 2, label)
        return replace(objective.evaluate(theta, 1, label), hessian=now.hessian)

    def _orthogonal(self, objective: Objective, now: Evaluation, basis: Basis) -> State:
        """Least squares out of an orthogonal factor of the rows."""
        base = objective.null_theta()  # under constraints not that of weights 0
        theta = base + basis.t @ basis.least_squares(base - objective.null.theta)
        after = self._evaluated(objective, now, theta, ACCURATE)
        assert after.curved is not None
        state = State(after, 1.0, condition=basis.condition, memory=True)
        return self._once_more(objective, state, newton_step(after.curved, after.gradient).x)
