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
    Bends,
    Curvature,
    Evaluate,
    LocalSteps,
    Sample,
    Several,
    Summarise,
    Summary,
    Sums,
    Triangular,
)
from w261reg.basis import EPS, MOST_ROUNDING, Basis, Curved, doubtful, flat_within
from w261reg.conventions import Strengths
from w261reg.datasets import Dataset
from w261reg.evaluation import Evaluation, Stepped, shortest_subgradient
from w261reg.losses import Loss
from w261reg.penalties import Penalty
from w261reg.posed import Posed
from w261reg.regularizer import Regularizer
from w261reg.scaling import Coordinates

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
        basis: of the rows, where their second moments have lost half of their digits; else None.
        plain: whether they are known to have not.
        varied: whether rows move along the directions that the basis leaves out; None where no pass
            told it yet.
        flat: whether they are flat without rounding, once a pass has decided that.
        announce: what to do with a line for the log.
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
        self.basis: Basis | None = None
        self.plain = False
        self.varied: bool | None = None
        self.flat: bool | None = None
        self.announce: Callable[[str], None] = lambda _: None

    def move(self, coordinates: Coordinates) -> None:
        super().move(coordinates)
        self.basis, self.plain, self.varied, self.flat = None, False, None, None

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
        if self.basis is not None and order == 2 and not (sampled or also):
            return self._in_basis(self.basis, theta, label, beside)
        if self.by_gram and self.basis is None and not (sampled or diagonal or also):
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
        if self.basis is not None:
            at = replace(at, residual=self._residual_along(self.basis, at))
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
        if self.by_gram and steps is None and self.basis is None:
            known = [self.quadratic_evaluation(theta, 1) for theta in thetas.T]
            if all(self.gram_suffices(at) for at in known):
                return known, None
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
        """The same model in the form to report, see `form`: at no pass.

        Where directions are flat, that of least norm.
        """
        theta = at.theta
        if self.basis is not None and self.smooth and not self.varied:
            theta = self.basis.without_flat(theta)
        theta = self.form(theta)
        if self.ridden is not None and np.array_equal(self.ridden[0], at.theta):
            self.ridden = theta, self.ridden[1]  # what it predicts is the same
        if self.coordinates.outputs == 1:
            return replace(at, theta=theta)
        loss = None
        if at.hessian is not None:  # that of the loss does not change
            loss = at.hessian - self.regularizer.hessian(self.coordinates.weights(at.theta))
        assert at.blur is not None
        moved = self._evaluation(
            theta, at.loss, at.loss_gradient, loss, at.margin, at.rounding, at.blur
        )
        known = replace(moved, gap=at.gap)
        if self.basis is None:
            return known
        return replace(known, curved=at.curved, residual=at.residual)

    # --- in a basis of the rows, see `basis` ------------------------------------------------------

    @property
    def feasible_directions(self) -> tuple[Array, Array] | None:
        """Units (p,), and an orthonormal basis of feasible directions; None where all are."""
        return None

    def regular(self, hessian: Array) -> Array:
        """A Hessian of F as one of what an evaluation is of, which constraints change: (p, p)."""
        return hessian

    def sharpened(self, at: Evaluation, settled: bool = False) -> Evaluation:
        """`at`, in a basis of the rows where its Hessian has lost half of its digits.

        The first time that takes a pass for the basis, and mostly one more for the Hessian.

        Args:
            at: an evaluation.
            settled: whether it is to be the answer. Under L1 only those coordinates matter then
                that are not 0, or should not be; before, nobody knows which.
        """
        if at.hessian is None or at.curved is not None or self.plain or not self.p:
            return at
        if self.basis is None:
            if not (self.smooth or settled) or not self._blurred(at):
                return at
            basis = self.take_basis()
            self.plain = not basis.collinear
            if self.plain:
                return at
            self.basis = basis
        theta = self.basis.without_flat(at.theta) if self.smooth else at.theta
        even = self.loss.quadratic or (
            self.loss.outputs == 1 and self.null.even and np.array_equal(theta, self.null.theta)
        )
        if even and np.array_equal(theta, at.theta) and all(p.quadratic for p in self.extra):
            return self.curved(self.basis, at)
        return self.evaluate(theta, 2, "in a basis of the rows")

    @property
    def suspect(self) -> bool:
        """Whether the second moments of the rows, or of a sample, are ill-conditioned as far as
        they are known, and the penalty does not change that."""
        rows = self.summary if self.summary.gram else self.sample
        if rows is None or self.basis is not None or self.plain or not self.smooth:
            return False
        one = Regularizer(self.penalty, self.coordinates.single, self.null.spread())
        bend = one.hessian(np.zeros(self.coordinates.n_features))
        return doubtful(self._level_curvature * self.null.second_moments(rows) + bend)

    def _blurred(self, at: Evaluation) -> bool:
        """Whether the Hessian has lost half of its digits, as far as is known without a pass."""
        assert at.hessian is not None
        if not np.isfinite(at.hessian).all():
            return False
        moving = (at.theta != 0) | (self.kink == 0) | (shortest_subgradient(at, self.kink) != 0)
        if not doubtful(at.hessian[np.ix_(moving, moving)]):
            return False
        if self.summary.gram and not doubtful(self.null.scaled_moments()[0]):
            self.plain = True  # it is the rows' weights in the Hessian
        return not self.plain

    def take_basis(self) -> Basis:
        """A basis of the rows out of an orthogonal factor: one pass."""
        self.announce("nearly collinear features: one more pass for an orthogonal factor")
        to, summary = self.coordinates, self.summary
        y_centre = summary.y_mean if self.fit_intercept else 0.0
        factor = self.dataset.aggregate(Triangular(to.centre, to.full_unit(), y_centre))
        factor /= np.sqrt(summary.weight)
        columns = 1 + to.active
        if self.fit_intercept:
            columns = np.append(columns, 0)
        one = Regularizer(self.penalty, to.single, self.null.spread())
        bend = one.hessian(np.zeros(to.n_features)) / self._level_curvature
        places = [to.of_output(k) for k in range(to.outputs)]
        raw = np.hypot(summary.sd()[to.active], summary.mean[to.active]) * to.unit
        raw = to.single.extended(raw, 1.0)
        design, label = factor[:, columns], factor[:, -1]
        return Basis.of(design, label, bend, raw, self.feasible_directions, places)

    @property
    def _level_curvature(self) -> float:
        curvature = float(np.max(self.null.curvature()))
        return curvature if curvature > 0 else 1.0

    def curved(
        self, basis: Basis, at: Evaluation, hessian: Array | None = None, reach: Array | None = None
    ) -> Evaluation:
        """`at`, with F's Hessian in a basis.

        Args:
            basis: of the rows.
            at: the evaluation; penalties beside L1 and L2 are quadratic if no Hessian is given.
            hessian: in phi; None where l'' is the null model's for all rows.
            reach: the largest |q| of any row.
        """
        if hessian is None:
            hessian = self._level_curvature * np.eye(basis.rank)
        steepness, terms = self._rounding_along(basis, at)
        rounding = np.tile(basis.rounding(steepness, 0.0), basis.outputs)
        level = basis.level(shortest_subgradient(at, self.kink), steepness)
        level = level and not (self.varied is not False and basis.flat.shape[1])
        # z is known to eps times its terms, and F to that times l'
        moved = 2 * EPS * terms / self._level_curvature
        most = self.loss.most_curved
        curvature = most if np.isfinite(most) else float(np.abs(hessian).max(initial=0.0))
        return replace(
            at,
            hessian=self.regular(basis.in_theta(hessian)),
            curved=Curved(basis, hessian, rounding, np.sqrt(curvature) * moved, level, reach),
            residual=self._residual_along(basis, at),
            rounding=max(at.rounding, steepness * moved),
        )

    def _in_basis(self, basis: Basis, theta: Array, label: str, beside: Array | None) -> Evaluation:
        to = self.coordinates
        w, b = to.weights(theta[:, None]), to.centred_intercept(theta[:, None])
        t = np.zeros((to.n_features, basis.rank))
        t[to.active] = basis.t[: len(to.active)]
        last = basis.t[-1] if self.fit_intercept else np.zeros(basis.rank)
        # an intercept has no part along these
        flat = np.zeros((to.n_features, basis.flat.shape[1]))
        flat[to.active] = basis.flat[: len(to.active)]
        also = Curvature(self.loss, w, b, to.centre, to.full_unit(), t, last, flat)
        at = Objective.evaluate(self, theta, 1, label, beside, also=also)
        bends: Bends = at.also
        self.varied = bool((bends.moved > flat_within(basis.p)).any())
        hessian = basis.bent(self.regularizer.own_hessian(to.weights(theta)))
        for edge, own in zip(self.loss.edges, bends.hessian / self.summary.weight, strict=True):
            hessian += np.kron(np.multiply.outer(edge, edge), own)
        if self.regularizer.free:
            level = self._level_curvature / to.outputs
            hessian += level * np.kron(np.ones((to.outputs, to.outputs)), np.eye(basis.rank))
        elif to.outputs > 1:
            hessian += basis.bent(self.regularizer.gauge())
        return self.curved(basis, replace(at, also=None), hessian, bends.reach)

    def _rounding_along(self, basis: Basis, at: Evaluation) -> tuple[float, float]:
        """The rms of l', and that of the terms of z times l''."""
        terms = max(float(basis.size @ np.abs(at.theta[place])) for place in basis.places)
        if not self.loss.quadratic:
            return self.rho, self._level_curvature * terms
        return float(np.sqrt(2 * max(at.loss, 0.0))), terms + float(self.summary.sd()[-1])

    def _residual_along(self, basis: Basis, at: Evaluation) -> float:
        at_kink = (at.theta == 0) & (self.kink > 0)
        steepness, terms = self._rounding_along(basis, at)
        along = basis.residual(
            shortest_subgradient(at, self.kink),
            at_kink,
            steepness,
            terms,
            self.rho,
            bool(self.varied),
        )
        return max(at.residual - min(2 * EPS * terms / self.rho, MOST_ROUNDING), along)
