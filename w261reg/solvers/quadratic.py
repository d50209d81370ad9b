"""Quadratic problems with an L1 part, on the driver."""

import numpy as np
from numpy.typing import NDArray

from w261reg.solvers.linear import solve

Array = NDArray[np.float64]

MAX_ROUNDS, EASY_ROUNDS = 40, 8
SWEEPS, MOST_SWEEPS = 8, 512
MOST_CROSSINGS = 16
MAX_SIGN_STEPS = 2000


def minimise_quadratic_l1(h: Array, c: Array, kink: Array, start: Array) -> Array:
    """argmin_u u'Hu/2 - c'u + sum_j kink_j |u_j|, with exact zeros.

    Two steps in turn, each of which descends: sweeps of coordinate descent (Friedman, Hastie and
    Tibshirani 2010, *Regularization Paths for Generalized Linear Models via Coordinate Descent*),
    which find many signs at once, and the exact minimum among points of these signs, which gives
    the last digits. Where features are so nearly collinear that this goes in circles, feature-sign
    search (Lee, Battle, Raina and Ng 2007, *Efficient Sparse Coding Algorithms*), which lets one
    coordinate in at a time.

    Args:
        h: (p, p) symmetric positive semidefinite.
        c: (p,).
        kink: (p,) >= 0; 0 where a coordinate has no L1 part.
        start: (p,) where to begin.

    Returns:
        (p,), optimal within rounding, or the best that was found.
    """
    usable = np.diagonal(h) > 0
    start = np.where(usable, start, 0.0)
    size = np.abs(h)

    def excess(u: Array) -> float:
        """The largest violation of the conditions of a minimum, in units of rounding errors."""
        rounding = 1e-14 * (size @ np.abs(u) + np.abs(c) + kink)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(rounding > 0, violation(h, c, kink, u) / rounding, 0.0)
        return float(np.max(ratio[usable], initial=0.0))

    best, least = start, excess(start)
    u, sweeps = start, SWEEPS
    for number in range(MAX_ROUNDS):
        if least <= 1:
            break
        if number == EASY_ROUNDS:
            found = _feature_sign_search(h, c, kink, start, usable)
            if (after := excess(found)) < least:
                best, least, u = found, after, found
                continue
        u = _sweep(h, c, kink, u, usable, sweeps)
        u, inside = _same_signs(h, c, kink, u, usable)
        if not inside:  # the signs are far from right: sweeps find many of them at a time
            sweeps = min(2 * sweeps, MOST_SWEEPS)
        if (after := excess(u)) < least:
            best, least = u, after
    return best


def violation(h: Array, c: Array, kink: Array, u: Array) -> Array:
    """Length of the shortest subgradient at u, one a coordinate (p,)."""
    slope = h @ u - c
    at_zero = np.maximum(np.abs(slope) - kink, 0.0)
    return np.where((u == 0) & (kink > 0), at_zero, np.abs(slope + kink * np.sign(u)))


def _feature_sign_search(
    h: Array, c: Array, kink: Array, start: Array, usable: NDArray[np.bool_]
) -> Array:
    """One coordinate in at a time, then the minimum for these signs, up to the first change."""
    u = start.copy()
    sign = np.sign(u)
    inside = usable & ((u != 0) | (kink == 0))
    scale = 1e-14 * (np.abs(c) + kink).max(initial=0.0)
    for _ in range(MAX_SIGN_STEPS):
        support = np.flatnonzero(inside)
        block = h[np.ix_(support, support)]
        gradient = h[support] @ u - c[support] + kink[support] * sign[support]
        step = solve(block, -gradient).x
        target = u[support] + step
        change = (kink[support] > 0) & (target * sign[support] < 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            length = np.where(change, -u[support] / step, np.inf)
        first = float(np.min(length, initial=np.inf))
        if first <= 1:
            u[support] += max(first, 0.0) * step
            out = support[length <= first]
            u[out], sign[out], inside[out] = 0.0, 0.0, False
            continue
        u[support] = target
        slope = h @ u - c
        outside = np.where(usable & ~inside, np.abs(slope) - kink, -np.inf)
        worst = int(np.argmax(outside))
        if not outside[worst] > scale:
            break
        inside[worst], sign[worst] = True, -np.sign(slope[worst])
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
