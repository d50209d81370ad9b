"""The exact simplex method against another linear program."""

import numpy as np
import pytest
from scipy.optimize import linprog

from w261reg.solvers.cone import Cone


@pytest.mark.parametrize("seed", range(8))
def test_cone_against_linprog(seed: int) -> None:
    """Integer vectors, many of them on a face; half of them come after a first answer."""
    rng = np.random.default_rng(seed)
    inside = 0
    for _ in range(25):
        r, m = int(rng.integers(1, 6)), int(rng.integers(1, 12))
        a = rng.integers(-3, 4, (m, r))
        target = rng.integers(-4, 5, r)
        if rng.random() < 0.5:
            target = a.T @ rng.integers(0, 2, m)
        cone = Cone(target.astype(object))
        cut = int(rng.integers(0, m + 1))
        for part in (a[:cut], a[cut:]):
            for row in part:
                cone.add(row.astype(object))
            cone.solve()
        v = cone.outside
        found = linprog(np.zeros(m), A_eq=a.T, b_eq=target, bounds=(0, None))
        assert (v is None) == (found.status == 0)
        if v is None:
            inside += 1
            assert set(cone.used()) <= set(range(m))
        else:
            assert (a.astype(object) @ v >= 0).all()
            assert v @ target.astype(object) < 0
    assert 5 < inside < 25


def test_used_vectors_hold_the_target() -> None:
    vectors = [[1, 0], [0, 1], [1, 1], [-1, 5]]
    cone = Cone(np.array([2, 3], dtype=object))
    for vector in vectors:
        cone.add(np.array(vector, dtype=object))
    cone.solve()
    assert cone.outside is None
    chosen = np.array([vectors[i] for i in cone.used()], dtype=float).T
    x = np.linalg.lstsq(chosen, np.array([2.0, 3.0]), rcond=None)[0]
    assert (x > 0).all()
    np.testing.assert_allclose(chosen @ x, [2, 3])


def test_what_floats_take_for_equal() -> None:
    """The target lies outside by one part in 10^40."""
    large = 10**40
    cone = Cone(np.array([large, large + 1], dtype=object))
    cone.add(np.array([1, 0], dtype=object))
    cone.add(np.array([1, 1], dtype=object))
    cone.solve()
    assert cone.outside is not None
    cone.add(np.array([large, large + 2], dtype=object))
    cone.solve()
    assert cone.outside is None


def test_no_vectors() -> None:
    cone = Cone(np.array([0, 0], dtype=object))
    cone.solve()
    assert cone.outside is None
    cone = Cone(np.array([0, -1], dtype=object))
    cone.solve()
    assert cone.outside is not None
