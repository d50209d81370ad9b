"""The function that is minimised: mean loss + penalty, each evaluation one pass."""

from collections.abc import Callable
from dataclasses import replace
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
from w261reg.conventions import Strengths
from w261reg.datasets import Dataset
from w261reg.evaluation import Evaluation, Stepped
from w261reg.losses import Loss
from w261reg.null_classes import NullClasses
from w261reg.null_model import NullModel
from w261reg.penalties import ElasticNet, Penalty, PenaltySum
from w261reg.penalties.l1 import L1
from w261reg.penalties.l2 import L2
from w261reg.regularizer import Regularizer
from w261reg.scaling import Coordinates, UserCoordinates

Array = NDArray[np.float64]

# where rounding moves the objective out of the Gram matrix by more than this share, as on labels
# that are nearly explained or features far from 0 without an intercept, it is worth a pass
MAX_ROUNDING = 1e-10


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
        regularizer: the penalty in theta.
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
        self.coordinates = Coordinates.of(summary, fit_intercept, loss.outputs)
        self.null = self._null()
        self.rider: Callable[[Array, float], Aggregator[Any]] | None = None
        self.riding = False
        self.ridden: tuple[Array, Any] | None = None
        self.head: Evaluation | None = None
        self.by_gram = False
        self._lambda_max: dict[bool, float | None] = {}
        self.rho = self.null.rms()
        self.regularizer = Regularizer(self.penalty, self.coordinates, self.null.spread())
        self.kink = self.regularizer.kink

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

    def take_gram(self, label: str) -> None:
        """Get the Gram matrix where the first pass did not compute it: one pass."""
        if not self.summary.gram:
            summarise = Summarise(self.dataset.n_features, True, self.loss.outputs)
            summarise.name = f"{label}: Gram matrix"
            self.summary = self.dataset.aggregate(summarise)
            self.null = self._null()

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
        hessian = None
        if self.summary.gram and self.null.even:
            hessian = self.null.hessian()
        to, raw = self.coordinates, self.null.gradient()
        unit = to.unit if raw.ndim == 1 else to.unit[:, None]
        gradient = to.extended(unit * raw, self.null.slope())
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
        largest = np.abs(self.null.gradient()).reshape(len(scale), -1).max(axis=1, initial=0.0)
        return float(np.max(largest / scale, initial=0.0))

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
            estimate += self.regularizer.hessian(self.coordinates.weights(theta))
            at = replace(at, sampled=estimate)
        if diagonal:
            own = self.coordinates.extended(
                self.coordinates.line(sums.diagonal[self.coordinates.active]), sums.curvature
            )
            own /= self.summary.weight
            own += self.regularizer.diagonal(self.coordinates.weights(theta))
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
            self.of_sums(theta, sums.of_model(j, self.loss.outputs), 1)
            for j, theta in enumerate(thetas.T)
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
        gradient = self._gradients(sums, weight)[:, 0]
        hessian = self._hessian(sums, weight) if order == 2 else None
        value, margin = float(sums.value[0]) / weight, float(sums.margin[0])
        return self._evaluation(theta, value, gradient, hessian, margin)

    def _gradients(self, sums: Sums, weight: float) -> Array:
        """Of the mean losses of k models, in theta (p, k)."""
        to, outputs = self.coordinates, self.loss.outputs
        raw = to.unit[:, None] * (sums.gradient[to.active] / weight)
        # (n_active, k K) as (K n_active, k)
        slopes = raw.reshape(len(raw), -1, outputs).transpose(2, 0, 1).reshape(to.slopes, -1)
        if not self.fit_intercept:
            return slopes
        return np.vstack([slopes, sums.intercept.reshape(-1, outputs).T / weight])

    def _hessian(self, sums: Sums, weight: float) -> Array:
        """Of the mean loss, in theta (p, p)."""
        active, n = self.coordinates.active, len(self.coordinates.active)
        p = self.coordinates.single.p

        def of_edge(e: int) -> Array:
            hessian = np.empty((p, p))
            hessian[:n, :n] = sums.second(e)[np.ix_(active, active)] / weight
            if self.fit_intercept:
                hessian[n, :n] = hessian[:n, n] = sums.mixed[active, e] / weight
                hessian[n, n] = sums.curvature[e] / weight
            return hessian

        return self.coordinates.spanned(self.loss.edges, of_edge)

    def values(self, thetas: Array, label: str = "") -> Array:
        """F at each column of thetas (p, k): (k,), one pass."""
        if self.by_gram:
            return np.array([self.quadratic_evaluation(t, 1).objective for t in thetas.T])
        return self._values(self._pass(thetas, 0, label), thetas)

    def slopes(self, thetas: Array, label: str = "") -> tuple[Array, Array]:
        """F (k,) and its gradient (p, k) at each column of thetas (p, k): one pass."""
        sums = self._pass(thetas, 1, label)
        gradient = self._gradients(sums, sums.weight)
        for column, theta in zip(gradient.T, thetas.T, strict=True):
            column += self.regularizer.gradient(self.coordinates.weights(theta))
        return self._values(sums, thetas), gradient

    def _values(self, sums: Sums, thetas: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            penalties = np.array(
                [self.regularizer.value(self.coordinates.weights(theta)) for theta in thetas.T]
            )
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
            objective = loss + self.regularizer.value(w)
            gradient = loss_gradient + self.regularizer.gradient(w)
            if hessian is not None:
                hessian = hessian + self.regularizer.hessian(w)
            residual = self.residual(theta, loss_gradient)
        return Evaluation(
            theta, loss, objective, loss_gradient, gradient, residual, hessian, margin
        )

    def identified(self, at: Evaluation) -> Evaluation:
        """Of the models that differ by a common move of all outputs, the one to report.

        Intercepts sum to 0 over the outputs, and so do weights where no L1 part says otherwise.
        Under L1 alone 0 is a median of a feature's weights: F is least there.
        """
        to = self.coordinates
        if to.outputs == 1:
            return at
        w = to.weights(at.theta)
        if self.smooth and all(term.quadratic for term in self.penalty.terms):
            w = w - w.mean(axis=1, keepdims=True)
        elif not self.smooth and not self.strengths.l2 and not self.extra:
            ordered, k = np.sort(w, axis=1), to.outputs
            w = w - np.clip(0.0, ordered[:, [(k - 1) // 2]], ordered[:, [k // 2]])
        b = to.intercept(at.theta)
        theta = to.theta(w, b - b.mean())
        if self.ridden is not None and np.array_equal(self.ridden[0], at.theta):
            self.ridden = theta, self.ridden[1]  # what it predicts is the same
        loss = None
        if at.hessian is not None:  # that of the loss does not change
            loss = at.hessian - self.regularizer.hessian(to.weights(at.theta))
        moved = self._evaluation(theta, at.loss, at.loss_gradient, loss, at.margin)
        return replace(moved, rounding=at.rounding, gap=at.gap)

    def residual(self, theta: Array, loss_gradient: Array) -> float:
        """How far theta is from optimal, free of the units of features and weights.

        max( max_j r_j / (sd_j rho), |g_b| / rho ), with r_j the distance of the loss's (centred)
        gradient from the penalty's subdifferential, sd over S, rho the rms of l' at the null model.
        """
        if not np.isfinite(loss_gradient).all():
            return float("inf")
        to = self.coordinates
        w = to.weights(theta)
        raw = np.zeros_like(w)
        unit = to.unit if w.ndim == 1 else to.unit[:, None]
        raw[to.active] = to.columns(loss_gradient[: to.slopes]) / unit
        distance = self.regularizer.distance(w, raw)[to.active]
        sd = self.summary.sd()[:-1][to.active]
        worst = float(np.max(to.line(distance) / to.line(sd), initial=0.0))
        worst = max(worst, float(np.max(np.abs(loss_gradient[to.slopes :]), initial=0.0)))
        return worst / self.rho


def standard_penalty(strengths: Strengths) -> tuple[Penalty, ...]:
    """L1, L2 or the elastic net, whichever these strengths make; none where both are 0."""
    l1, l2, scale = strengths.l1, strengths.l2, strengths.scale
    if l1 and l2:
        return (ElasticNet(l1, l2, scale),)
    if l1:
        return (L1(l1, scale),)
    return (L2(l2, scale),) if l2 else ()
