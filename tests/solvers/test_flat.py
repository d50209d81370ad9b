"""What is said of the answers that predict the same: proven only where the data do not vary."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from w261reg import train

Array = NDArray[np.float64]
RNG = np.random.default_rng(11)
BASE = RNG.normal(size=(40, 3))
LEVELS = RNG.integers(0, 3, 40)
Z = BASE @ np.array([1.0, -0.5, 0.3]) + 0.5 * RNG.logistic(size=40)
LABELS: dict[str, Array] = {
    "mse": Z,
    "bxe": (Z + RNG.logistic(size=40) > 0).astype(float),
    "cxe": np.digitize(Z + RNG.logistic(size=40), [-0.5, 0.5]).astype(float),
}
# without rounding: multiples by powers of two, levels of a factor, sums of integers
EXACT = {
    "twice": np.column_stack([BASE, -2 * BASE[:, 0]]),
    "levels": np.column_stack([np.eye(3)[LEVELS], BASE[:, 0]]),
    "integers": np.column_stack([np.rint(4 * BASE), np.rint(4 * BASE).sum(axis=1)]),
}
# each row within a unit in the last place of the same
ROUNDED = {
    "three times": np.column_stack([BASE, 3 * BASE[:, 0]]),
    "sum": np.column_stack([BASE, BASE.sum(axis=1)]),
    "shares": np.abs(BASE) / np.abs(BASE).sum(axis=1)[:, None],
}


@pytest.mark.parametrize("loss", LABELS)
@pytest.mark.parametrize("name", EXACT)
def test_exactly_flat_is_proven(name: str, loss: str) -> None:
    model = train(EXACT[name], LABELS[loss], loss=loss, convention="canonical")
    assert model.status == "converged"
    assert model.suboptimality_bound is not None and model.suboptimality_bound < 1e-10
    assert "the system is singular (rank" in model.message


@pytest.mark.parametrize("loss", LABELS)
@pytest.mark.parametrize("name", ROUNDED)
def test_what_only_the_last_digits_vary_along_is_not_proven(name: str, loss: str) -> None:
    """Weights of 1e15 fit them: as real numbers, the data have a better answer."""
    model = train(ROUNDED[name], LABELS[loss], loss=loss, convention="canonical")
    assert model.status == "converged"
    assert model.suboptimality_bound is None
    assert "singular to working precision" in model.message


@pytest.mark.parametrize("name", ROUNDED)
def test_a_penalty_leaves_nothing_flat(name: str) -> None:
    given: dict[str, Any] = {"loss": "bxe", "convention": "canonical", "reg_param": 0.01}
    model = train(ROUNDED[name], LABELS["bxe"], **given)
    assert model.suboptimality_bound is not None and model.suboptimality_bound < 1e-10


@pytest.mark.parametrize("columns", ["twice", "three times"])
def test_constraints_and_smoothness_count(columns: str) -> None:
    """Conditions on other features leave the flat direction; one that meets it does not."""
    x = (EXACT | ROUNDED)[columns]
    for given in (
        {"constraints": [{"rhs": 0.7, "coefficients": {"x2": 1.0, "x3": 0.1}}]},
        {"smooth_param": 0.1, "smooth_order": ["x2", "x3"]},
    ):
        model = train(x, LABELS["mse"], loss="mse", convention="canonical", **given)
        assert (model.suboptimality_bound is not None) == (columns == "twice")
    one = [{"rhs": 0.7, "coefficients": {"x1": 1.0}}]
    model = train(x, LABELS["mse"], loss="mse", convention="canonical", constraints=one)
    assert model.suboptimality_bound is not None
