"""Arithmetic without rounding, against fractions."""

from fractions import Fraction

import numpy as np
import pytest

from w261reg.exact import integers, null_space, of_fractions, scaled, without_factor


def test_integers_are_the_floats() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 3)) * 10.0 ** rng.integers(-300, 300, (20, 3))
    x[0] = [0.0, -0.0, 5e-324]
    x[1] = [1.7976931348623157e308, -1.0, 3.0]
    whole, exponent = integers(x)
    assert exponent <= 0
    for i, value in zip(whole.ravel().tolist(), x.ravel().tolist(), strict=True):
        assert isinstance(i, int)
        assert Fraction(i) * Fraction(2) ** exponent == Fraction(value)


def test_integers_of_none_and_of_large_ones() -> None:
    assert integers(np.zeros((0, 2)))[0].shape == (0, 2)
    whole, exponent = integers(np.array([2.0**80]))
    assert (whole[0], exponent) == (2**80, 0)


@pytest.mark.parametrize("seed", range(20))
def test_null_space(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k, r = int(rng.integers(0, 6)), int(rng.integers(1, 6))
    a = rng.integers(-3, 4, (k, r))
    if k > 2:
        a[2] = a[0] - 2 * a[1]
    basis = null_space(a.astype(object))
    rank = int(np.linalg.matrix_rank(a)) if k else 0
    assert basis.shape == (r, r - rank)
    assert not (a.astype(object) @ basis).any()
    if r > rank:
        assert np.linalg.matrix_rank(basis.astype(float)) == r - rank


def test_null_space_sees_what_floats_do_not() -> None:
    rows = np.array([[10**20, 10**20 + 1], [10**20, 10**20]], dtype=object)
    assert null_space(rows).shape == (2, 0)
    assert null_space(rows[:1])[:, 0].tolist() in (
        [-(10**20) - 1, 10**20],
        [10**20 + 1, -(10**20)],
    )


def test_factors_and_scale() -> None:
    assert of_fractions([Fraction(1, 6), Fraction(-3, 4), Fraction(0)]) == [2, -9, 0]
    assert without_factor([0, 0]) == [0, 0]
    assert without_factor([-4, 6]) == [-2, 3]
    assert of_fractions([]) == []
    found = scaled(np.array([3 << 4000, -(1 << 3999), 0], dtype=object))
    np.testing.assert_array_equal(found, [0.75, -0.125, 0.0])
    np.testing.assert_array_equal(scaled(np.array([0, 0], dtype=object)), [0.0, 0.0])
