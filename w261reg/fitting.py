"""One fit: first pass, checks, conventions, solver, scores."""

import logging
import math
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import (
    Expected,
    Sample,
    Several,
    Summarise,
    Summary,
    Sums,
)
from w261reg.blas import one_blas_thread
from w261reg.checks import check_summary
from w261reg.config import Settings
from w261reg.constrained import Constrained
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.head_start import HeadStart, head_start
from w261reg.heteroscedastic import fit_groups
from w261reg.information import account, known_covariance
from w261reg.losses import Loss, get_loss
from w261reg.model import Model
from w261reg.naive_bayes import fit_counts
from w261reg.objective import Objective
from w261reg.own import sources
from w261reg.posing import feature_constraints, feature_orders, kinked, pose, ridge
from w261reg.saved import load
from w261reg.scoring import known_noise, metrics_of, scorer, train_metrics
from w261reg.solvers import SOLVERS, FirstPass, FitResult, Iteration, Solver, Status, Steps
from w261reg.solvers.certificates import storage_bound
from w261reg.solvers.choose import ASSUMED_ROWS, MAX_HESSIAN_FEATURES, Choice, Size, choose
from w261reg.solvers.descent import FEW_FEATURES
from w261reg.solvers.relay import relay
from w261reg.sources import Columns
from w261reg.versions import library_versions

Array = NDArray[np.float64]
log = logging.getLogger("w261reg")
# of a start, in the problem's own units: its square is still a number
LARGEST_START = 1e150


@dataclass(frozen=True)
class Fit:
    """A fitted model, and what it was fitted on for those who go on with it.

    Attributes:
        posed: the objective; None where the model was counted.
    """

    model: Model
    posed: Objective | None
    columns: Columns

    @property
    def objective(self) -> Objective:
        """Of a model that was not counted."""
        assert self.posed is not None
        return self.posed


@one_blas_thread()
def fit(
    settings: Settings, dataset: Dataset, columns: Columns, spark: str | None, began: float
) -> Fit:
    """Fit a model to a dataset.

    Args:
        settings: checked.
        dataset: the rows; its first pass reads and packs them.
        columns: what they hold.
        spark: version of Spark, or None where it takes no part.
        began: `time.perf_counter()` when the work began.

    Raises:
        InputError: the data or the settings cannot be used.
        ComputeError: a pass failed.
    """
    if columns.group is not None:
        return _fit_groups(settings, dataset, columns, spark, began)
    loss = get_loss(settings.loss).of_classes(len(columns.levels or ()))
    if loss.counted:
        return _fit_counts(settings, dataset, columns, spark, began)
    n = dataset.n_features
    kinky = kinked(settings)
    orders = feature_orders(settings, columns.names)
    constraints = feature_constraints(settings, loss, columns.names)
    constrained = constraints is not None
    warm = warm_start(settings.warm_start, columns)
    few = dataset.preview if warm is None and not loss.quadratic else None
    size = _size(dataset, loss, few is not None)
    if settings.solver == "auto":
        choice = choose(loss, size, kinky, settings.step_size, ridge(settings), constrained)
    else:
        choice = Choice(settings.solver, "the user's choice", {})
    kind = SOLVERS[choice.solver]
    kind.check(loss, kinky, ridge(settings), constrained)
    ahead = None
    if few is not None and kind.head_start:
        ahead = head_start(settings, few(), size.rows, loss, orders, columns.names)
    null_feasible = constraints is None or constraints[0].homogeneous
    at_null = (warm is None and null_feasible) or kind.ignores_start
    batches = settings.batch_rows is not None
    wanted = kind.wants(loss, n, settings.max_iter, at_null, batches)
    keep = not kind.needs_no_more(loss, wanted, batches)
    first = _first_pass(dataset, loss, wanted, keep, size.every, ahead)
    summary = first.summary
    classes = check_summary(summary, columns, loss)
    log.info(
        f"read {summary.rows:,} rows x {n:,} features, {dataset.parallelism}, "
        f"{time.perf_counter() - began:.2f} s"
    )
    sample, every = first.sample, size.every
    objective = pose(settings, dataset, loss, summary, orders, sample, every, 1.0, constraints)
    if ahead is not None and first.sums is not None:
        objective.head = ahead.evaluation(objective, first.sums)
    if ahead is not None and objective.head is not None:
        log.info(f"starts at the optimum of {ahead.rows:,} rows, read beforehand")
    _name_constants(objective, columns)
    log.info("solver %s: %s", choice.solver, choice.why)
    if warm is not None and kind.ignores_start:
        log.info("warm start: of no use to a solver that needs one pass")
    step_size = settings.step_size
    if step_size is not None and not kind.unitless_steps:
        step_size *= objective.strengths.step
    rule = settings.step_rule
    if loss.kinked and rule is None and step_size is None:
        rule = "inverse_sqrt"  # no other rule is sure to get near where gradients do not vanish
    seed, standardized = settings.seed or 0, bool(settings.standardization)
    steps = Steps(step_size, rule, settings.batch_rows, seed, standardized)

    def solver_of(name: str) -> Solver:
        return SOLVERS[name].of(settings.max_iter, settings.tol, steps)

    if caution := solver_of(choice.solver).caution(objective):
        log.warning(caution)
    # in that form Newton's steps are exact, see `Regularizer`
    start = None if warm is None else objective.form(objective.coordinates.theta(*warm))
    if start is not None and not np.max(np.abs(start), initial=0.0) < LARGEST_START:
        raise InputError(
            f"warm_start {settings.warm_start} has coefficients that are too large for this data"
        )
    if isinstance(objective, Constrained):
        for note in objective.notes():
            log.warning(note)
        if start is not None and not kind.ignores_start and not objective.satisfied(start):
            log.info("warm start: moved to the nearest coefficients that satisfy the constraints")
    objective.announce = log.info
    if loss.classification:
        objective.rider = partial(scorer, loss, expected=Expected.of(summary))
    result, choice = relay(choice, solver_of, objective, start, _monitor, began)
    model = _model(settings, objective, columns, result, choice, classes, spark)
    noise = known_noise(summary.census, columns)
    if isinstance(objective, Constrained):
        estimates = result.status is Status.CONVERGED and objective.p <= MAX_HESSIAN_FEATURES
        found = objective.covariance(result.evaluation, noise is not None) if estimates else None
        multipliers = objective.multipliers(result.evaluation)
        model = replace(model, multipliers=multipliers, **account(found, n))
    elif noise is not None:
        model = replace(model, **account(known_covariance(objective, result), n))
    model = replace(model, metrics={"train": train_metrics(objective, result, model, noise)})
    seconds = time.perf_counter() - began
    log.info("%s: %s", model.status, model.message)
    return Fit(replace(model, seconds=seconds), objective, columns)


def _fit_counts(
    settings: Settings, dataset: Dataset, columns: Columns, spark: str | None, began: float
) -> Fit:
    """A model in closed form; the pass that scores it is not one of the fit."""
    model = fit_counts(settings, dataset, columns, spark, began)
    log.info(f"read {model.rows:,} rows x {dataset.n_features:,} features, {dataset.parallelism}")
    scores = scorer(model.loss_object, model.weights, model.intercept)
    metrics = {"train": metrics_of(scores, dataset.aggregate(scores), dataset, model)}
    log.info("%s: %s", model.status, model.message)
    seconds = time.perf_counter() - began
    return Fit(replace(model, metrics=metrics, seconds=seconds), None, columns)


def _size(dataset: Dataset, loss: Loss, previewed: bool) -> Size:
    return Size(
        rows=ASSUMED_ROWS if dataset.rows is None else dataset.rows,
        features=dataset.n_features,
        entries=dataset.entries,
        cores=dataset.cores,
        overhead=dataset.overhead,
        travels=dataset.travels,
        previewed=previewed,
        outputs=loss.outputs,
    )


def _fit_groups(
    settings: Settings, dataset: Dataset, columns: Columns, spark: str | None, began: float
) -> Fit:
    """A fit whose rows' noise has one unknown variance a group."""
    found = fit_groups(settings, dataset, columns, _monitor, began)
    objective, result = found.objective, found.result
    _name_constants(objective, columns)
    if settings.warm_start is not None:
        log.info("warm start: of no use to a solver that needs one pass")
    choice = Choice("gram", "the Gram matrices of the groups hold the whole problem", {})
    model = _model(settings, objective, columns, result, choice, None, spark)
    model = replace(
        model,
        metrics={"train": found.metrics},
        noise_groups=found.groups,
        lambda_max=None,
        **account(found.covariance, dataset.n_features),
    )
    log.info("%s: %s", model.status, model.message)
    return Fit(replace(model, seconds=time.perf_counter() - began), objective, columns)


def _name_constants(objective: Objective, columns: Columns) -> None:
    """Warn of features without spread; one that is not 0 may be meant as the intercept."""
    constant = np.setdiff1d(np.arange(len(columns.names)), objective.coordinates.active)
    if not len(constant):
        return
    names = [columns.names[j] for j in constant[:5]]
    more = f" and {len(constant) - 5} more" if len(constant) > 5 else ""
    log.warning("constant, so coefficient 0: %s%s", ", ".join(names), more)
    if not objective.fit_intercept and objective.summary.low[constant].any():
        log.warning(
            "without an intercept a constant feature is not used as one: leave it out and fit the "
            "intercept (fit_intercept; without --no-intercept), which is never penalised"
        )


@dataclass(frozen=True)
class _First:
    """What the first pass tells: all rows' moments, a sample's, and the sums at a head start."""

    summary: Summary
    sample: Summary | None = None
    sums: Sums | None = None


def _first_pass(
    dataset: Dataset,
    loss: Loss,
    wanted: FirstPass,
    keep: bool,
    every: int,
    ahead: HeadStart | None,
) -> _First:
    """The moments, and what else the solver wants where it starts."""
    n = dataset.n_features
    if ahead is not None:
        both = Several(Summarise(n, False, loss.outputs), ahead.evaluate(loss))
        summary, sums = dataset.aggregate(both)
        return _First(summary, sums=sums)
    whole = Summarise(n, wanted is FirstPass.GRAM, loss.outputs)
    if wanted is not FirstPass.SAMPLE:
        return _First(dataset.aggregate(whole, keep=keep))
    both = Several(whole, Sample(Summarise(n, True, loss.outputs), every))
    both.name = f"{whole.name}, {wanted.value}"
    return _First(*dataset.aggregate(both))


def warm_start(
    path: str | None, columns: Columns, argument: str = "warm_start"
) -> tuple[Array, Any] | None:
    """Weights and intercept of the model to start from, in the order of columns and classes.

    Args:
        path: of the model; None is none.
        columns: of the data.
        argument: that gave the path.
    """
    if path is None:
        return None
    model = load(path)
    if set(model.feature_names) != set(columns.names):
        different = sorted(set(model.feature_names) ^ set(columns.names))
        raise InputError(
            f"{argument} {path} has other features than the data: {different[0]!r} is not in both"
        )
    if not (np.isfinite(model.weights).all() and np.isfinite(model.intercept).all()):
        raise InputError(f"{argument} {path} has coefficients that are not finite")
    position = {name: j for j, name in enumerate(model.feature_names)}
    weights, intercept = model.weights[[position[name] for name in columns.names]], model.intercept
    if (weights.ndim > 1) != (columns.levels is not None):
        raise InputError(
            f"{argument} {path} is a model of loss {model.loss}, which has other coefficients"
        )
    if columns.levels is None:
        return weights, intercept
    place = {value: k for k, value in enumerate(model.classes or ())}
    if set(place) != set(columns.levels):
        different = sorted(map(str, set(place) ^ set(columns.levels)))
        raise InputError(
            f"{argument} {path} has other classes than the data: {different[0]!r} is not in both"
        )
    order = [place[value] for value in columns.levels]
    return weights[:, order], np.asarray(intercept)[order]


def _monitor(entry: Iteration) -> None:
    step = "" if math.isnan(entry.step) else f"  step {entry.step:.3g}"
    log.info(
        f"iteration {entry.iteration:3d}  objective {entry.objective:.12g}  "
        f"residual {entry.residual:.2e}{step}  passes {entry.passes}  {entry.seconds:.2f} s",
        extra={"live": True},
    )


def _model(
    settings: Settings,
    objective: Objective,
    columns: Columns,
    result: FitResult,
    choice: Choice,
    classes: list[Any] | None,
    spark: str | None,
) -> Model:
    names = columns.names
    constant = np.setdiff1d(np.arange(len(names)), objective.coordinates.active)
    return Model(
        loss=settings.loss,
        feature_names=names,
        weights=result.w,
        intercept=result.intercept,
        classes=None if classes is None else tuple(classes),
        label=columns.label,
        vector_column=columns.columns[0] if columns.vector else None,
        reg_param=settings.reg_param,
        elastic_net_param=settings.elastic_net_param,
        convention=settings.convention,
        l1=objective.strengths.l1,
        l2=objective.strengths.l2,
        penalty_params=_penalty_params(settings),
        fit_intercept=settings.fit_intercept,
        standardization=bool(settings.standardization),
        objective=result.evaluation.objective,
        status=str(result.status),
        message=result.message,
        optimality_residual=result.evaluation.residual,
        tol=settings.tol,
        suboptimality_bound=result.suboptimality_bound,
        standard_errors=None,
        condition_number=result.condition_number,
        n_iter=result.n_iter,
        n_passes=result.history[-1].passes,
        solver=choice.solver,
        why_solver=choice.why,
        solver_estimates={name: asdict(own) for name, own in choice.estimates.items()},
        rows=objective.summary.rows,
        sum_of_weights=objective.summary.weight,
        standard_deviations=tuple(map(float, objective.strengths.sd)),
        constant_features=tuple(names[j] for j in constant),
        library_versions=library_versions(spark),
        storage=settings.storage,
        own_sources=sources(settings.loss, settings.penalty),
        storage_bound=storage_bound(objective, result.evaluation),
        lambda_max=_lambda_max(settings, objective, choice.solver),
        history=result.history,
        config=settings.to_dict(),
    )


def _penalty_params(settings: Settings) -> dict[str, Any]:
    own = {} if settings.penalty is None else {settings.penalty: settings.penalty_param or 0.0}
    orders = {name: list(order) for name, order in settings.orders.items()}
    return {**settings.penalties, **orders, **own}


def _lambda_max(settings: Settings, objective: Objective, solver: str) -> float | None:
    """Where it is known at no pass: of other solvers, where it takes no time either."""
    if not SOLVERS[solver].takes_step_size and objective.p > FEW_FEATURES:
        return None
    return objective.lambda_max(bool(settings.standardization))
