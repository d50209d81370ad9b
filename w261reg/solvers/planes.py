"""Planes below a convex function, and the least of them + a ridge: a lower bound, on the driver."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.blas import one_blas_thread

Array = NDArray[np.float64]

MAX_STEPS = 60
ROUNDING = 4 * float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Planes:
    """height_k + slope_k'theta <= the mean loss, for all theta (p,), with the plane 0 first.

    Each subgradient of a convex function gives one. They hold for any point, so those of earlier
    passes stay true; where there are too many, those that bear nothing are dropped.

    Attributes:
        heights: (k,).
        slopes: (p, k).
    """

    heights: Array
    slopes: Array

    @classmethod
    def none(cls, p: int) -> "Planes":
        """The plane 0 alone: no loss is negative."""
        return cls(np.zeros(1), np.zeros((p, 1)))

    def with_tangents(self, thetas: Array, values: Array, gradients: Array) -> "Planes":
        """And those at thetas (p, k) with these values (k,) and subgradients (p, k)."""
        heights = values - np.einsum("ij,ij->j", gradients, thetas)
        sizes = np.abs(values) + np.einsum("ij,ij->j", np.abs(gradients), np.abs(thetas))
        return self.joined(heights, gradients, sizes)

    def joined(self, heights: Array, slopes: Array, sizes: Array) -> "Planes":
        """And these, (k,) and (p, k), as far as they are numbers.

        Args:
            heights, slopes: of the planes.
            sizes: of the terms of the heights (k,): a plane lies lower by their rounding.
        """
        heights = heights - ROUNDING * sizes
        usable = np.isfinite(heights) & np.isfinite(slopes).all(axis=0)
        return Planes(
            np.append(self.heights, heights[usable]), np.hstack([self.slopes, slopes[:, usable]])
        )

    def bearing(self, shares: Array, most: int) -> "Planes":
        """The `most` of them with the largest shares (k,), in their order, and the plane 0."""
        if len(shares) <= most:
            return self
        order = np.argsort(-shares[1:], kind="stable")[: most - 1] + 1
        kept = np.append(0, np.sort(order))
        return Planes(self.heights[kept], self.slopes[:, kept])


@dataclass(frozen=True)
class Floor:
    """The least of max_k(planes) + ridge.

    Attributes:
        bound: below it the function cannot be.
        theta: (p,) where it is.
        shares: (k,) >= 0 of sum 1: the combination of planes that proves the bound.
    """

    bound: float
    theta: Array
    shares: Array


def floor(planes: Planes, ridge: Array) -> Floor:
    """The minimum over theta of the largest plane + sum_j ridge_j theta_j^2 / 2.

    By duality the largest of h'c - sum_j (G c)_j^2 / (2 ridge_j) over shares c, with (G c)_j = 0
    where ridge_j is 0 (Teo, Vishwanathan, Smola and Le 2010, *Bundle Methods for Regularized Risk
    Minimization*). Any such c proves a bound, so what rounding leaves costs tightness, not truth.

    Args:
        planes: heights and slopes.
        ridge: (p,) >= 0; 0 for an intercept, if there is one.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        h, free = planes.heights, ridge == 0
        bent = planes.slopes[~free] / np.sqrt(ridge[~free])[:, None]
        flat = planes.slopes[free]
        constraints = np.vstack([np.ones((1, len(h))), flat])
        with one_blas_thread():
            shares, multipliers = _quadratic_program(bent.T @ bent, h, constraints)
            for row in flat:  # the plane 0 takes what is too much of one sign
                shares = _balanced(shares, row)
            shares = shares / max(1.0, float(shares[1:].sum()))
            shares[0] = max(0.0, 1.0 - float(shares[1:].sum()))
            down = bent @ shares
            theta = np.empty(len(ridge))
            theta[~free] = -down / np.sqrt(ridge[~free])
            theta[free] = multipliers[1:]
            up, curve = float(h @ shares), 0.5 * float(down @ down)
            bound = up - curve - ROUNDING * (float(np.abs(h) @ shares) + curve)
        if not (np.isfinite(bound) and np.isfinite(theta).all()):
            # units that numbers cannot hold: what is left is the plane 0
            return Floor(0.0, np.zeros(len(ridge)), np.append(1.0, np.zeros(len(h) - 1)))
        return Floor(bound, theta, shares)


def _balanced(shares: Array, row: Array) -> Array:
    """Shares with row'shares = 0, smaller where they must be."""
    part = row * shares
    above, below = float(part[part > 0].sum()), float(-part[part < 0].sum())
    if above > below:
        return np.where(part > 0, shares * (below / above), shares)
    return np.where(part < 0, shares * (above / below), shares) if below > above else shares


def _quadratic_program(p: Array, h: Array, constraints: Array) -> tuple[Array, Array]:
    """argmin_c c'Pc/2 - h'c with c >= 0 and A c = (1, 0, ...): (k,), and A's multipliers.

    Mehrotra's predictor and corrector (Nocedal and Wright, *Numerical Optimization*, 16.6).
    """
    k, a = len(h), constraints
    e = np.append(1.0, np.zeros(len(a) - 1))
    size = max(1.0, float(np.abs(h).max()), float(np.trace(p)) / k)
    c, y = np.full(k, 1.0 / k), np.zeros(len(a))
    s = np.full(k, max(1.0, float(np.abs(p @ c - h).max())))
    best, least = (c, y), np.inf
    for _ in range(MAX_STEPS):
        dual, primal, mean = p @ c - h - a.T @ y - s, a @ c - e, float(c @ s) / k
        worst = max(mean, float(np.abs(primal).max()), float(np.abs(dual).max()) / size)
        if worst < least:
            best, least = (c, y), worst
        if worst < 1e-16 or not np.isfinite(worst):
            break
        bend = p + np.diag(s / c + 1e-15 * size)
        try:
            factor = linalg.cho_factor(bend, check_finite=False)
        except linalg.LinAlgError:
            break
        through = linalg.cho_solve(factor, a.T, check_finite=False)
        own = linalg.cho_solve(factor, -dual - s, check_finite=False)
        dy = _least(a @ through, -primal - a @ own)
        dc = own + through @ dy
        ds = -s - s * dc / c
        t = min(_longest(c, dc), _longest(s, ds))
        ahead = float((c + t * dc) @ (s + t * ds)) / k
        product = c * s + dc * ds - (ahead / mean) ** 3 * mean
        own = linalg.cho_solve(factor, -dual - product / c, check_finite=False)
        dy = _least(a @ through, -primal - a @ own)
        dc = own + through @ dy
        ds = (-product - s * dc) / c
        t = 0.995 * min(_longest(c, dc), _longest(s, ds))
        c = np.maximum(c + t * dc, TINY)
        y, s = y + t * dy, np.maximum(s + t * ds, TINY)
    return best


def _least(matrix: Array, rhs: Array) -> Array:
    """The solution of least norm: the constraints may say the same twice."""
    return np.asarray(np.linalg.lstsq(matrix, rhs, rcond=None)[0], dtype=float)


def _longest(x: Array, step: Array) -> float:
    """The largest t <= 1 with x + t step >= 0."""
    shrinks = step < 0
    return float(np.min(-x[shrinks] / step[shrinks], initial=1.0))
