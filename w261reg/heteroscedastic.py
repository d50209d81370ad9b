"""One fit whose rows' noise has one unknown variance a group: a Gram matrix a group, one pass."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import GroupResiduals, Summarise, SummariseGroups, Summary
from w261reg.basis import MAX_CONDITION
from w261reg.blas import one_blas_thread
from w261reg.checks import check_census, check_summary
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.information import Sums, covariance, sums_of
from w261reg.joint import Joint, Point, descend
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
# passes that take the residuals from the rows, where Gram matrices have lost their digits
MOST_FURTHER_PASSES = 3


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
        joint, fits = _joint(objective, summaries, shift)
        _check_exact(where, fits, rows)
        found = _minimise(joint, rows, settings, monitor, began)
    result = _result(objective, found, settings, shift)
    sigma = np.sqrt(found.point.variance).tolist()
    groups = [
        {"group": name, "rows": own.rows, "sum_of_weights": own.weight, "sigma": deviation}
        for name, own, deviation in zip(names, summaries, sigma, strict=True)
    ]
    information = joint.information(found.point.variance)
    bare = covariance(information, to) if objective.unpenalised else None
    metrics = _metrics(objective, joint, found.point, int(np.count_nonzero(result.w)))
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
    """The rows themselves, each look at which is a pass.

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

    def residuals(self, thetas: Array) -> Array:
        """sum s r^2 and sum s r (x, 1) of each group, at thetas (G, p) of their own: (G, 1 + p)."""
        to, n = self.to, self.to.n_features
        w, b = np.zeros((self.count, n)), np.zeros(self.count)
        w[self.codes] = to.weights(thetas.T).T
        b[self.codes] = to.centred_intercept(thetas.T) + self.shift
        residuals = GroupResiduals(w, b, to.centre, to.full_unit())
        found = self.dataset.aggregate(residuals, keep=False)
        used = np.append(0, 1 + to.active)
        used = np.append(used, n + 1) if to.fit_intercept else used
        return found[np.ix_(np.array(self.codes), used)]


@dataclass(frozen=True)
class _OwnFit:
    """The least squares of one group on its own.

    Attributes:
        theta: (p,).
        doubtful: its Gram matrix cannot tell whether anything is left over.
        floor: a sum of squares up to here is rounding.
    """

    theta: Array
    doubtful: bool
    floor: float


def _own_fit(own: Sums, to: Coordinates) -> _OwnFit:
    best = solve(own.own_bend, own.own_slope)
    theta = best.x
    if to.fit_intercept:  # through the group's means
        theta = np.append(theta, (own.slope[-1] - own.bend[-1, :-1] @ theta) / own.weight)
    size = own.own_square + 2 * float(np.abs(own.own_slope) @ np.abs(best.x))
    left = own.own_square - float(own.own_slope @ best.x)
    rounding = 64 * max(to.p, 16) * EPS
    # of a fit by normal equations, whose errors grow with the root of their condition
    floor = rounding**2 * min(best.condition, MAX_CONDITION) * size
    return _OwnFit(theta, not left > rounding * size, floor)


def _joint(
    objective: Objective, summaries: list[Summary], shift: float
) -> tuple[Joint, list[_OwnFit]]:
    """The joint problem, and each group on its own. Takes the Gram matrices out of `summaries`."""
    to, count = objective.coordinates, len(summaries)
    square, slope = np.empty(count), np.empty((count, to.p))
    bend, fits = np.empty((count, to.p, to.p)), []
    for g, summary in enumerate(summaries):
        own = sums_of(summary, to, shift)
        square[g], slope[g], bend[g] = own.square, own.slope, own.bend
        fits.append(_own_fit(own, to))
        summary.moments = None  # as large as `bend`, and of no further use
    joint = Joint(
        weight=np.array([own.weight for own in summaries]),
        base=np.zeros(to.p),
        square=square,
        slope=slope,
        bend=bend,
        penalty=objective.regularizer.hessian(objective.zero),
        size=to.extended(objective.summary.sd()[:-1][to.active] * to.unit, 1.0),
        y_mean=np.array([own.y_mean for own in summaries]),
        y_variance=np.array([float(own.sd()[-1]) ** 2 for own in summaries]),
        fit_intercept=to.fit_intercept,
    )
    return joint, fits


def _check_rows(where: list[str], summaries: list[Summary], p: int) -> None:
    """Raise InputError where a group has too few rows not to be fitted exactly."""
    for group, own in zip(where, summaries, strict=True):
        if own.rows <= p:
            raise InputError(
                f"{group} has {own.rows} rows, not more than the {p} coefficients: they could be "
                "fitted exactly, with a sigma of 0 and a likelihood without bound; join small "
                "groups"
            )


def _check_exact(where: list[str], fits: list[_OwnFit], rows: _Rows) -> None:
    """Raise InputError where a group is fitted exactly: the likelihood is then unbounded.

    Where a Gram matrix is in doubt, the rows tell: one pass.
    """
    if not any(own.doubtful for own in fits):
        return
    left_over = rows.residuals(np.array([own.theta for own in fits]))[:, 0]
    for group, square, own in zip(where, left_over, fits, strict=True):
        if not square > own.floor:
            raise InputError(
                f"{group} can be fitted exactly: with a sigma of 0 the likelihood has no bound; "
                "join it with another group, or leave a feature out"
            )


@dataclass(frozen=True)
class _Found:
    """Where the steps ended and why, the last system that was solved, and the history."""

    point: Point
    why: str
    last: Solution | None
    history: tuple[Iteration, ...]


def _minimise(
    joint: Joint,
    rows: _Rows,
    settings: Settings,
    monitor: Callable[[Iteration], None],
    began: float,
) -> _Found:
    """From equal noise, least squares of all rows, to the minimum that it leads to."""
    history: list[Iteration] = []

    def entry(point: Point, number: int) -> Iteration:
        step, seconds = 1.0 if number else float("nan"), time.perf_counter() - began
        passes = rows.dataset.passes
        return Iteration(number, point.objective, point.residual, step, passes, seconds)

    def record(point: Point) -> None:
        history.append(entry(point, len(history)))
        monitor(history[-1])

    def closer(joint: Joint, theta: Array) -> Joint:
        everywhere = np.broadcast_to(theta, (len(joint.weight), len(theta)))
        return joint.rebased(theta, rows.residuals(everywhere))

    last = solve(joint.bend.sum(axis=0), joint.slope.sum(axis=0))
    now, further = joint.at(last.x), 0
    if not now.lost <= MAX_ROUNDING:
        joint, further = closer(joint, last.x), 1
        now = joint.at(last.x)
    record(now)
    while True:
        aim, most = min(settings.tol, AIM), settings.max_iter - len(history) + 1
        why, now, solved = descend(joint, now, aim, most, record)
        last = solved or last
        fine = now.lost <= MAX_ROUNDING and now.blurred <= settings.tol
        if (fine and (last.condition < MAX_CONDITION or further)) or further == MOST_FURTHER_PASSES:
            break
        joint, further = closer(joint, now.theta), further + 1
        now = joint.at(now.theta)
    history[-1] = entry(now, history[-1].iteration)
    return _Found(now, why, last, tuple(history))


def _result(objective: Objective, found: _Found, settings: Settings, shift: float) -> FitResult:
    to, now, last = objective.coordinates, found.point, found.last
    theta = now.theta + to.extended(np.zeros(len(to.active)), shift)
    w = to.weights(theta)
    slope = to.extended(objective.penalty.gradient(w)[to.active] * to.unit, 0.0)
    evaluation = Evaluation(
        theta=theta,
        loss=now.objective - objective.penalty.value(w),
        objective=now.objective,
        loss_gradient=now.gradient - slope,
        gradient=now.gradient,
        residual=now.residual,
    )
    if now.residual <= settings.tol:
        status = Status.CONVERGED
        message = f"the residual is {now.residual:.2g}, within tol = {settings.tol:g}"
    else:
        status = Status.MAX_ITER
        message = (
            f"{found.why} after {found.history[-1].iteration} iterations with the residual at "
            f"{now.residual:.2g}, above tol = {settings.tol:g}"
        )
    return FitResult(
        w=w,
        intercept=to.intercept(theta),
        status=status,
        message="; ".join(filter(None, [message, last.note if last else ""])),
        evaluation=evaluation,
        suboptimality_bound=None,
        condition_number=last.condition if last and np.isfinite(last.condition) else None,
        n_iter=found.history[-1].iteration,
        history=found.history,
    )


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
