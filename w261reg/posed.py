"""The function that is minimised, and what the moments of the first pass tell of it."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.aggregators import Summary
from w261reg.blas import one_blas_thread
from w261reg.conventions import Strengths
from w261reg.evaluation import Evaluation
from w261reg.losses import Loss
from w261reg.null_classes import NullClasses
from w261reg.null_model import NullModel
from w261reg.penalties import ElasticNet, Penalty, PenaltySum
from w261reg.penalties.l1 import L1
from w261reg.penalties.l2 import L2
from w261reg.regularizer import Regularizer
from w261reg.rounding import EPS, Rounding
from w261reg.scaling import Coordinates, UserCoordinates

Array = NDArray[np.float64]


class Posed:
    """F(theta) = (1/S) sum s l(y, z) + R(w) over rows, in the coordinates of `scaling`.

    Args:
        loss: pointwise loss.
        summary: what the first pass found.
        strengths: l1, l2 and the scale of both.
        fit_intercept: whether there is an intercept, which is never penalised.
        extra: penalties beside L1 and L2.
        sample: what the first pass found in a sample of the rows, with their Gram matrix.
        every: the sample is one row in so many.

    Attributes:
        coordinates: between theta and (w, b).
        regularizer: the penalty in theta.
        null: what is known of the loss without a pass.
        rounding: of what a pass finds.
        rho: root mean square of l' at the null model; the unit of the residual.
        kink: half the jump of F's derivative at u_j = 0, (p,).
    """

    def __init__(
        self,
        loss: Loss,
        summary: Summary,
        strengths: Strengths,
        fit_intercept: bool,
        extra: tuple[Penalty, ...] = (),
        sample: Summary | None = None,
        every: int = 1,
    ) -> None:
        self.loss, self.summary, self.strengths = loss, summary, strengths
        self.fit_intercept = fit_intercept
        self.extra = extra
        self.sample, self.every = sample, every
        self.penalty = PenaltySum((*standard_penalty(strengths), *extra))
        self.coordinates = Coordinates.of(summary, fit_intercept, loss.outputs)
        self.null = self._null()
        self._lambda_max: dict[bool, float | None] = {}
        self.rho = self.null.rms()
        self._pose_penalty()

    def _pose_penalty(self) -> None:
        self.regularizer = Regularizer(self.penalty, self.coordinates, self.null.spread())
        self.kink = self.regularizer.kink
        self.rounding = Rounding(self.loss, self.summary, self.coordinates)

    def move(self, coordinates: Coordinates) -> None:
        """Go on in other coordinates of the same features: what theta means changes.

        With an intercept and a loss that is not quadratic: the moments of the Gram matrix stay
        those about the means.
        """
        self.coordinates = coordinates
        self.null = self._null()
        self._lambda_max = {}
        self._pose_penalty()

    def _null(self) -> NullModel:
        kind = NullModel if self.summary.classes is None else NullClasses
        return kind(self.loss, self.summary, self.coordinates)

    @property
    def zero(self) -> Array:
        """Weights of 0, (n,) or (n, K)."""
        return self.coordinates.weights(np.zeros(self.p))

    @property
    def p(self) -> int:
        """Number of coordinates of theta."""
        return self.coordinates.p

    @property
    def smooth(self) -> bool:
        """Whether F has no kink."""
        return not self.kink.any()

    @property
    def unpenalised(self) -> bool:
        """Whether there is no penalty at all."""
        return not self.penalty.terms

    @property
    def coercive(self) -> bool:
        """Whether the penalty alone makes sure of an optimum."""
        return any(term.coercive for term in self.penalty.terms)

    @property
    def ridge(self) -> bool:
        """Whether the penalty is L2 alone."""
        return self.strengths.l2 > 0 and self.smooth and not self.extra

    def null_theta(self) -> Array:
        """Weights 0 and the best intercept."""
        return self.null.theta.copy()

    def null_evaluation(self) -> Evaluation | None:
        """The evaluation at the null model; None where moments do not tell it.

        Without the Hessian where there is no Gram matrix, or l'' is not one number for all rows.
        """
        if not self.null.known:
            return None
        if self.loss.quadratic and self.summary.gram:
            return self.quadratic_evaluation(self.null_theta())
        hessian = None
        if self.summary.gram and self.null.even:
            hessian = self.null.hessian()
        to, raw = self.coordinates, self.null.gradient()
        unit = to.unit if raw.ndim == 1 else to.unit[:, None]
        gradient = to.extended(unit * raw, self.null.slope())
        blur = self.rho * EPS * self.rounding.size
        # the label's mean, or the classes' shares, are known to their own last digits only
        beside = EPS * np.abs(self.null_theta()[to.slopes :])
        rounding = float(np.sum(beside**2 if self.loss.quadratic else beside))
        value = self.null.value()
        return self._evaluation(self.null_theta(), value, gradient, hessian, np.inf, rounding, blur)

    def quadratic_evaluation(self, theta: Array, order: int = 2) -> Evaluation:
        """The evaluation of squared error at any theta out of the Gram matrix."""
        moments, xy = self.null.scaled_moments()
        n, y_square = len(xy), self.null.y_square()
        u = theta[:n]
        gradient = np.zeros(self.p)
        with np.errstate(over="ignore", invalid="ignore"):
            value = 0.5 * y_square + float(u @ (0.5 * (moments @ u) - xy))
            gradient[:n] = moments @ u - xy
            if self.fit_intercept:
                beside, off = self.null.beside(), theta[n] - self.summary.y_mean
                value += off * (0.5 * off + float(beside @ u))
                gradient[:n] += off * beside
                slope = off + float(beside @ u)
                # theta's last is near the label's mean, a number to its own last digits only
                gradient[n] = slope if abs(slope) > EPS * abs(self.summary.y_mean) else 0.0
        # the value is a difference of sums that may be far larger than it
        size, to = np.abs(u), self.coordinates
        with np.errstate(over="ignore", invalid="ignore"):
            terms = y_square + float(size @ (np.abs(moments) @ size) + 2 * np.abs(xy) @ size)
            rounded = self.null.rounded_moments()
            moved = float(rounded @ size)
            terms += moved * (moved + 2 * math.sqrt(y_square))
            # covariances with the label are centred as sums, whatever the block
            about = self.rounding.size[:n]
            terms += 2 * float(about @ size) * math.sqrt(y_square)
            y_mean = self.summary.y_mean * self.fit_intercept
            terms += EPS * y_mean**2
            sizes = np.sqrt(np.maximum(np.diagonal(moments), 0.0))
            of_slopes = sizes * (float(sizes @ size) + math.sqrt(y_square))
            of_slopes += rounded * moved + (rounded + about) * math.sqrt(y_square)
        blur = EPS * to.extended(of_slopes, abs(y_mean))
        hessian = self.null.with_intercept(moments) if order == 2 else None
        return self._evaluation(theta, value, gradient, hessian, np.inf, EPS * terms, blur)

    def form(self, theta: Array) -> Array:
        """Of the theta (p,) that differ by a common move of all outputs, the one to report.

        Intercepts sum to 0 over the outputs, and so do weights where no L1 part says otherwise.
        Under L1 alone 0 is a median of a feature's weights: F is least there.
        """
        to = self.coordinates
        if to.outputs == 1:
            return theta
        w, b = to.weights(theta), to.centred_intercept(theta)
        if self.smooth and all(term.quadratic for term in self.penalty.terms):
            w = w - w.mean(axis=1, keepdims=True)
        elif not self.smooth and not self.strengths.l2 and not self.extra:
            ordered, k = np.sort(w, axis=1), to.outputs
            w = w - np.clip(0.0, ordered[:, [(k - 1) // 2]], ordered[:, [k // 2]])
        # a common move of all intercepts: that of the raw ones has mean 0
        level = b.mean() - to.centre @ w.mean(axis=1)
        return to.extended(w[to.active] / to.unit[:, None], b - level)

    def user(self, standardized: bool) -> UserCoordinates:
        """The coordinates of gradient descent's steps: raw features, or standardized ones."""
        return UserCoordinates.of(self.coordinates, self.strengths.scale if standardized else None)

    def lambda_max(self, standardized: bool) -> float | None:
        """The largest eigenvalue of F's Hessian away from kinks in `user`'s coordinates.

        Exact for squared error; else a bound for all points, from the loss's largest curvature.
        None where that has no bound, or leaves the range of numbers, or the first pass had no Gram
        matrix.
        """
        known = self.summary.gram and np.isfinite(self.loss.most_curved)
        if standardized not in self._lambda_max and known:
            self._lambda_max[standardized] = self._largest_curvature(standardized)
        return self._lambda_max.get(standardized)

    def _largest_curvature(self, standardized: bool) -> float | None:
        # of several outputs, too: most_curved bounds the loss's second derivative as a matrix
        one = self.coordinates.single
        hessian = self.loss.most_curved * self.null.second_moments()
        hessian += Regularizer(self.penalty, one, self.null.spread()).hessian(
            np.zeros(one.n_features)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            own, last = self.user(standardized).hessian(hessian), one.p - 1
        if one.p == 0 or not np.isfinite(own).all():
            return None
        with one_blas_thread():
            return float(linalg.eigvalsh(own, subset_by_index=[last, last])[0])

    def null_diagonal(self) -> Array:
        """The diagonal of F's Hessian at the null model (p,)."""
        return self.null.diagonal() + self.regularizer.diagonal(self.zero)

    def sampled_null_hessian(self) -> Array | None:
        """F's Hessian at the null model, estimated from the first pass's sample: (p, p)."""
        if self.sample is None or not self.null.even:
            return None
        return self._well_posed(self.null.hessian(self.sample)) + self.regularizer.hessian(
            self.zero
        )

    def _well_posed(self, sampled: Array) -> Array:
        """A sampled Hessian of the loss with a part of its diagonal added: (p, p).

        With m rows for p coordinates its small eigenvalues are too small by a share of about
        sqrt(p/m); and a feature may have no spread in the sample, which it has in the data.
        """
        share = min(1.0, self.p * self.every / max(1, self.summary.rows))
        active = self.coordinates.active
        spread = (self.summary.sd()[active] * self.coordinates.unit) ** 2
        variance = self.coordinates.extended(spread, 1.0)
        level = float(np.mean(np.diagonal(sampled) / variance)) if self.p else 0.0
        if level == 0.0:  # no sampled row has any curvature: all may be flat but few
            level = self.null.curvature()
        total: Array = sampled + np.diag(share * level * variance)
        return total

    def max_l1(self) -> float:
        """The largest useful l1: above it all weights are 0. From the covariances."""
        scale = self.strengths.scale[self.coordinates.active]
        gradient = np.abs(self.null.gradient())
        largest = gradient if gradient.ndim == 1 else gradient.max(axis=1, initial=0.0)
        return float(np.max(largest / scale, initial=0.0))

    # --- an evaluation out of the loss and its derivatives ----------------------------------------

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
        w = self.coordinates.weights(theta)
        # a diverging model overflows: the solver sees numbers that are not finite and says so
        with np.errstate(over="ignore", invalid="ignore"):
            objective = loss + self.regularizer.value(w)
            gradient = loss_gradient + self.regularizer.gradient(w)
            if hessian is not None:
                hessian = hessian + self.regularizer.hessian(w)
            residual = self.residual(theta, loss, loss_gradient, blur)
        return Evaluation(
            theta,
            loss,
            objective,
            loss_gradient,
            gradient,
            residual,
            hessian,
            margin,
            rounding,
            blur,
            self._scale_free(blur),
        )

    def residual(self, theta: Array, loss: float, loss_gradient: Array, blur: Array) -> float:
        """How far theta is from optimal, free of the units of features and weights.

        max( max_j r_j / (sd_j rho), |g_b| / rho ), with r_j the distance of the loss's (centred)
        gradient from the penalty's subdifferential, sd over S, rho the rms of l' at the null model.

        Where sd_j is that of one outlier, or the penalty is small, this says little of F. So the
        residual is at least R/(l + R) q^2, with q <= 1 the largest r_j / (d_j (l1 + l2 max_k d_k
        |w_k|)), of r_j what rounding does not explain: with L2, F - F* <= p q^2 R by its strong
        convexity. l + R is F, and the share is 1 while all weights are 0.

        Args:
            theta: (p,).
            loss: the mean loss.
            loss_gradient: its gradient (p,).
            blur: the gradient's rounding (p,).
        """
        if not np.isfinite(loss_gradient).all():
            return float("inf")
        to = self.coordinates
        w = to.weights(theta)
        raw = np.zeros_like(w)
        unit = to.unit if w.ndim == 1 else to.unit[:, None]
        raw[to.active] = to.columns(loss_gradient[: to.slopes]) / unit
        distance = self.regularizer.distance(w, raw)[to.active]
        r = to.line(distance)
        slopes = np.append(r * to.line(to.unit), loss_gradient[to.slopes :])
        residual = self._scale_free(slopes)
        d = self.strengths.scale[to.active]
        steepest = float(np.max(to.line(d) * np.abs(to.line(w[to.active])), initial=0.0))
        level = self.strengths.l1 + self.strengths.l2 * steepest
        if not level > 0:
            return residual
        penalty = self.regularizer.value(w)
        share = penalty / (abs(loss) + penalty) if penalty > 0 else 1.0
        beyond = np.maximum(r - blur[: to.slopes] / to.line(to.unit), 0.0)
        unpaid = float(np.max(beyond / to.line(d), initial=0.0)) / level
        return max(residual, share * min(1.0, unpaid) ** 2)

    def _scale_free(self, gradient: Array) -> float:
        """The largest of a gradient in theta (p,), in units of sd_j rho for weight j."""
        to = self.coordinates
        size = to.extended(self.summary.sd()[:-1][to.active] * to.unit, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.max(np.abs(gradient) / size, initial=0.0)) / self.rho


def standard_penalty(strengths: Strengths) -> tuple[Penalty, ...]:
    """L1, L2 or the elastic net, whichever these strengths make; none where both are 0."""
    l1, l2, scale = strengths.l1, strengths.l2, strengths.scale
    if l1 and l2:
        return (ElasticNet(l1, l2, scale),)
    if l1:
        return (L1(l1, scale),)
    return (L2(l2, scale),) if l2 else ()
