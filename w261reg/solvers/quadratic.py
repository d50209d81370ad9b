"""Quadratic problems with an L1 part, on the driver."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.evaluation import Evaluation
from w261reg.solvers.linear import solve

Array = NDArray[np.float64]

MAX_ROUNDS, EASY_ROUNDS = 40, 8
SWEEPS, MOST_SWEEPS = 8, 512
MOST_CROSSINGS = 16
MAX_SIGN_STEPS = 2000


def quadratic_step(h: Array, slope: Array, kink: Array, start: Array) -> Array:
    """argmin_d d'Hd/2 + slope'd + sum_j kink_j |start_j + d_j|, with exact zeros of start + d.

    The step is the unknown, not where it leads: beside H start, which may be larger by any factor,
    the digits of the slope would be lost.

    Two steps in turn, each of which descends: sweeps of coordinate descent (Friedman, Hastie and
    Tibshirani 2010, *Regularization Paths for Generalized Linear Models via Coordinate Descent*),
    which find many signs at once, and the exact minimum among points of these signs, which gives
    the last digits. Where features are so nearly collinear that this goes in circles, feature-sign
    search (Lee, Battle, Raina and Ng 2007, *Efficient Sparse Coding Algorithms*), which lets one
    coordinate in at a time.

    Args:
        h: (p, p) symmetric positive semidefinite.
        slope: of the smooth part at `start` (p,).
        kink: (p,) >= 0; 0 where a coordinate has no L1 part.
        start: (p,).

    Returns:
        d (p,), optimal within rounding, or the best that was found.
    """
    usable = np.diagonal(h) > 0
    size = np.abs(h)
    here = _Problem(h, slope, kink, start, usable)

    def excess(d: Array) -> float:
        """The largest violation of the conditions of a minimum, in units of rounding errors."""
        rounding = 1e-14 * (size @ np.abs(d) + np.abs(slope) + kink)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(rounding > 0, here.violation(d) / rounding, 0.0)
        return float(np.max(ratio[usable], initial=0.0))

    first = np.where(usable, 0.0, -start)  # what nothing determines is 0
    best, least = first, excess(first)
    d, sweeps = first, SWEEPS
    for number in range(MAX_ROUNDS):
        if least <= 1:
            break
        if number == EASY_ROUNDS:
            found = _feature_sign_search(here, first)
            if (after := excess(found)) < least:
                best, least, d = found, after, found
                continue
        d = _sweep(here, d, sweeps)
        d, inside = _same_signs(here, d)
        if not inside:  # the signs are far from right: sweeps find many of them at a time
            sweeps = min(2 * sweeps, MOST_SWEEPS)
        if (after := excess(d)) < least:
            best, least = d, after
    return best


def decrease(now: Evaluation, kink: Array, direction: Array) -> float:
    """The directional derivative of F along `direction` (p,), with what L1 saves beyond a kink.

    Coordinate by coordinate: |theta + d| - |theta| is sign(theta) d where the sign stays, and the
    parts of the gradient cancel before they are added up.
    """
    theta, target = now.theta, now.theta + direction
    stays = theta * target > 0
    smooth = now.gradient - kink * np.sign(theta)
    moved = np.where(stays, 0.0, kink * (np.abs(target) - np.abs(theta)))
    return float(np.sum(np.where(stays, now.gradient, smooth) * direction + moved))


@dataclass(frozen=True)
class _Problem:
    """That of `quadratic_step`; `usable` are the coordinates that H sees."""

    h: Array
    slope: Array
    kink: Array
    start: Array
    usable: NDArray[np.bool_]

    def violation(self, d: Array) -> Array:
        slope, u = self.h @ d + self.slope, self.start + d
        at_zero = np.maximum(np.abs(slope) - self.kink, 0.0)
        away = np.abs(slope + self.kink * np.sign(u))
        return np.where((u == 0) & (self.kink > 0), at_zero, away)


def _feature_sign_search(of: _Problem, first: Array) -> Array:
    """One coordinate in at a time, then the minimum for these signs, up to the first change."""
    h, kink, start, d = of.h, of.kink, of.start, first.copy()
    sign = np.sign(start + d)
    inside = of.usable & ((sign != 0) | (kink == 0))
    scale = 1e-14 * (np.abs(of.slope) + kink).max(initial=0.0)
    for _ in range(MAX_SIGN_STEPS):
        support = np.flatnonzero(inside)
        block = h[np.ix_(support, support)]
        gradient = h[support] @ d + of.slope[support] + kink[support] * sign[support]
        step = solve(block, -gradient).x
        at = start[support] + d[support]
        change = (kink[support] > 0) & ((at + step) * sign[support] < 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            length = np.where(change, -at / step, np.inf)
        shortest = float(np.min(length, initial=np.inf))
        if shortest <= 1:
            d[support] += max(shortest, 0.0) * step
            out = support[length <= shortest]
            d[out], sign[out], inside[out] = -start[out], 0.0, False
            continue
        d[support] += step
        slope = h @ d + of.slope
        outside = np.where(of.usable & ~inside, np.abs(slope) - kink, -np.inf)
        worst = int(np.argmax(outside))
        if not outside[worst] > scale:
            break
        inside[worst], sign[worst] = True, -np.sign(slope[worst])
    return d


def _sweep(of: _Problem, d: Array, sweeps: int) -> Array:
    """Some sweeps over the coordinates that are not 0, or should not be."""
    h, kink, start, d = of.h, of.kink, of.start, d.copy()
    q = h @ d + of.slope  # the smooth part's gradient, kept up to date
    for _ in range(sweeps):
        working = np.flatnonzero(of.usable & ((start + d != 0) | (np.abs(q) > kink)))
        before = d.copy()
        for j in working:
            old = d[j]
            move = -q[j] / h[j, j]
            width = kink[j] / h[j, j]
            target = start[j] + (old + move)
            if target > width:
                new = old + (move - width)
            elif target < -width:
                new = old + (move + width)
            else:
                new = -start[j]
            if new != old:
                d[j] = new
                q += h[j] * (new - old)
        if (np.sign(start + d) == np.sign(start + before)).all():
            break  # the signs have settled: the linear system does the rest
    return d


def _same_signs(of: _Problem, d: Array) -> tuple[Array, bool]:
    """The minimum among points without a change of sign; a coordinate that would change is 0.

    Where the system is singular, the step goes along its null space until a coordinate is 0, if
    the objective descends along it, and else has the least norm. Ends early, with False, where too
    many coordinates would change.
    """
    h, kink, start, d = of.h, of.kink, of.start, d.copy()
    support = np.flatnonzero(of.usable & ((start + d != 0) | (kink == 0)))
    for _ in range(MOST_CROSSINGS):
        block = h[np.ix_(support, support)]
        at = start[support] + d[support]
        gradient = (h[support] @ d + of.slope[support]) + kink[support] * np.sign(at)
        solution = solve(block, -gradient)
        step = solution.x
        unbounded = False
        if solution.singular:
            left = block @ step + gradient  # what no step in the range can remove
            if np.abs(left).max() > 1e-10 * np.abs(gradient).max(initial=0.0) > 0:
                step, unbounded = -left, True
        signed = kink[support] > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.where(signed & (at * step < 0), -at / step, np.inf)
        first = int(np.argmin(crossing)) if len(crossing) else 0
        if len(crossing) == 0 or (crossing[first] > 1 and not unbounded):
            d[support] += step
            return d, True
        if not np.isfinite(crossing[first]):
            return d, False
        d[support] += crossing[first] * step
        d[support[first]] = -start[support[first]]
        support = np.delete(support, first)
    return d, False
