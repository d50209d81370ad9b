"""What squared error with known noise says of its own errors: the covariance of coefficients.

With noise of standard deviation sigma a row, least squares by weights s/sigma^2 has the covariance
(X' diag(s/sigma^2) X)^-1 where X has a column of ones for the intercept.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.aggregators import Summary
from w261reg.blas import one_blas_thread
from w261reg.objective import Objective
from w261reg.scaling import Coordinates
from w261reg.solvers import FitResult, Status

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# a covariance matrix of more features makes model.json too large
MOST_COVARIANCES = 512


class Moves(Protocol):
    """Coordinates d in which theta = base + a linear function of d."""

    def of_theta(self, rows: Array) -> Array:
        """Linear functions of theta, (k, p), as those of d: (k, r)."""
        ...


def covariance(information: Array, to: Coordinates, moves: Moves | None = None) -> Array | None:
    """The inverse of (x, 1)' diag(s/sigma^2) (x, 1) on the raw scale, the intercept last.

    Args:
        information: the same of active features, in theta (p, p), or in d (r, r) of `moves`.
        to: theta's coordinates.
        moves: coordinates in which the matrix is well conditioned; None are theta's own.

    Returns:
        (n, n), or (n + 1, n + 1) with an intercept; NaN for features without spread, of which
        nothing was estimated. None where the matrix is singular.
    """
    diagonal = np.diagonal(information)
    if not ((diagonal > 0).all() and np.isfinite(information).all()):
        return None
    with one_blas_thread():
        unit = 1 / np.sqrt(diagonal)
        scaled = information * unit[:, None] * unit
        try:
            factor = linalg.cholesky(scaled, lower=True)
        except linalg.LinAlgError:
            return None
        norm = float(np.abs(scaled).sum(axis=0).max(initial=0.0))
        if len(unit) and linalg.lapack.dpocon(factor, norm, uplo="L")[0] <= 16 * len(unit) * EPS:
            return None
        # rows of (w, b) in theta: w = unit u, b = b0 - centre'w
        raw = np.diag(to.extended(to.unit, 1.0))
        if to.fit_intercept:
            raw[-1, :-1] = -to.centre[to.active] * to.unit
        raw = raw if moves is None else moves.of_theta(raw)
        half = linalg.solve_triangular(factor, unit[:, None] * raw.T, lower=True)
        inner = half.T @ half
    size = to.n_features + to.fit_intercept
    total = np.full((size, size), np.nan)
    at = np.append(to.active, to.n_features) if to.fit_intercept else to.active
    total[np.ix_(at, at)] = inner
    return total


def known_covariance(objective: Objective, result: FitResult) -> Array | None:
    """That of a fit with known sigmas; None with a penalty or without a Gram matrix."""
    solved = result.status in (Status.CONVERGED, Status.MAX_ITER)
    if not (solved and objective.unpenalised and objective.summary.gram):
        return None
    to, basis = objective.coordinates, objective.basis
    if basis is not None:  # the Gram matrix has lost its digits
        if basis.flat.shape[1]:
            return None
        return covariance(objective.summary.weight * np.eye(basis.rank), to, basis)
    return covariance(sums_of(objective.summary, to, 0.0).bend, to)


def account(found: Array | None, n_features: int) -> dict[str, Any]:
    """The fields of a model that a covariance gives: standard_errors and covariance."""
    if found is None:
        return {"standard_errors": None, "covariance": None}
    errors = np.sqrt(np.diagonal(found))[:n_features]
    whole = found.tolist() if n_features <= MOST_COVARIANCES else None
    return {"standard_errors": errors.tolist(), "covariance": whole}


@dataclass(frozen=True)
class Sums:
    """Of one group: sum s (x, 1)(x, 1)' in theta (p, p), sum s (x, 1) y (p,), sum s y^2, and the
    last two or, with an intercept, all about the group's own means."""

    weight: float
    bend: Array
    slope: Array
    square: float
    own_bend: Array
    own_slope: Array
    own_square: float


def sums_of(summary: Summary, to: Coordinates, y_centre: float) -> Sums:
    """Those of a group, of y - y_centre and in theta's coordinates."""
    exponent = np.zeros(to.n_features + 1, dtype=np.int64)
    exponent[to.active] = to.exponent
    both = summary.second_moments(exponent, centred=to.fit_intercept)
    spread, along, square = both[np.ix_(to.active, to.active)], both[to.active, -1], both[-1, -1]
    n, weight = len(to.active), summary.weight
    if not to.fit_intercept:
        parts = weight * spread, weight * along, weight * float(square)
        return Sums(weight, *parts, *parts)
    # means about the centre; a reference is near it, so that no digit is lost
    centre = np.append(to.centre, y_centre)
    mean = (summary.reference - centre) + summary.offset
    m, y = mean[to.active] * to.unit, float(mean[-1])
    bend = np.ones((n + 1, n + 1))
    bend[:n, :n] = spread + np.multiply.outer(m, m)
    bend[n, :n] = bend[:n, n] = m
    slope = np.append(along + m * y, y)
    return Sums(
        weight,
        weight * bend,
        weight * slope,
        weight * float(square + y * y),
        weight * spread,
        weight * along,
        weight * float(square),
    )
