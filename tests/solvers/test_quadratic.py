"""Quadratic problems with an L1 part, also where features are nearly the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from w261reg.solvers.quadratic import quadratic_step

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
    u = quadratic_step(h, -c, kink, np.zeros(len(c)))
    slope = h @ u - c
    at_zero = np.maximum(np.abs(slope) - kink, 0.0)
    assert (
        np.where(u == 0, at_zero, np.abs(slope + kink * np.sign(u))).max() < 1e-13 * np.abs(c).max()
    )
    assert (u == 0).any() or strength < 1e-2


def test_coordinates_without_a_kink_are_free() -> None:
    h, c = problem((0.0,), 6)
    kink = np.array([0.0, 1e3, 1e3, 0.0, 1e3, 1e3])
    u = np.ones(6) + quadratic_step(h, h @ np.ones(6) - c, kink, np.ones(6))
    free = np.flatnonzero(kink == 0)
    np.testing.assert_allclose(u[free], np.linalg.solve(h[np.ix_(free, free)], c[free]), rtol=1e-12)
    assert (u[kink > 0] == 0).all()


def test_a_small_step_from_far_away_has_all_its_digits() -> None:
    """H start is 1e12 times the slope, beside which it would be lost."""
    h = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 3.0]])
    start = np.array([2.0**40, -(2.0**41), 1e-9])
    kink = np.array([0.1, 0.1, 5.0])
    slope = np.array([-0.1 + 3e-6, 0.1 - 2e-6, 1e-7])
    d = quadratic_step(h, slope, kink, start)
    assert start[2] + d[2] == 0.0
    rest = -(slope[:2] + kink[:2] * np.sign(start[:2])) - h[:2, 2] * d[2]
    np.testing.assert_allclose(d[:2], np.linalg.solve(h[:2, :2], rest), rtol=1e-9)
