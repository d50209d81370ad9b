"""F, its derivatives and its residual, against plain numpy; coordinates there and back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checks import DESCENTS, SINGLE
from tests.problems import (
    Problem,
    example,
    objective_of,
    pointwise,
    reference_answer,
    summary_of,
    value_at,
)
from w261reg.conventions import Strengths
from w261reg.losses import get_loss
from w261reg.penalties import PENALTIES
from w261reg.posed import standard_penalty
from w261reg.scaling import Coordinates
from w261reg.solvers import SOLVERS, FirstPass, minimise

Array = NDArray[np.float64]
KINDS = {"none": (0.0, 0.0), "l2": (0.3, 0.0), "l1": (0.2, 1.0), "en": (0.3, 0.4)}


def problems(loss: str) -> list[Problem]:
    return [
        example(loss, weighted=True).but(
            reg_param=strength, mix=mix, fit_intercept=intercept, standardization=standard
        )
        for strength, mix in KINDS.values()
        for intercept in (True, False)
        for standard in (True, False)
    ]


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_value_gradient_and_hessian(loss: str) -> None:
    rng = np.random.default_rng(80)
    for problem in problems(loss):
        objective = objective_of(problem)
        coordinates = objective.coordinates
        theta = rng.normal(size=objective.p)

        def f(
            theta: Array, problem: Problem = problem, coordinates: Coordinates = coordinates
        ) -> float:
            return value_at(problem, coordinates.weights(theta), coordinates.intercept(theta))

        at = objective.evaluate(theta, 2)
        assert at.objective == pytest.approx(f(theta), rel=1e-13)
        assert at.hessian is not None
        h = 1e-5
        for j in range(objective.p):
            e = h * np.eye(objective.p)[j]
            assert (f(theta + e) - f(theta - e)) / (2 * h) == pytest.approx(
                at.gradient[j], rel=1e-6, abs=1e-8
            )
            bend = (
                objective.evaluate(theta + e, 1).gradient
                - objective.evaluate(theta - e, 1).gradient
            )
            np.testing.assert_allclose(bend / (2 * h), at.hessian[j], rtol=1e-6, atol=1e-8)
        thetas = rng.normal(size=(objective.p, 5))
        np.testing.assert_allclose(
            objective.values(thetas), [f(column) for column in thetas.T], rtol=1e-13
        )


def null_rms(problem: Problem) -> float:
    """Root mean square of l' at the null model, row by row."""
    z = get_loss(problem.loss).null_predictor(float(np.average(problem.y, weights=problem.weight)))
    at = np.full(len(problem.y), z if problem.fit_intercept else 0.0)
    slope = pointwise(problem.loss, problem.y, at)[1]
    return float(np.sqrt(np.average(slope**2, weights=problem.weight)))


@pytest.mark.parametrize("name", SINGLE)
def test_null_evaluation_costs_no_pass_and_is_the_same(name: str) -> None:
    loss = get_loss(name)
    if not (loss.canonical or loss.classification):
        assert objective_of(example("mse").but(loss=name)).null_evaluation() is None
        return
    for problem in problems("bxe" if loss.classification else "mse"):
        objective = objective_of(problem.but(loss=name))
        known = objective.null_evaluation()
        assert known is not None
        assert objective.dataset.passes == 1
        if loss.classification:
            assert objective.rho == pytest.approx(null_rms(problem.but(loss=name)), rel=1e-12)
        direct = objective.evaluate(objective.null_theta(), 2)
        assert known.objective == pytest.approx(direct.objective, rel=1e-13)
        np.testing.assert_allclose(known.gradient, direct.gradient, rtol=1e-10, atol=1e-13)
        assert known.hessian is not None
        assert direct.hessian is not None
        np.testing.assert_allclose(known.hessian, direct.hessian, rtol=1e-10, atol=1e-13)
        assert known.residual == pytest.approx(direct.residual, rel=1e-9)
        without = objective_of(problem.but(loss=name), FirstPass.MOMENTS).null_evaluation()
        assert without is not None
        assert without.hessian is None


def test_quadratic_evaluation_is_the_evaluation() -> None:
    rng = np.random.default_rng(81)
    for problem in problems("mse"):
        objective = objective_of(problem)
        theta = rng.normal(size=objective.p)
        known, direct = objective.quadratic_evaluation(theta), objective.evaluate(theta, 2)
        assert objective.dataset.passes == 2
        assert known.objective == pytest.approx(direct.objective, rel=1e-12)
        np.testing.assert_allclose(known.gradient, direct.gradient, rtol=1e-10, atol=1e-12)
        assert known.hessian is not None
        assert direct.hessian is not None
        np.testing.assert_allclose(known.hessian, direct.hessian, rtol=1e-11, atol=1e-13)


def test_null_model_is_the_best_without_features() -> None:
    for loss in ("mse", "bxe"):
        objective = objective_of(example(loss, weighted=True))
        at = objective.evaluate(objective.null_theta(), 1)
        assert abs(at.loss_gradient[-1]) < 1e-15
        assert objective.null_theta()[:-1].tolist() == [0.0] * 4


# --- the residual -------------------------------------------------------------------------------


def by_hand(problem: Problem, w: Array, b: float) -> float:
    """The residual of mathematics.md, term by term."""
    p, s = problem, problem.weight / problem.weight.sum()
    z = p.x @ w + b
    slope = z - p.y if p.loss == "mse" else 1 / (1 + np.exp(-z)) - p.y
    null = s @ p.y if p.fit_intercept else {"mse": 0.0, "bxe": 0.5}[p.loss]
    rho = np.sqrt(s @ (null - p.y) ** 2)
    mean = s @ p.x
    sd, d = np.sqrt(s @ (p.x - mean) ** 2), p.scale
    g, g_b = p.x.T @ (s * slope), float(s @ slope)
    bar = g - mean * g_b if p.fit_intercept else g
    r = np.where(
        w != 0,
        np.abs(bar + p.l1 * d * np.sign(w) + p.l2 * d**2 * w),
        np.maximum(np.abs(bar) - p.l1 * d, 0),
    )
    worst = float(np.max(r / (sd * rho)))
    level = p.l1 + p.l2 * float(np.max(d * np.abs(w)))
    if level > 0:
        loss = s @ (slope**2 / 2 if p.loss == "mse" else np.logaddexp(0.0, z) - p.y * z)
        penalty = p.l1 * float(d @ np.abs(w)) + p.l2 / 2 * float((d * w) @ (d * w))
        share = penalty / (loss + penalty) if w.any() else 1.0
        worst = max(worst, share * min(1.0, float(np.max(r / d)) / level) ** 2)
    return max(worst, abs(g_b) / rho) if p.fit_intercept else worst


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_residual_by_hand(loss: str) -> None:
    rng = np.random.default_rng(82)
    for problem in problems(loss):
        objective = objective_of(problem)
        for w in (rng.normal(size=4), np.zeros(4), np.array([0.0, 0.3, 0.0, -1.0])):
            b = 0.4 * problem.fit_intercept
            at = objective.evaluate(objective.coordinates.theta(w, b), 1)
            assert at.residual == pytest.approx(by_hand(problem, w, b), rel=1e-10)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_residual_is_free_of_units(loss: str, kind: str) -> None:
    strength, mix = KINDS[kind]
    problem = example(loss, weighted=True).but(reg_param=strength, mix=mix)
    size = np.array([1e3, 1e-4, 7.0, 1.0])
    other = problem.but(x=problem.x * size, weight=problem.weight * 1e5)
    w, b = np.array([0.2, 0.0, -0.4, 1.0]), 0.3
    one, two = objective_of(problem), objective_of(other)
    a = one.evaluate(one.coordinates.theta(w, b), 1).residual
    c = two.evaluate(two.coordinates.theta(w / size, b), 1).residual
    assert a == pytest.approx(c, rel=1e-10)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_residual_is_zero_exactly_at_the_minimiser(loss: str) -> None:
    for problem in problems(loss):
        objective = objective_of(problem)
        w, b = reference_answer(problem)
        w = np.where(np.abs(w) < 1e-9, 0.0, w)
        best = objective.evaluate(objective.coordinates.theta(w, b), 1)
        # scipy's L-BFGS-B gets that far
        assert best.residual < 1e-6
        moved = objective.evaluate(best.theta + 0.01, 1)
        assert moved.residual > 1e-3


# --- coordinates --------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
def test_coordinates_there_and_back(intercept: bool) -> None:
    rng = np.random.default_rng(83)
    problem = example("mse")
    x = np.insert(problem.x * [1e-5, 1.0, 1e7, 3.0], 2, 4.0, axis=1)
    summary = summary_of(problem.but(x=x))
    coordinates = Coordinates.of(summary, intercept)
    assert coordinates.active.tolist() == [0, 1, 3, 4]
    assert coordinates.p == 4 + intercept
    mantissa, _ = np.frexp(coordinates.unit)
    assert (mantissa == 0.5).all()  # powers of two
    w = rng.normal(size=5)
    w[2] = 0.0
    b = 0.7 * intercept
    theta = coordinates.theta(w, b)
    np.testing.assert_array_equal(coordinates.weights(theta), w)
    assert coordinates.intercept(theta) == pytest.approx(b, rel=1e-9)
    z = (x - coordinates.centre) @ w + coordinates.centred_intercept(theta)
    np.testing.assert_allclose(z, x @ w + b, rtol=1e-9)
    many = np.column_stack([theta, 2 * theta])
    np.testing.assert_array_equal(coordinates.weights(many)[:, 1], 2 * w)
    # scaled columns have a spread near 1
    spread = x[:, coordinates.active].std(axis=0) * coordinates.unit
    if intercept:
        assert ((spread >= 0.5) & (spread < 1)).all()
    assert coordinates.full_unit()[2] == 0.0


# --- penalties in an objective ------------------------------------------------------------------


def test_standard_penalty() -> None:
    def names(l1: float, l2: float) -> list[str]:
        one = np.ones(2)
        return [term.name for term in standard_penalty(Strengths(l1, l2, one, one, 1.0))]

    assert names(0.0, 0.0) == []
    assert names(0.1, 0.0) == ["l1"]
    assert names(0.0, 0.1) == ["l2"]
    assert names(0.1, 0.1) == ["elastic_net"]


def test_penalised_or_not() -> None:
    assert objective_of(example("bxe")).unpenalised
    assert objective_of(example("bxe")).smooth
    ridge = objective_of(example("bxe").but(reg_param=0.1))
    assert not ridge.unpenalised
    assert ridge.smooth
    assert not objective_of(example("bxe").but(reg_param=0.1, mix=0.1)).smooth


@pytest.mark.parametrize("name", sorted(PENALTIES))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_a_penalty_beside_the_standard_ones(loss: str, name: str) -> None:
    """Any registered penalty as an extra: solvers agree, and no move along an axis is better."""
    problem = example(loss).but(reg_param=0.02)
    extra = (PENALTIES[name].of(0.05, problem.scale),)
    answers = {}
    for solver, kind in SOLVERS.items():
        objective = objective_of(problem, extra=extra)
        if solver in DESCENTS or (kind.smooth_only and not objective.smooth):
            continue
        if kind.kinked_only or (kind.quadratic_only and loss != "mse"):
            continue
        result = minimise(kind(), objective)
        assert result.status == "converged", (solver, result.message)
        answers[solver] = result

        def f(w: Array, b: float = result.intercept) -> float:
            return value_at(problem, w, b) + extra[0].value(w)

        best = f(result.w)
        assert best == pytest.approx(result.evaluation.objective, rel=1e-12)
        for j in range(4):
            for step in (1e-4, -1e-4, 0.1, -0.1):
                assert f(result.w + step * np.eye(4)[j]) > best
    first = next(iter(answers.values()))
    for result in answers.values():
        np.testing.assert_allclose(result.w, first.w, rtol=1e-6, atol=1e-8)
        np.testing.assert_array_equal(result.w == 0, first.w == 0)
