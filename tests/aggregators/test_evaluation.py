"""Loss, gradient, Hessian and triangular factor against plain numpy."""

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checks import SINGLE
from tests.problems import Problem, dataset_of, example, pointwise
from w261reg.aggregators import Evaluate, Several, Summarise, Triangular
from w261reg.blocks import symmetric
from w261reg.losses import get_loss

Array = NDArray[np.float64]


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_sums_are_numpys(loss: str, order: int, as_sparse: bool) -> None:
    problem = example(loss, weighted=True).but(sparse=as_sparse, leaves=5)
    rng = np.random.default_rng(30)
    centre, scale = rng.normal(size=4), np.array([1.0, 2.0, 0.5, 4.0])
    for k in (1,) if order == 2 else (1, 3):
        w, b = rng.normal(size=(4, k)), rng.normal(size=k)
        evaluate = Evaluate(get_loss(loss), w, b, centre, order, scale)
        sums = dataset_of(problem).aggregate(evaluate)
        a, s = problem.x - centre, problem.weight
        for j in range(k):
            value, slope = pointwise(loss, problem.y, a @ w[:, j] + b[j])
            assert sums.value[j] == pytest.approx(s @ value, rel=1e-13)
            if order >= 1:
                np.testing.assert_allclose(sums.gradient[:, j], a.T @ (s * slope), 1e-11, 1e-12)
                assert sums.intercept[j] == pytest.approx(s @ slope, rel=1e-11, abs=1e-12)
        if order == 2:
            z = a @ w[:, 0] + b[0]
            bend = np.ones_like(z) if loss == "mse" else 1 / (2 + 2 * np.cosh(z))
            h = s * bend
            design = a * scale
            hessian = design.T @ (design * h[:, None])
            np.testing.assert_allclose(sums.second(0), hessian, 1e-11, 1e-12)
            np.testing.assert_allclose(sums.mixed[:, 0], design.T @ h, rtol=1e-11, atol=1e-12)
            assert sums.curvature[0] == pytest.approx(h.sum(), rel=1e-13)


@pytest.mark.parametrize("name", SINGLE)
def test_hessian_is_the_derivative_of_the_gradient(name: str) -> None:
    """For every loss, the aggregator's second order against differences of its first."""
    loss = get_loss(name)
    problem = example("bxe" if loss.classification else "mse", weighted=True)
    rng = np.random.default_rng(31)
    w, b, centre = rng.normal(size=4), 0.3, rng.normal(size=4)
    dataset = dataset_of(problem)

    def sums(w: Array, b: float, order: int) -> Any:
        return dataset.aggregate(Evaluate(loss, w[:, None], np.array([b]), centre, order))

    second = sums(w, b, 2)
    h = 1e-5
    for j in range(4):
        e = h * np.eye(4)[j]
        up, down = sums(w + e, b, 1), sums(w - e, b, 1)
        slope = (up.value - down.value)[0] / (2 * h)
        assert slope == pytest.approx(second.gradient[j, 0], rel=1e-6, abs=1e-6)
        bend = (up.gradient - down.gradient)[:, 0] / (2 * h)
        np.testing.assert_allclose(bend, symmetric(second.hessian)[j], rtol=1e-6, atol=1e-6)
    up, down = sums(w, b + h, 1), sums(w, b - h, 1)
    np.testing.assert_allclose(
        (up.gradient - down.gradient)[:, 0] / (2 * h), second.mixed[:, 0], rtol=1e-6, atol=1e-6
    )
    bend = (up.intercept - down.intercept)[0] / (2 * h)
    assert bend == pytest.approx(second.curvature[0], rel=1e-6)


def test_margin_is_the_smallest_of_any_row() -> None:
    problem = example("bxe", weighted=True).but(leaves=4)
    w, b = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([0.1, -0.4])
    sums = dataset_of(problem).aggregate(Evaluate(get_loss("bxe"), w, b, np.zeros(4), 0))
    used = problem.weight > 0
    margin = (2 * problem.y[:, None] - 1) * (problem.x @ w + b)
    np.testing.assert_allclose(sums.margin, margin[used].min(axis=0), rtol=1e-13)
    mse = dataset_of(problem).aggregate(Evaluate(get_loss("mse"), w, b, np.zeros(4), 0))
    assert mse.margin.tolist() == [np.inf, np.inf]


def test_overflow_is_infinite_not_an_exception() -> None:
    problem = example("mse")
    evaluate = Evaluate(get_loss("mse"), np.full((4, 1), 1e200), np.zeros(1), np.zeros(4), 1)
    assert dataset_of(problem).aggregate(evaluate).value[0] == np.inf


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("leaves", [1, 6])
def test_triangular_factor(as_sparse: bool, leaves: int) -> None:
    problem = example("mse", weighted=True).but(sparse=as_sparse, leaves=leaves)
    centre, scale, y0 = problem.x.mean(axis=0), np.array([1.0, 2.0, 0.5, 4.0]), 0.7
    r = dataset_of(problem).aggregate(Triangular(centre, scale, y0))
    assert r.shape == (6, 6)
    np.testing.assert_array_equal(r, np.triu(r))
    rows = np.column_stack([np.ones(80), (problem.x - centre) * scale, problem.y - y0])
    rows *= np.sqrt(problem.weight)[:, None]
    np.testing.assert_allclose(r.T @ r, rows.T @ rows, rtol=1e-12, atol=1e-12)


def test_triangular_keeps_more_digits_than_the_gram_matrix() -> None:
    rng = np.random.default_rng(32)
    t = rng.uniform(1, 2, 200)
    x = np.column_stack([t, t + 1e-9 * rng.normal(size=200)])
    problem = Problem(x, t, np.ones(200), leaves=5)
    r = dataset_of(problem).aggregate(Triangular(np.zeros(2), np.ones(2), 0.0))
    smallest = np.linalg.svd(np.column_stack([np.ones(200), x]), compute_uv=False)[-1]
    found = np.linalg.svd(r[:3, :3], compute_uv=False)[-1]
    assert found == pytest.approx(smallest, rel=1e-5)


def test_fewer_rows_than_features() -> None:
    problem = Problem(np.eye(2, 5), np.ones(2), np.ones(2), leaves=2)
    r = dataset_of(problem).aggregate(Triangular(np.zeros(5), np.ones(5), 0.0))
    assert r.shape == (2, 7)
    rows = np.column_stack([np.ones(2), problem.x, problem.y])
    np.testing.assert_allclose(r.T @ r, rows.T @ rows, atol=1e-14)


def test_several_are_what_each_is() -> None:
    problem = example("bxe").but(leaves=4)
    evaluate = Evaluate(get_loss("bxe"), np.ones((4, 1)), np.zeros(1), np.zeros(4), 1)
    moments = Summarise(4, False)
    dataset = dataset_of(problem)
    together = dataset.aggregate(Several(moments, evaluate))
    assert dataset.passes == 1
    alone = dataset_of(problem).aggregate(evaluate)
    np.testing.assert_array_equal(together[1].gradient, alone.gradient)
    np.testing.assert_array_equal(together[0].mean, dataset_of(problem).aggregate(moments).mean)
    assert Several(moments, evaluate).nbytes() == moments.nbytes() + evaluate.nbytes()


@pytest.mark.parametrize("order", [0, 1, 2])
def test_nbytes_is_an_upper_bound(order: int) -> None:
    problem = example("bxe")
    evaluate = Evaluate(get_loss("bxe"), np.ones((4, 1)), np.zeros(1), np.zeros(4), order)
    state = dataset_of(problem).aggregate(evaluate)
    assert len(pickle.dumps(state, pickle.HIGHEST_PROTOCOL)) <= evaluate.nbytes()
