"""Scores against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from tests.problems import Problem, dataset_of, example
from w261reg.aggregators import scores
from w261reg.aggregators.scores import ClassificationScores, RegressionScores, ordered_key
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


@given(
    st.lists(
        st.tuples(
            st.sampled_from([-1e300, -2.5, -5e-324, -0.0, 0.0, 5e-324, 1.0, 1.0000000000000002]),
            st.booleans(),
            st.integers(1, 3),
        ),
        min_size=2,
        max_size=30,
    )
)
@settings(derandomize=True, deadline=None, max_examples=150)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[float, bool, int]]) -> None:
    negative = [(z, s) for z, positive, s in rows if not positive]
    positive = [(z, s) for z, positive, s in rows if positive]
    state = scores.Ranks()
    for z, label, s in rows:
        own = np.array([z]), np.array([label]), np.array([float(s)])
        state = state.merge(scores.Ranks.of(*own, binned=False))
    pairs = sum(a * b for _, a in negative for _, b in positive)
    if not pairs:
        assert np.isnan(state.auc())
        return
    won = sum(a * b * ((p > q) + (p == q) / 2) for q, a in negative for p, b in positive)
    assert state.auc() == pytest.approx(won / pairs, rel=1e-14)


def test_keys_are_in_the_order_of_the_floats() -> None:
    rng = np.random.default_rng(41)
    z = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500), [0.0, -0.0]])
    keys = ordered_key(z)
    order = np.argsort(z, kind="stable")
    assert (np.diff(keys[order].astype(object)) >= 0).all()
    assert keys[-1] == keys[-2]
    np.testing.assert_array_equal(np.sign(np.subtract.outer(z, z)), _signs(keys))


def _signs(keys: NDArray[np.uint64]) -> Array:
    return (keys[:, None] > keys[None]).astype(float) - (keys[:, None] < keys[None])


def test_more_scores_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    z, y, weight = ranked(20_000, 12)
    exact = metrics.roc_auc_score(y, z, sample_weight=weight)
    assert classified(z, y, weight)["auc"] == pytest.approx(exact, rel=1e-14)
    monkeypatch.setattr(scores, "MAX_SCORES", 1000)
    rough = [classified(z, y, weight, 8)["auc"] for _ in range(2)]
    assert rough[0] == rough[1]
    assert rough[0] != exact  # it was rounded, or this tests nothing
    assert rough[0] == pytest.approx(exact, abs=2e-6)


@pytest.mark.parametrize("told", [0, 3000])
def test_kept_scores_are_bounded(monkeypatch: pytest.MonkeyPatch, told: int) -> None:
    """Whether bins are taken from the first row on or when the scores are too many: the same."""
    monkeypatch.setattr(scores, "MAX_SCORES", 1000)
    z, y, weight = ranked(3000, 12)
    problem = Problem(z[:, None], y, weight, "bxe", leaves=8)
    aggregator = ClassificationScores(get_loss("bxe"), np.ones(1), 0.0, told)
    ranks = dataset_of(problem).aggregate(aggregator).ranks
    assert not len(ranks.keys)
    assert ranks.bins is not None
    assert ranks.bins.sum() == weight.sum()
    wanted = [weight[y == 0].sum(), weight[y == 1].sum()]
    np.testing.assert_array_equal(ranks.bins.sum(axis=1), wanted)


def test_bins_are_in_the_order_of_the_scores() -> None:
    rng = np.random.default_rng(43)
    z = np.concatenate([rng.normal(size=2000) * 10.0 ** rng.integers(-30, 30, 2000), [0.0, -0.0]])
    z = np.sort(np.r_[z, np.inf, -np.inf, 5e-324])
    places = scores.bin_of(z)
    assert (np.diff(places) >= 0).all()
    assert places[0] == 0
    assert places[-1] == 2 * scores.HALF - 1
    inside = (np.abs(z) > 2.0**-20) & (np.abs(z) < 2.0**30)
    a, b = z[inside], places[inside]
    assert inside.sum() > 300
    apart = np.abs(np.diff(a)) > np.abs(a[1:]) * 2 / scores.PER_OCTAVE
    assert (np.diff(b)[apart] > 0).all()  # scores that differ by a bin's width are never ties
    np.testing.assert_array_equal(scores.score_of(ordered_key(z)), z)


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
