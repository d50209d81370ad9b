"""Scores against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from tests.problems import Problem, dataset_of, example
from w261reg.aggregators.scores import ClassificationScores, RegressionScores
from w261reg.losses import get_loss

Array = NDArray[np.float64]


def classified(z: Array, y: Array, weight: Array, leaves: int = 4) -> dict[str, float]:
    """Scores of the linear predictors z: one feature of weight 1."""
    problem = Problem(z[:, None], y, weight, "bxe", leaves=leaves)
    aggregator = ClassificationScores(get_loss("bxe"), np.ones(1), 0.0)
    return aggregator.metrics(dataset_of(problem).aggregate(aggregator))


def ranked(rows: int = 500, decimals: int = 1) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(40)
    z = np.round(rng.normal(size=rows), decimals)
    y = (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(float)
    return z, y, rng.integers(1, 4, rows).astype(float)


@pytest.mark.parametrize("leaves", [1, 2, 9])
@pytest.mark.parametrize("weighted", [False, True])
def test_classification(weighted: bool, leaves: int) -> None:
    z, y, weight = ranked()
    z[:5] = [-0.0, 0.0, 0.0, -0.0, 0.0]  # one score, and the class 0
    weight = weight if weighted else np.ones(len(z))
    found = classified(z, y, weight, leaves)
    p = 1 / (1 + np.exp(-z))
    assert found["rows"] == 500
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(y, z, sample_weight=weight), 1e-14)
    assert found["log_loss"] == pytest.approx(
        metrics.log_loss(y, p, sample_weight=weight), rel=1e-12
    )
    for name, score in (
        ("accuracy", metrics.accuracy_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
    ):
        assert found[name] == pytest.approx(score(y, z > 0, sample_weight=weight), rel=1e-14)


def test_one_class_only() -> None:
    found = classified(np.array([-1.0, -2.0]), np.zeros(2), np.ones(2), 1)
    assert np.isnan(found["auc"])
    assert np.isnan(found["recall"])
    assert np.isnan(found["precision"])
    assert found["accuracy"] == 1.0


@pytest.mark.parametrize("leaves", [1, 6])
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_regression(leaves: int, offset: float) -> None:
    problem = example("mse", weighted=True)
    problem = problem.but(leaves=leaves, y=problem.y + offset)
    w, b = np.array([0.5, -0.2, 0.1, 0.0]), 0.3 + offset
    found: dict[str, Any] = RegressionScores.metrics(
        dataset_of(problem).aggregate(RegressionScores(get_loss("mse"), w, b))
    )
    z, s = problem.x @ w + b, problem.weight
    assert found["rows"] == (s > 0).sum()
    expected = {
        "mse": metrics.mean_squared_error(problem.y, z, sample_weight=s),
        "mae": metrics.mean_absolute_error(problem.y, z, sample_weight=s),
        "r2": metrics.r2_score(problem.y, z, sample_weight=s),
    }
    expected["rmse"] = expected["mse"] ** 0.5
    # at 1e9 the predictions themselves are rounded to 1e-7
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12 if offset == 0 else 1e-6)


def test_r2_of_a_constant_label() -> None:
    problem = example("mse").but(y=np.full(80, 2.0))
    aggregator = RegressionScores(get_loss("mse"), np.zeros(4), 1.0)
    found = aggregator.metrics(dataset_of(problem).aggregate(aggregator))
    assert np.isnan(found["r2"])
    assert found["mse"] == found["mae"] == 1.0


def test_rows_beyond_the_range_of_numbers_are_scored_without_a_word() -> None:
    """A table that is evaluated is not checked as one that is trained on: no warning, no trace."""
    x = np.array([[1e200, 1e200], [-1e200, 3.0], [1.0, -1e200], [0.0, 1.0]])
    y, w = np.array([1.0, 0.0, 1.0, 0.0]), np.array([1e150, -1.0])
    problem = Problem(x, y, np.ones(4), "bxe", leaves=2)
    for kind in ("bxe", "squared_hinge"):
        scores = ClassificationScores(get_loss(kind), w, 0.0)
        found = scores.metrics(dataset_of(problem).aggregate(scores))
        assert found["auc"] == 1.0
    scores = ClassificationScores(get_loss("bxe"), np.array([1e150, -1e150]), 0.0)
    found = scores.metrics(dataset_of(problem).aggregate(scores))
    assert np.isnan(found["auc"])  # inf - inf has no place in the order
    far = RegressionScores(get_loss("mse"), w, 0.0)
    extreme = dataset_of(problem.but(y=y * 1e200))
    assert far.metrics(extreme.aggregate(far))["mse"] == np.inf
