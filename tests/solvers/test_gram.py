"""The Gram solver: how exact its objective is."""

import numpy as np

from w261reg import train


def test_objective_where_features_are_far_from_zero_without_an_intercept() -> None:
    """Sums about 0 lose the digits of the residual: a pass on the data brings them back."""
    rng = np.random.default_rng(12)
    x = 1e5 + rng.normal(size=(300, 2))
    y = x @ [3.0, -2.0] + rng.normal(size=300)
    model = train(x, y, loss="mse", fit_intercept=False)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    exact = 0.5 * float(np.mean((y - x @ best) ** 2))
    bound = model.suboptimality_bound
    assert bound is not None
    # the labels are 1e5 times the residuals, whose own rounding is then 1e-11
    assert abs(model.objective - exact) <= bound + 1e-11 * exact
    assert bound < 1e-9 * exact
