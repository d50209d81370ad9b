"""The function that is minimised: mean loss + penalty, each evaluation one pass."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.aggregators import (
    Aggregator,
    Average,
    Evaluate,
    LocalSteps,
    Sample,
    Several,
    Summarise,
    Summary,
    Sums,
)
from w261reg.blas import one_blas_thread
from w261reg.blocks import symmetric
from w261reg.conventions import Strengths
from w261reg.datasets import Dataset
from w261reg.losses import Loss
from w261reg.null_model import NullModel
from w261reg.penalties import ElasticNet, Penalty, PenaltySum
from w261reg.penalties.l1 import L1
from w261reg.penalties.l2 import L2
from w261reg.scaling import Coordinates, UserCoordinates

Array = NDArray[np.float64]

# where rounding moves the objective out of the Gram matrix by more than this share, as on labels
# that are nearly explained or features far from 0 without an intercept, it is worth a pass
MAX_ROUNDING = 1e-10


@dataclass(frozen=True)
class Evaluation:
    """The objective at one theta (p,).

    Attributes:
        theta: where.
        loss: mean loss.
        objective: F = loss + penalty.
        loss_gradient: of the mean loss alone, in theta (p,).
        gradient: of F, in theta; at a kink the subgradient that takes sign(0) = 0.
        residual: the scale-free optimality residual (see `Objective.residual`).
        hessian: of F away from kinks (p, p); None where only the gradient was asked for.
        margin: smallest margin of any row; infinite for losses without one.
        rounding: how far rounding may have moved the objective, beyond its own last digits.
        sampled: an estimate of `hessian` from a sample of the rows, where it was asked for.
        diagonal: of `hessian` (p,), where it alone was asked for.
        beside: F at other points that rode along (k,).
        also: what another aggregator that rode along found.
        gap: F less a lower bound of its minimum, where a solver has proven one.
    """

    theta: Array
    loss: float
    objective: float
    loss_gradient: Array
    gradient: Array
    residual: float
    hessian: Array | None = None
    margin: float = np.inf
    rounding: float = 0.0
    sampled: Array | None = None
    diagonal: Array | None = None
    beside: Array | None = None
    also: Any = None
    gap: float | None = None

    @property
    def finite(self) -> bool:
        """Whether the objective and its gradient are numbers."""
        return bool(np.isfinite(self.objective) and np.isfinite(self.gradient).all())


@dataclass(frozen=True)
class Stepped:
    """What local steps came to: theta (p,), and a plane height + slope'theta below the loss.

    `size` is that of the height's terms, which rounding is a share of.
    """

    theta: Array
    height: float
    slope: Array
    size: float


class Objective:
    """F(theta) = (1/S) sum s l(y, z) + R(w) over a dataset, in the coordinates of `scaling`.

    Args:
        dataset: the rows.
        loss: pointwise loss.
        summary: what the first pass found.
        strengths: l1, l2 and the scale of both.
        fit_intercept: whether there is an intercept, which is never penalised.
        extra: penalties beside L1 and L2.
        sample: what the first pass found in a sample of the rows, with their Gram matrix.
        every: the sample is one row in so many.

    Attributes:
        coordinates: between theta and (w, b).
        null: what is known of the loss without a pass.
        rho: root mean square of l' at the null model; the unit of the residual.
        kink: half the jump of F's derivative at u_j = 0, (p,).
        rider: makes an aggregator of (w, b) that rides with evaluations while `riding`, for it is
            wanted at the answer; None where nothing is.
        riding: whether the next evaluation may be the last.
        ridden: theta of the last such evaluation, and the rider's state.
        head: the evaluation, of order 2, that the first pass brought; None where it did not.
        by_gram: evaluate out of the Gram matrix of squared error where it is accurate enough, while
            a solver runs that wants so.
    """

    def __init__(
        self,
        dataset: Dataset,
        loss: Loss,
        summary: Summary,
        strengths: Strengths,
        fit_intercept: bool,
        extra: tuple[Penalty, ...] = (),
        sample: Summary | None = None,
        every: int = 1,
    ) -> None:
        self.dataset, self.loss, self.summary, self.strengths = dataset, loss, summary, strengths
        self.fit_intercept = fit_intercept
        self.extra = extra
        self.sample, self.every = sample, every
        self.penalty = PenaltySum((*standard_penalty(strengths), *extra))
        self.coordinates = Coordinates.of(summary, fit_intercept)
        self.null = NullModel(loss, summary, self.coordinates)
        self.rider: Callable[[Array, float], Aggregator[Any]] | None = None
        self.riding = False
        self.ridden: tuple[Array, Any] | None = None
        self.head: Evaluation | None = None
        self.by_gram = False
        self._lambda_max: dict[bool, float | None] = {}
        self.rho = self.null.rms()
        self.kink = self._to_theta(self.penalty.kink(np.zeros(dataset.n_features)))

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

    def take_gram(self, label: str) -> None:
        """Get the Gram matrix where the first pass did not compute it: one pass."""
        if not self.summary.gram:
            summarise = Summarise(self.dataset.n_features, gram=True)
            summarise.name = f"{label}: Gram matrix"
            self.summary = self.dataset.aggregate(summarise)
            self.null = NullModel(self.loss, self.summary, self.coordinates)

    # --- what costs no pass ---------------------------------------------------------------------

    def null_theta(self) -> Array:
        """Weights 0 and the best intercept."""
        return self.null.theta.copy()

    def null_evaluation(self) -> Evaluation | None:
        """The evaluation at the null model; None where moments do not tell it.

        Without the Hessian where there is no Gram matrix, or l'' is not one number for all rows.
        """
        if not self.null.known:
            return None
        raw = np.zeros(self.dataset.n_features)
        raw[self.coordinates.active] = self.null.gradient()
        hessian = None
        if self.summary.gram and self.null.even:
            hessian = self.null.curvature() * self.null.second_moments()
        gradient = self._to_theta(raw)
        if self.fit_intercept:
            gradient[-1] = self.null.slope()
        return self._evaluation(self.null_theta(), self.null.value(), gradient, hessian, np.inf)

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
            gradient[n] = theta[n] - self.summary.y_mean
            with np.errstate(over="ignore"):
                value += 0.5 * float(gradient[n] ** 2)
        # the value is a difference of sums that may be far larger than it
        size = np.abs(u)
        with np.errstate(over="ignore", invalid="ignore"):
            terms = y_square + float(size @ (np.abs(moments) @ size) + 2 * np.abs(xy) @ size)
        rounding = float(np.finfo(float).eps) * terms
        hessian = self.null.with_intercept(moments) if order == 2 else None
        at = self._evaluation(theta, value, gradient, hessian, np.inf)
        return replace(at, rounding=rounding)

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
        hessian = self.loss.most_curved * self.null.second_moments()
        hessian += self.penalty_hessian(np.zeros(self.dataset.n_features))
        with np.errstate(over="ignore", invalid="ignore"):
            own, last = self.user(standardized).hessian(hessian), self.p - 1
        if self.p == 0 or not np.isfinite(own).all():
            return None
        with one_blas_thread():
            return float(linalg.eigvalsh(own, subset_by_index=[last, last])[0])

    def null_diagonal(self) -> Array:
        """The diagonal of F's Hessian at the null model (p,)."""
        return self.null.diagonal() + self.penalty_diagonal(np.zeros(self.dataset.n_features))

    def sampled_null_hessian(self) -> Array | None:
        """F's Hessian at the null model, estimated from the first pass's sample: (p, p)."""
        if self.sample is None or not self.null.even:
            return None
        hessian = self.null.curvature() * self.null.second_moments(self.sample)
        return self._well_posed(hessian) + self.penalty_hessian(np.zeros(self.dataset.n_features))

    def _well_posed(self, sampled: Array) -> Array:
        """A sampled Hessian of the loss with a part of its diagonal added: (p, p).

        With m rows for p coordinates its small eigenvalues are too small by a share of about
        sqrt(p/m); and a feature may have no spread in the sample, which it has in the data.
        """
        share = min(1.0, self.p * self.every / max(1, self.summary.rows))
        active = self.coordinates.active
        variance = (self.summary.sd()[active] * self.coordinates.unit) ** 2
        variance = self.coordinates.extended(variance, 1.0)
        level = float(np.mean(np.diagonal(sampled) / variance)) if self.p else 0.0
        if level == 0.0:  # no sampled row has any curvature: all may be flat but few
            level = self.null.curvature()
        total: Array = sampled + np.diag(share * level * variance)
        return total

    def max_l1(self) -> float:
        """The largest useful l1: above it all weights are 0. From the covariances."""
        scale = self.strengths.scale[self.coordinates.active]
        return float(np.max(np.abs(self.null.gradient()) / scale, initial=0.0))

    # --- evaluations, one pass each -------------------------------------------------------------

    def evaluate(
        self,
        theta: Array,
        order: int,
        label: str = "",
        beside: Array | None = None,
        sampled: bool = False,
        diagonal: bool = False,
        also: Aggregator[Any] | None = None,
    ) -> Evaluation:
        """F, gradient and, for order 2, Hessian at theta (p,): one pass.

        Args:
            theta: where.
            order: 1 or 2.
            label: of the pass.
            beside: further points (p, k) at which F is wanted, in the same pass.
            sampled: whether an estimate of the Hessian from a sample of the rows is wanted.
            diagonal: whether the Hessian's diagonal is wanted, with order 1.
            also: another aggregator that rides along.
        """
        if self.by_gram and not (sampled or diagonal or also):
            at = self.quadratic_evaluation(theta, order)
            if not at.rounding > MAX_ROUNDING * abs(at.objective):
                return at if beside is None else replace(at, beside=self.values(beside))
        parts: list[Aggregator[Any]] = [self._evaluate(theta[:, None], order, diagonal)]
        if self.riding and self.rider is not None:
            w = self.coordinates.weights(theta)
            parts.append(self.rider(w, self.coordinates.intercept(theta)))
        if beside is not None:
            parts.append(self._evaluate(beside, 0))
        if sampled:
            parts.append(Sample(self._evaluate(theta[:, None], 2), self.every))
        if also is not None:
            parts.append(also)
        whole = Several(*parts)
        whole.name = f"{label}: {whole.name}" if label else whole.name
        sums, *others = self.dataset.aggregate(whole)
        if self.riding and self.rider is not None:
            self.ridden = theta, others.pop(0)
        at = self.of_sums(theta, sums, order)
        if also is not None:
            at = replace(at, also=others.pop())
        if sampled:
            own = others.pop()
            estimate = self._well_posed(self._hessian(own, own.weight))
            estimate += self.penalty_hessian(self.coordinates.weights(theta))
            at = replace(at, sampled=estimate)
        if diagonal:
            own = self.coordinates.extended(sums.diagonal[self.coordinates.active], sums.curvature)
            own /= self.summary.weight
            own += self.penalty_diagonal(self.coordinates.weights(theta))
            at = replace(at, diagonal=own)
        if beside is not None:
            at = replace(at, beside=self._values(others.pop(), beside))
        return at

    def subgradients(
        self, thetas: Array, label: str, steps: LocalSteps | None = None
    ) -> tuple[list[Evaluation], Stepped | None]:
        """First-order evaluations at each column of thetas (p, k), in one pass.

        Args:
            thetas: where.
            label: of the pass.
            steps: local steps that ride along.

        Returns:
            The evaluations, and what the steps came to; None where they did not ride, or came to
            no number.
        """
        parts: list[Aggregator[Any]] = [self._evaluate(thetas, 1)]
        whole = Several(*parts, *([] if steps is None else [steps]))
        whole.name = f"{label}: {whole.name}"
        sums, *others = self.dataset.aggregate(whole)
        found = [
            self.of_sums(
                theta,
                replace(
                    sums,
                    value=sums.value[[k]],
                    gradient=sums.gradient[:, [k]],
                    intercept=sums.intercept[[k]],
                    margin=sums.margin[[k]],
                ),
                1,
            )
            for k, theta in enumerate(thetas.T)
        ]
        return found, self._stepped(others[0]) if others else None

    def _stepped(self, own: Average) -> Stepped | None:
        to, weight = self.coordinates, own.weight
        theta = to.extended(own.w[to.active] / to.unit / weight, own.b / weight)
        slope = to.extended(to.unit * (own.slope[to.active] / weight), own.intercept / weight)
        finite = np.isfinite(theta).all() and np.isfinite(slope).all() and np.isfinite(own.height)
        return Stepped(theta, own.height / weight, slope, own.size / weight) if finite else None

    def of_sums(self, theta: Array, sums: Sums, order: int) -> Evaluation:
        """The evaluation at theta (p,) from the sums of all rows about this centre."""
        weight = self.summary.weight
        active, n = self.coordinates.active, len(self.coordinates.active)
        gradient = np.empty(self.p)
        gradient[:n] = self.coordinates.unit * (sums.gradient[active, 0] / weight)
        if self.fit_intercept:
            gradient[n] = sums.intercept[0] / weight
        hessian = self._hessian(sums, weight) if order == 2 else None
        value, margin = float(sums.value[0]) / weight, float(sums.margin[0])
        return self._evaluation(theta, value, gradient, hessian, margin)

    def _hessian(self, sums: Sums, weight: float) -> Array:
        """Of the mean loss, in theta (p, p)."""
        active, n = self.coordinates.active, len(self.coordinates.active)
        hessian = np.empty((self.p, self.p))
        hessian[:n, :n] = symmetric(sums.hessian)[np.ix_(active, active)] / weight
        if self.fit_intercept:
            hessian[n, :n] = hessian[:n, n] = sums.mixed[active] / weight
            hessian[n, n] = sums.curvature / weight
        return hessian

    def values(self, thetas: Array, label: str = "") -> Array:
        """F at each column of thetas (p, k): (k,), one pass."""
        if self.by_gram:
            return np.array([self.quadratic_evaluation(t, 1).objective for t in thetas.T])
        return self._values(self._pass(thetas, 0, label), thetas)

    def slopes(self, thetas: Array, label: str = "") -> tuple[Array, Array]:
        """F (k,) and its gradient (p, k) at each column of thetas (p, k): one pass."""
        sums = self._pass(thetas, 1, label)
        active, n, weight = self.coordinates.active, len(self.coordinates.active), sums.weight
        gradient = np.empty(thetas.shape)
        gradient[:n] = self.coordinates.unit[:, None] * (sums.gradient[active] / weight)
        if self.fit_intercept:
            gradient[n] = sums.intercept / weight
        for column, w in zip(gradient.T, self.coordinates.weights(thetas).T, strict=True):
            column += self._to_theta(self.penalty.gradient(w))
        return self._values(sums, thetas), gradient

    def _values(self, sums: Sums, thetas: Array) -> Array:
        w = self.coordinates.weights(thetas)
        with np.errstate(over="ignore", invalid="ignore"):
            penalties = np.array([self.penalty.value(column) for column in w.T])
            return sums.value / self.summary.weight + penalties

    def margins(self, thetas: Array, label: str = "") -> Array:
        """The smallest margin of any row at each column of thetas (p, k): (k,), one pass."""
        return self._pass(thetas, 0, label).margin

    def _pass(self, thetas: Array, order: int, label: str) -> Sums:
        evaluate = self._evaluate(thetas, order)
        if label:
            evaluate.name = f"{label}: {evaluate.name}"
        return self.dataset.aggregate(evaluate)

    def _evaluate(self, thetas: Array, order: int, diagonal: bool = False) -> Evaluate:
        w = self.coordinates.weights(thetas)
        b = self.coordinates.centred_intercept(thetas)
        scale = self.coordinates.full_unit() if order == 2 or diagonal else None
        return Evaluate(self.loss, w, b, self.coordinates.centre, order, scale, diagonal)

    def _evaluation(
        self,
        theta: Array,
        loss: float,
        loss_gradient: Array,
        hessian: Array | None,
        margin: float,
    ) -> Evaluation:
        w = self.coordinates.weights(theta)
        # a diverging model overflows: the solver sees numbers that are not finite and says so
        with np.errstate(over="ignore", invalid="ignore"):
            objective = loss + self.penalty.value(w)
            gradient = loss_gradient + self._to_theta(self.penalty.gradient(w))
            if hessian is not None:
                hessian = hessian + self.penalty_hessian(w)
            residual = self.residual(theta, loss_gradient)
        return Evaluation(
            theta, loss, objective, loss_gradient, gradient, residual, hessian, margin
        )

    # --- the penalty in theta -------------------------------------------------------------------

    def _to_theta(self, raw: Array) -> Array:
        """A derivative in w (n,) as a derivative in theta (p,)."""
        u = self.coordinates.unit * raw[self.coordinates.active]
        return np.append(u, 0.0) if self.fit_intercept else u

    def penalty_hessian(self, w: Array) -> Array:
        """Second derivative of the penalty away from kinks, in theta (p, p)."""
        raw = self.penalty.hessian(w)
        active, unit = self.coordinates.active, self.coordinates.unit
        n = len(active)
        total = np.zeros((self.p, self.p))
        if raw.ndim == 1:
            # d before d^2: (unit d)^2 stays in range where d^2 alone may not
            total[np.arange(n), np.arange(n)] = unit * (raw[active] * unit)
        else:
            total[:n, :n] = unit[:, None] * raw[np.ix_(active, active)] * unit
        return total

    def penalty_diagonal(self, w: Array) -> Array:
        """The diagonal of `penalty_hessian` (p,), which may be all that fits in memory."""
        raw = self.penalty.diagonal(w)
        unit = self.coordinates.unit
        return self.coordinates.extended(unit * (raw[self.coordinates.active] * unit), 0.0)

    def residual(self, theta: Array, loss_gradient: Array) -> float:
        """How far theta is from optimal, free of the units of features and weights.

        max( max_j r_j / (sd_j rho), |g_b| / rho ), with r_j the distance of the loss's (centred)
        gradient from the penalty's subdifferential, sd over S, rho the rms of l' at the null model.
        """
        if not np.isfinite(loss_gradient).all():
            return float("inf")
        active = self.coordinates.active
        n = len(active)
        w = self.coordinates.weights(theta)
        raw = np.zeros_like(w)
        raw[active] = loss_gradient[:n] / self.coordinates.unit
        distance = self.penalty.residual(w, raw)[active]
        sd = self.summary.sd()[:-1][active]
        worst = float(np.max(distance / sd, initial=0.0))
        if self.fit_intercept:
            worst = max(worst, abs(float(loss_gradient[n])))
        return worst / self.rho


def standard_penalty(strengths: Strengths) -> tuple[Penalty, ...]:
    """L1, L2 or the elastic net, whichever these strengths make; none where both are 0."""
    l1, l2, scale = strengths.l1, strengths.l2, strengths.scale
    if l1 and l2:
        return (ElasticNet(l1, l2, scale),)
    if l1:
        return (L1(l1, scale),)
    return (L2(l2, scale),) if l2 else ()


def shortest_subgradient(at: Evaluation, kink: Array) -> Array:
    """The subgradient of F of least length, (p,)."""
    g = at.gradient
    at_kink = (at.theta == 0) & (kink > 0)
    return np.where(at_kink, np.sign(g) * np.maximum(np.abs(g) - kink, 0.0), g)


def rounding_of(value: float) -> float:
    """Differences of an objective of this size, up to here, are rounding errors."""
    return 64 * float(np.finfo(float).eps) * abs(value)
