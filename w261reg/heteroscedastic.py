"""Squared error where rows have noise of different variance: known, or one unknown to a group.

y = x'w + b + e with independent e ~ N(0, sigma_i^2), so that a row of weight s counts s/sigma_i^2.
Known sigmas are weights, and all else is an ordinary fit. Groups of one unknown sigma each are
solved here, on the driver, out of one Gram matrix a group: the joint maximum of the likelihood of
(w, b, sigma_1, ..., sigma_G), or with a penalty R the minimum of

    J = sum_g (N_g/S) [ log sigma_g + log(2 pi)/2 + RSS_g(w, b)/(2 N_g sigma_g^2) ] + R(w),

the mean negative log likelihood and the penalty; N_g and S are sums of weights. At sigma_g^2 =
RSS_g/N_g, its best value for given (w, b), this is a function of (w, b) alone, the profile.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.aggregators import GroupResiduals, Summarise, SummariseGroups, Summary
from w261reg.blas import one_blas_thread
from w261reg.checks import check_census, check_summary
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.likelihood import Moments, Noise, likelihood
from w261reg.losses import get_loss
from w261reg.objective import MAX_ROUNDING, Evaluation, Objective, rounding_of
from w261reg.posing import feature_orders, pose
from w261reg.scaling import Coordinates
from w261reg.solvers import FitResult, Iteration, Status
from w261reg.solvers.gram import MAX_CONDITION
from w261reg.solvers.linear import Solution, solve
from w261reg.sources import Columns

Array = NDArray[np.float64]
log = logging.getLogger("w261reg")
EPS = float(np.finfo(float).eps)
# of the groups' Gram matrices, which the driver holds
MOST_BYTES = 2**30
# steps cost no pass, so they go on to where rounding ends them
AIM = 1e-13
# passes that take the residuals from the rows, where Gram matrices have lost their digits
MOST_FURTHER_PASSES = 3
# a covariance matrix of more features makes model.json too large
MOST_COVARIANCES = 512


@dataclass(frozen=True)
class GroupFit:
    """What was found of groups.

    Attributes:
        objective: the problem as if all noise were equal; no passes can be made with it.
        result: of the joint problem: its objective is J.
        groups: group, rows, sum_of_weights and sigma of each.
        covariance: of the coefficients, or None (see `covariance`).
        metrics: on the training rows.
    """

    objective: Objective
    result: FitResult
    groups: list[dict[str, Any]]
    covariance: Array | None
    metrics: dict[str, float]


def check_groups(column: str, count: int, n_features: int) -> None:
    """Raise InputError where the Gram matrices of so many groups are too large."""
    each = 8 * (n_features + 1) ** 2
    if count * each > MOST_BYTES:
        raise InputError(
            f"noise_group column {column!r} has {count:,} groups, whose Gram matrices of "
            f"{n_features:,} features take {count:,} x {each / 2**20:,.3g} MiB = "
            f"{count * each / 2**20:,.0f} MiB, over {MOST_BYTES / 2**20:,.0f} MiB: use fewer "
            "groups or features"
        )


# --- what both kinds of noise share -------------------------------------------------------------


def covariance(information: Array, to: Coordinates) -> Array | None:
    """The inverse of (x, 1)' diag(s/sigma^2) (x, 1) on the raw scale, the intercept last.

    Args:
        information: the same of active features, in theta (p, p).
        to: theta's coordinates.

    Returns:
        (n, n), or (n + 1, n + 1) with an intercept; NaN for features without spread, of which
        nothing was estimated. None where the matrix is singular.
    """
    diagonal = np.diagonal(information)
    if not ((diagonal > 0).all() and np.isfinite(information).all()):
        return None
    with one_blas_thread():
        unit = 1 / np.sqrt(diagonal)
        scaled = information * unit[:, None] * unit
        try:
            factor = linalg.cholesky(scaled, lower=True)
        except linalg.LinAlgError:
            return None
        norm = float(np.abs(scaled).sum(axis=0).max(initial=0.0))
        if len(unit) and linalg.lapack.dpocon(factor, norm, uplo="L")[0] <= 16 * len(unit) * EPS:
            return None
        # rows of (w, b) in theta: w = unit u, b = b0 - centre'w
        raw = np.diag(to.extended(to.unit, 1.0))
        if to.fit_intercept:
            raw[-1, :-1] = -to.centre[to.active] * to.unit
        half = linalg.solve_triangular(factor, unit[:, None] * raw.T, lower=True)
        inner = half.T @ half
    size = to.n_features + to.fit_intercept
    total = np.full((size, size), np.nan)
    at = np.append(to.active, to.n_features) if to.fit_intercept else to.active
    total[np.ix_(at, at)] = inner
    return total


def known_covariance(objective: Objective, result: FitResult) -> Array | None:
    """That of a fit with known sigmas; None with a penalty or without a Gram matrix."""
    solved = result.status in (Status.CONVERGED, Status.MAX_ITER)
    if not (solved and objective.unpenalised and objective.summary.gram):
        return None
    to = objective.coordinates
    return covariance(_sums(objective.summary, to, 0.0).bend, to)


def account(found: Array | None, n_features: int) -> dict[str, Any]:
    """The fields of a model that a covariance gives: standard_errors and covariance."""
    if found is None:
        return {"standard_errors": None, "covariance": None}
    errors = np.sqrt(np.diagonal(found))[:n_features]
    whole = found.tolist() if n_features <= MOST_COVARIANCES else None
    return {"standard_errors": errors.tolist(), "covariance": whole}


@dataclass(frozen=True)
class _Sums:
    """Of one group: sum s (x, 1)(x, 1)' in theta (p, p), sum s (x, 1) y (p,), sum s y^2, and the
    last two or, with an intercept, all about the group's own means."""

    weight: float
    bend: Array
    slope: Array
    square: float
    own_bend: Array
    own_slope: Array
    own_square: float


def _sums(summary: Summary, to: Coordinates, y_centre: float) -> _Sums:
    """Those of a group, of y - y_centre and in theta's coordinates."""
    exponent = np.zeros(to.n_features + 1, dtype=np.int64)
    exponent[to.active] = to.exponent
    both = summary.second_moments(exponent, centred=to.fit_intercept)
    spread, along, square = both[np.ix_(to.active, to.active)], both[to.active, -1], both[-1, -1]
    n, weight = len(to.active), summary.weight
    if not to.fit_intercept:
        parts = weight * spread, weight * along, weight * float(square)
        return _Sums(weight, *parts, *parts)
    # means about the centre; a reference is near it, so that no digit is lost
    centre = np.append(to.centre, y_centre)
    mean = (summary.reference - centre) + summary.offset
    m, y = mean[to.active] * to.unit, float(mean[-1])
    bend = np.ones((n + 1, n + 1))
    bend[:n, :n] = spread + np.multiply.outer(m, m)
    bend[n, :n] = bend[:n, n] = m
    slope = np.append(along + m * y, y)
    return _Sums(
        weight,
        weight * bend,
        weight * slope,
        weight * float(square + y * y),
        weight * spread,
        weight * along,
        weight * float(square),
    )


# --- groups -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Point:
    """J at one theta, with the best sigmas there.

    Attributes:
        theta: (p,).
        rss, variance: of each group (G,).
        slope: sum s r (x, 1) of each group (G, p).
        objective, gradient: of the profile, (p,).
        residual: that gradient, scale-free.
        unsure: the relative error of any `rss`, and the error of `residual`, by rounding.
    """

    theta: Array
    rss: Array
    variance: Array
    slope: Array
    objective: float
    gradient: Array
    residual: float
    unsure: tuple[float, float]


@dataclass(frozen=True)
class _Joint:
    """The joint problem in theta: a parabola RSS_g a group, written about `base`.

    RSS_g = square_g - 2 slope_g'd + d'bend_g d with d = theta - base.

    Attributes:
        weight: N_g (G,).
        base: (p,).
        square, slope, bend: (G,), (G, p) and (G, p, p).
        penalty: R's Hessian (p, p).
        size: of each coordinate, in which gradients are compared (p,).
        y_mean, y_variance: of the label in each group (G,).
        fit_intercept: whether there is one.
    """

    weight: Array
    base: Array
    square: Array
    slope: Array
    bend: Array
    penalty: Array
    size: Array
    y_mean: Array
    y_variance: Array
    fit_intercept: bool

    def at(self, theta: Array) -> _Point:
        d, total = theta - self.base, float(self.weight.sum())
        along = self.bend @ d
        rss = self.square + (along - 2 * self.slope) @ d
        with np.errstate(all="ignore"):
            variance = rss / self.weight
            log_density = np.log(2 * np.pi * variance) + 1
            value = 0.5 * float(self.weight @ log_density) / total
            slope = self.slope - along
            gradient = self.penalty @ theta - slope.T @ (1 / variance) / total
            # in the units of the ordinary problem with row weights s/sigma^2
            to_f = total / float((self.weight / variance).sum())
            scale = to_f / (self.size * self.rho(variance))
            size = np.abs(d)
            wide = np.abs(self.bend) @ size
            lost = EPS * (self.square + (wide + 2 * np.abs(self.slope)) @ size) / rss
            blurred = EPS * ((np.abs(self.slope) + wide).T @ (1 / variance)) / total * scale
        return _Point(
            theta=theta,
            rss=rss,
            variance=variance,
            slope=slope,
            objective=value + 0.5 * float(theta @ (self.penalty @ theta)),
            gradient=gradient,
            residual=float(np.max(np.abs(gradient) * scale, initial=0.0)),
            unsure=(float(lost.max()), float(np.max(blurred, initial=0.0))),
        )

    def rho(self, variance: Array) -> float:
        """Root mean square of l' at the null model, by weights s/sigma^2."""
        moments = self.moments(variance)
        square = 0.0 if self.fit_intercept else moments.y_mean**2
        rms = float(np.sqrt(moments.y_variance + square))
        return rms if rms > 0 else 1.0

    def moments(self, variance: Array, rss: Array | None = None) -> Moments:
        """Of all rows by weights s/sigma^2; without a model's mean loss where there is no rss."""
        weight = self.weight / variance
        total = float(weight.sum())
        mean = float(weight @ self.y_mean) / total
        spread = float(weight @ (self.y_variance + (self.y_mean - mean) ** 2)) / total
        loss = 0.0 if rss is None else float((rss / variance).sum()) / (2 * total)
        return Moments(total, loss, mean, spread)

    def information(self, variance: Array) -> Array:
        """sum s/sigma^2 (x, 1)(x, 1)' in theta (p, p)."""
        return np.asarray(np.tensordot(1 / variance, self.bend, axes=1))

    def steps(self, now: _Point) -> tuple[Solution, Solution]:
        """Weighted least squares at these sigmas, which always descends, and Newton's on the
        profile, whose Hessian has - 2 slope slope'/(N sigma^4) beside it; as steps from theta."""
        total = float(self.weight.sum())
        plain = self.information(now.variance) / total + self.penalty
        turned = now.slope / np.sqrt(self.weight)[:, None] / now.variance[:, None]
        return (
            solve(plain, -now.gradient),
            solve(plain - (2 / total) * (turned.T @ turned), -now.gradient),
        )

    def rebased(self, theta: Array, sums: Array) -> "_Joint":
        """The same about theta, with what `GroupResiduals` found there in theta's units."""
        return _Joint(
            self.weight,
            theta,
            sums[:, 0],
            sums[:, 1:],
            self.bend,
            self.penalty,
            self.size,
            self.y_mean,
            self.y_variance,
            self.fit_intercept,
        )


def fit_groups(
    settings: Settings,
    dataset: Dataset,
    columns: Columns,
    monitor: Callable[[Iteration], None],
    began: float,
) -> GroupFit:
    """The joint minimum of J, from the fit of equal noise on: one pass, nearly always.

    Each step takes the better of weighted least squares at the sigmas of the last and of Newton's
    step on the profile, so that J never rises and the end is fast. J need not be convex: what is
    found is the minimum that the fit of equal noise leads to.

    Args:
        settings: checked.
        dataset: whose blocks have the groups' codes.
        columns: with the groups.
        monitor: called once an iteration.
        began: `time.perf_counter()` at the start of the fit.

    Raises:
        InputError: the data cannot be used, or a group can be fitted exactly.
    """
    assert columns.group is not None
    n, loss = dataset.n_features, get_loss(settings.loss)
    orders = feature_orders(settings, columns.names)
    grouped = dataset.aggregate(SummariseGroups(n, len(columns.levels)), keep=False)
    check_census(grouped.census, columns)
    codes = sorted(grouped.groups)
    summaries = [grouped.groups[code] for code in codes]
    names = [columns.levels[code] for code in codes]
    pooled = _pooled(summaries, n)
    pooled.census = grouped.census
    check_summary(pooled, columns, loss)
    log.info(
        f"read {pooled.rows:,} rows x {n:,} features in {len(names):,} groups, "
        f"{dataset.parallelism}, {time.perf_counter() - began:.2f} s"
    )
    objective = pose(settings, dataset, loss, pooled, orders)
    to = objective.coordinates
    sums = [_sums(own, to, pooled.y_mean if to.fit_intercept else 0.0) for own in summaries]
    for name, own, summary in zip(names, sums, summaries, strict=True):
        _check_group(columns.group, name, own, summary.rows, to.p)
    shift = pooled.y_mean if to.fit_intercept else 0.0  # theta's last is then that much less
    sd = pooled.sd()[:-1][to.active]
    joint = _Joint(
        weight=np.array([own.weight for own in sums]),
        base=np.zeros(to.p),
        square=np.array([own.square for own in sums]),
        slope=np.array([own.slope for own in sums]),
        bend=np.array([own.bend for own in sums]),
        penalty=objective.penalty_hessian(np.zeros(n)),
        size=to.extended(sd * to.unit, 1.0),
        y_mean=np.array([summary.y_mean for summary in summaries]),
        y_variance=np.array([float(summary.sd()[-1]) ** 2 for summary in summaries]),
        fit_intercept=to.fit_intercept,
    )
    history: list[Iteration] = []

    def record(point: _Point, step: float) -> None:
        seconds = time.perf_counter() - began
        entry = (len(history), point.objective, point.residual, step, dataset.passes, seconds)
        history.append(Iteration(*entry))
        monitor(history[-1])

    def look(joint: _Joint, theta: Array) -> _Joint:
        """One pass: the residuals at theta from the rows."""
        b = float(theta[-1]) + shift if to.fit_intercept else 0.0
        scale = to.full_unit()
        every = GroupResiduals(to.weights(theta), b, to.centre, scale, len(columns.levels))
        found = dataset.aggregate(every, keep=False)[codes]
        used = np.concatenate([[0], 1 + to.active, [n + 1] if to.fit_intercept else []])
        return joint.rebased(theta, found[:, used.astype(np.int64)])

    with one_blas_thread():
        # equal noise: least squares of all rows
        start = solve(joint.bend.sum(axis=0), joint.slope.sum(axis=0)).x
        now = joint.at(start)
        record(now, float("nan"))
        ended, last = "", None
        for further in range(MOST_FURTHER_PASSES + 1):
            ended, now, last = _descend(joint, now, settings, record, history, last)
            condition = 1.0 if last is None else last.condition
            lost, blurred = now.unsure
            fine = lost <= MAX_ROUNDING and blurred <= settings.tol
            if (fine and (condition < MAX_CONDITION or further)) or further == MOST_FURTHER_PASSES:
                break
            joint = look(joint, now.theta)
            now = joint.at(now.theta)
    status = Status.CONVERGED if now.residual <= settings.tol else Status.MAX_ITER
    message = (
        f"the residual is {now.residual:.2g}, within tol = {settings.tol:g}"
        if status is Status.CONVERGED
        else f"{ended}; the residual is {now.residual:.2g}, above tol = {settings.tol:g}"
    )
    history[-1] = Iteration(
        history[-1].iteration,
        now.objective,
        now.residual,
        history[-1].step,
        dataset.passes,
        time.perf_counter() - began,
    )
    theta = to.extended(now.theta[: len(to.active)], 0.0)
    if to.fit_intercept:
        theta[-1] = now.theta[-1] + shift
    evaluation = Evaluation(
        theta=theta,
        loss=now.objective - 0.5 * float(now.theta @ (joint.penalty @ now.theta)),
        objective=now.objective,
        loss_gradient=now.gradient - joint.penalty @ now.theta,
        gradient=now.gradient,
        residual=now.residual,
    )
    known = last is not None and np.isfinite(last.condition)
    result = FitResult(
        w=to.weights(theta),
        intercept=to.intercept(theta),
        status=status,
        message="; ".join(filter(None, [message, "" if last is None else last.note])),
        evaluation=evaluation,
        suboptimality_bound=None,
        condition_number=last.condition if known and last is not None else None,
        n_iter=history[-1].iteration,
        history=tuple(history),
    )
    sigma = np.sqrt(now.variance)
    groups = [
        {
            "group": name,
            "rows": summary.rows,
            "sum_of_weights": summary.weight,
            "sigma": float(own),
        }
        for name, summary, own in zip(names, summaries, sigma, strict=True)
    ]
    bare = covariance(joint.information(now.variance), to) if objective.unpenalised else None
    metrics = _metrics(objective, joint, now, int(np.count_nonzero(result.w)))
    return GroupFit(objective, result, groups, bare, metrics)


def _pooled(summaries: list[Summary], n_features: int) -> Summary:
    """All groups together; the parts keep their Gram matrices."""
    whole, merge = Summary(), Summarise(n_features, gram=True).merge
    for own in summaries:
        moments = None if own.moments is None else own.moments.copy(order="F")
        copied = Summary(**{**vars(own), "moments": moments})
        whole = merge(whole, copied)
    return whole


def _check_group(column: str, name: Any, own: _Sums, rows: int, p: int) -> None:
    """Raise InputError where a group can be fitted exactly: the likelihood is then unbounded."""
    where = f"noise_group column {column!r}: group {name!r}"
    if rows <= p:
        raise InputError(
            f"{where} has {rows} rows, not more than the {p} coefficients: they could be fitted "
            "exactly, with a sigma of 0 and a likelihood without bound; join small groups"
        )
    best = solve(own.own_bend, own.own_slope).x
    size = own.own_square + 2 * float(np.abs(own.own_slope) @ np.abs(best))
    left = own.own_square - float(own.own_slope @ best)
    if not left > 64 * max(p, 16) * EPS * size:
        raise InputError(
            f"{where} can be fitted exactly, to rounding: with a sigma of 0 the likelihood has no "
            "bound; join it with another group, or leave a feature out"
        )


def _descend(
    joint: _Joint,
    now: _Point,
    settings: Settings,
    record: Callable[[_Point, float], None],
    history: list[Iteration],
    last: Solution | None,
) -> tuple[str, _Point, Solution | None]:
    """Steps to the minimum: why they ended, where, and the last system."""
    while now.residual > min(settings.tol, AIM):
        if history[-1].iteration >= settings.max_iter:
            return f"stopped after max_iter = {settings.max_iter} iterations", now, last
        plain, newton = joint.steps(now)
        last = plain
        after = joint.at(now.theta + plain.x)
        faster = joint.at(now.theta + newton.x)
        blur = rounding_of(now.objective)
        if faster.objective <= after.objective + blur:
            after = faster
        same = abs(after.objective - now.objective) <= blur
        if not after.objective <= now.objective + blur or (
            same and not after.residual < 0.5 * now.residual
        ):
            return "rounding allows no more digits", now, last
        now = after
        record(now, 1.0)
    return "", now, last


def _metrics(objective: Objective, joint: _Joint, now: _Point, nonzero: int) -> dict[str, float]:
    """Errors as they are, and the likelihood of the groups' noise."""
    summary, total = objective.summary, float(joint.weight.sum())
    mse = float(now.rss.sum()) / total
    variance = float(summary.sd()[-1]) ** 2
    found: dict[str, float] = {"rows": summary.rows, "mse": mse, "rmse": mse**0.5}
    found["r2"] = 1 - mse / variance if variance > 0 else float("nan")
    log_sigma = 0.5 * float(joint.weight @ np.log(now.variance))
    noise = Noise(total, log_sigma, estimated=len(joint.weight))
    rows = joint.moments(now.variance, now.rss)
    fit_intercept = objective.fit_intercept
    return found | likelihood(objective.loss, rows, fit_intercept, nonzero, noise)
