"""The check of gradients and Hessians sees mistakes, and kinks are no mistakes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checks import SINGLE
from tests.problems import example, objective_of
from w261reg import InputError, Loss, Penalty, check_gradient, gradient_check, train
from w261reg.gradient_check import GradientCheck, check_objective, random_point
from w261reg.losses.bxe import BinaryCrossEntropy
from w261reg.losses.mse import SquaredError
from w261reg.objective import Objective
from w261reg.penalties import PENALTIES
from w261reg.penalties.l2 import L2
from w261reg.solvers import FirstPass

Array = NDArray[np.float64]


def checked(objective: Objective, theta: Array | None = None, seed: int = 0) -> GradientCheck:
    rng = np.random.default_rng(seed)
    theta = random_point(objective, rng) if theta is None else theta
    features = objective.p - objective.fit_intercept
    names = [*[f"x{j}" for j in range(features)], "(intercept)"]
    return check_objective(objective, theta, names, "somewhere", rng)


def objective(loss: str = "bxe", **changes: Any) -> Objective:
    return objective_of(example(loss, weighted=True).but(**changes), FirstPass.MOMENTS)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("mix", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("loss", SINGLE)
def test_every_loss_agrees(loss: str, mix: float, intercept: bool) -> None:
    for seed in range(3):
        found = objective(loss, reg_param=0.3, mix=mix, fit_intercept=intercept)
        check = checked(found, seed=seed)
        assert check.ok, str(check)
        assert check.gradient.error < 1e-8
        assert check.hessian is not None
        assert check.hessian.error < 1e-8
        assert check.gradient.checked == check.coordinates == found.p
        assert check.gradient.kinks == ()
        assert check.passes == 3  # the moments, the derivatives, and all probes side by side


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_every_penalty_agrees(name: str) -> None:
    problem = example("bxe")
    scale = np.linspace(0.5, 2.0, problem.x.shape[1])
    extra = (PENALTIES[name].of(0.7, scale),)
    check = checked(objective_of(problem, FirstPass.MOMENTS, extra=extra))
    assert check.ok, str(check)


def test_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checked(objective())
    monkeypatch.setattr(gradient_check, "MAX_COLUMNS", 3)
    parts = checked(objective())
    assert parts.passes > whole.passes
    assert parts.ok
    assert parts.gradient.error == pytest.approx(whole.gradient.error, abs=1e-10)


def test_many_coordinates_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_check, "MAX_COORDINATES", 2)
    check = checked(objective())
    assert check.ok
    assert check.hessian is None
    assert check.gradient.checked == 2
    assert check.coordinates == 5
    assert "not compared: over 2 coordinates" in str(check)
    assert "2 of 5" in str(check)


# --- mistakes -----------------------------------------------------------------------------------


class _Slope(BinaryCrossEntropy):
    def first(self, y: Array, z: Array) -> tuple[Array, Array]:
        value, slope = super().first(y, z)
        return value, slope * (1 + 1e-5)

    def all(self, y: Array, z: Array) -> tuple[Array, Array, Array]:
        value, slope, curvature = super().all(y, z)
        return value, slope * (1 + 1e-5), curvature


class _Curvature(BinaryCrossEntropy):
    def all(self, y: Array, z: Array) -> tuple[Array, Array, Array]:
        value, slope, curvature = super().all(y, z)
        return value, slope, curvature * (1 + 1e-5)


class _Quarter(BinaryCrossEntropy):
    """The upper bound of the curvature, where the curvature should be."""

    def all(self, y: Array, z: Array) -> tuple[Array, Array, Array]:
        value, slope, curvature = super().all(y, z)
        return value, slope, np.full_like(curvature, 0.25)


@pytest.mark.parametrize(
    ("kind", "gradient", "hessian"),
    [(_Slope, False, False), (_Curvature, True, False), (_Quarter, True, False)],
)
def test_mistakes_of_a_loss_are_found(kind: type[Loss], gradient: bool, hessian: bool) -> None:
    found = objective(reg_param=0.1)
    found.loss = kind()
    check = checked(found)
    assert check.gradient.ok == gradient, str(check)
    assert check.hessian is not None
    assert check.hessian.ok == hessian, str(check)
    assert not check.ok
    assert "DISAGREES" in str(check)
    assert str(check).endswith("they do not agree")


class _Twice(L2):
    """Its gradient is wrong in one feature."""

    def gradient(self, w: Array) -> Array:
        return super().gradient(w) * np.where(np.arange(len(w)) == 2, 1 + 1e-4, 1.0)


class _Diagonal(L2):
    def hessian(self, w: Array) -> Array:
        return 0.999 * super().hessian(w)


def test_mistakes_of_a_penalty_are_found() -> None:
    problem = example("mse")
    scale = np.ones(problem.x.shape[1])
    wrong = objective_of(problem, FirstPass.MOMENTS, extra=(_Twice(2.0, scale),))
    check = checked(wrong)
    assert check.gradient.failed == ("x2",)
    assert check.gradient.where == "x2"
    check = checked(objective_of(problem, FirstPass.MOMENTS, extra=(_Diagonal(2.0, scale),)))
    assert check.gradient.ok
    assert check.hessian is not None
    assert set(check.hessian.failed) == {f"x{j}, x{j}" for j in range(4)}


def test_nan_disagrees() -> None:
    class _NotANumber(SquaredError):
        def first(self, y: Array, z: Array) -> tuple[Array, Array]:
            value, slope = super().first(y, z)
            return value + np.where(z > z.max() - 1e-9, np.nan, 0.0), slope

    found = objective("mse", reg_param=0.1)
    found.loss = _NotANumber()
    assert not checked(found).ok


# --- kinks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0.0, 1e-6, -3e-6])
def test_l1_at_zero_is_said(at: float) -> None:
    found = objective("mse", reg_param=0.5, mix=1.0)
    theta = found.null_theta() + 0.3
    theta[1] = at
    check = checked(found, theta)
    assert check.ok, str(check)
    assert check.gradient.kinks == ("x1",)
    assert check.hessian is not None
    assert check.hessian.kinks == ("x1",)
    assert "x1 at a kink" in str(check)


def test_a_mistake_elsewhere_is_found_beside_a_kink() -> None:
    problem = example("mse").but(reg_param=0.5, mix=1.0)
    extra = (_Twice(2.0, np.ones(4)),)
    found = objective_of(problem, FirstPass.MOMENTS, extra=extra)
    theta = found.null_theta() + 0.3
    theta[1] = 0.0
    check = checked(found, theta)
    assert check.gradient.kinks == ("x1",)
    assert check.gradient.failed == ("x2",)


class _Hinge(Loss):
    """max(0, 1 - y z) for y in {-1, 1}; the subderivative at the kink is that of one side."""

    name = title = "hinge"
    classification = True

    def value(self, y: Array, z: Array) -> Array:
        return np.maximum(0.0, 1.0 - (2.0 * y[:, None] - 1.0) * z)

    def derivative(self, y: Array, z: Array) -> Array:
        sign = 2.0 * y[:, None] - 1.0
        return np.where(sign * z <= 1.0, -sign, 0.0)

    def curvature(self, y: Array, z: Array) -> Array:
        return np.zeros_like(z)


def test_rows_at_the_kink_of_a_hinge_are_said() -> None:
    """At weights 0 and intercept 1 every positive row is at its kink; 1e-6 beside, its probe is."""
    found = objective(reg_param=0.1)
    found.loss = _Hinge()
    for b in (1.0, 1.0 + 1e-6, 1.0 - 2e-6):
        theta = np.zeros(found.p)
        theta[-1] = b
        check = checked(found, theta)
        assert check.ok, str(check)
        assert "(intercept)" in check.gradient.kinks
    check = checked(found)
    assert check.ok, str(check)
    assert check.gradient.kinks == ()


def test_a_wrong_subgradient_at_a_kink_is_found() -> None:
    class _Steeper(_Hinge):
        def derivative(self, y: Array, z: Array) -> Array:
            return 1.2 * super().derivative(y, z)

    found = objective(reg_param=0.1)
    found.loss = _Steeper()
    theta = np.zeros(found.p)
    theta[-1] = 1.0
    assert "(intercept)" in checked(found, theta).gradient.failed


class _Fused(Penalty):
    """G sum |w_j - w_{j+1}|: its kinks are not at 0."""

    name = "fused"

    def __init__(self, strength: float) -> None:
        self.strength = strength

    @classmethod
    def of(cls, strength: float, scale: Array) -> "_Fused":
        return cls(strength)

    def value(self, w: Array) -> float:
        return self.strength * float(np.abs(np.diff(w)).sum())

    def gradient(self, w: Array) -> Array:
        return self.strength * (np.diff(np.eye(len(w)), axis=0).T @ np.sign(np.diff(w)))

    def hessian(self, w: Array) -> Array:
        return np.zeros_like(w)


def test_kinks_elsewhere_are_said() -> None:
    problem = example("mse")
    found = objective_of(problem, FirstPass.MOMENTS, extra=(_Fused(0.7),))
    w = np.array([0.4, 0.4, 0.9, -0.3])
    check = checked(found, found.coordinates.theta(w, 0.1))
    assert check.ok, str(check)
    assert check.hessian is not None
    assert set(check.gradient.kinks + check.hessian.kinks) == {"x0", "x1"}


# --- what a user calls --------------------------------------------------------------------------


def data() -> tuple[Array, Array]:
    problem = example("mse")
    return problem.x, problem.y


def test_at_the_coefficients_of_a_model(tmp_path: Path) -> None:
    x, y = data()
    options: dict[str, Any] = {"loss": "mse", "reg_param": 0.4, "elastic_net_param": 1.0}
    model = train(x, y, **options)
    model.save(tmp_path / "m")
    check = check_gradient(x, y, at=tmp_path / "m", **options)
    assert check.ok, str(check)
    assert check.objective == pytest.approx(model.objective, rel=1e-12)
    zeros = {f"x{j + 1}" for j in np.flatnonzero(model.weights == 0)}
    assert zeros
    assert set(check.gradient.kinks) == zeros
    assert "at the model's coefficients" in str(check)


def test_seed() -> None:
    x, y = data()
    one, two, same = (check_gradient(x, y, loss="mse", seed=s) for s in (1, 2, 1))
    assert one == same
    assert one.objective != two.objective
    assert "seed 1" in one.at


@pytest.mark.parametrize("seed", [-1, 1.5, True, "x", None])
def test_bad_seed(seed: Any) -> None:
    x, y = data()
    with pytest.raises(InputError, match="seed must be an integer >= 0"):
        check_gradient(x, y, loss="mse", seed=seed)


def test_values_alone() -> None:
    class Own(Loss):
        def value(self, y: Array, z: Array) -> Array:
            return np.logaddexp(0.0, z - y[:, None]) + np.logaddexp(0.0, y[:, None] - z)

    x, y = data()
    check = check_gradient(x, y, loss=Own, reg_param=0.1)
    assert check.ok, str(check)
    assert check.gradient.tolerance == 1e-6
    assert check.hessian is not None
    assert check.hessian.tolerance == 1e-4


@pytest.mark.parametrize("factor", [1e-150, 1e-6, 1e6, 1e150])
def test_units_do_not_count(factor: float) -> None:
    x, y = data()
    check = check_gradient(x * factor, y, loss="mse", reg_param=0.1)
    assert check.ok, str(check)


def test_a_constant_feature_has_no_coordinate() -> None:
    x, y = data()
    check = check_gradient(np.column_stack([x, np.ones(len(y))]), y, loss="mse")
    assert check.ok
    assert check.coordinates == x.shape[1] + 1
