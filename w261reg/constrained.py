"""An objective under linear equality constraints, in the coordinates of the free one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.aggregators import Aggregator, LocalSteps
from w261reg.basis import Curved
from w261reg.blas import one_blas_thread
from w261reg.constraints import Constraints
from w261reg.errors import InputError
from w261reg.evaluation import Evaluation, Stepped
from w261reg.objective import Objective

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# constraints whose rows, of length 1 in standardized units, are this near to being dependent leave
# no digits
LEAST_INDEPENDENT = 1e-12
# a coefficient of which constraints leave this share free is fixed
FIXED = 1e-13


@dataclass(frozen=True)
class ConstrainedEvaluation(Evaluation):
    """An evaluation of the Lagrangian L = F + lambda'(A (w, b) - c), whose value is F.

    Attributes:
        multipliers: lambda, one an independent constraint (r,).
    """

    multipliers: Array = field(default_factory=lambda: np.zeros(0))


class Constrained(Objective):
    """F where A (w, b) = c.

    In psi = s theta, with s the features' size in theta's units and 1 for the intercept, the
    independent constraints are B psi = d, and with B' = Q R they are Q'psi = h. P = I - QQ'
    projects on their null space. Evaluations are those of the Lagrangian at a theta that satisfies
    them, the nearest to what is asked for, with the lambda that makes its gradient shortest: in psi
    that is the projected gradient P g. Its Hessian is P H P + k QQ', k the mean of H's diagonal, so
    that a solver's step -H^-1 g is that of the null space (Nocedal and Wright, *Numerical
    Optimization*, 16.2), and the matrix is regular where H is so there.

    The residual is that of the objective with the gradient of L, so 0 where the conditions of an
    optimum under constraints hold, and free of units. What is proven from such an evaluation
    holds under the constraints: L and F are equal there.

    Args:
        constraints: on the features called `names` (n,).
        of: those of `Objective`.

    Raises:
        InputError: no coefficients satisfy the constraints.
    """

    def __init__(self, constraints: Constraints, names: Sequence[str], *of: Any) -> None:
        super().__init__(*of)
        self.constraints, self.names = constraints, list(names)
        active = self.coordinates.active
        constant = np.setdiff1d(np.arange(len(names)), active)
        self.follows = constraints.dependent(names[j] for j in constant)
        self.independent = [k for k in range(len(constraints.rows)) if k not in self.follows]
        sd = self.summary.sd()[:-1]
        size = sd if self.fit_intercept else np.hypot(sd, self.summary.mean)
        self._s = self.coordinates.extended(size[active] * self.coordinates.unit, 1.0)
        a, last, c = constraints.matrix(names, self.independent)
        # b = b0 - centre'w
        rows = (
            self.coordinates.unit
            * (a - np.multiply.outer(last, self.coordinates.centre))[:, active]
        )
        if self.fit_intercept:
            rows = np.column_stack([rows, last])
        b = rows / self._s
        self._length = np.sqrt(np.sum(b * b, axis=1))
        self._b, self._d = b / self._length[:, None], c / self._length
        with one_blas_thread():
            least = float(np.linalg.svd(self._b, compute_uv=False).min(initial=1.0))
            if not least > LEAST_INDEPENDENT:
                raise InputError(
                    f"{constraints.source}: {constraints.numbers(self.independent)} are so nearly "
                    "dependent, in units of the features' sizes, that they leave no digits"
                )
            self._q, r = np.linalg.qr(self._b.T)
            self._inverse = np.linalg.inv(r)
        self._h = self._inverse.T @ self._d

    def notes(self) -> list[str]:
        """What the user should know about the constraints."""
        found = []
        for k, others in self.follows.items():
            why = f"follows from {self.constraints.numbers(others)}" if others else "holds anyway"
            found.append(f"{self.constraints.numbers([k])} {why}")
        return [f"{self.constraints.source}: redundant: {'; '.join(found)}"] if found else []

    # --- feasible points ------------------------------------------------------------------------

    def feasible(self, theta: Array) -> Array:
        """The theta (p,) nearest to this one, in psi, that satisfies the constraints."""
        psi = self._s * theta
        psi = psi - self._q @ (self._q.T @ psi - self._h)
        # once more, row by row: where other weights are large, the digits of a row of small ones
        psi = psi - self._q @ (self._inverse.T @ (self._b @ psi - self._d))
        return np.asarray(psi / self._s)

    def satisfied(self, theta: Array) -> bool:
        """Whether theta (p,) satisfies the constraints, within rounding."""
        moved = self._s * np.abs(self.feasible(theta) - theta)
        return bool((moved <= 1e-12 * np.max(self._s * np.abs(theta), initial=0.0)).all())

    def null_theta(self) -> Array:
        theta = super().null_theta()
        return theta if self.satisfied(theta) else self.feasible(theta)

    def null_evaluation(self) -> Evaluation | None:
        """The evaluation at `null_theta` where that takes no pass."""
        if self.satisfied(self.null.theta):
            return super().null_evaluation()
        if self.loss.quadratic and self.summary.gram:
            return self.quadratic_evaluation(self.null_theta())
        return None

    # --- evaluations ----------------------------------------------------------------------------

    def quadratic_evaluation(self, theta: Array, order: int = 2) -> Evaluation:
        return super().quadratic_evaluation(self.feasible(theta), order)

    def evaluate(
        self,
        theta: Array,
        order: int,
        label: str = "",
        beside: Array | None = None,
        sampled: bool = False,
        diagonal: bool = False,
        also: Aggregator[Any] | None = None,
    ) -> Evaluation:
        return super().evaluate(self.feasible(theta), order, label, beside, sampled, diagonal, also)

    def subgradients(
        self, thetas: Array, label: str, steps: LocalSteps | None = None
    ) -> tuple[list[Evaluation], Stepped | None]:
        feasible = np.column_stack([self.feasible(theta) for theta in thetas.T])
        return super().subgradients(feasible, label, steps)

    def heated_hessian(self, theta: Array, heat: float) -> Array:
        return self.restricted(super().heated_hessian(theta, heat))

    def _evaluation(
        self,
        theta: Array,
        loss: float,
        loss_gradient: Array,
        hessian: Array | None,
        margin: float,
        rounding: float,
        blur: Array,
    ) -> Evaluation:
        at = super()._evaluation(theta, loss, loss_gradient, hessian, margin, rounding, blur)
        with np.errstate(over="ignore", invalid="ignore"):
            across = self._q.T @ (at.gradient / self._s)
            off = self._s * (self._q @ across)
            found: dict[str, Any] = {entry.name: getattr(at, entry.name) for entry in fields(at)}
            found["gradient"] = at.gradient - off
            found["loss_gradient"] = loss_gradient - off
            across_blur = np.abs(self._q.T) @ (blur / self._s)
            found["blur"] = blur + self._s * (np.abs(self._q) @ across_blur)
            found["blurred"] = self._scale_free(found["blur"])
            found["residual"] = self.residual(theta, loss, found["loss_gradient"], found["blur"])
            if at.hessian is not None:
                found["hessian"] = self.restricted(at.hessian)
            # a model that separates is no proof where multiples of it are not feasible
            found["margin"] = np.inf if self._h.any() else margin
            size = np.abs(self._q) @ np.abs(across)
            # theta satisfies the constraints within rounding, along which F still moves
            leeway = 4 * EPS * float(size @ np.abs(self._s * theta))
            multipliers = -(self._inverse @ across) / self._length
        found["rounding"] = at.rounding + leeway
        return ConstrainedEvaluation(**found, multipliers=multipliers)

    # --- the null space -------------------------------------------------------------------------

    def restricted(self, matrix: Array) -> Array:
        """P M P + k QQ' in psi, for a symmetric M (p, p) in theta: regular where M is so on the
        null space of the constraints, and equal to it there."""
        q, unit = self._q, np.multiply.outer(self._s, self._s)
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            own = matrix / unit
            k = self._level(np.diagonal(own))
            own = own - q @ (q.T @ own)
            own = own - (own @ q) @ q.T
            own = (own + own.T) / 2 + k * (q @ q.T)
            total: Array = own * unit
        return total

    def _level(self, diagonal: Array) -> float:
        level = float(np.mean(diagonal)) if len(diagonal) else 0.0
        return level if level > 0 else 1.0

    def restricted_rows(self, design: Array, label: Array) -> tuple[Array, Array]:
        """Least squares whose normal equations are those of `restricted`: design (m, p) in theta,
        label (m,), for a move from a theta that satisfies the constraints."""
        with one_blas_thread():
            own = design / self._s
            k = self._level(np.sum(own * own, axis=0))
            own = own - (own @ self._q) @ self._q.T
            rows = np.vstack([own, np.sqrt(k) * self._q.T]) * self._s
        return rows, np.append(label, np.zeros(len(self._h)))

    def directions(self, basis: Array) -> Array:
        """An orthonormal basis of those combinations of `basis` (p, k) that stay feasible."""
        across = self._q.T @ (self._s[:, None] * basis)
        _, values, rows = np.linalg.svd(across)
        rank = int((values > 1e-10 * np.max(self._s, initial=0.0)).sum())
        free: Array = basis @ rows[rank:].T
        return np.linalg.qr(free)[0]

    @property
    def feasible_directions(self) -> tuple[Array, Array]:
        """s (p,), and an orthonormal basis in psi of what the constraints leave free."""
        with one_blas_thread():
            whole = np.linalg.qr(self._q, mode="complete")[0]
        return self._s, whole[:, self._q.shape[1] :]

    def regular(self, hessian: Array) -> Array:
        return self.restricted(hessian)

    # --- what is known of the answer ------------------------------------------------------------

    def multipliers(self, at: Evaluation) -> list[dict[str, Any]]:
        """A multiplier a constraint, in their order; those that follow from others have 0."""
        assert isinstance(at, ConstrainedEvaluation)
        by = dict(zip(self.independent, map(float, at.multipliers), strict=True))
        return [
            {
                "constraint": row.text(),
                "rhs": float(row.rhs),
                "multiplier": by.get(k, 0.0),
                "redundant": k in self.follows,
            }
            for k, row in enumerate(self.constraints.rows)
        ]

    @property
    def freedom(self) -> int:
        """Coefficients that the constraints leave to the data: p - rank A."""
        return self.p - len(self.independent)

    def noise_variance(self, at: Evaluation) -> float | None:
        """RSS/(S - p + rank A), of squared error without a penalty; None where that is not > 0."""
        left = self.summary.weight - self.freedom
        if not (self.loss.quadratic and self.unpenalised and left > 0):
            return None
        return 2 * at.loss * self.summary.weight / left

    def covariance(self, at: Evaluation, known: bool = False) -> Array | None:
        """That of the estimates of the weights and, last, the intercept if there is one.

        v Z (Z'HZ)^-1 Z' / S with Z a basis of the null space of A, H the Hessian of the mean loss,
        v its noise variance: 1 for cross entropy, and for squared error where the rows' noise is
        `known`. For squared error v (G^-1 - G^-1 A'(A G^-1 A')^-1 A G^-1) with G = X'SX, where G is
        regular. A coefficient that is fixed has 0, and NaN is that of a feature without spread, of
        which nothing was estimated. None for other losses, under a penalty, and where the data
        leaves a coefficient undetermined.
        """
        noise = {"gaussian": 1.0 if known else self.noise_variance(at), "bernoulli": 1.0}
        variance = noise.get(self.loss.family or "")
        if variance is None or not self.unpenalised or at.hessian is None:
            return None
        if at.curved is None:
            total = self._inverse_out_of(at.hessian)
        else:
            total = self._inverse_in_basis(at.curved)
        if total is None:
            return None
        total = variance / self.summary.weight * (total + total.T) / 2
        constant = np.setdiff1d(np.arange(self.coordinates.n_features), self.coordinates.active)
        total[constant] = total[:, constant] = np.nan
        return total

    def _inverse_in_basis(self, curved: Curved) -> Array | None:
        """Z (Z'HZ)^-1 Z' for (w, b), by a basis of the rows: its directions are feasible."""
        if curved.basis.flat.shape[1]:
            return None
        to, t = self._to_raw(), curved.basis.t
        free = to @ t
        # of a coefficient that is fixed only rounding is left
        free[np.abs(free).max(axis=1) <= FIXED * (np.abs(to) @ np.abs(t)).max(axis=1)] = 0.0
        with one_blas_thread():
            try:
                factor = linalg.cho_factor(curved.hessian, lower=True)
            except linalg.LinAlgError:
                return None
            total: Array = free @ linalg.cho_solve(factor, free.T)
        return total

    def _inverse_out_of(self, hessian: Array) -> Array | None:
        """The same out of the Hessian in theta."""
        with one_blas_thread():
            own = hessian / np.multiply.outer(self._s, self._s)
            try:
                factor = linalg.cho_factor(own, lower=True)
            except linalg.LinAlgError:
                return None
            norm = float(np.abs(own).sum(axis=0).max(initial=0.0))
            reciprocal, _ = linalg.lapack.dpocon(factor[0], norm, uplo="L")
            if self.p and not reciprocal > 16 * self.p * EPS:
                return None
            inverse = linalg.cho_solve(factor, np.eye(self.p))
            to = self._to_raw() / self._s
            free = to - (to @ self._q) @ self._q.T
            # of a coefficient that is fixed only rounding is left
            free[np.linalg.norm(free, axis=1) <= FIXED * np.linalg.norm(to, axis=1)] = 0.0
            total: Array = free @ inverse @ free.T
        return total

    def _to_raw(self) -> Array:
        """(w, b) of theta, a matrix (n + 1, p), or without intercept (n, p)."""
        to, active = self.coordinates, self.coordinates.active
        n, k = to.n_features, len(active)
        raw = np.zeros((n + self.fit_intercept, self.p))
        raw[active, np.arange(k)] = to.unit
        if self.fit_intercept:
            raw[n, :k] = -to.centre[active] * to.unit
            raw[n, k] = 1.0
        return raw


def directions(objective: Objective, basis: Array) -> Array:
    """An orthonormal basis (p, k) of directions in those of `basis` that stay feasible."""
    return objective.directions(basis) if isinstance(objective, Constrained) else basis
