"""Quadratic problems with an L1 part, also where features are nearly the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from w261reg.solvers.quadratic import minimise_quadratic_l1, violation

Array = NDArray[np.float64]


def problem(copies: tuple[float, ...], n: int, rows: int = 400) -> tuple[Array, Array]:
    """Second moments and covariances of n features, each there once a copy with some noise."""
    rng = np.random.default_rng(n + len(copies))
    base = rng.normal(size=(rows, n))
    x = np.hstack([base + noise * rng.normal(size=base.shape) for noise in copies])
    x -= x.mean(axis=0)
    y = base[:, :5] @ rng.normal(size=5) + rng.normal(size=rows)
    return x.T @ x / rows, x.T @ (y - y.mean()) / rows


@pytest.mark.parametrize("strength", [0.3, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize(
    ("copies", "n"),
    [
        ((0.0,), 40),
        ((0.0,), 300),
        ((0.0, 0.0), 30),
        ((0.0, 1e-6), 60),
        ((0.0, 0.0, 1e-8, 1e-4), 25),
    ],
)
def test_conditions_of_a_minimum(copies: tuple[float, ...], n: int, strength: float) -> None:
    h, c = problem(copies, n)
    kink = np.full(len(c), strength * np.abs(c).max())
    u = minimise_quadratic_l1(h, c, kink, np.zeros(len(c)))
    assert violation(h, c, kink, u).max() < 1e-13 * np.abs(c).max()
    assert (u == 0).any() or strength < 1e-2


def test_coordinates_without_a_kink_are_free() -> None:
    h, c = problem((0.0,), 6)
    kink = np.array([0.0, 1e3, 1e3, 0.0, 1e3, 1e3])
    u = minimise_quadratic_l1(h, c, kink, np.ones(6))
    free = np.flatnonzero(kink == 0)
    np.testing.assert_allclose(u[free], np.linalg.solve(h[np.ix_(free, free)], c[free]), rtol=1e-12)
    assert (u[kink > 0] == 0).all()
