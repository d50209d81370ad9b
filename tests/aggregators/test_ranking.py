"""The area under the ROC curve against its definition, at any place, scale and ties of scores."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tests.problems import Problem, dataset_of
from w261reg.aggregators import Expected, Summarise, ranking
from w261reg.aggregators.ranking import Ranks, Scale, bin_of, ordered_key, score_of
from w261reg.aggregators.scores import ClassificationScores
from w261reg.datasets import LocalDataset
from w261reg.losses import get_loss
from w261reg.scoring import MOST_PASSES, scored

Array = NDArray[np.float64]


def area(z: Array, y: Array, s: Array) -> float:
    """By definition, in long doubles."""
    order = np.argsort(z, kind="stable")
    z, y, weight = z[order], y[order], s[order].astype(np.longdouble)
    first = np.flatnonzero(np.r_[True, z[1:] != z[:-1]])
    negative = np.add.reduceat(weight * (y == 0), first)
    positive = np.add.reduceat(weight * (y == 1), first)
    below = np.cumsum(negative) - negative
    return float(positive @ (below + negative / 2) / negative.sum() / positive.sum())


def score(dataset: LocalDataset, w: Array, known: bool = True) -> dict[str, Any]:
    """Metrics of a model of these weights, with further passes."""
    n = len(w)
    expected = Expected.unknown(n)
    if known:
        expected = Expected.of(dataset.aggregate(Summarise(n, False)))
    scores = ClassificationScores(get_loss("bxe"), w, 0.0, expected)
    before = dataset.passes
    found = scored(scores, dataset.aggregate(scores), dataset)
    assert dataset.passes - before <= 1 + MOST_PASSES
    return {**found, "passes": dataset.passes - before}


def of_scores(z: Array, y: Array, s: Array, known: bool = True, leaves: int = 7) -> dict[str, Any]:
    return score(dataset_of(Problem(z[:, None], y, s, "bxe", leaves=leaves)), np.ones(1), known)


def labelled(rng: np.random.Generator, z: Array, shift: float = 0.0) -> Array:
    y = (z + shift + rng.logistic(size=len(z)) > 0).astype(float)
    y[:2] = 0, 1
    return y


def two_clusters(rng: np.random.Generator, z: Array) -> Array:
    return np.where(rng.random(len(z)) < 0.5, 1e200, 1.0) * (1 + 1e-13 * z.round(3))


PLACES = {
    "normal": lambda rng, z: z,
    "close to each other": lambda rng, z: -3.3 + 1e-7 * z,
    "far from 0": lambda rng, z: 1e9 + 1e-3 * z,
    "negative and far": lambda rng, z: -1e15 + np.rint(50 * z),
    "heavy ties": lambda rng, z: z.round(1),
    "skewed": lambda rng, z: np.exp(5 * z),
    "two clusters": two_clusters,
    "all scales": lambda rng, z: z * 10.0 ** rng.integers(-150, 150, len(z)),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shift", [0.0, -7.0])
@pytest.mark.parametrize("place", PLACES)
def test_more_scores_than_are_kept(
    monkeypatch: pytest.MonkeyPatch, place: str, shift: float, known: bool
) -> None:
    """Exact after few further passes, where the rows in doubt are no more than one can take."""
    monkeypatch.setattr(ranking, "MAX_SCORES", 500)
    rng = np.random.default_rng(len(place))
    plain = rng.normal(size=6000)
    z, y = PLACES[place](rng, plain), labelled(rng, plain, shift)
    for s in (np.ones(6000), rng.integers(1, 5, 6000).astype(float)):
        found = of_scores(z, y, s, known)
        assert found["auc"] == pytest.approx(area(z, y, s), rel=1e-15)
        assert found["auc"] == pytest.approx(roc_auc_score(y, z, sample_weight=s), rel=1e-13)
        assert "auc_error" not in found


@pytest.mark.parametrize("place", PLACES)
def test_what_passes_cannot_tell_is_stated(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(ranking, "MAX_SCORES", 100)
    monkeypatch.setattr(ranking, "MOST_ROWS", 300)
    monkeypatch.setattr(ranking, "MOST_CELLS", 200)
    rng = np.random.default_rng(50)
    plain = rng.normal(size=20_000)
    z, y = PLACES[place](rng, plain), labelled(rng, plain)
    s = 10.0 ** rng.uniform(-3, 3, len(z))
    found = of_scores(z, y, s)
    error = found.get("auc_error", 0.0)
    assert abs(found["auc"] - area(z, y, s)) <= error + 1e-13
    assert error < 0.01
    # few scores are exact, and the others are known to be in doubt
    assert (error > 0) == (place not in ("heavy ties", "negative and far"))


def test_distinct_scores_decide_and_not_rows() -> None:
    """Twenty scores of 70,000 rows are exact in one pass, wherever they lie."""
    rng = np.random.default_rng(51)
    x = rng.integers(0, 20, 70_000).astype(float)
    y = labelled(rng, x / 6 - 5)
    for z in (x, -3.3 + 1e-5 * x, 1e12 + x):
        found = of_scores(z, y, np.ones(70_000))
        assert found["auc"] == pytest.approx(area(z, y, np.ones(70_000)), rel=1e-15)
        assert found["passes"] == 1


def test_pairs_of_one_class_are_not_in_doubt() -> None:
    """Few positives: nearly all bins hold negatives alone, and the others hold few rows."""
    rng = np.random.default_rng(52)
    z = rng.normal(size=200_000)
    y = np.zeros(len(z))
    y[rng.choice(len(z), 4, replace=False)] = 1
    found = of_scores(z, y, np.ones(len(z)))
    assert found["auc"] == pytest.approx(area(z, y, np.ones(len(z))), rel=1e-15)
    assert found["passes"] == 2


@pytest.mark.parametrize("size", [1e-300, 1e-165, 1e165, 1e300])
def test_weights_of_any_size(size: float) -> None:
    rng = np.random.default_rng(53)
    z = rng.normal(size=300).round(1)
    y = labelled(rng, z)
    s = rng.random(300)
    ranks = Ranks().add(z, y > 0, s * size, Scale(), False)
    assert ranks.cells().auc() == pytest.approx(area(z, y, s), rel=1e-14)


def test_the_answer_hangs_on_no_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether bins are taken from the first row on or when the scores are too many: the same."""
    monkeypatch.setattr(ranking, "MAX_SCORES", 300)
    rng = np.random.default_rng(54)
    z = np.concatenate([rng.normal(size=3000), np.full(50, 0.25)])
    y, s, scale = labelled(rng, z), rng.integers(1, 9, len(z)).astype(float), Scale(0.5, 3)
    found = []
    for cuts in ([], [1], [299, 301], [100, 2000, 3000], list(range(50, 3000, 50))):
        for binned in (False, True):
            states = []
            for own in np.split(np.arange(len(z)), cuts):
                states.append(Ranks().add(z[own], y[own] > 0, s[own], scale, binned))
            while len(states) > 1:  # from the right
                right = states.pop()
                states[-1] = states[-1].merge(right, scale)
            found.append(states[0].cells())
    for cells in found[1:]:
        for name in ("low", "high", "counts"):
            np.testing.assert_array_equal(getattr(cells, name), getattr(found[0], name))


@pytest.mark.parametrize("binned", [False, True])
def test_scores_that_are_no_numbers(binned: bool) -> None:
    z = np.array([-np.inf, -1.0, 0.0, 2.0, np.inf, np.inf])
    y = np.array([0, 1, 0, 1, 0, 1.0])
    ranks = Ranks().add(z, y > 0, np.ones(6), Scale(1.0, 2), binned)
    assert ranks.cells().auc() == area(z, y, np.ones(6))
    for nan in (np.nan, -np.nan):
        worse = ranks.merge(
            Ranks().add(np.array([nan]), y[:1] > 0, np.ones(1), Scale(), binned), Scale()
        )
        assert np.isnan(worse.cells().auc())
        assert worse.cells().doubt().sum() == 0


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
    state = Ranks()
    for z, label, s in rows:
        state = state.add(np.array([z]), np.array([label]), np.array([float(s)]), Scale(), False)
    pairs = sum(a * b for _, a in negative for _, b in positive)
    if not pairs:
        assert np.isnan(state.cells().auc())
        return
    won = sum(a * b * ((p > q) + (p == q) / 2) for q, a in negative for p, b in positive)
    assert state.cells().auc() == pytest.approx(won / pairs, rel=1e-14)


def test_keys_are_in_the_order_of_the_floats() -> None:
    rng = np.random.default_rng(41)
    z = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500), [0.0, -0.0]])
    keys = ordered_key(z)
    order = np.argsort(z, kind="stable")
    assert (np.diff(keys[order].astype(object)) >= 0).all()
    assert keys[-1] == keys[-2]
    signs = (keys[:, None] > keys[None]).astype(float) - (keys[:, None] < keys[None])
    np.testing.assert_array_equal(np.sign(np.subtract.outer(z, z)), signs)
    np.testing.assert_array_equal(score_of(keys), z)


def test_bins_are_in_the_order_of_the_scores() -> None:
    rng = np.random.default_rng(43)
    z = np.concatenate([rng.normal(size=2000) * 10.0 ** rng.integers(-30, 30, 2000), [0.0, -0.0]])
    z = np.sort(np.r_[z, np.inf, -np.inf, 5e-324])
    places = bin_of(z)
    assert (np.diff(places) >= 0).all()
    assert places[0] == 0
    assert places[-1] == 2 * ranking.HALF - 1
    least, most = 2.0**ranking.LEAST, 2.0 ** (ranking.LEAST + ranking.OCTAVES)
    inside = (np.abs(z) > least) & (np.abs(z) < most)
    a, b = z[inside], places[inside]
    assert inside.sum() > 300
    apart = np.abs(np.diff(a)) > np.abs(a[1:]) * 2 / ranking.PER_OCTAVE
    assert (np.diff(b)[apart] > 0).all()  # scores that differ by a bin's width are never ties
    for scale in (Scale(1.0, -3), Scale(-1e9, 40), Scale(1e-300, -900)):
        assert (np.diff(scale.bin_of(z)) >= 0).all()


def test_a_state_is_no_larger_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(55)
    z = rng.normal(size=3000)
    y = labelled(rng, z)
    aggregator = ClassificationScores(get_loss("bxe"), np.ones(1), 0.0)
    for most in (1000, 2**16):
        monkeypatch.setattr(ranking, "MAX_SCORES", most)
        problem = Problem(z[:, None], y, np.ones(3000), "bxe", leaves=8)
        ranks = dataset_of(problem).aggregate(aggregator).ranks
        held = ranks.exact if ranks.bins is None else ranks.bins
        assert (ranks.bins is None) == (most > 3000)
        size = sum(value.nbytes for value in vars(held).values())
        assert size <= aggregator.nbytes()


def test_equal_rows_are_ties_wherever_they_lie() -> None:
    """Blocks of other origins, and rows elsewhere in a block, give a row the same score."""
    rng = np.random.default_rng(56)
    kinds = 1000 + rng.integers(0, 9, (40, 5)) / 7
    which = rng.integers(0, 40, 2000)
    w = rng.normal(size=5)
    y = labelled(rng, kinds[which] @ w - (kinds @ w).mean())
    exact = area(np.argsort(np.argsort(kinds @ w))[which].astype(float), y, np.ones(2000))
    for sparse in (False, True):
        problem = Problem(kinds[which], y, np.ones(2000), "bxe", leaves=37)
        dataset = dataset_of(dataclasses.replace(problem, sparse=sparse))
        assert score(dataset, w)["auc"] == pytest.approx(exact, rel=1e-15)
