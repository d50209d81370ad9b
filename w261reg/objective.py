"""The evaluations of the function that is minimised, each one pass."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from w261reg.conventions import Strengths
from w261reg.datasets import Dataset
from w261reg.evaluation import Evaluation, Stepped
from w261reg.losses import Loss
from w261reg.penalties import Penalty
from w261reg.posed import Posed

Array = NDArray[np.float64]

# where rounding moves the objective out of the Gram matrix by more than this share, as on labels
# that are nearly explained or features far from 0 without an intercept, it is worth a pass
MAX_ROUNDING = 1e-10


class Objective(Posed):
    """The problem over a dataset, whose passes evaluate it.

    Args:
        dataset: the rows.
        loss, summary, strengths, fit_intercept, extra, sample, every: see `Posed`.

    Attributes:
        rider: makes an aggregator of (w, b) that rides with evaluations while `riding`, for it is
            wanted at the answer; None where nothing is.
        riding: whether the next evaluation may be the last.
        ridden: theta of the last such evaluation, and the rider's state.
        head: the evaluation, of order 2, that the first pass brought; None where it did not.
        separation: what has been found out of whether the data separates, by whoever asks; None
            before.
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
        super().__init__(loss, summary, strengths, fit_intercept, extra, sample, every)
        self.dataset = dataset
        self.rider: Callable[[Array, float], Aggregator[Any]] | None = None
        self.riding = False
        self.ridden: tuple[Array, Any] | None = None
        self.head: Evaluation | None = None
        self.by_gram = False
        self.separation: Any = None

    def take_gram(self, label: str) -> None:
        """Get the Gram matrix where the first pass did not compute it: one pass."""
        if not self.summary.gram:
            summarise = Summarise(self.dataset.n_features, True, self.loss.outputs)
            summarise.name = f"{label}: Gram matrix"
            self.summary = self.dataset.aggregate(summarise)
            self.null = self._null()

    def gram_suffices(self, at: Evaluation) -> bool:
        """Whether a pass would know F no better than an evaluation out of the Gram matrix does."""
        if not at.rounding > MAX_ROUNDING * abs(at.objective):
            return True
        loss = max(at.loss, 0.0)  # of squared error l'^2 is 2 l
        of_pass = self.rounding.of_value(at.theta, loss, np.array([math.sqrt(2 * loss)]))
        return at.rounding <= of_pass

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
            if self.gram_suffices(at):
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
        steep, size = np.sqrt(sums.steep / weight), float(sums.size[0]) / weight
        rounding = self.rounding.of_value(theta, size, steep)
        blur = self.rounding.of_gradient(theta, steep, hessian)
        return self._evaluation(theta, value, gradient, hessian, margin, rounding, blur)

    def _gradients(self, sums: Sums, weight: float) -> Array:
        """Of the mean losses of k models, in theta (p, k)."""
        to, outputs = self.coordinates, self.loss.outputs
        raw = to.unit[:, None] * (sums.gradient[to.active] / weight)
        # (n_active, k K) as (K n_active, k); n_active may be 0
        k = raw.shape[1] // outputs
        slopes = raw.reshape(len(raw), k, outputs).transpose(2, 0, 1).reshape(to.slopes, k)
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

    def heated_hessian(self, theta: Array, heat: float) -> Array:
        """F's Hessian at theta for the loss T l(z / T), (p, p): one pass, at theta / T."""
        sums = self._pass((theta / heat)[:, None], 2, "from further away")
        own = self._hessian(sums, self.summary.weight) / heat
        own += self.regularizer.hessian(self.coordinates.weights(theta))
        return own

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

    def identified(self, at: Evaluation) -> Evaluation:
        """The same model in the form to report, see `form`: at no pass."""
        if self.coordinates.outputs == 1:
            return at
        theta = self.form(at.theta)
        if self.ridden is not None and np.array_equal(self.ridden[0], at.theta):
            self.ridden = theta, self.ridden[1]  # what it predicts is the same
        loss = None
        if at.hessian is not None:  # that of the loss does not change
            loss = at.hessian - self.regularizer.hessian(self.coordinates.weights(at.theta))
        assert at.blur is not None
        moved = self._evaluation(
            theta, at.loss, at.loss_gradient, loss, at.margin, at.rounding, at.blur
        )
        return replace(moved, gap=at.gap)
