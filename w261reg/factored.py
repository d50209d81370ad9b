"""The joint problem out of orthogonal factors, where Gram matrices have lost their digits.

Sums of squares are the lengths of residuals t_g = c_g - A_g theta here, A_g and c_g the factor of
group g's rows. With Q R = D, the rows A_g / sigma_g and the penalty's root one below the other and
their columns of length 1, the moves d = R (theta - base) see Hessians whose condition is that of
the weights alone (Bjorck, *Numerical Methods for Least Squares Problems*, 2.4).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.joint import EPS, Basis, Joint
from w261reg.solvers.linear import Solution

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Factored:
    """The factors of all groups, and what is the same at every base.

    Attributes:
        design, label: A_g (k_g, p) and c_g (k_g,) of each group.
        root: of the penalty's Hessian (q, p): root'root = it.
        gram: the problem out of Gram matrices, about 0.
    """

    design: tuple[Array, ...]
    label: tuple[Array, ...]
    root: Array
    gram: Joint

    @classmethod
    def of(cls, rows: list[Array], gram: Joint) -> "Factored":
        """From rows (A_g, c_g) side by side, (k_g, p + 1), of each group."""
        reduced = [_triangle(own) for own in rows]
        design, label = (tuple(own[:, part] for own in reduced) for part in (slice(-1), -1))
        return cls(design, label, _root(gram.penalty), gram)

    def exact(self) -> list[bool]:
        """Of each group, whether its own least squares leaves nothing but rounding."""
        found = []
        for design, label in zip(self.design, self.label, strict=True):
            theta = _least(design, label)
            left = float(np.linalg.norm(label - design @ theta))
            size = np.linalg.norm(label) + np.linalg.norm(np.abs(design) @ np.abs(theta))
            found.append(not left > 64 * max(len(theta), 16) * EPS * float(size))
        return found

    def start(self) -> tuple[Array, Array]:
        """Least squares of all rows, and the variances that it leaves each group."""
        theta = _least(np.vstack(self.design), np.concatenate(self.label))
        pairs = zip(self.design, self.label, strict=True)
        square = np.array([float(np.sum((c - a @ theta) ** 2)) for a, c in pairs])
        return theta, square / self.gram.weight

    def about(self, theta: Array, variance: Array) -> tuple[Joint, Basis, Solution]:
        """The problem in moves from theta, in coordinates of these variances.

        Args:
            theta: (p,).
            variance: of each group (G,).

        Returns:
            The problem, its coordinates, and theta with the condition and the rank of the system
            there.
        """
        total, sigma = float(self.gram.weight.sum()), np.sqrt(variance)
        root = np.sqrt(total) * self.root
        span = self._span(root)
        whole = np.vstack([*(a / s for a, s in zip(self.design, sigma, strict=True)), root])
        if span is not None:
            whole, theta = whole @ span, span @ (span.T @ theta)
        size = np.linalg.norm(whole, axis=0)
        factor = np.asarray(np.linalg.qr(whole / size, mode="r"))
        basis = Basis(span, size, factor)
        count, r = len(sigma), len(size)
        square, slope, bend = np.empty(count), np.empty((count, r)), np.empty((count, r, r))
        square_error, slope_error = np.empty(count), np.empty((count, r))
        for g, (a, c) in enumerate(zip(self.design, self.label, strict=True)):
            # by R and not as a part of Q, which is orthogonal but, where the penalty is far larger
            # than the rows, has no digits of these
            own, left = basis.of_theta(a), c - a @ theta
            rounding = EPS * float(np.linalg.norm(np.abs(c) + np.abs(a) @ np.abs(theta)))
            square[g], slope[g], bend[g] = left @ left, own.T @ left, own.T @ own
            square_error[g] = rounding * (2 * np.sqrt(square[g]) + rounding)
            slope_error[g] = rounding * np.linalg.norm(own, axis=0)
        at, last = self.root @ theta, basis.of_theta(self.root)
        gradient, precision = basis.gradient(), float((self.gram.weight / variance).sum())
        joint = replace(
            self.gram,
            square=square,
            slope=slope,
            bend=bend,
            square_error=square_error,
            slope_error=slope_error,
            height=0.5 * float(at @ at),
            drag=last.T @ at,
            penalty=last.T @ last,
            # moves, too, of which each has length 1 over rows of weight s/sigma^2
            size=np.append(self.gram.size, np.full(r, precision**-0.5)),
            compared=np.vstack([gradient, np.eye(r)]),
        )
        return joint, basis, Solution(theta, _condition(factor), r)

    def _span(self, root: Array) -> Array | None:
        """Directions that some row or the penalty sees; None where these are all."""
        whole = _triangle(np.vstack([*self.design, root]))
        size = np.linalg.norm(whole, axis=0)
        _, singular, vectors = np.linalg.svd(whole / size)
        rank, p = (
            int(np.sum(singular > _threshold(len(size)) * singular.max(initial=0.0))),
            len(size),
        )
        if rank == p:
            return None
        unseen = vectors[rank:].T / size[:, None]
        return np.asarray(np.linalg.qr(unseen, mode="complete")[0][:, p - rank :])


def _root(h: Array) -> Array:
    """Rows (q, p) with root'root = H, for a positive semidefinite H (p, p)."""
    seen = np.flatnonzero(np.diagonal(h) > 0)
    size = np.sqrt(np.diagonal(h)[seen])
    values, vectors = np.linalg.eigh(h[np.ix_(seen, seen)] / size[:, None] / size)
    root = np.zeros((len(seen), len(h)))
    root[:, seen] = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * size
    return root[values > 0]


def _triangle(rows: Array) -> Array:
    """R of the QR factorisation of rows, or themselves where they are few."""
    few = len(rows) <= rows.shape[1]
    return rows if few else np.asarray(np.linalg.qr(rows, mode="r"))


def _threshold(p: int) -> float:
    """Singular values up to this share of the largest are rounding errors of 0."""
    return 4 * max(16, p) * EPS


def _least(design: Array, label: Array) -> Array:
    """The least squares of least norm."""
    p = design.shape[1]
    if p == 0:
        return np.zeros(0)
    return np.asarray(linalg.lstsq(design, label, cond=_threshold(p))[0])


def _condition(factor: Array) -> float:
    """Of R'R."""
    values = np.linalg.svd(factor, compute_uv=False)
    if len(values) == 0:
        return 1.0
    return float((values[0] / values[-1]) ** 2) if values[-1] > 0 else float("inf")
