"""Steps from models whose rows lie so far on the wrong side that the loss has no curvature."""

import numpy as np
import pytest

from tests.problems import Problem, objective_of
from w261reg.solvers import SOLVERS, Status, minimise


def far_problem(loss: str, **more: float) -> Problem:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    z = x[:, 0] + rng.logistic(size=40)
    y = np.digitize(z, [-0.5, 0.5]) if loss == "cxe" else z > 0
    return Problem(x, y.astype(float), np.ones(40), loss).but(**more)


@pytest.mark.parametrize("far", [1e2, 1e4, 1e8])
@pytest.mark.parametrize(("loss", "reg", "mix", "solver"), [
    ("bxe", 0.0, 0.0, "newton"), ("bxe", 0.01, 0.0, "newton"), ("bxe", 0.01, 1.0, "proximal"),
    ("cxe", 0.01, 0.0, "newton"), ("squared_hinge", 0.01, 0.0, "newton"),
])  # fmt: skip
def test_far_starts(loss: str, reg: float, mix: float, solver: str, far: float) -> None:
    problem = far_problem(loss, reg_param=reg, mix=mix)
    near = minimise(SOLVERS[solver](), objective_of(problem))
    objective = objective_of(problem)
    start = far * np.random.default_rng(3).normal(size=objective.p)
    found = minimise(SOLVERS[solver](), objective, start)
    assert found.evaluation.objective == pytest.approx(near.evaluation.objective, rel=1e-8)
    if loss != "cxe":
        assert found.status is Status.CONVERGED, found.message
    assert found.n_iter <= 30


def test_a_heated_hessian_is_that_of_the_heated_loss() -> None:
    """T l(z / T) by differences of its gradient, l'(z / T)."""
    problem = far_problem("bxe", reg_param=0.3)
    objective = objective_of(problem)
    theta, heat, h = np.array([3.0, -2.0, 1.0]), 7.0, 1e-5

    def slope(at: np.ndarray) -> np.ndarray:
        penalty = objective.regularizer.gradient(objective.coordinates.weights(at))
        return np.asarray(objective.evaluate(at / heat, 1).loss_gradient + penalty)

    steps = h * np.eye(3)
    expected = [(slope(theta + e) - slope(theta - e)) / (2 * h) for e in steps]
    np.testing.assert_allclose(objective.heated_hessian(theta, heat), expected, rtol=1e-6)


def test_near_the_optimum_nothing_is_heated() -> None:
    objective = objective_of(far_problem("bxe"))
    result = minimise(SOLVERS["newton"](), objective)
    assert objective.dataset.passes == result.n_iter + 1
