"""Second-order steps where the Hessian is known in a basis of the rows, see `w261reg.basis`."""

import numpy as np
from numpy.typing import NDArray

from w261reg.basis import EPS, FAINT, Curved
from w261reg.blas import one_blas_thread
from w261reg.solvers.linear import Solution, solve

Array = NDArray[np.float64]

# changes of the active set, a coordinate
MOST_CHANGES = 4


def newton_step(curved: Curved, gradient: Array) -> Solution:
    """-H^-1 g in theta (p,), of least norm where the rows leave directions flat."""
    basis = curved.basis
    phi = solve(curved.hessian, -basis.gradient(gradient)).x
    return Solution(basis.step(phi), basis.condition, basis.p - basis.flat.shape[1])


def minimise_root_l1(root: Array, slope: Array, kink: Array, start: Array) -> Array:
    """The d (p,) that minimises |K d|^2/2 + slope'd + sum_j kink_j |start_j + d_j|, exact zeros.

    Feature-sign search (Lee, Battle, Raina and Ng 2007, *Efficient Sparse Coding Algorithms*): one
    coordinate in at a time, then the minimum for these signs, up to the first change. Each minimum
    comes out of a triangular factor of the columns of K that take part (seminormal equations,
    Bjorck, *Numerical Methods for Least Squares Problems*, 2.4), so that it loses the digits of the
    condition of K, where K'K loses twice as many.

    Args:
        root: K (r, p).
        slope: (p,) the gradient of the smooth part at `start`.
        kink: (p,) >= 0.
        start: (p,).
    """
    u, sign = start.copy(), np.sign(start)
    size, entries = np.linalg.norm(root, axis=0), np.abs(root)
    inside = (size > 0) & ((u != 0) | (kink == 0))
    # what a slope of 0 may be by rounding
    noise = 1e-15 * (np.abs(slope) + kink)
    for _ in range(MOST_CHANGES * (len(u) + 5)):
        support = np.flatnonzero(inside)
        pull = root.T @ (root @ (u - start))
        gradient = pull[support] + slope[support] + kink[support] * sign[support]
        step = -_seminormal(root[:, support], gradient)
        target = u[support] + step
        crossed = (kink[support] > 0) & (target * sign[support] < 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            length = np.where(crossed, -u[support] / step, np.inf)
        first = float(np.min(length, initial=np.inf))
        if first <= 1:
            u[support] += max(first, 0.0) * step
            out = support[length <= first]
            u[out], sign[out], inside[out] = 0.0, 0.0, False
            continue
        u[support] = target
        toward = root @ (u - start)
        own = root.T @ toward + slope
        rounding = noise + 1e-15 * (entries.T @ (entries @ np.abs(u - start)))
        excess = np.where((size > 0) & ~inside, np.abs(own) - kink - rounding, -np.inf)
        worst = int(np.argmax(excess))
        if not excess[worst] > 0:
            break
        inside[worst], sign[worst] = True, -np.sign(own[worst])
    return u - start


def _seminormal(columns: Array, gradient: Array) -> Array:
    """(K'K)^-1 g for the columns K (r, k), of least norm where they are dependent: (k,)."""
    if not len(gradient):
        return gradient
    with one_blas_thread():
        size = np.linalg.norm(columns, axis=0)
        _, values, right = np.linalg.svd(columns / size, full_matrices=False)
        seen = values > FAINT * EPS * values[0]
        along = (right[seen] @ (gradient / size)) / values[seen]
        found: Array = (right[seen].T @ (along / values[seen])) / size
        return found
