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
    ClassificationScores,
    RegressionScores,
    Sample,
    Several,
    Summarise,
    Summary,
    Sums,
)
from w261reg.aggregators.census import TakeCensus
from w261reg.checks import check_census, check_summary
from w261reg.config import Settings
from w261reg.constrained import Constrained
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.head_start import HeadStart, head_start
from w261reg.likelihood import Moments, likelihood
from w261reg.losses import Loss, get_loss
from w261reg.model import Model, load
from w261reg.objective import Objective
from w261reg.own import sources
from w261reg.posing import feature_constraints, feature_orders, kinked, pose, ridge
from w261reg.solvers import SOLVERS, FirstPass, FitResult, Iteration, Status, Steps, minimise
from w261reg.solvers.certificates import storage_bound
from w261reg.solvers.choose import ASSUMED_ROWS, MAX_HESSIAN_FEATURES, Choice, Size, choose
from w261reg.solvers.descent import FEW_FEATURES
from w261reg.sources import Columns
from w261reg.versions import library_versions

Array = NDArray[np.float64]
log = logging.getLogger("w261reg")
# a covariance matrix of more coefficients would be most of model.json
MOST_COVARIANCES = 512


@dataclass(frozen=True)
class Fit:
    """A fitted model, and what it was fitted on for those who go on with it."""

    model: Model
    objective: Objective
    columns: Columns


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
    loss = get_loss(settings.loss)
    n = dataset.n_features
    kinky = kinked(settings)
    orders = feature_orders(settings, columns.names)
    constraints = feature_constraints(settings, loss, columns.names)
    constrained = constraints is not None
    warm = warm_start(settings.warm_start, columns)
    few = dataset.preview if warm is None and not loss.quadratic else None
    size = _size(dataset, few is not None)
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
    constant = np.setdiff1d(np.arange(n), objective.coordinates.active)
    if len(constant):
        names = [columns.names[j] for j in constant[:5]]
        more = f" and {len(constant) - 5} more" if len(constant) > 5 else ""
        log.warning("constant, so coefficient 0: %s%s", ", ".join(names), more)
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
    solver = kind.of(settings.max_iter, settings.tol, steps)
    if caution := solver.caution(objective):
        log.warning(caution)
    start = None if warm is None else objective.coordinates.theta(*warm)
    if isinstance(objective, Constrained):
        for note in objective.notes():
            log.warning(note)
        if start is not None and not kind.ignores_start and not objective.satisfied(start):
            log.info("warm start: moved to the nearest coefficients that satisfy the constraints")
    if loss.classification:
        objective.rider = partial(scorer, loss, rows=summary.rows)
    result = minimise(solver, objective, start, _monitor, began)
    model = _model(settings, objective, columns, result, choice, classes, spark)
    model = replace(model, metrics={"train": _train_metrics(objective, result, model)})
    seconds = time.perf_counter() - began
    log.info("%s: %s", model.status, model.message)
    return Fit(replace(model, seconds=seconds), objective, columns)


def _size(dataset: Dataset, previewed: bool) -> Size:
    rows = ASSUMED_ROWS if dataset.rows is None else dataset.rows
    n, entries = dataset.n_features, dataset.entries
    return Size(rows, n, entries, dataset.cores, dataset.overhead, previewed)


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
        both = Several(Summarise(n, gram=False), ahead.evaluate(loss))
        summary, sums = dataset.aggregate(both)
        return _First(summary, sums=sums)
    whole = Summarise(n, gram=wanted is FirstPass.GRAM)
    if wanted is not FirstPass.SAMPLE:
        return _First(dataset.aggregate(whole, keep=keep))
    both = Several(whole, Sample(Summarise(n, gram=True), every))
    both.name = f"{whole.name}, {wanted.value}"
    return _First(*dataset.aggregate(both))


def warm_start(
    path: str | None, columns: Columns, argument: str = "warm_start"
) -> tuple[Array, float] | None:
    """Weights in the columns' order and intercept of the model to start from.

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
    if not (np.isfinite(model.weights).all() and np.isfinite(model.intercept)):
        raise InputError(f"{argument} {path} has coefficients that are not finite")
    position = {name: j for j, name in enumerate(model.feature_names)}
    return model.weights[[position[name] for name in columns.names]], model.intercept


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
        **_inference(objective, result),
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


def _inference(objective: Objective, result: FitResult) -> dict[str, Any]:
    """What is known of the estimates: fields of the model."""
    found: dict[str, Any] = {"standard_errors": None}
    if not isinstance(objective, Constrained):
        return found
    found["multipliers"] = objective.multipliers(result.evaluation)
    covariance = None
    if result.status is Status.CONVERGED and objective.p <= MAX_HESSIAN_FEATURES:
        covariance = objective.covariance(result.evaluation)
    if covariance is not None:
        variances = np.maximum(np.diagonal(covariance), 0.0)
        found["standard_errors"] = np.sqrt(variances[: objective.dataset.n_features]).tolist()
        if len(covariance) <= MOST_COVARIANCES:
            found["covariance"] = covariance.tolist()
    return found


def _penalty_params(settings: Settings) -> dict[str, Any]:
    own = {} if settings.penalty is None else {settings.penalty: settings.penalty_param or 0.0}
    orders = {name: list(order) for name, order in settings.orders.items()}
    return {**settings.penalties, **orders, **own}


def _lambda_max(settings: Settings, objective: Objective, solver: str) -> float | None:
    """Where it is known at no pass: of other solvers, where it takes no time either."""
    if not SOLVERS[solver].takes_step_size and objective.p > FEW_FEATURES:
        return None
    return objective.lambda_max(bool(settings.standardization))


def _train_metrics(objective: Objective, result: FitResult, model: Model) -> dict[str, float]:
    """How well the model predicts its own training rows; a pass only where one is needed."""
    if not (np.isfinite(model.weights).all() and np.isfinite(model.intercept)):
        return {"rows": model.rows}
    if objective.loss.quadratic:  # the loss and the label's variance say it all
        mse = 2 * result.evaluation.loss
        variance = float(objective.summary.sd()[-1]) ** 2
        r2 = 1 - mse / variance if variance > 0 else float("nan")
        found = {"rows": model.rows, "mse": mse, "rmse": mse**0.5, "r2": r2}
        if isinstance(objective, Constrained):
            noise = objective.noise_variance(result.evaluation)
            found |= {} if noise is None else {"noise_variance": noise}
        summary = objective.summary
        moments = Moments(summary.weight, mse / 2, summary.y_mean, variance)
        return found | _likelihood(objective.loss, moments, model)
    scores = scorer(objective.loss, model.weights, model.intercept, model.rows)
    if objective.ridden and np.array_equal(objective.ridden[0], result.evaluation.theta):
        return _metrics(scores, objective.ridden[1], model)
    return _metrics(scores, objective.dataset.aggregate(scores), model)


def _metrics(scores: Any, state: Any, model: Model) -> dict[str, float]:
    """How well the model predicts the rows of these scores."""
    found: dict[str, float] = scores.metrics(state)
    return found | _likelihood(scores.loss, Moments(*scores.moments(state)), model)


def _likelihood(loss: Loss, rows: Moments, model: Model) -> dict[str, float]:
    return likelihood(loss, rows, model.fit_intercept, model.parameters)


def scorer(loss: Loss, w: Array, b: float, rows: int = 0) -> Any:
    """The aggregator that scores a model of this loss, on a table of so many rows if known."""
    if loss.classification:
        return ClassificationScores(loss, w, b, rows)
    return RegressionScores(loss, w, b)


def evaluate_dataset(model: Model, dataset: Dataset, columns: Columns) -> dict[str, float]:
    """Metrics of a model on rows it may never have seen: one pass, the checks in it."""
    loss = model.loss_object
    scores = scorer(loss, model.weights, model.intercept, dataset.rows or 0)
    census, state = dataset.aggregate(Several(TakeCensus(), scores))
    check_census(census, columns)
    if state.rows == 0:
        raise InputError(f"weight column {columns.weight!r} is 0 in every row")
    if loss.classification:
        known = set(model.classes or ())
        if columns.positive is None:
            known = {0, 1}
        for value in census.labels:
            if value not in known:
                raise InputError(
                    f"label column {columns.label!r} has the value {value!r}, which the model does "
                    f"not know: {', '.join(map(str, known))}"
                )
    return _metrics(scores, state, model)
