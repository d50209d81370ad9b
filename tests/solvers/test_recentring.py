"""Coordinates that follow the rows with curvature: the same model, in other numbers."""

from dataclasses import replace

import numpy as np
import pytest

from tests.problems import Problem, objective_of
from w261reg.objective import Objective
from w261reg.solvers.recentring import recentred


def far_row(loss: str) -> Problem:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 2)) + np.array([3.0, -2.0])
    z = x[:, :3].sum(axis=1) + rng.logistic(size=30)
    y = np.digitize(z, [0.0, 2.0]) if loss == "cxe" else z > 1
    x, y = np.vstack([x, [1e11, -2.0]]), np.append(y, y.max())
    return Problem(x, y.astype(float), np.ones(31), loss)


def at_bulk(objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Weights that fit the far row, so that its curvature is 0."""
    outputs = objective.loss.outputs
    w = np.zeros((2, outputs))
    w[0, -1], w[1, 0] = 0.3, 0.1
    return (w[:, 0], np.zeros(())) if outputs == 1 else (w, np.zeros(outputs))


@pytest.mark.parametrize("loss", ["bxe", "cxe"])
def test_the_same_model_in_better_units(loss: str) -> None:
    objective = objective_of(far_row(loss))
    w, b = at_bulk(objective)
    before = objective.evaluate(objective.coordinates.theta(w, b), 2)
    passes = objective.dataset.passes
    after = recentred(objective, before)
    assert objective.dataset.passes == passes + 1
    to = objective.coordinates
    np.testing.assert_allclose(to.weights(after.theta), w, rtol=1e-13)
    assert after.objective == pytest.approx(before.objective, rel=1e-5)
    assert abs(to.centre[0] - 3.0) < 2
    assert after.hessian is not None
    diagonal = np.diagonal(after.hessian)
    # what is taken about the bulk is what a pass in these coordinates finds
    own = objective.evaluate(after.theta, 2)
    assert own.hessian is not None
    np.testing.assert_allclose(after.hessian, own.hessian, rtol=1e-12)
    np.testing.assert_allclose(after.gradient, own.gradient, rtol=1e-9, atol=1e-16)
    assert own.residual == pytest.approx(after.residual, rel=1e-9)
    assert diagonal.max() / diagonal.min() < 1e3
    assert recentred(objective, after) is after


def test_ordinary_rows_keep_their_coordinates() -> None:
    rng = np.random.default_rng(2)
    x = np.exp(2 * rng.normal(size=(50, 3)))
    y = (x[:, 0] + rng.logistic(size=50) > 1).astype(float)
    objective = objective_of(Problem(x, y, np.ones(50), "bxe"))
    for size in (0.0, 1.0, 30.0):
        at = objective.evaluate(np.full(objective.p, size), 2)
        assert recentred(objective, at) is at


@pytest.mark.parametrize("loss", ["bxe", "cxe"])
def test_the_null_model_in_other_coordinates(loss: str) -> None:
    """What moments tell of it, about a centre that is not the means."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 3)) + 1.0
    y = rng.integers(0, 3 if loss == "cxe" else 2, 40).astype(float)
    objective = objective_of(Problem(x, y, rng.uniform(0.5, 2.0, 40), loss, reg_param=0.1))
    to = objective.coordinates
    away, finer = np.array([3.0, -1.0, 0.0]), np.array([2, 0, -3])
    moved = replace(to, centre=to.centre + away, exponent=to.exponent + finer)
    objective.move(moved)
    known = objective.null_evaluation()
    assert known is not None
    assert known.hessian is not None
    own = objective.evaluate(objective.null_theta(), 2)
    assert own.hessian is not None
    assert known.objective == pytest.approx(own.objective, rel=1e-13)
    np.testing.assert_allclose(known.gradient, own.gradient, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(known.hessian, own.hessian, rtol=1e-11, atol=1e-14)
    diagonal = objective.evaluate(objective.null_theta(), 1, diagonal=True).diagonal
    assert diagonal is not None
    np.testing.assert_allclose(objective.null_diagonal(), diagonal, rtol=1e-11)
