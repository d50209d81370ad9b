"""What is proven is true: bounds against the true gap, at many answers that are not optimal."""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.checks import PROOFS, check_bounds
from tests.problems import Problem, objective_of
from w261reg import train
from w261reg.evaluation import Evaluation, rounding_of
from w261reg.objective import Objective
from w261reg.solvers import SOLVERS, Status, minimise
from w261reg.solvers.certificates import _gap, _quadratic, suboptimality_bound
from w261reg.solvers.existence import Existence, existence


def random_problem(seed: int, loss: str, penalty: str) -> Problem:
    rng = np.random.default_rng(1000 + seed)
    m, n = int(rng.integers(8, 60)), int(rng.integers(1, 6))
    x = rng.normal(size=(m, n)) * 10.0 ** rng.uniform(-1, 1, n) + rng.normal(size=n)
    z = x @ rng.normal(size=n) + rng.normal()
    if loss == "mse":
        y = z + rng.normal(size=m) * 10.0 ** rng.uniform(-2, 1)
    else:
        y = (rng.random(m) < 1 / (1 + np.exp(-0.5 * z))).astype(float)
        y[:2] = [0.0, 1.0]
    strength = 10.0 ** rng.uniform(-3, 0.5)
    mix = {"none": 0.0, "l2": 0.0, "l1": 1.0, "en": rng.uniform(0.1, 0.9)}[penalty]
    return Problem(
        x,
        y,
        rng.choice(np.array([1.0, 0.3, 2.0]), m),
        loss,
        0.0 if penalty == "none" else strength,
        float(mix),
        fit_intercept=bool(rng.integers(2)),
        standardization=bool(rng.integers(2)),
        leaves=2,
    )


def optimum(objective: Objective) -> float | None:
    """The least objective, to rounding; None where there is none."""
    name = "newton" if objective.smooth else "proximal"
    result = minimise(SOLVERS[name](tol=1e-13, max_iter=200), objective)
    if result.status is Status.SEPARATED or result.evaluation.residual > 1e-11:
        return None
    return result.evaluation.objective


def early_answers(objective: Objective) -> list[Evaluation]:
    """Where solvers stop after a few iterations, and random points near and far."""
    found = []
    for name in ("newton", "proximal", "lbfgs", "gd"):
        kind = SOLVERS[name]
        if kind.smooth_only and not objective.smooth:
            continue
        for steps in (0, 1, 2, 3):
            found.append(minimise(kind(max_iter=steps, tol=1e-300), objective).evaluation)
    rng = np.random.default_rng(0)
    best = found[-1].theta
    for size in (1e-4, 1e-2, 0.3, 2.0):
        theta = best + size * rng.normal(size=len(best))
        found.append(objective.evaluate(theta, 2))
    return found


@pytest.mark.parametrize(
    ("loss", "penalty"),
    [*itertools.product(["mse", "bxe"], ["none", "l2", "l1", "en"]),
     ("squared_hinge", "l2"), ("squared_hinge", "en")],
)  # fmt: skip
def test_bound_is_above_the_true_gap(loss: str, penalty: str) -> None:
    proven = dict.fromkeys(PROOFS, 0)
    problems = 0
    for seed in range(25):
        objective = objective_of(random_problem(seed, loss, penalty))
        best = optimum(objective)
        problems += 1
        check_bounds(objective, early_answers(objective), best, proven)
    # each kind of proof is there where it should be, so that this tests something
    assert proven["any"] >= problems
    assert (proven["gap"] > problems) == (penalty != "none")
    assert (proven["quadratic"] > problems) == (loss == "mse")
    assert (proven["self_concordant"] > problems) == (loss == "bxe")


@pytest.mark.parametrize("penalty", ["none", "l2", "l1", "en"])
@pytest.mark.parametrize("solver", ["gram", "newton", "proximal"])
def test_bound_is_tight_at_the_answer(solver: str, penalty: str) -> None:
    for loss in ("mse", "bxe"):
        problem = random_problem(3, loss, penalty).but(fit_intercept=True)
        kind = SOLVERS[solver]
        if (kind.quadratic_only and loss != "mse") or (kind.smooth_only and problem.l1):
            continue
        result = minimise(kind(), objective_of(problem))
        assert result.status is Status.CONVERGED
        assert result.suboptimality_bound is not None
        assert 0 < result.suboptimality_bound < 1e-9 * max(1, result.evaluation.objective)


@pytest.mark.parametrize("penalty", ["none", "l2"])
def test_the_rounding_of_the_objective_adds_to_a_proof(penalty: str) -> None:
    """A parabola's bound is its gap: the objective's own rounding would make it a false one."""
    for seed in range(20):
        objective = objective_of(random_problem(seed, "mse", penalty))
        for at in early_answers(objective):
            exact = _quadratic(objective, at)
            bound = suboptimality_bound(objective, at)
            if exact is None or bound is None or at.gap is not None:
                continue
            least = min(exact, _gap(objective, at) or np.inf, at.objective)
            assert bound >= least + rounding_of(at.objective)


@pytest.mark.parametrize("solver", ["gram", "newton", "proximal"])
@pytest.mark.parametrize(("rows", "degree"), [(21, 4), (21, 5), (30, 6), (50, 3)])
def test_what_is_all_rounding_is_not_proven_closer(rows: int, degree: int, solver: str) -> None:
    """The smallest F is 0, so that the gap is F, which cancels: in rational numbers, then."""
    x = np.arange(float(rows))
    powers = np.vander(x, degree + 1)
    features, y = powers[:, :-1], powers.sum(axis=1)
    model = train(features, y, loss="mse", solver=solver)
    w = [Fraction(value) for value in (*map(float, model.weights), float(model.intercept))]
    left = [
        Fraction(float(value)) - sum(a * Fraction(b) for a, b in zip(w, (*row, 1.0), strict=True))
        for value, row in zip(y, features.tolist(), strict=True)
    ]
    gap = sum(value**2 for value in left) / (2 * rows)
    assert model.suboptimality_bound is not None
    assert gap <= Fraction(model.suboptimality_bound)


def test_gap_by_hand() -> None:
    """The formula of mathematics.md, written down once more on raw data."""
    problem = random_problem(7, "bxe", "en").but(fit_intercept=False)
    objective = objective_of(problem)
    at = objective.evaluate(np.random.default_rng(2).normal(size=objective.p), 1)
    w = objective.coordinates.weights(at.theta)
    d, l1, l2 = problem.scale, problem.l1, problem.l2
    p = 1 / (1 + np.exp(-(problem.x @ w)))
    v = problem.x.T @ (problem.weight * (p - problem.y)) / problem.weight.sum() / d
    u = d * w
    excess = np.maximum(np.abs(v) - l1, 0)
    expected = np.sum(v * u + l1 * np.abs(u) + l2 * u**2 / 2 + excess**2 / (2 * l2))
    assert _gap(objective, at) == pytest.approx(expected, rel=1e-11)


def test_gap_needs_an_optimal_intercept() -> None:
    problem = random_problem(7, "bxe", "l2").but(fit_intercept=True)
    objective = objective_of(problem)
    theta = objective.null_theta()
    assert _gap(objective, objective.evaluate(theta, 1)) is not None
    theta[-1] += 1.0
    assert _gap(objective, objective.evaluate(theta, 1)) is None


@pytest.mark.parametrize("seed", range(6))
def test_existence(seed: int) -> None:
    """On small data where separability is known by linear programming."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(300 + seed)
    verdicts: dict[Any, int] = {}
    for _ in range(12):
        m, n = int(rng.integers(6, 14)), int(rng.integers(1, 4))
        x = rng.integers(-2, 3, (m, n)).astype(float)
        y = (x @ rng.normal(size=n) + rng.normal(size=m) * rng.choice([0.01, 1.5]) > 0).astype(
            float
        )
        y[:2] = [0, 1]
        signed = (2 * y - 1)[:, None] * np.column_stack([x, np.ones(m)])
        # is there a direction with no margin < 0 and some > 0?
        most = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(m), bounds=(-1, 1))
        separable = float(most.fun or 0.0) < -1e-9
        result = minimise(
            SOLVERS["newton"](), objective_of(Problem(x, y, np.ones(m), "bxe", leaves=2))
        )
        assert (result.status is Status.SEPARATED) == separable, (x.tolist(), y.tolist())
        if not separable:
            assert result.status is Status.CONVERGED
        verdicts[result.status] = verdicts.get(result.status, 0) + 1
    assert verdicts


def test_existence_of_an_early_answer_is_not_guessed() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(40, 2))
    y = (x[:, 0] + rng.normal(size=40) > 0).astype(float)
    objective = objective_of(Problem(x, y, np.ones(40), "bxe"))
    far = objective.evaluate(np.full(objective.p, 30.0), 2)
    assert existence(objective, far) is not Existence.SEPARATED
