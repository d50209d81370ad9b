"""One fit whose rows' noise has one unknown variance a group: a Gram matrix a group, one pass."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import GroupFactors, Summarise, SummariseGroups, Summary
from w261reg.basis import MAX_CONDITION
from w261reg.blas import one_blas_thread
from w261reg.checks import check_census, check_summary
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.factored import Factored
from w261reg.information import Sums, covariance, sums_of
from w261reg.joint import Basis, Joint, Point, descend
from w261reg.likelihood import Noise, likelihood
from w261reg.losses import get_loss
from w261reg.objective import MAX_ROUNDING, Evaluation, Objective
from w261reg.posing import feature_orders, pose
from w261reg.scaling import Coordinates
from w261reg.solvers import FitResult, Iteration, Status
from w261reg.solvers.linear import Solution, solve
from w261reg.sources import Columns

Array = NDArray[np.float64]
log = logging.getLogger("w261reg")
EPS = float(np.finfo(float).eps)
# of the groups' Gram matrices, which the driver holds
MOST_BYTES = 2**30
# steps cost no pass, so they go on to where rounding ends them
AIM = 1e-13
# of a sum of squares, from which on a user should read of it
MAX_LOST = 1e-6


@dataclass(frozen=True)
class GroupFit:
    """What was found of groups.

    Attributes:
        objective: the problem as if all noise were equal; no passes can be made with it.
        result: of the joint problem: its objective is J.
        groups: group, rows, sum_of_weights and sigma of each.
        covariance: of the coefficients, or None (see `information.covariance`).
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


def fit_groups(
    settings: Settings,
    dataset: Dataset,
    columns: Columns,
    monitor: Callable[[Iteration], None],
    began: float,
) -> GroupFit:
    """The joint minimum of J (see `joint`), from the fit of equal noise on: one pass, as a rule.

    J need not be convex: what is found is the minimum that the fit of equal noise leads to.

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
    grouped = dataset.aggregate(SummariseGroups(n, len(columns.groups)), keep=False)
    check_census(grouped.census, columns)
    codes = sorted(grouped.groups)
    summaries = [grouped.groups[code] for code in codes]
    names = [columns.groups[code] for code in codes]
    pooled = _pooled(summaries, n)
    pooled.census = grouped.census
    check_summary(pooled, columns, loss)
    log.info(
        f"read {pooled.rows:,} rows x {n:,} features in {len(names):,} groups, "
        f"{dataset.parallelism}, {time.perf_counter() - began:.2f} s"
    )
    objective = pose(settings, dataset, loss, pooled, orders)
    to = objective.coordinates
    shift = pooled.y_mean if to.fit_intercept else 0.0
    where = [f"noise_group column {columns.group!r}: group {name!r}" for name in names]
    rows = _Rows(dataset, to, codes, len(columns.groups), shift)
    with one_blas_thread():
        _check_rows(where, summaries, to.p)
        joint, doubtful = _joint(objective, summaries, shift)
        factored = Factored.of(rows.factors(), joint) if doubtful else None
        if factored is not None:
            _check_exact(where, factored)
        found = _minimise(joint, factored, rows, settings, monitor, began)
        bare = _covariance(found, to) if objective.unpenalised else None
    result = _result(objective, found, settings, shift)
    sigma = np.sqrt(found.point.variance).tolist()
    groups = [
        {"group": name, "rows": own.rows, "sum_of_weights": own.weight, "sigma": deviation}
        for name, own, deviation in zip(names, summaries, sigma, strict=True)
    ]
    metrics = _metrics(objective, found.joint, found.point, int(np.count_nonzero(result.w)))
    return GroupFit(objective, result, groups, bare, metrics)


def _pooled(summaries: list[Summary], n_features: int) -> Summary:
    """All groups together; the parts keep their Gram matrices."""
    whole, merge = Summary(), Summarise(n_features, gram=True).merge
    for own in summaries:
        moments = None if own.moments is None else own.moments.copy(order="F")
        whole = merge(whole, replace(own, moments=moments))
    return whole


@dataclass(frozen=True)
class _Rows:
    """The rows themselves, a look at which is a pass.

    Attributes:
        dataset: of blocks with the groups' codes.
        to: theta's coordinates.
        codes: of the groups that have rows (G,).
        count: of all codes.
        shift: what theta's intercept lacks.
    """

    dataset: Dataset
    to: Coordinates
    codes: list[int]
    count: int
    shift: float

    def factors(self) -> list[Array]:
        """Of each group, rows (k_g, p + 1) that have the lengths and angles of all its rows:
        sqrt(s) (x, 1) in theta's coordinates, then sqrt(s) (y - shift)."""
        to = self.to
        found = self.dataset.aggregate(
            GroupFactors(to.n_features, self.count, to.centre, to.full_unit(), self.shift),
            keep=False,
        )
        used = 1 + to.active
        used = np.append(used, 0) if to.fit_intercept else used
        used = np.append(used, 1 + to.n_features)
        return [found[code][:, used] for code in self.codes]


def _doubtful(own: Sums, p: int) -> bool:
    """Whether a Gram matrix cannot tell if a group's own least squares leaves anything over."""
    best = solve(own.own_bend, own.own_slope)
    size = np.abs(best.x)
    left = own.own_square - float(own.own_slope @ best.x)
    terms = own.own_square + float((2 * np.abs(own.own_slope) + np.abs(own.own_bend) @ size) @ size)
    return not left > 64 * max(p, 16) * EPS * terms


def _joint(objective: Objective, summaries: list[Summary], shift: float) -> tuple[Joint, bool]:
    """The joint problem about 0, and whether a group may be fitted exactly for all that Gram
    matrices can tell. Takes them out of `summaries`."""
    to, count = objective.coordinates, len(summaries)
    square, slope = np.empty(count), np.empty((count, to.p))
    bend, doubtful = np.empty((count, to.p, to.p)), False
    for g, summary in enumerate(summaries):
        own = sums_of(summary, to, shift)
        square[g], slope[g], bend[g] = own.square, own.slope, own.bend
        doubtful = _doubtful(own, to.p) or doubtful
        summary.moments = None  # as large as `bend`, and of no further use
    joint = Joint(
        weight=np.array([own.weight for own in summaries]),
        square=square,
        slope=slope,
        bend=bend,
        square_error=EPS * square,
        slope_error=EPS * np.sqrt(np.einsum("gjj->gj", bend) * square[:, None]),
        height=0.0,
        drag=np.zeros(to.p),
        penalty=objective.regularizer.hessian(objective.zero),
        size=to.extended(objective.summary.sd()[:-1][to.active] * to.unit, 1.0),
        compared=None,
        y_mean=np.array([own.y_mean for own in summaries]),
        y_variance=np.array([float(own.sd()[-1]) ** 2 for own in summaries]),
        fit_intercept=to.fit_intercept,
    )
    return joint, doubtful


def _check_rows(where: list[str], summaries: list[Summary], p: int) -> None:
    """Raise InputError where a group has too few rows not to be fitted exactly."""
    for group, own in zip(where, summaries, strict=True):
        if own.rows <= p:
            raise InputError(
                f"{group} has {own.rows} rows, not more than the {p} coefficients: they could be "
                "fitted exactly, with a sigma of 0 and a likelihood without bound; join small "
                "groups"
            )


def _check_exact(where: list[str], factored: Factored) -> None:
    """Raise InputError where a group is fitted exactly: the likelihood is then unbounded."""
    for group, exact in zip(where, factored.exact(), strict=True):
        if exact:
            raise InputError(
                f"{group} can be fitted exactly: with a sigma of 0 the likelihood has no bound; "
                "join it with another group, or leave a feature out"
            )


@dataclass(frozen=True)
class _Found:
    """Where the steps ended.

    Attributes:
        joint, basis: the problem there, and its coordinates; None are theta's own.
        theta, gradient: the coefficients, and J's gradient in theta (p,).
        point: J there.
        why: the steps ended.
        last: theta, with the rank and the condition of the last system.
        history: of all steps.
    """

    joint: Joint
    basis: Basis | None
    theta: Array
    gradient: Array
    point: Point
    why: str
    last: Solution
    history: tuple[Iteration, ...]


def _minimise(
    joint: Joint,
    factored: Factored | None,
    rows: _Rows,
    settings: Settings,
    monitor: Callable[[Iteration], None],
    began: float,
) -> _Found:
    """From equal noise, least squares of all rows, to the minimum that it leads to.

    Out of Gram matrices as long as these have the digits; then out of orthogonal factors, in
    coordinates that are made anew where the variances have changed much.
    """
    history: list[Iteration] = []

    def entry(point: Point, number: int) -> Iteration:
        step, seconds = 1.0 if number else float("nan"), time.perf_counter() - began
        passes = rows.dataset.passes
        return Iteration(number, point.objective, point.residual, step, passes, seconds)

    def record(point: Point) -> None:
        history.append(entry(point, len(history)))
        monitor(history[-1])

    base, basis = np.zeros(len(joint.drag)), None
    if factored is None:
        last = solve(joint.bend.sum(axis=0), joint.slope.sum(axis=0))
        now = joint.at(last.x)
        if not (now.lost <= MAX_ROUNDING and last.condition < MAX_CONDITION):
            factored = Factored.of(rows.factors(), joint)
    if factored is not None:
        joint, basis, last = factored.about(*factored.start())
        base, now = last.x, joint.at(np.zeros(last.rank))
    record(now)
    while True:
        lost, blurred = max(MAX_ROUNDING, 2 * now.lost), max(settings.tol, 2 * now.blurred)

        def drifted(point: Point, lost: float = lost, blurred: float = blurred) -> bool:
            return not (point.lost <= lost and point.blurred <= blurred)

        aim, most = min(settings.tol, AIM), settings.max_iter - len(history) + 1
        why, now, solved = descend(joint, now, aim, most, drifted, record)
        theta = base + (now.d if basis is None else basis.theta(now.d))
        if basis is None and solved is not None:
            last = replace(solved, x=theta)
        far, before = drifted(now), joint.at(np.zeros(len(now.d))).residual
        if basis is None:
            if last.condition < MAX_CONDITION and not far:
                break
        elif not now.d.any():
            break
        factored, moved = factored or Factored.of(rows.factors(), joint), basis is not None
        # at theta as it is after rounding, and with more digits of all that is known there
        joint, basis, last = factored.about(theta, now.variance)
        base = theta = last.x
        now = joint.at(np.zeros(last.rank))
        history[-1] = entry(now, history[-1].iteration)
        if moved and not far and not now.residual < 0.5 * before:
            why = "rounding allows no more digits"
            break
    if not now.blurred <= settings.tol:
        now = replace(now, residual=max(now.residual, now.blurred))
    history[-1] = entry(now, history[-1].iteration)
    gradient = now.gradient if basis is None else basis.gradient() @ now.gradient
    return _Found(joint, basis, theta, gradient, now, why, last, tuple(history))


def _result(objective: Objective, found: _Found, settings: Settings, shift: float) -> FitResult:
    to, now, last = objective.coordinates, found.point, found.last
    theta = found.theta + to.extended(np.zeros(len(to.active)), shift)
    w = to.weights(theta)
    slope = to.extended(objective.penalty.gradient(w)[to.active] * to.unit, 0.0)
    evaluation = Evaluation(
        theta=theta,
        loss=now.objective - objective.penalty.value(w),
        objective=now.objective,
        loss_gradient=found.gradient - slope,
        gradient=found.gradient,
        residual=now.residual,
    )
    iterations = found.history[-1].iteration
    if now.residual <= settings.tol:
        status = Status.CONVERGED
        message = f"the residual is {now.residual:.2g}, within tol = {settings.tol:g}"
    else:
        status, why = Status.MAX_ITER, found.why or "rounding allows no more digits"
        message = (
            f"{why} after {iterations} iterations with the residual at {now.residual:.2g}, above "
            f"tol = {settings.tol:g}"
        )
    digits = ""
    if not now.lost <= MAX_LOST:
        digits = f"rounding leaves a share of {now.lost / 2:.2g} of the sigmas unknown"
    return FitResult(
        w=w,
        intercept=to.intercept(theta),
        status=status,
        message="; ".join(filter(None, [message, digits, last.note])),
        evaluation=evaluation,
        suboptimality_bound=None,
        condition_number=last.condition if np.isfinite(last.condition) else None,
        n_iter=iterations,
        history=found.history,
    )


def _covariance(found: _Found, to: Coordinates) -> Array | None:
    """Of the coefficients on the raw scale; None where the system is singular."""
    if found.last.singular:
        return None
    return covariance(found.joint.information(found.point.variance), to, found.basis)


def _metrics(objective: Objective, joint: Joint, now: Point, nonzero: int) -> dict[str, float]:
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
