"""How well a model predicts: its training rows, and rows it may never have seen."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import (
    ClassificationScores,
    Expected,
    MulticlassScores,
    RankAgain,
    RegressionScores,
    Several,
)
from w261reg.aggregators.census import TakeCensus
from w261reg.aggregators.ranking import Cells, plan, refined
from w261reg.blas import one_blas_thread
from w261reg.blocks import Census
from w261reg.checks import check_census
from w261reg.constrained import Constrained
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.likelihood import Moments, Noise, likelihood
from w261reg.losses import Loss
from w261reg.model import Model
from w261reg.objective import MAX_ROUNDING, Objective
from w261reg.solvers import FitResult
from w261reg.sources import Columns

Array = NDArray[np.float64]
# passes after the first that an AUC may take
MOST_PASSES = 3


def known_noise(census: Census, columns: Columns) -> Noise | None:
    """The known noise of the rows, if it is."""
    return None if columns.sigma is None else Noise(census.counted, census.log_sigma)


def train_metrics(
    objective: Objective, result: FitResult, model: Model, noise: Noise | None
) -> dict[str, Any]:
    """How well the model predicts its own training rows; a pass only where one is needed."""
    if not (np.isfinite(model.weights).all() and np.isfinite(model.intercept).all()):
        return {"rows": model.rows}
    if objective.loss.quadratic:  # the loss and the label's variance say it all
        at = result.evaluation
        if at.rounding > MAX_ROUNDING * at.loss:  # the penalty had digits enough, not the loss
            at = objective.evaluate(at.theta, 1, "squared error")
        mse = 2 * at.loss
        variance = float(objective.summary.sd()[-1]) ** 2
        r2 = 1 - mse / variance if variance > 0 else float("nan")
        found = {"rows": model.rows, "mse": mse, "rmse": mse**0.5, "r2": r2}
        if isinstance(objective, Constrained) and noise is None:
            estimate = objective.noise_variance(at)
            found |= {} if estimate is None else {"noise_variance": estimate}
        summary = objective.summary
        moments = Moments(summary.weight, mse / 2, summary.y_mean, variance)
        return found | _likelihood(objective.loss, moments, model, noise)
    expected = Expected.of(objective.summary)
    scores = scorer(objective.loss, model.weights, model.intercept, expected)
    dataset = objective.dataset
    if objective.ridden and np.array_equal(objective.ridden[0], result.evaluation.theta):
        return metrics_of(scores, objective.ridden[1], dataset, model)
    return metrics_of(scores, dataset.aggregate(scores), dataset, model)


def metrics_of(
    scores: Any, state: Any, dataset: Dataset, model: Model, noise: Noise | None = None
) -> dict[str, Any]:
    """How well the model predicts the rows of a dataset, which have these scores."""
    found = scored(scores, state, dataset)
    return found | _likelihood(scores.loss, Moments(*scores.moments(state)), model, noise)


def scored(scores: Any, state: Any, dataset: Dataset) -> dict[str, Any]:
    """The metrics of a dataset's rows by name; further passes only where the AUC needs them."""
    if not isinstance(scores, ClassificationScores):
        return dict(scores.metrics(state))
    return scores.metrics(state, _ranked(scores, state.ranks.cells(), dataset))


def _ranked(scores: ClassificationScores, cells: Cells, dataset: Dataset) -> Cells:
    """What a few passes tell of the order of the rows."""
    for _ in range(MOST_PASSES):
        doubtful = plan(cells)
        if doubtful is None:
            break
        try:
            found = dataset.aggregate(RankAgain(scores, doubtful))
        except InputError:  # more than the driver takes: the error is stated instead
            break
        cells = refined(cells, doubtful, found)
    return cells


def _likelihood(loss: Loss, rows: Moments, model: Model, noise: Noise | None) -> dict[str, float]:
    return likelihood(loss, rows, model.fit_intercept, model.parameters, noise)


def scorer(loss: Loss, w: Array, b: Any, expected: Expected | None = None) -> Any:
    """The aggregator that scores a model of this loss, on a table of which so much is known."""
    if loss.multiclass:
        return MulticlassScores(loss, w, b)
    if loss.classification:
        return ClassificationScores(loss, w, b, expected)
    return RegressionScores(loss, w, b)


@one_blas_thread()
def evaluate_dataset(model: Model, dataset: Dataset, columns: Columns) -> dict[str, Any]:
    """Metrics of a model on rows it may never have seen: one pass, the checks in it, and those that
    the AUC of many distinct scores needs."""
    loss = model.loss_object
    expected = Expected.unknown(len(model.weights), dataset.rows or 0)
    scores = scorer(loss, model.weights, model.intercept, expected)
    census, state = dataset.aggregate(Several(TakeCensus(), scores))
    check_census(census, columns)
    if state.rows == 0:
        raise InputError(f"weight column {columns.weight!r} is 0 in every row")
    if loss.classification and not loss.multiclass:  # whose labels are checked as they are read
        known = set(model.classes or ())
        if columns.positive is None:
            known = {0, 1}
        for value in census.labels:
            if value not in known:
                raise InputError(
                    f"label column {columns.label!r} has the value {value!r}, which the model does "
                    f"not know: {', '.join(map(str, known))}"
                )
    return metrics_of(scores, state, dataset, model, known_noise(census, columns))
