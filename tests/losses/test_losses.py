import math

import numpy as np
import pytest

from tests.checks import SINGLE, check_loss
from w261reg.errors import InputError
from w261reg.losses import LOSSES, Loss, get_loss
from w261reg.losses.bxe import BinaryCrossEntropy
from w261reg.losses.hinge import Hinge
from w261reg.losses.mse import SquaredError
from w261reg.losses.squared_hinge import SquaredHinge


@pytest.mark.parametrize("name", SINGLE)
def test_loss(name: str) -> None:
    check_loss(get_loss(name))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_registered_under_its_name(name: str) -> None:
    assert LOSSES[name].name == name
    assert LOSSES[name].title
    assert LOSSES[name].__module__.startswith("w261reg.losses.")


def test_the_losses_of_the_course_are_there() -> None:
    assert {"mse", "bxe"} <= set(LOSSES)


def test_unknown_loss_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"loss must be one of .*bxe, .*mse.*, not 'mae'"):
        get_loss("mae")


def test_margin_is_refused_where_there_is_none() -> None:
    with pytest.raises(TypeError, match="mse"):
        SquaredError().margin(np.zeros(1), np.zeros((1, 1)))


def test_mse_is_half_the_square() -> None:
    value, derivative, curvature = SquaredError().all(np.array([3.0, -1.0]), np.array([[5.0], [1]]))
    assert value.tolist() == [[2.0], [2.0]]
    assert derivative.tolist() == [[2.0], [2.0]]
    assert curvature.tolist() == [[1.0], [1.0]]
    assert SquaredError().null_predictor(2.5) == 2.5


def test_hinges_by_hand() -> None:
    y, z = np.array([1.0, 1.0, 1.0, 0.0, 0.0]), np.array([[0.25], [1.0], [3.0], [0.5], [-2.0]])
    value, derivative, curvature = Hinge().all(y, z)
    assert value.ravel().tolist() == [0.75, 0.0, 0.0, 1.5, 0.0]
    assert derivative.ravel().tolist() == [-1.0, 0.0, 0.0, 1.0, 0.0]
    assert not curvature.any()
    value, derivative, curvature = SquaredHinge().all(y, z)
    assert value.ravel().tolist() == [0.5625, 0.0, 0.0, 2.25, 0.0]
    assert derivative.ravel().tolist() == [-1.5, 0.0, 0.0, 3.0, 0.0]
    assert curvature.ravel().tolist() == [2.0, 0.0, 0.0, 2.0, 0.0]
    assert [Hinge().null_predictor(share) for share in (0.2, 0.5, 0.9)] == [-1.0, 0.0, 1.0]
    assert SquaredHinge().null_predictor(0.75) == 0.5


@pytest.mark.parametrize("z", [-1e3, -745.0, -40.0, -5.0, -1e-9, 0.0, 1e-9, 5.0, 40.0, 745.0, 1e3])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_bxe_keeps_its_digits(y: float, z: float) -> None:
    """The small numbers of rows that are fitted well, against their leading terms."""
    towards = (2 * y - 1) * z
    e = math.exp(-abs(z))
    small = e / (1 + e)  # min(p, 1 - p)
    expected = (
        math.log1p(e) + max(0.0, -towards),
        (1 - 2 * y) * (small if towards >= 0 else 1 / (1 + e)),
        e / (1 + e) ** 2,
    )
    loss, label, at = BinaryCrossEntropy(), np.array([y]), np.array([[z]])
    alone = (loss.value(label, at), loss.derivative(label, at), loss.curvature(label, at))
    for parts in (alone, loss.all(label, at)):
        for part, wanted in zip(parts, expected, strict=True):
            assert part[0, 0] == pytest.approx(wanted, rel=4e-15, abs=5e-324)


def test_bxe_at_thousand() -> None:
    loss = BinaryCrossEntropy()
    y, z = np.array([0.0, 1.0]), np.array([[1e3], [-1e3]])
    assert loss.value(y, z).ravel().tolist() == [1e3, 1e3]
    assert loss.derivative(y, z).ravel().tolist() == [1.0, -1.0]
    assert loss.mean(z).ravel().tolist() == [1.0, 0.0]


def test_bxe_null_is_the_log_odds() -> None:
    loss = BinaryCrossEntropy()
    assert loss.null_predictor(0.8) == pytest.approx(math.log(4), rel=1e-15)
    assert loss.null_predictor(0.5) == 0.0
    tiny = 1e-300
    assert loss.null_predictor(tiny) == pytest.approx(math.log(tiny), rel=1e-15)


class _Wrong(BinaryCrossEntropy):
    """A loss with a mistake, to see that the check sees it."""


class _WrongDerivative(_Wrong):
    def derivative(self, y, z):  # type: ignore[no-untyped-def]
        return super().derivative(y, z) * (1 + 1e-6)


class _WrongAll(_Wrong):
    def all(self, y, z):  # type: ignore[no-untyped-def]
        value, derivative, curvature = super().all(y, z)
        return value, derivative, curvature * (1 + 1e-12)


class _WrongNull(_Wrong):
    def null_predictor(self, y_mean: float) -> float:
        return super().null_predictor(y_mean) + 1e-4


class _Overflows(_Wrong):
    def value(self, y, z):  # type: ignore[no-untyped-def]
        return np.log(1 + np.exp(z)) - y[:, None] * z


class _WrongMargin(_Wrong):
    def margin(self, y, z):  # type: ignore[no-untyped-def]
        return -super().margin(y, z)


class _WrongCorner(Hinge):
    """No subderivative where the margin is exactly 1."""

    def derivative(self, y, z):  # type: ignore[no-untyped-def]
        sign = 2.0 * y[:, None] - 1.0
        return np.where(sign * z == 1.0, sign, super().derivative(y, z))


class _WrongBend(SquaredHinge):
    def curvature(self, y, z):  # type: ignore[no-untyped-def]
        return super().curvature(y, z) / 2


class _TooSteep(SquaredHinge):
    steepest = 10.0


@pytest.mark.parametrize(
    "kind",
    [_WrongDerivative, _WrongAll, _WrongNull, _Overflows, _WrongMargin, _WrongCorner, _WrongBend,
     _TooSteep],
)  # fmt: skip
def test_the_check_finds_mistakes(kind: type[Loss]) -> None:
    with pytest.raises((AssertionError, RuntimeWarning)):
        check_loss(kind())
