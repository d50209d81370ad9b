"""Gradient descent takes the steps of the textbook, at the textbook's rate."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.problems import Problem, example, objective_of, reference_answer, value_at
from w261reg import train
from w261reg.solvers import FirstPass, Status, minimise
from w261reg.solvers.gradient_descent import GradientDescent

Array = NDArray[np.float64]


def raw_hessian(problem: Problem) -> Array:
    """Of the ridge's squared error in (w, b), b last: (n + 1, n + 1) or (n, n)."""
    design = problem.x
    penalised = np.full(design.shape[1], problem.l2)
    if problem.fit_intercept:
        design = np.column_stack([design, np.ones(len(design))])
        penalised = np.append(penalised, 0.0)
    share = problem.weight / problem.weight.sum()
    return np.asarray(design.T @ (design * share[:, None]) + np.diag(penalised))


def ridge(**changes: Any) -> Problem:
    return example("mse", weighted=True).but(standardization=False, reg_param=0.1, **changes)


def run(problem: Problem, **options: Any) -> Any:
    return minimise(GradientDescent(**options), objective_of(problem, FirstPass.MOMENTS))


@pytest.mark.parametrize("intercept", [True, False])
def test_error_shrinks_as_theory_says(intercept: bool) -> None:
    """(w_t - w*) = (I - eta H)^t (w_0 - w*), in the user's coordinates."""
    problem = ridge(fit_intercept=intercept)
    hessian = raw_hessian(problem)
    eta = 0.9 / np.linalg.eigvalsh(hessian)[-1]
    w, b = reference_answer(problem)
    best = np.append(w, b) if intercept else w
    start = np.zeros_like(best)
    if intercept:
        start[-1] = np.average(problem.y, weights=problem.weight)
    for steps in (1, 2, 7, 30):
        result = run(problem, step_size=eta, max_iter=steps)
        found = np.append(result.w, result.intercept) if intercept else result.w
        contraction = np.linalg.matrix_power(np.eye(len(best)) - eta * hessian, steps)
        expected = best + contraction @ (start - best)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("factor", [0.3, 1.0, 1.7])
def test_rate_is_the_largest_contraction(factor: float) -> None:
    """Far along, the error shrinks by max |1 - eta lambda| a step."""
    problem = ridge(fit_intercept=False)
    values = np.linalg.eigvalsh(raw_hessian(problem))
    eta = factor / values[-1]
    rate = np.abs(1 - eta * values).max()
    w, _ = reference_answer(problem)
    result = [run(problem, step_size=eta, max_iter=t, tol=1e-300).w for t in (60, 61)]
    errors = [np.linalg.norm(v - w) for v in result]
    assert errors[1] / errors[0] == pytest.approx(rate, rel=0.02)
    assert errors[1] < errors[0] * (rate + 1e-9)


@pytest.mark.parametrize("intercept", [True, False])
def test_steps_beyond_two_over_lambda_max_diverge(intercept: bool) -> None:
    problem = ridge(fit_intercept=intercept)
    limit = 2 / np.linalg.eigvalsh(raw_hessian(problem))[-1]
    below = run(problem, step_size=0.98 * limit, max_iter=5000)
    assert below.status is Status.CONVERGED
    above = run(problem, step_size=1.02 * limit, max_iter=5000)
    assert above.status is Status.DIVERGED
    assert "step" in above.message
    assert above.suboptimality_bound is None


@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("step", [1e3, 1e80, 1e300])
def test_absurd_steps_diverge_without_a_warning(loss: str, step: float) -> None:
    problem = example(loss).but(standardization=False, reg_param=0.1)
    result = run(problem, step_size=step, max_iter=200)
    assert result.status is Status.DIVERGED
    assert np.isfinite(result.w).all()


@pytest.mark.parametrize("mix", [0.0, 1.0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_course_by_hand(weighted: bool, intercept: bool, mix: float) -> None:
    """Squared error without the half, so a gradient of (2/m) X'(Xw - y); ridge gradient lam w."""
    problem = example("mse", weighted=weighted)
    x, y, eta, lam = problem.x, problem.y, 0.04, 0.3
    share = problem.weight / problem.weight.sum()
    w = np.zeros(4)
    b = float(share @ y) if intercept else 0.0
    for steps in range(1, 7):
        error = share * (x @ w + b - y)
        penalty = lam * np.sign(w) if mix else lam * w
        w = w - eta * (2 * x.T @ error + penalty)
        b = b - eta * 2 * error.sum() if intercept else 0.0
        model = train(
            x, y, weight=problem.weight, loss="mse", convention="course", step_size=eta,
            reg_param=lam, elastic_net_param=mix, fit_intercept=intercept, max_iter=steps,
        )  # fmt: skip
        assert model.n_iter == steps
        assert model.solver == "gd"
        np.testing.assert_allclose(model.weights, w, rtol=1e-12, atol=1e-14)
        assert model.intercept == pytest.approx(b, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("intercept", [True, False])
def test_homework_by_hand(intercept: bool) -> None:
    """Cross entropy summed over rows, + lam |w|^2."""
    problem = example("bxe", weighted=True)
    x, y, s, eta, lam = problem.x, problem.y, problem.weight, 0.004, 0.3
    w, share = np.zeros(4), float(np.average(y, weights=s))
    b = np.log(share / (1 - share)) if intercept else 0.0
    for steps in range(1, 7):
        error = s * (1 / (1 + np.exp(-(x @ w + b))) - y)
        w, b = w - eta * (x.T @ error + 2 * lam * w), b - eta * error.sum() * intercept
        model = train(
            x, y, weight=s, loss="bxe", convention="homework", step_size=eta, reg_param=lam,
            fit_intercept=intercept, max_iter=steps,
        )  # fmt: skip
        np.testing.assert_allclose(model.weights, w, rtol=1e-12, atol=1e-14)
        assert model.intercept == pytest.approx(b, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("intercept", [True, False])
def test_standardized_steps_by_hand(intercept: bool) -> None:
    """On a standardized problem: the same steps on (x - mean)/sd, here by canonical strengths."""
    problem = example("mse").but(fit_intercept=intercept)
    mean = problem.x.mean(axis=0) if intercept else 0.0
    z = (problem.x - mean) / problem.x.std(axis=0)
    y, eta, lam = problem.y, 0.3, 0.2
    u, b = np.zeros(4), y.mean() if intercept else 0.0
    for steps in range(1, 6):
        error = (z @ u + b - y) / len(y)
        u, b = u - eta * (z.T @ error + lam * u), b - eta * error.sum() * intercept
        model = train(
            problem.x, y, loss="mse", convention="canonical", step_size=eta, reg_param=lam,
            fit_intercept=intercept, max_iter=steps,
        )  # fmt: skip
        np.testing.assert_allclose(model.weights, u / problem.x.std(axis=0), rtol=1e-12)
        centred = model.intercept + np.dot(model.weights, mean * np.ones(4))
        assert centred == pytest.approx(b, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("standard", [True, False])
def test_armijo_descends_every_time_and_converges(loss: str, standard: bool) -> None:
    problem = example(loss).but(reg_param=0.05, standardization=standard)
    result = run(problem, standardized=standard, max_iter=5000)
    assert result.status is Status.CONVERGED
    values = np.array([entry.objective for entry in result.history])
    assert (np.diff(values) <= 1e-14 * values[0]).all()
    assert result.n_iter > 3


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_armijo_does_not_stall_above_its_tolerance(loss: str, seed: int) -> None:
    """The last steps change the objective by less than rounding, and must be taken all the same."""
    for problem in (example(loss, seed=seed), example(loss, seed=seed).but(reg_param=0.05)):
        result = run(problem, standardized=True, max_iter=5000)
        assert result.status in (Status.CONVERGED, Status.SEPARATED), result.message


def test_armijo_needs_no_step_size_on_any_scale() -> None:
    problem = example("mse").but(reg_param=0.05, standardization=False)
    plain = run(problem, max_iter=5000)
    for size in (1e-8, 1e8):
        # the same problem in other units: raw steps then need other lengths
        scaled = problem.but(x=problem.x * size, reg_param=0.05 * size**2, fit_intercept=False)
        alike = run(problem.but(fit_intercept=False), max_iter=5000)
        result = run(scaled, max_iter=5000)
        assert result.status is Status.CONVERGED
        np.testing.assert_allclose(result.w * size, alike.w, rtol=1e-6, atol=1e-8)
    assert plain.status is Status.CONVERGED


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_subgradient_creeps_and_gives_no_exact_zeros(loss: str) -> None:
    problem = example(loss)
    problem = problem.but(reg_param=0.4 * objective_of(problem).max_l1(), mix=1.0)
    w, b = reference_answer(problem)
    best = value_at(problem, w, b)
    assert 0 < (np.abs(w) < 1e-9).sum() < 4
    gaps = []
    for steps in (0, 10, 100, 1000):
        result = run(problem, step_size=0.02, standardized=True, max_iter=steps)
        assert result.status is Status.MAX_ITER
        assert (result.w != 0).all() or steps == 0
        gaps.append(result.evaluation.objective - best)
    assert (np.diff(gaps) < 0).all()
    # it ends in a band whose width the step gives: eta |subgradient|^2 / 2, never at 0
    assert 1e-7 < gaps[-1] < 0.05 * gaps[0]


def test_step_size_is_in_the_conventions_terms() -> None:
    problem = example("bxe")
    common: dict[str, Any] = {"loss": "bxe", "max_iter": 3}
    summed = train(problem.x, problem.y, convention="homework", step_size=0.001, **common)
    mean = train(
        problem.x, problem.y, convention="canonical", standardization=False,
        step_size=0.001 * len(problem.y), **common,
    )  # fmt: skip
    np.testing.assert_allclose(summed.weights, mean.weights, rtol=1e-13)
    assert summed.history[-1].step == pytest.approx(0.001 * len(problem.y))
