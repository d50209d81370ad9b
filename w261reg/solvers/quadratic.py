"""Quadratic problems with an L1 part, on the driver."""

import numpy as np
from numpy.typing import NDArray

from w261reg.solvers.linear import solve

Array = NDArray[np.float64]


def minimise_quadratic_l1(
    h: Array, c: Array, kink: Array, start: Array, max_sweeps: int = 1000
) -> Array:
    """argmin_u u'Hu/2 - c'u + sum_j kink_j |u_j|, with exact zeros.

    Cyclic coordinate descent on the active set (Friedman, Hastie and Tibshirani 2010,
    *Regularization Paths for Generalized Linear Models via Coordinate Descent*) finds the signs;
    with the signs known the rest is a linear system, which gives the last digits at once.

    Args:
        h: (p, p) symmetric positive semidefinite.
        c: (p,).
        kink: (p,) >= 0; 0 where a coordinate has no L1 part.
        start: (p,) where to begin.
        max_sweeps: the most sweeps over the active set between two tries of the linear system.

    Returns:
        (p,); after `max_sweeps` without the signs settling, the best found so far.
    """
    diagonal = np.diagonal(h).copy()
    usable = diagonal > 0
    u = np.where(usable, start, 0.0)
    q = h @ u - c  # the smooth part's gradient, kept up to date
    # coordinates count in standard units: a move of sqrt(h_jj) du_j is a move of the predictor
    unit = np.sqrt(np.where(usable, diagonal, 1.0))
    scale = max(float(np.max(np.abs(c) / unit, initial=0.0)), np.finfo(float).tiny)
    tolerance = 1e-3
    for _ in range(60):
        working = np.flatnonzero(usable & ((u != 0) | (np.abs(q) > kink)))
        for _ in range(max_sweeps):
            largest = 0.0
            for j in working:
                old = u[j]
                target = old - q[j] / diagonal[j]
                width = kink[j] / diagonal[j]
                new = (
                    target - width if target > width else target + width if target < -width else 0.0
                )
                if new != old:
                    u[j] = new
                    q += h[j] * (new - old)
                    largest = max(largest, abs(new - old) * unit[j])
            if largest <= tolerance * scale:
                break
        polished = _polish(h, c, kink, u, usable)
        if polished is not None:
            return polished
        q = h @ u - c
        tolerance = max(tolerance * 0.1, 1e-15)
    return u


def _polish(h: Array, c: Array, kink: Array, u: Array, usable: NDArray[np.bool_]) -> Array | None:
    """The exact minimiser if u has its signs and its zeros, else None."""
    support = np.flatnonzero((usable & (kink == 0)) | (u != 0))
    sign = np.sign(u) * (kink > 0)
    exact = np.zeros_like(u)
    block = h[np.ix_(support, support)]
    solution = solve(block, (c - kink * sign)[support])
    if solution.singular and (kink[support] > 0).any():
        return None
    exact[support] = solution.x
    penalised = kink > 0
    if (np.sign(exact) != sign)[penalised].any():
        return None
    zero = penalised & (u == 0) & usable
    slack = np.abs(h @ exact - c) - kink
    rounding = 1e-13 * (np.abs(h) @ np.abs(exact) + np.abs(c))
    return exact if (slack[zero] <= rounding[zero]).all() else None
