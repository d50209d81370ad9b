"""Training metrics of squared error, right to their own digits and not to the objective's."""

import numpy as np
import pytest

from w261reg import train


@pytest.mark.parametrize("solver", ["auto", "newton", "proximal", "lbfgs"])
@pytest.mark.parametrize("noise", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("strength", [0.0, 1e-3, 1e-1, 1e4])
def test_squared_error_where_the_penalty_dominates(
    solver: str, noise: float, strength: float
) -> None:
    """Out of the Gram matrix it is a difference of sums that may be far larger."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 5)) * 10.0 ** np.arange(-2, 3)
    y = x @ (rng.normal(size=5) / 10.0 ** np.arange(-2, 3)) + noise * rng.normal(size=200)
    model = train(x, y, loss="mse", reg_param=strength, convention="canonical", solver=solver)
    products = x.astype(np.longdouble) * model.weights.astype(np.longdouble)
    residual = products.sum(axis=1) + np.longdouble(model.intercept) - y
    exact = float((residual**2).mean())
    found = model.metrics["train"]
    # a row's residual is known to rounding of y
    allowed = 1e-12 + 4e-16 / noise
    assert found["mse"] == pytest.approx(exact, rel=allowed)
    assert found["rmse"] == pytest.approx(exact**0.5, rel=allowed)
    assert found["residual_deviance"] == pytest.approx(200 * exact, rel=allowed)
