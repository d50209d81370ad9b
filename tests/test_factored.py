"""Noise groups where Gram matrices have lost their digits: out of orthogonal factors."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.solvers.test_nist import FILIP, FILIP_CERTIFIED
from tests.test_heteroscedastic import answer, covariance, design, joint, table
from w261reg import train
from w261reg.model import Model

Array = NDArray[np.float64]


def powers(text: str) -> tuple[Array, Array]:
    """Labels of FILIP's table, and the powers 1 to 10 of its x."""
    label, at = np.array(text.split(), dtype=float).reshape(-1, 2).T
    return label, at[:, None] ** np.arange(1, 11)


def test_the_least_squares_of_one_group_are_certified() -> None:
    """Filip: R's condition is 1e10, of which a Gram matrix keeps no digit."""
    y, x = powers(FILIP)
    model = train(x, y, loss="mse", noise_group=np.zeros(len(y), dtype=int))
    found = np.append(model.intercept, model.weights)
    np.testing.assert_allclose(found, FILIP_CERTIFIED, rtol=1e-6)
    assert model.n_passes == 3
    # of the residual, too, no more digits are known than doubles hold of x'w, and it says so
    assert model.optimality_residual < 1e-6
    assert (model.status == "converged") == (model.optimality_residual <= 1e-9)
    assert model.status == "converged" or "rounding allows no more digits" in model.message
    # of most likelihood: NIST divides by the degrees of freedom
    errors = np.sqrt(np.diagonal(covariance(model)) * 82 / 71)
    np.testing.assert_allclose(
        errors[[9, 10]], [0.896632837373868e-05, 298.084530995537], rtol=1e-6
    )


def exact_gradient(model: Model, x: Array, y: Array, group: NDArray[np.int64]) -> float:
    """The largest correlation of the weighted residuals with a direction of the columns' span."""
    a = design(x, True).astype(np.longdouble)
    r = y.astype(np.longdouble) - a @ answer(model).astype(np.longdouble)
    sigma = np.sqrt([np.mean(r[group == g] ** 2) for g in np.unique(group)])[group]
    q = np.linalg.qr(np.asarray((a - np.append(x.mean(axis=0), 0)) / sigma[:, None], dtype=float))
    mean = np.average(y, weights=sigma**-2)
    spread = np.sqrt(np.sum(((y - mean) / sigma) ** 2))
    return float(np.max(np.abs(q[0].T @ np.asarray(r / sigma, dtype=float))) / spread)


@pytest.mark.parametrize("apart", [1e-5, 1e-8, 1e-11, 1e-13])
def test_features_that_are_nearly_one(apart: float) -> None:
    """Whatever is claimed holds in the direction, too, in which they hardly differ."""
    x, y, group, _ = table()
    for seed in range(4):
        rng = np.random.default_rng(seed)
        near = np.column_stack([x, x[:, 0] + apart * rng.normal(size=len(y))])
        label = near @ [1.0, 2.0, 3.0, 1.0] + 10.0 ** rng.uniform(-4, 2, 4)[group] * rng.normal(
            size=len(y)
        )
        model = train(near, label, loss="mse", noise_group=group)
        size = np.abs(near * model.weights).max() * np.finfo(float).eps / np.std(label)
        assert (
            exact_gradient(model, near, label, group)
            <= model.optimality_residual + 4 * size + 1e-13
        )
        assert (model.status == "converged") == (model.optimality_residual <= 1e-9)
        assert model.status == "converged" or "rounding allows no more digits" in model.message
        if apart >= 1e-8:
            assert model.status == "converged"


@pytest.mark.parametrize("standardization", [True, False])
def test_a_penalty_beside_features_of_any_scale(standardization: bool) -> None:
    """One feature that the penalty alone decides, one that it does not see, one between."""
    x, y, group, _ = table()
    given: dict[str, Any] = {
        "loss": "mse", "noise_group": group, "reg_param": 0.05, "convention": "canonical",
    }  # fmt: skip
    scaled = x * [1e-25, 1.0, 1e25]
    model = train(scaled, y, standardization=standardization, **given)
    assert model.status == "converged"
    if standardization:
        plain = train(x, y, **given)
        np.testing.assert_allclose(model.weights * [1e-25, 1, 1e25], plain.weights, rtol=1e-9)
    else:
        assert abs(model.weights[0]) < 1e-20
        assert model.weights[2] == pytest.approx(0.2e-25, rel=0.2)
    theta = np.append(answer(model), np.log([own["sigma"] for own in model.noise_groups or []]))
    penalty = 0.05 * np.diag(np.var(scaled, axis=0) if standardization else np.ones(3))
    value = joint(theta, scaled, y, group, np.ones(len(y)), True, penalty)
    assert model.objective == pytest.approx(value, rel=1e-11)
    for j in range(3):
        step = 1e-4 * np.eye(8)[j] * max(abs(theta[j]), 1e-6 / np.std(scaled[:, j]))
        for move in (step, -step):
            assert (
                joint(theta + move, scaled, y, group, np.ones(len(y)), True, penalty)
                >= value - 1e-13
            )


def test_a_sum_of_squares_that_rounding_made_negative_is_none() -> None:
    """Out of Gram matrices RSS may come out below 0: no NaN, no warning, and the rows decide."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, group = rng.normal(size=(60, 3)) + 100.0, np.arange(60) % 2
        y = x @ rng.normal(size=3) + 1e-9 * rng.normal(size=60)
        model = train(x, y, loss="mse", noise_group=group)
        assert model.n_passes == 3
        assert model.status == "converged"
        assert all(1e-10 < own["sigma"] < 1e-8 for own in model.noise_groups or [{"sigma": 0}])
