"""Quadratic problems with an L1 part, on the driver."""

import numpy as np
from numpy.typing import NDArray

from w261reg.solvers.linear import solve

Array = NDArray[np.float64]

MAX_ROUNDS = 500
SWEEPS, MOST_SWEEPS = 8, 512
MOST_CROSSINGS = 16


def minimise_quadratic_l1(h: Array, c: Array, kink: Array, start: Array) -> Array:
    """argmin_u u'Hu/2 - c'u + sum_j kink_j |u_j|, with exact zeros.

    Two steps in turn, each of which descends: sweeps of coordinate descent (Friedman, Hastie and
    Tibshirani 2010, *Regularization Paths for Generalized Linear Models via Coordinate Descent*),
    which find the signs, and the exact minimum among points of these signs (Lee, Battle, Raina and
    Ng 2007, *Efficient Sparse Coding Algorithms*), which gives the last digits at once, also where
    features are so collinear that sweeps alone would crawl.

    Args:
        h: (p, p) symmetric positive semidefinite.
        c: (p,).
        kink: (p,) >= 0; 0 where a coordinate has no L1 part.
        start: (p,) where to begin.

    Returns:
        (p,), optimal within rounding; after MAX_ROUNDS, the best found so far.
    """
    diagonal = np.diagonal(h)
    usable = diagonal > 0
    u = np.where(usable, start, 0.0)
    size = np.abs(h)
    sweeps = SWEEPS
    for _ in range(MAX_ROUNDS):
        u = _sweep(h, c, kink, u, usable, sweeps)
        u, inside = _same_signs(h, c, kink, u, usable)
        if not inside:  # the signs are far from right: sweeps find many of them at a time
            sweeps = min(2 * sweeps, MOST_SWEEPS)
        slope = h @ u - c
        total = slope + kink * np.sign(u)
        distance = np.where((u == 0) & (kink > 0), np.abs(slope) - kink, np.abs(total))
        rounding = 1e-14 * (size @ np.abs(u) + np.abs(c) + kink)
        if (distance <= rounding)[usable].all():
            break
    return u


def _sweep(
    h: Array, c: Array, kink: Array, u: Array, usable: NDArray[np.bool_], sweeps: int
) -> Array:
    """Some sweeps over the coordinates that are not 0, or should not be."""
    u = u.copy()
    q = h @ u - c  # the smooth part's gradient, kept up to date
    for _ in range(sweeps):
        working = np.flatnonzero(usable & ((u != 0) | (np.abs(q) > kink)))
        before = u.copy()
        for j in working:
            old = u[j]
            target = old - q[j] / h[j, j]
            width = kink[j] / h[j, j]
            new = target - width if target > width else target + width if target < -width else 0.0
            if new != old:
                u[j] = new
                q += h[j] * (new - old)
        if np.array_equal(u, before) or (np.sign(u) == np.sign(before)).all():
            break  # the signs have settled: the linear system does the rest
    return u


def _same_signs(
    h: Array, c: Array, kink: Array, u: Array, usable: NDArray[np.bool_]
) -> tuple[Array, bool]:
    """The minimum among points without a change of sign; a coordinate that would change is 0.

    Where the system is singular, the step goes along its null space until a coordinate is 0, if
    the objective descends along it, and else has the least norm. Ends early, with False, where too
    many coordinates would change.
    """
    u = u.copy()
    support = np.flatnonzero(usable & ((u != 0) | (kink == 0)))
    for _ in range(MOST_CROSSINGS):
        block = h[np.ix_(support, support)]
        gradient = (h[support] @ u - c[support]) + kink[support] * np.sign(u[support])
        solution = solve(block, -gradient)
        step = solution.x
        unbounded = False
        if solution.singular:
            left = block @ step + gradient  # what no step in the range can remove
            if np.abs(left).max() > 1e-10 * np.abs(gradient).max(initial=0.0) > 0:
                step, unbounded = -left, True
        at = u[support]
        signed = kink[support] > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.where(signed & (at * step < 0), -at / step, np.inf)
        first = int(np.argmin(crossing)) if len(crossing) else 0
        if len(crossing) == 0 or (crossing[first] > 1 and not unbounded):
            u[support] = at + step
            return u, True
        if not np.isfinite(crossing[first]):
            return u, False
        u[support] = at + crossing[first] * step
        u[support[first]] = 0.0
        support = np.delete(support, first)
    return u, False
