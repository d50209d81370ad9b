"""The penalty on differences of neighbours: its own formulas, along an order and at its edges."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checks import check_penalty
from w261reg.penalties import PENALTIES
from w261reg.penalties.l2 import L2
from w261reg.penalties.smooth import Smooth
from w261reg.penalties.sum import PenaltySum

Array = NDArray[np.float64]
ORDER = np.array([4, 0, 3, 5])


def laplacian(n: int, order: Array | list[int]) -> Array:
    """D'D of the differences of neighbours."""
    rows = np.eye(n)[np.asarray(order, dtype=int)]
    d = np.diff(rows, axis=0)
    return np.asarray(d.T @ d)


def test_by_hand() -> None:
    w = np.array([1.0, 3.0, 0.0, -1.0])
    penalty = Smooth(2.0)
    assert penalty.value(w) == 4 + 9 + 1
    # gamma (1 -1; -1 2 -1; ...) w
    assert penalty.gradient(w).tolist() == [-4.0, 10.0, -4.0, -2.0]
    assert penalty.hessian(w).tolist() == [
        [2, -2, 0, 0],
        [-2, 4, -2, 0],
        [0, -2, 4, -2],
        [0, 0, -2, 2],
    ]


def test_what_is_level_costs_nothing() -> None:
    for penalty in (Smooth(3.0), Smooth(3.0, ORDER)):
        w = np.full(6, 7.5)
        assert penalty.value(w) == 0.0
        assert not penalty.gradient(w).any()
        w[1] = 100.0  # which ORDER does not list
        assert (penalty.value(w) == 0.0) == (penalty.order is not None)


class _Listed(Smooth):
    """Along ORDER, made as the checks make a penalty."""

    @classmethod
    def of(cls, strength: float, scale: Array) -> "_Listed":
        return cls(strength, ORDER)


def test_along_an_order() -> None:
    check_penalty(_Listed)
    rng = np.random.default_rng(2)
    w, step = rng.normal(size=6), 0.7
    penalty = Smooth.of(0.3, np.full(6, 9.0)).along(ORDER)
    matrix = 0.3 * laplacian(6, ORDER)
    np.testing.assert_allclose(penalty.hessian(w), matrix, rtol=1e-15)
    np.testing.assert_allclose(penalty.diagonal(w), np.diagonal(matrix), rtol=1e-15)
    np.testing.assert_allclose(penalty.gradient(w), matrix @ w, atol=1e-15)
    assert penalty.value(w) == pytest.approx(w @ matrix @ w / 2, rel=1e-14)
    near = np.linalg.solve(np.eye(6) + step * matrix, w)
    np.testing.assert_allclose(penalty.prox(w, step), near, rtol=1e-13)
    assert penalty.prox(w, step)[[1, 2]].tolist() == w[[1, 2]].tolist()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_features(n: int) -> None:
    w = np.arange(1.0, n + 1)
    penalty, matrix = Smooth(0.5), 0.5 * laplacian(n, list(range(n)))
    np.testing.assert_allclose(penalty.hessian(w), matrix)
    np.testing.assert_allclose(penalty.gradient(w), matrix @ w)
    np.testing.assert_allclose(penalty.prox(w, 2.0), np.linalg.solve(np.eye(n) + 2 * matrix, w))


def test_many_features_need_no_matrix() -> None:
    n = 1_000_000
    w = np.sin(np.arange(n) / 50)
    penalty = PenaltySum((L2(0.1, np.ones(n)), Smooth(2.0)))
    assert penalty.diagonal(w)[[0, 1, -1]].tolist() == [2.1, 4.1, 2.1]
    near = Smooth(2.0).prox(w, 3.0)
    gradient = (near - w) / 3.0 + Smooth(2.0).gradient(near)
    assert np.abs(gradient).max() < 1e-14


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_diagonal_is_that_of_the_hessian(name: str) -> None:
    w = np.array([0.4, -1.0, 2.0])
    penalty = PENALTIES[name].of(0.3, np.array([1.0, 2.0, 0.5]))
    hessian = penalty.hessian(w)
    expected = hessian if hessian.ndim == 1 else np.diagonal(hessian)
    assert penalty.diagonal(w).tolist() == expected.tolist()


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_a_quadratic_penalty_is_one(name: str) -> None:
    """What `quadratic` and `coercive` say is so: certificates believe it."""
    penalty = PENALTIES[name].of(0.3, np.array([1.0, 2.0, 0.5]))
    rng = np.random.default_rng(4)
    w, other = rng.normal(size=3), rng.normal(size=3)
    matrix = penalty.hessian(w)
    matrix = matrix if matrix.ndim == 2 else np.diag(matrix)
    quadratic = penalty.value(other) == pytest.approx(other @ matrix @ other / 2, rel=1e-12)
    assert quadratic == penalty.quadratic
    assert penalty.quadratic or penalty.coercive
    if penalty.quadratic:
        assert (np.linalg.eigvalsh(matrix)[0] > 1e-12) == penalty.coercive


def test_others_go_by_no_order() -> None:
    with pytest.raises(TypeError, match="l2 goes by no order"):
        L2(1.0, np.ones(3)).along(ORDER)
