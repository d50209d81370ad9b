"""The rank of rows as numbers, whatever rounding would make of it."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.problems import block
from w261reg.aggregators import ExactRank
from w261reg.aggregators.exact_rank import PRIME, residues
from w261reg.exact import integers, null_space

Array = NDArray[np.float64]


def rank_of(x: Array, intercept: bool, cuts: int, sparse: bool = False, most: int = 100) -> int:
    count = ExactRank(np.arange(x.shape[1]), intercept, most)
    state = count.zero()
    for rows in np.array_split(np.arange(len(x)), cuts):
        own = block(x[rows], np.zeros(len(rows)), np.ones(len(rows)), sparse)
        state = count.merge(state, count.add(count.zero(), own))
    return len(state)


def true_rank(x: Array, intercept: bool) -> int:
    whole, exponent = integers(x)
    if intercept:
        whole = np.column_stack([whole, np.full(len(x), 1 << -exponent, dtype=object)])
    return whole.shape[1] - null_space(whole).shape[1]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_against_integers(seed: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 30)), int(rng.integers(1, 7))
    x = rng.normal(size=(m, n)) * 10.0 ** rng.uniform(-150, 150, n)
    kind = seed % 5
    if kind == 1:  # exact multiples
        x = np.column_stack([x, -2 * x[:, 0]])
    elif kind == 2:  # sums that are rounded, and sums that are not
        x = np.column_stack([x, x[:, 0] + 1.1 * x[:, -1], np.rint(rng.normal(size=(m, 2)) * 9)])
        x = np.column_stack([x, x[:, -1] + x[:, -2]])
    elif kind == 3:  # a factor, whose levels sum to the column of ones
        x = np.column_stack([np.eye(3)[rng.integers(0, 3, m)], x[:, :1]])
    elif kind == 4:
        x = np.ldexp(1.0, rng.integers(-1000, 1000, (m, n)))
    if sparse:
        x = np.where(rng.random(x.shape) < 0.7, x, 0.0)
    for intercept in (False, True):
        for cuts in (1, 4):
            assert rank_of(x, intercept, cuts, sparse) == true_rank(x, intercept)


def test_more_than_asked_for_ends_the_count() -> None:
    x = np.random.default_rng(0).normal(size=(50, 6))
    assert rank_of(x, True, 5, most=3) > 3
    assert rank_of(x[:, [0, 0, 1, 1]], True, 5, most=3) == 3


def test_residues_are_those_of_fractions() -> None:
    x = np.array([0.0, 1.0, -1.5, 0.1, 2.0**1000, -(2.0**-1074), np.pi * 1e300])
    for value, found in zip(x, residues(x), strict=True):
        exact = Fraction(float(value))
        assert found == exact.numerator * pow(exact.denominator, -1, PRIME) % PRIME
        assert found == ExactRank.residue(exact)
