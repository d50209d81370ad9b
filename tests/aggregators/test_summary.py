"""Moments and Gram matrix against numpy."""

import copy

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.problems import Problem, block, leaves_of, summary_of
from w261reg.aggregators import Summarise, Summary
from w261reg.blocks import Block, Census, DenseBlock
from w261reg.datasets import LocalDataset

Array = NDArray[np.float64]


def data(m: int = 300, seed: int = 20) -> Problem:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, 5)) @ rng.normal(size=(5, 5)) + rng.normal(size=5)
    x[rng.random((m, 5)) < 0.4] = 0.0
    y = x @ rng.normal(size=5) + rng.normal(size=m)
    weight = 0.25 * rng.integers(0, 4, m).astype(float)
    return Problem(x, y, weight)


def moments(problem: Problem) -> tuple[Array, Array]:
    """Weighted means and covariances over S of (x, y), as numpy has them."""
    both = np.column_stack([problem.x, problem.y])
    mean = np.average(both, axis=0, weights=problem.weight)
    return mean, np.cov(both.T, aweights=problem.weight, ddof=0)


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("leaves", [1, 2, 7])
def test_against_numpy(gram: bool, as_sparse: bool, leaves: int) -> None:
    problem = data().but(sparse=as_sparse, leaves=leaves)
    summary = summary_of(problem, gram)
    mean, covariance = moments(problem)
    used = problem.weight > 0
    assert summary.rows == used.sum()
    assert summary.weight == pytest.approx(problem.weight.sum(), rel=1e-15)
    assert summary.weight_squares == pytest.approx(problem.weight @ problem.weight, rel=1e-15)
    np.testing.assert_allclose(summary.mean, mean[:-1], rtol=1e-13)
    assert summary.y_mean == pytest.approx(mean[-1], rel=1e-13)
    np.testing.assert_allclose(summary.sd(), np.sqrt(np.diagonal(covariance)), rtol=1e-13)
    np.testing.assert_array_equal(summary.low[:-1], problem.x[used].min(axis=0))
    np.testing.assert_array_equal(summary.high[:-1], problem.x[used].max(axis=0))
    assert summary.high[-1] == problem.y[used].max()
    exponent = np.array([0, 1, -2, 3, 0, 0])
    scale = 2.0**-exponent
    np.testing.assert_allclose(
        summary.label_covariance(exponent),
        covariance[-1, :-1] * scale[:-1],
        rtol=1e-12,
    )
    if gram:
        np.testing.assert_allclose(
            summary.second_moments(exponent, centred=True),
            covariance * np.outer(scale, scale),
            rtol=1e-12,
        )
        np.testing.assert_allclose(
            summary.second_moments(exponent, centred=False),
            (covariance + np.outer(mean, mean)) * np.outer(scale, scale),
            rtol=1e-12,
        )


def test_sd_of_another_divisor() -> None:
    problem = data().but(weight=np.ones(300))
    summary = summary_of(problem)
    expected = np.column_stack([problem.x, problem.y]).std(axis=0, ddof=1)
    np.testing.assert_allclose(summary.sd(299.0), expected, rtol=1e-13)
    assert summary.sd(0.0).tolist() == [0.0] * 6
    assert summary.sd(-1.0).tolist() == [0.0] * 6


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("leaves", [1, 5])
def test_large_offsets_cost_no_digits(gram: bool, leaves: int) -> None:
    rng = np.random.default_rng(21)
    x = 1e9 + rng.normal(size=(1000, 2))
    y = -1e9 + x[:, 0] - 1e9 + rng.normal(size=1000)
    summary = summary_of(Problem(x, y, np.ones(1000), leaves=leaves), gram)
    # 1e9 + N(0, 1) is rounded to 1e-7: the truth is the sd of the rounded numbers
    exact = np.column_stack([x - 1e9, y + 1e9])
    np.testing.assert_allclose(summary.sd(), exact.std(axis=0), rtol=1e-12)
    covariance = np.cov(exact.T, ddof=0)
    zero = np.zeros(3, dtype=np.int64)
    np.testing.assert_allclose(summary.label_covariance(zero), covariance[-1, :-1], rtol=1e-11)
    if gram:
        np.testing.assert_allclose(summary.second_moments(zero, True), covariance, rtol=1e-11)


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_extreme_scales_neither_overflow_nor_underflow(gram: bool, as_sparse: bool) -> None:
    problem = data()
    plain = summary_of(problem.but(sparse=as_sparse), gram)
    # powers of two, so that the same bits are expected but for their exponents
    shift = np.array([-500, 500, 0, 490, -490])
    summary = summary_of(problem.but(x=np.ldexp(problem.x, shift), sparse=as_sparse), gram)
    np.testing.assert_array_equal(summary.mean, np.ldexp(plain.mean, shift))
    np.testing.assert_array_equal(summary.sd()[:-1], np.ldexp(plain.sd()[:-1], shift))
    exponents = np.append(shift, 0)
    zero = np.zeros(6, dtype=np.int64)
    np.testing.assert_array_equal(summary.label_covariance(exponents), plain.label_covariance(zero))
    if gram:
        np.testing.assert_array_equal(
            summary.second_moments(exponents, True), plain.second_moments(zero, True)
        )


@pytest.mark.parametrize("size", [1e-150, 1e150, 1e-300, 1e300])
def test_columns_and_labels_of_extreme_size(size: float) -> None:
    problem = data()
    plain = summary_of(problem)
    summary = summary_of(problem.but(x=problem.x * size, y=problem.y * size))
    np.testing.assert_allclose(summary.sd(), plain.sd() * size, rtol=1e-12)
    np.testing.assert_allclose(summary.mean, plain.mean * size, rtol=1e-12)


def without_rows(rows: Block) -> Block:
    """Its census alone, as of a leaf whose rows all have weight 0."""
    return DenseBlock.of(np.zeros((0, rows.n_features)), rows.y[:0], rows.weight[:0], rows.census)


@pytest.mark.parametrize("gram", [False, True])
def test_merge_with_nothing(gram: bool) -> None:
    problem = data(m=20)
    aggregator = Summarise(5, gram)
    rows = block(problem.x, problem.y, np.ones(20))
    nothing = without_rows(rows)
    some = aggregator.add(aggregator.zero(), rows)
    for left, right in (
        (aggregator.zero(), some),
        (some, aggregator.zero()),
        (aggregator.add(aggregator.zero(), nothing), some),
        (some, aggregator.add(aggregator.zero(), nothing)),
    ):
        whole = aggregator.merge(copy.deepcopy(left), copy.deepcopy(right))
        np.testing.assert_array_equal(whole.moments, some.moments)
        np.testing.assert_array_equal(whole.mean, some.mean)
        assert whole.rows == 20
    empty = aggregator.merge(aggregator.zero(), aggregator.zero())
    assert (empty.rows, empty.weight) == (0, 0.0)


def test_empty_leaves_keep_their_census() -> None:
    problem = data(m=20)
    rows = block(problem.x, problem.y, np.ones(20))
    empty = without_rows(rows)
    leaves = [(0, empty), (1, rows), (2, empty)]
    summary = LocalDataset(leaves, 5).aggregate(Summarise(5, True))
    assert summary.rows == 20
    assert summary.census.rows == 60


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e9 + 0.1, 1e-150, 1e150])
def test_constant_columns_have_no_spread_at_all(value: float, as_sparse: bool) -> None:
    problem = data(m=101)
    x = problem.x.copy()
    x[:, 2] = value
    weight = np.random.default_rng(1).uniform(0.1, 1.0, 101)
    summary = summary_of(problem.but(x=x, weight=weight, sparse=as_sparse, leaves=4))
    assert summary.sd()[2] == 0.0
    assert summary.mean[2] == value
    assert summary.low[2] == summary.high[2] == value
    covariance = summary.second_moments(np.zeros(6, dtype=np.int64), True)
    assert (covariance[2] == 0).all()
    x[:, 2] = 0.0
    expected = np.cov(np.column_stack([x, problem.y]).T, aweights=weight, ddof=0)
    np.testing.assert_allclose(covariance, expected, rtol=1e-11, atol=1e-12)


def test_constant_within_each_leaf_but_not_overall() -> None:
    x = np.repeat([0.1, 0.7, 0.7, 2.0], 10)[:, None]
    problem = Problem(x, x[:, 0] * 3, np.ones(40), leaves=4)
    summary = summary_of(problem)
    assert summary.sd()[0] == pytest.approx(x.std(), rel=1e-14)
    covariance = summary.label_covariance(np.zeros(2, dtype=np.int64))[0]
    assert covariance == pytest.approx(3 * x.var(), rel=1e-14)


def test_defects_end_the_sums_but_not_the_census() -> None:
    problem = data(m=20)
    rows = block(problem.x, problem.y, np.ones(20))
    bad = DenseBlock.of(np.zeros((0, 5)), np.zeros(0), np.zeros(0), Census(7, {("a", "NaN"): 2}))
    summary = LocalDataset([(0, rows), (1, bad), (2, rows)], 5).aggregate(Summarise(5, True))
    assert summary.census.defects == {("a", "NaN"): 2}
    assert summary.census.rows == 47


def test_single_row() -> None:
    summary: Summary = summary_of(
        Problem(np.array([[1.5, -2.0]]), np.array([3.0]), np.array([0.5]), leaves=1)
    )
    assert summary.mean.tolist() == [1.5, -2.0]
    assert summary.y_mean == 3.0
    assert summary.sd().tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("gram", [False, True])
def test_nbytes_is_an_upper_bound(gram: bool) -> None:
    import pickle

    problem = data()
    aggregator = Summarise(5, gram)
    state = LocalDataset(leaves_of(problem.x, problem.y, problem.weight, 3), 5).aggregate(
        aggregator
    )
    assert len(pickle.dumps(state, pickle.HIGHEST_PROTOCOL)) <= aggregator.nbytes()
