from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checks import check_penalty
from w261reg.config import penalty_options
from w261reg.penalties import PENALTIES, ElasticNet, Penalty, PenaltySum
from w261reg.penalties.l1 import L1
from w261reg.penalties.l2 import L2

Array = NDArray[np.float64]


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_penalty(name: str) -> None:
    check_penalty(PENALTIES[name])


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_registered_under_its_name(name: str) -> None:
    kind = PENALTIES[name]
    assert kind.name == name
    if kind.option is not None:
        assert kind.option.isidentifier()
        assert kind.help
        assert penalty_options()[kind.option] == name


def test_the_penalties_of_the_course_are_there() -> None:
    assert {"l1", "l2", "elastic_net"} <= set(PENALTIES)


def test_values_by_hand() -> None:
    w, d = np.array([1.0, -2.0, 0.0]), np.array([1.0, 10.0, 5.0])
    assert L1(0.5, d).value(w) == 0.5 * 21
    assert L2(0.5, d).value(w) == 0.25 * 401
    assert ElasticNet(0.5, 0.25, d).value(w) == 0.5 * 21 + 0.125 * 401
    assert L1(0.5, d).gradient(w).tolist() == [0.5, -5.0, 0.0]
    assert L2(0.5, d).gradient(w).tolist() == [0.5, -100.0, 0.0]
    assert L2(0.5, d).hessian(w).tolist() == [0.5, 50.0, 12.5]


def test_l1_takes_sign_of_zero_for_zero() -> None:
    assert L1(1.0, np.ones(3)).gradient(np.array([-0.0, 0.0, 1e-300])).tolist() == [0.0, 0.0, 1.0]


def test_ridge_of_extreme_scales_stays_in_range() -> None:
    d = np.array([1e150, 1e-150])
    ridge, w = L2(2.0, d), 1 / d
    assert ridge.value(w) == pytest.approx(2.0)
    np.testing.assert_allclose(ridge.gradient(w) * w, 2.0)


@pytest.mark.parametrize("kinks", [(), ("l1",), ("l1", "elastic_net")])
def test_sum_is_the_sum(kinks: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    d = rng.uniform(0.1, 3, 5)
    terms = tuple(PENALTIES[name].of(0.3, d) for name in ("l2", *kinks))
    both = PenaltySum(terms)
    w = rng.normal(size=5)
    w[2] = 0.0
    assert both.value(w) == pytest.approx(sum(term.value(w) for term in terms), rel=1e-15)
    np.testing.assert_allclose(both.gradient(w), sum(term.gradient(w) for term in terms))
    np.testing.assert_allclose(both.hessian(w), sum(term.hessian(w) for term in terms))
    np.testing.assert_allclose(both.kink(w), sum(term.kink(w) for term in terms))
    # two kinks at 0 add up: inside their sum there is nothing left to gain
    g = -both.gradient(w)
    g[2] += 0.99 * both.kink(w)[2]
    assert both.residual(w, g).max() == 0.0
    g[2] += 0.02 * both.kink(w)[2] + 0.5
    wanted = [0.0, 0.0, 0.01 * both.kink(w)[2] + 0.5, 0.0, 0.0]
    np.testing.assert_allclose(both.residual(w, g), wanted)


def test_sum_of_nothing_is_nothing() -> None:
    nothing, w = PenaltySum(()), np.array([1.0, -2.0])
    assert nothing.value(w) == 0.0
    for part in (nothing.gradient(w), nothing.hessian(w), nothing.kink(w)):
        assert part.tolist() == [0.0, 0.0]
    assert nothing.residual(w, np.array([3.0, -4.0])).tolist() == [3.0, 4.0]


def test_sum_with_a_full_hessian() -> None:
    class Coupled(L2):
        def hessian(self, w: Array) -> Array:
            return np.full((2, 2), 2.0)

    both = PenaltySum((L2(3.0, np.ones(2)), Coupled(1.0, np.ones(2))))
    assert both.hessian(np.ones(2)).tolist() == [[5.0, 2.0], [2.0, 5.0]]


class _WrongProx(L1):
    def prox(self, v: Array, step: float) -> Array:
        return super().prox(v, 1.01 * step)


class _WrongKink(L1):
    def kink(self, w: Array) -> Array:
        return 1.01 * super().kink(w)


class _WrongHessian(L2):
    def hessian(self, w: Array) -> Array:
        return 2 * super().hessian(w)


class _ForgetsItsScale(L2):
    @classmethod
    def of(cls, strength: float, scale: Array) -> Self:
        return cls(strength, scale)

    def value(self, w: Array) -> float:
        return 0.5 * self.l2 * float(w @ w)


@pytest.mark.parametrize("kind", [_WrongProx, _WrongKink, _WrongHessian, _ForgetsItsScale])
def test_the_check_finds_mistakes(kind: type[Penalty]) -> None:
    with pytest.raises(AssertionError):
        check_penalty(kind)
