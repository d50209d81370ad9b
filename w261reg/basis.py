"""A basis of the rows: coordinates phi in which collinear features are as good as any.

A Hessian squares the condition of the data: where rows vary 1e8 times less along one direction than
along another, X'SX in doubles does not know that they vary there at all. An orthogonal factor R of
the rows does (Bjorck, *Numerical Methods for Least Squares Problems*, 2.4), and with it a step can
be taken in

    theta = T phi,     q = T'(x - centre, 1),     (1/S) sum s q q' + T'PT/c = I,

P the Hessian of the penalty and c the size of l''. There F's Hessian, (1/S) sum s l'' q q' + T'PT,
has the condition of the weights l'' alone. It is summed row by row, from q itself; that T is known
to eps times the data's condition does no harm, for the same T leads there and back. Solvers and
penalties go on to work in theta: what a solver needs is the step T phi, and the gradient T'g.

T comes from the singular values of R in units of the features' sizes. Directions along which rows
vary by what rounding may have done are not in T: steps have no part along them. They are flat where
the next pass finds that no row varies by more than a few units in the last place of its own terms;
else nothing is claimed of them, and there is no proof. With a start that
has none either, of all equal answers the one of least norm is found, each coefficient times the
standard deviation of its feature (without an intercept: times its root mean square). That is one
answer, whatever the order of the rows and the units of the features.

Under constraints T spans the feasible directions alone; of several outputs it is that of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.blas import one_blas_thread

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)

# a matrix of this condition, scaled to a unit diagonal, has lost half of its digits
MAX_CONDITION = 1e8
# the most of a residual that is put down to rounding: what is proven then is within its square
MOST_ROUNDING = 1e-4


# singular values up to so many units in the last place of their terms may be rounding
FAINT = 64


def flat_within(p: int) -> float:
    """A row of p terms that moves by up to this share of them does not move, but for rounding."""
    return (16 + p) * EPS


@dataclass(frozen=True)
class Basis:
    """T of one output, and what it came from.

    Attributes:
        t: (p / K, r).
        inverse: (r, p / K): phi of the part of theta that rows see.
        flat: (p / K, f) directions of theta that are not in T; orthonormal in `unit`.
        faint: what rows vary along these, if that is not rounding, (f,).
        size: root mean square of the rows' coordinates, (p / K,).
        raw: the same before they were centred.
        unit: `size`, or what constraints are posed in.
        values: singular values of the rows in these units, falling (r,).
        left: the first r left singular vectors of `stacked`, (k, r).
        stacked: a factor of the rows and, below, of P/c: (k, p / K).
        label: of these rows (k,).
        places: where theta of each output lies within theta (p,).
    """

    t: Array
    inverse: Array
    flat: Array
    faint: Array
    size: Array
    raw: Array
    unit: Array
    values: Array
    left: Array
    stacked: Array
    label: Array
    places: Sequence[NDArray[np.int64]]

    @classmethod
    def of(
        cls,
        design: Array,
        label: Array,
        bend: Array,
        raw: Array,
        free: tuple[Array, Array] | None,
        places: Sequence[NDArray[np.int64]],
    ) -> "Basis":
        """From a factor of the rows.

        Args:
            design: (k, p / K), with design'design = (1/S) sum s (x, 1)(x, 1)' in theta.
            label: (k,), with design'label = (1/S) sum s (x, 1) y.
            bend: P/c, (p / K, p / K).
            raw: root mean square of the rows' coordinates before they were centred, (p / K,).
            free: sizes (p,) and an orthonormal basis, in their units, of the directions that
                constraints leave; None without constraints.
            places: see above.
        """
        p = design.shape[1]
        with one_blas_thread():
            size = np.linalg.norm(design, axis=0)
            unit, within = (size, np.eye(p)) if free is None else free
            values, vectors = np.linalg.eigh(bend)
            # P is given to its own last digits: the root of what is less would be a slope
            bent = values > FAINT * EPS * np.max(values, initial=0.0)
            half = np.sqrt(values[bent])[:, None] * vectors[:, bent].T
            stacked = np.vstack([design, half])
            label = np.append(label, np.zeros(len(stacked) - len(label)))
            left, values, right = np.linalg.svd((stacked / unit) @ within, full_matrices=True)
            whole = within @ right.T
            values = np.append(values, np.zeros(len(right) - len(values)))
            terms = np.abs(whole).T @ (raw / unit)
            rank = int((values > FAINT * EPS * terms).sum())
            seen, flat = whole[:, :rank], whole[:, rank:]
            # what is rounding of 0 would count as a term of its own
            flat = np.where(np.abs(flat) > np.sqrt(EPS), flat, 0.0)
            values, faint = values[:rank], values[rank:]
            t = seen / values / unit[:, None]
            inverse = (values[:, None] * seen.T) * unit
        flat = flat / unit[:, None]
        return cls(
            t, inverse, flat, faint, size, raw, unit, values, left[:, :rank], stacked, label, places
        )

    @property
    def rank(self) -> int:
        """Directions of theta of one output in which rows vary, or the penalty does."""
        return len(self.values)

    @property
    def outputs(self) -> int:
        """K."""
        return len(self.places)

    @property
    def p(self) -> int:
        """Length of theta."""
        return self.outputs * len(self.t)

    @property
    def condition(self) -> float:
        """Of the rows' second moments, in units of their sizes, in the directions of T."""
        return float(self.values[0] / self.values[-1]) ** 2 if self.rank else 1.0

    @property
    def collinear(self) -> bool:
        """Whether second moments alone would have lost half of the digits, or more."""
        return self.flat.shape[1] > 0 or not self.condition < MAX_CONDITION

    def least_squares(self, move: Array) -> Array:
        """The phi (r,) of squared error's minimum, of one output, as seen from a theta.

        Args:
            move: of that theta from weights 0 and the mean label, (p,).
        """
        phi: Array = self.left.T @ (self.label - self.stacked @ move)
        return phi

    @cached_property
    def whole_inverse(self) -> Array:
        """phi of theta for all outputs, one after the other: (K r, p)."""
        total = np.zeros((self.outputs * self.rank, self.p))
        for k, place in enumerate(self.places):
            total[k * self.rank : (k + 1) * self.rank, place] = self.inverse
        return total

    def _factor(self, varied: bool) -> Array:
        """R (., p) of the rows for all outputs, with what rows vary along `flat` if they do."""
        if not varied:
            return self.whole_inverse
        hidden = np.zeros((self.outputs * len(self.faint), self.p))
        for k, place in enumerate(self.places):
            own = self.faint[:, None] * (self.flat * self.unit[:, None] ** 2).T
            hidden[k * len(own) : (k + 1) * len(own), place] = own
        return np.vstack([self.whole_inverse, hidden])

    def step(self, phi: Array) -> Array:
        """The step (p,) in theta that a step (K r,) in phi is."""
        theta = np.zeros(self.p)
        for k, place in enumerate(self.places):
            theta[place] = self.t @ phi[k * self.rank : (k + 1) * self.rank]
        return theta

    def gradient(self, gradient: Array) -> Array:
        """A gradient in theta (p,) as one in phi (K r,)."""
        return np.concatenate([self.t.T @ gradient[place] for place in self.places])

    def of_theta(self, rows: Array) -> Array:
        """Linear functions of theta of one output, (k, p), as those of phi: (k, r)."""
        return rows @ self.t

    def bent(self, matrix: Array) -> Array:
        """A second derivative in theta (p, p) as one in phi, (K r, K r)."""
        r = self.rank
        total = np.empty((self.outputs * r, self.outputs * r))
        for k, rows in enumerate(self.places):
            for j, columns in enumerate(self.places):
                own = self.t.T @ matrix[np.ix_(rows, columns)] @ self.t
                total[k * r : (k + 1) * r, j * r : (j + 1) * r] = own
        return total

    def in_theta(self, hessian: Array) -> Array:
        """A second derivative in phi (K r, K r) as one in theta, (p, p)."""
        own: Array = self.whole_inverse.T @ hessian @ self.whole_inverse
        return (own + own.T) / 2

    def without_flat(self, theta: Array) -> Array:
        """The same predictions by the theta (p,) that has no part along flat directions."""
        theta = theta.copy()
        for place in self.places:
            within = self.flat.T @ (self.unit**2 * theta[place])
            theta[place] -= self.flat @ within
        return theta

    def level(self, gradient: Array, steepness: float) -> bool:
        """Whether a gradient (p,) has no part along flat directions, beyond its rounding.

        Args:
            gradient: in theta.
            steepness: root mean square of l'.
        """
        along = [np.abs(self.flat.T @ gradient[place]) for place in self.places]
        terms = 64 * EPS * steepness * (np.abs(self.flat).T @ self.raw)
        return bool((np.array(along) <= terms).all())

    def residual(
        self,
        g: Array,
        at_kink: NDArray[np.bool_],
        steepness: float,
        terms: float,
        unit: float,
        varied: bool,
    ) -> float:
        """The largest slope of F along any direction of the rows, beyond its rounding.

        Of directions in which rows vary little, a residual in theta tells nothing. With a kink it
        is that of the coordinates that may move; the others' slopes do not rise.

        Args:
            g: the shortest subgradient in theta (p,).
            at_kink: where theta is 0 and F has a kink, (p,).
            steepness: root mean square of l'.
            terms: see `rounding`.
            unit: of the residual; rounding is at most MOST_ROUNDING of it.
            varied: whether rows vary along the directions that are not in T.
        """
        if not np.isfinite(g).all():
            return float("inf")
        if not at_kink.any():
            slope, known = self.gradient(g), np.tile(self.rounding(steepness, terms), self.outputs)
        else:
            moving = np.flatnonzero(~at_kink | (g != 0))
            factor = np.linalg.qr(self._factor(varied)[:, moving], mode="r")
            inverse = np.linalg.pinv(factor, rcond=EPS)
            slope = inverse.T @ g[moving]
            size = np.zeros(self.p)
            for place in self.places:
                size[place] = self.size
            known = 2 * EPS * steepness * (np.abs(inverse).T @ size[moving]) + 2 * EPS * terms
        beyond = np.abs(slope) - np.minimum(known, MOST_ROUNDING * unit)
        worst = max(0.0, float(np.max(beyond, initial=0.0))) / unit
        if not varied or at_kink.any():
            return worst
        along = np.array([np.abs(self.flat.T @ g[place]) for place in self.places])
        with np.errstate(divide="ignore", invalid="ignore"):
            hidden = np.where(along > 0, along / self.faint, 0.0)
        return max(worst, float(hidden.max()) / unit)

    def rounding(self, steepness: float, terms: float) -> Array:
        """How far rounding may have moved the gradient of one output in phi, (r,).

        Args:
            steepness: root mean square of l'.
            terms: root mean square of what z is a sum of, times l''.
        """
        return 2 * EPS * steepness * (np.abs(self.t).T @ self.size) + 2 * EPS * terms


@dataclass(frozen=True)
class Curved:
    """F's second derivative at one point, in a basis.

    Attributes:
        basis: phi's.
        hessian: (K r, K r); of several outputs bent in the directions that F does not see.
        rounding: how far that of sums may have moved the gradient in phi, (K r,).
        blur: how far that of z may have moved it, in the length that H^-1 gives to gradients: a
            gradient sum s l'' q dz/S is at most as long as sqrt(l'') dz.
        level: whether F is flat along the directions that the basis leaves out, for all that rows
            and gradient tell.
        reach: the largest |q| of any row, (r,); None where no pass told it.
    """

    basis: Basis
    hessian: Array
    rounding: Array
    blur: float
    level: bool
    reach: Array | None = None

    @property
    def root(self) -> Array:
        """K (K r, p) with K'K = F's Hessian in theta."""
        values, vectors = np.linalg.eigh(self.hessian)
        half = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        total: Array = half @ self.basis.whole_inverse
        return total


def doubtful(matrix: Array) -> bool:
    """Whether a positive semidefinite matrix (p, p) is as ill-conditioned as MAX_CONDITION, scaled
    to a unit diagonal: out of sums of squares, its small eigenvalues have lost half of their
    digits."""
    diagonal = np.diagonal(matrix)
    if len(diagonal) == 0:
        return False
    if not ((diagonal > 0).all() and np.isfinite(matrix).all()):
        return True
    with one_blas_thread():
        unit = 1 / np.sqrt(diagonal)
        scaled = matrix * unit[:, None] * unit
        try:
            factor = linalg.cholesky(scaled, lower=True)
        except linalg.LinAlgError:
            return True
        norm = float(np.abs(scaled).sum(axis=0).max())
        reciprocal, _ = linalg.lapack.dpocon(factor, norm, uplo="L")
    return not reciprocal * MAX_CONDITION > 1
