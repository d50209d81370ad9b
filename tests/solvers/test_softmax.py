"""Softmax: every solver against scipy and scikit-learn, its proofs, and the form it is given in."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import special

from tests.checks import DESCENTS
from tests.problems import Problem, objective_of, value_at
from tests.softmax import classes_example, least, scipy_classes, sklearn_classes
from w261reg.gradient_check import check_objective
from w261reg.penalties.smooth import Smooth
from w261reg.solvers import SOLVERS, FirstPass, Status, minimise
from w261reg.solvers.certificates import suboptimality_bound
from w261reg.solvers.gradient_descent import GradientDescent

PENALTY = {"none": (0.0, 0.0), "l2": (0.05, 0.0), "l1": (0.05, 1.0), "en": (0.08, 0.6)}
PROBLEMS = {
    f"{classes}-{kind}-{'intercept' if intercept else 'origin'}-{'std' if std else 'raw'}-"
    f"{'sparse' if as_sparse else 'dense'}": classes_example(classes).but(
        reg_param=strength,
        mix=mix,
        fit_intercept=intercept,
        standardization=std,
        sparse=as_sparse,
    )
    for classes, (kind, (strength, mix)), intercept, std, as_sparse in itertools.product(
        (2, 3, 5), PENALTY.items(), (True, False), (True, False), (False, True)
    )
}
SECOND_ORDER = ("newton", "proximal", "sampled", "lbfgs")
CASES = [
    (solver, name)
    for solver in SECOND_ORDER
    for name, problem in PROBLEMS.items()
    if not (problem.l1 and solver == "newton")
]


@pytest.mark.parametrize(("solver", "name"), CASES)
def test_solver(solver: str, name: str) -> None:
    problem = PROBLEMS[name]
    kind = SOLVERS[solver]
    objective = objective_of(problem, kind.first_pass)
    longer = {"max_iter": 3000} if solver == "lbfgs" else {}
    result = minimise(kind(**longer), objective)
    assert result.status is Status.CONVERGED, result.message
    found = value_at(problem, result.w, result.intercept)
    assert abs(found - result.evaluation.objective) <= 1e-12 * found
    assert abs(found - least(problem)) <= 1e-10 * found
    bound = result.suboptimality_bound
    assert bound is None or found - least(problem) <= bound + 1e-13
    if solver in ("newton", "proximal"):
        assert bound is not None
        assert bound < 1e-12
    check_identified(problem, result.w, result.intercept)
    if solver == "proximal" and problem.l1:
        best, _ = scipy_classes(problem)
        if problem.l2:  # else the common move of a feature's weights is free within its median
            np.testing.assert_array_equal(result.w == 0, np.abs(best) < 1e-9)


def check_identified(problem: Problem, w: np.ndarray, b: np.ndarray) -> None:
    size = np.abs(w).max(axis=1)
    assert abs(b.sum()) <= 1e-12 * (1 + np.abs(b).max())
    if not problem.l1:
        assert (np.abs(w.sum(axis=1)) <= 1e-12 * size).all()
    elif not problem.l2:
        ordered, k = np.sort(w, axis=1), w.shape[1]
        assert (ordered[:, (k - 1) // 2] <= 0).all()
        assert (ordered[:, k // 2] >= 0).all()


@pytest.mark.parametrize("name", [n for n in PROBLEMS if n.startswith(("3-l2-", "5-l2-"))])
def test_the_references_agree(name: str) -> None:
    problem = PROBLEMS[name]
    w, b = sklearn_classes(problem)
    assert abs(value_at(problem, w, b) - least(problem)) <= 1e-11
    result = minimise(SOLVERS["newton"](), objective_of(problem))
    np.testing.assert_allclose(result.w, w, rtol=1e-6, atol=1e-6 * np.abs(w).max())
    np.testing.assert_allclose(
        result.intercept, b - b.mean(), rtol=1e-6, atol=1e-6 * (1 + np.abs(b).max())
    )


@pytest.mark.parametrize("mix", [0.0, 1.0, 0.4])
def test_two_classes_are_binary_at_half_the_l2(mix: float) -> None:
    two = classes_example(2)
    for intercept in (True, False):
        both = two.but(reg_param=0.06, mix=mix, fit_intercept=intercept)
        l2 = both.l2 / 2
        strength = both.l1 + l2
        one = both.but(loss="bxe", reg_param=strength, mix=both.l1 / strength)
        binary = minimise(SOLVERS["proximal"](), objective_of(one))
        result = minimise(SOLVERS["proximal"](), objective_of(both))
        assert result.evaluation.objective == pytest.approx(binary.evaluation.objective, rel=1e-12)
        np.testing.assert_allclose(result.w[:, 1] - result.w[:, 0], binary.w, 1e-7, 1e-9)


@pytest.mark.parametrize("name", [n for n in PROBLEMS if n.startswith("3-")])
def test_derivatives_and_what_costs_no_pass(name: str) -> None:
    problem, rng = PROBLEMS[name], np.random.default_rng(4)
    objective = objective_of(problem)
    names = [str(j) for j in range(objective.p)]
    check = check_objective(objective, rng.normal(size=objective.p), names, "", rng)
    assert check.ok, str(check)
    assert check.hessian is not None

    known = objective.null_evaluation()
    direct = objective.evaluate(objective.null_theta(), 2)
    assert known is not None
    assert known.hessian is not None
    assert direct.hessian is not None
    assert known.objective == pytest.approx(direct.objective, rel=1e-13)
    np.testing.assert_allclose(known.gradient, direct.gradient, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(known.hessian, direct.hessian, rtol=1e-10, atol=1e-13)
    assert known.residual == pytest.approx(direct.residual, rel=1e-9, abs=1e-14)
    diagonal = objective.evaluate(objective.null_theta(), 1, diagonal=True).diagonal
    assert diagonal is not None
    np.testing.assert_allclose(objective.null_diagonal(), diagonal, rtol=1e-11)
    share = np.bincount(problem.y.astype(int), problem.weight) / problem.weight.sum()
    p = share if problem.fit_intercept else np.full(3, 1 / 3)
    own = np.eye(3)[problem.y.astype(int)]
    rms = np.sqrt(np.average(((p - own) ** 2).mean(axis=1), weights=problem.weight))
    assert objective.rho == pytest.approx(rms, rel=1e-12)
    w = rng.normal(size=(4, 3))
    b = rng.normal(size=3) if problem.fit_intercept else np.zeros(3)
    theta = objective.coordinates.theta(w, b)
    np.testing.assert_allclose(objective.coordinates.weights(theta), w, rtol=1e-12)
    np.testing.assert_allclose(objective.coordinates.intercept(theta), b, atol=1e-12)
    assert objective.evaluate(theta, 1).objective == pytest.approx(
        value_at(problem, w, b), rel=1e-12
    )


def test_the_gauge_changes_no_step() -> None:
    """Newton's step from the Hessian with the gauge is that of the pseudo-inverse without."""
    for strength in (0.0, 0.1):
        objective = objective_of(classes_example(4).but(reg_param=strength))
        at = objective.evaluate(objective.null_theta(), 2)
        assert at.hessian is not None
        bare = at.hessian - objective.regularizer.gauge()
        assert np.linalg.matrix_rank(bare) < objective.p == np.linalg.matrix_rank(at.hessian)
        step = np.linalg.solve(at.hessian, at.gradient)
        np.testing.assert_allclose(step, np.linalg.pinv(bare) @ at.gradient, atol=1e-9)


def test_large_means_cost_no_digits() -> None:
    problem = classes_example(3).but(reg_param=0.05)
    moved = problem.but(x=problem.x + 1e8)
    result = minimise(SOLVERS["newton"](), objective_of(moved))
    assert result.status is Status.CONVERGED
    assert result.evaluation.objective == pytest.approx(least(problem), rel=1e-8)
    assert result.suboptimality_bound is not None


@pytest.mark.parametrize("seed", range(12))
def test_what_is_proven_is_true(seed: int) -> None:
    """Bounds at many points that are not optimal, against the true gap."""
    rng = np.random.default_rng(900 + seed)
    kind = ["none", "l2", "l1", "en"][seed % 4]
    strength, mix = PENALTY[kind]
    problem = classes_example(3 + seed % 2, seed=seed, m=60 + 10 * seed).but(
        reg_param=strength * 10.0 ** rng.uniform(-1, 1),
        mix=mix,
        fit_intercept=bool(rng.integers(2)),
        standardization=bool(rng.integers(2)),
    )
    objective = objective_of(problem)
    result = minimise(SOLVERS["proximal"](tol=1e-12, max_iter=200), objective)
    if result.status is Status.SEPARATED:
        pytest.fail("the example separates")
    best, theta = result.evaluation.objective, result.evaluation.theta
    proven = 0
    for size in (0.0, 1e-6, 1e-4, 1e-3, 1e-2, 0.1):
        near = theta + size * rng.normal(size=objective.p) * np.where(theta == 0, 0.0, 1.0)
        at = objective.identified(objective.evaluate(near, 2))
        bound = suboptimality_bound(objective, at)
        if bound is not None:
            proven += 1
            assert at.objective - best <= bound * (1 + 1e-9) + 1e-13
    assert proven >= 2


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_separable_classes(solver: str) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(300, 3))
    whole = np.digitize(x[:, 0], [-0.5, 0.5]).astype(float)
    # one class alone is told from the others, which overlap
    one = np.where(x[:, 0] > 0, 0.0, rng.integers(1, 3, 300).astype(float))
    for y, words in ((whole, "separates the classes"), (one, "quasi-separation")):
        problem = Problem(x, y, np.ones(300), "cxe")
        result = minimise(SOLVERS[solver](), objective_of(problem))
        assert result.status is Status.SEPARATED
        assert words in result.message
        penalised = minimise(SOLVERS[solver](), objective_of(problem.but(reg_param=0.01)))
        assert penalised.status is Status.CONVERGED


def test_collinear_features() -> None:
    problem = classes_example(3)
    twice = problem.but(x=np.column_stack([problem.x, 2 * problem.x[:, 0]]))
    result = minimise(SOLVERS["newton"](), objective_of(twice))
    assert result.status is Status.CONVERGED
    assert "singular (rank 16 of 18)" in result.message
    assert result.evaluation.objective == pytest.approx(least(problem), rel=1e-10)
    assert result.suboptimality_bound is not None


@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_smooth_coefficients(mix: float) -> None:
    """Class by class; against scipy's minimum without the L1 part, a smaller value with."""
    gamma = 0.3
    problem = classes_example(3).but(reg_param=0.02 * mix, mix=mix, standardization=False)
    results = []
    for name in ("proximal", "lbfgs"):
        objective = objective_of(problem, extra=(Smooth(gamma),))
        results.append(minimise(SOLVERS[name](max_iter=2000, tol=1e-10), objective))
    first, other = (r.evaluation.objective for r in results)
    assert first == pytest.approx(other, rel=1e-11)
    w, b = results[0].w, results[0].intercept
    wanted = value_at(problem, w, b) + gamma / 2 * float((np.diff(w, axis=0) ** 2).sum())
    assert first == pytest.approx(wanted, rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(200):
        v = w + 1e-3 * rng.normal(size=w.shape)
        near = value_at(problem, v, b) + gamma / 2 * float((np.diff(v, axis=0) ** 2).sum())
        assert near >= first - 1e-14


def test_lambda_max_bounds_the_curvature() -> None:
    problem = classes_example(4).but(reg_param=0.05, standardization=False)
    objective = objective_of(problem)
    largest = objective.lambda_max(False)
    assert largest is not None
    user, rng = objective.user(False), np.random.default_rng(1)
    columns = np.column_stack([user.theta(column) for column in np.eye(objective.p)])
    for size in (0.0, 0.3, 3.0):
        at = objective.evaluate(size * rng.normal(size=objective.p), 2)
        assert at.hessian is not None
        bare = at.hessian - objective.regularizer.gauge()
        assert np.linalg.eigvalsh(columns.T @ bare @ columns)[-1] <= largest * (1 + 1e-12)


def test_gradient_descent_is_the_textbooks() -> None:
    problem = classes_example(3).but(reg_param=0.1, standardization=False)
    eta, steps = 0.05, 25
    own = np.eye(3)[problem.y.astype(int)]
    share = problem.weight / problem.weight.sum()
    w, b = np.zeros((4, 3)), np.zeros(3)
    start = np.log(share @ own)
    b = start - start.mean()
    for _ in range(steps):
        r = share[:, None] * (special.softmax(problem.x @ w + b, axis=1) - own)
        w, b = w - eta * (problem.x.T @ r + 0.1 * w), b - eta * r.sum(axis=0)
    solver = GradientDescent(max_iter=steps, step_size=eta)
    result = minimise(solver, objective_of(problem))
    assert result.n_iter == steps
    np.testing.assert_allclose(result.w, w, rtol=1e-10)
    np.testing.assert_allclose(result.intercept, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", sorted(DESCENTS))
def test_every_descent_descends(solver: str) -> None:
    kind = SOLVERS[solver]
    problem = classes_example(3).but(reg_param=0.1)
    objective = objective_of(problem)
    null = objective.null_evaluation()
    assert null is not None
    options: dict[str, Any] = {"standardized": True, "max_iter": 3000}
    if solver == "sgd":
        options |= {"batch_rows": 20, "step_rule": "inverse_sqrt", "max_iter": 100}
    result = minimise(kind(**options), objective)
    gap = result.evaluation.objective - least(problem)
    assert gap < 0.02 * (null.objective - least(problem))


def test_a_sample_estimates_the_hessian() -> None:
    problem = classes_example(3, m=4000)
    objective = objective_of(problem, FirstPass.SAMPLE)
    whole = objective_of(problem).null_evaluation()
    estimate = objective.sampled_null_hessian()
    assert whole is not None
    assert whole.hessian is not None
    assert estimate is not None
    assert np.abs(estimate - whole.hessian).max() < 0.1 * np.abs(whole.hessian).max()


def test_sums_of_several_models_side_by_side() -> None:
    problem, rng = classes_example(3), np.random.default_rng(2)
    objective = objective_of(problem)
    thetas = rng.normal(size=(objective.p, 4))
    values, gradients = objective.slopes(thetas)
    many, _ = objective.subgradients(thetas, "")
    for j, theta in enumerate(thetas.T):
        at = objective.evaluate(theta, 1)
        assert values[j] == pytest.approx(at.objective, rel=1e-14)
        np.testing.assert_allclose(gradients[:, j], at.gradient, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(many[j].gradient, at.gradient, rtol=1e-12, atol=1e-15)


def test_many_classes_go_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, rng = classes_example(5), np.random.default_rng(2)
    whole = objective_of(problem)
    theta = rng.normal(size=whole.p)
    at = whole.evaluate(theta, 2)
    monkeypatch.setattr("w261reg.aggregators.base.PIECE_NUMBERS", 90)  # 6 rows for a Hessian
    parts = objective_of(problem).evaluate(theta, 2)
    assert parts.objective == pytest.approx(at.objective, rel=1e-14)
    np.testing.assert_allclose(parts.gradient, at.gradient, rtol=1e-11, atol=1e-15)
    assert at.hessian is not None
    assert parts.hessian is not None
    np.testing.assert_allclose(parts.hessian, at.hessian, rtol=1e-11, atol=1e-15)


def test_a_start_that_is_not_centred() -> None:
    """Common moves are taken out before they cost a step, also where a penalty sees them."""
    problem, rng = classes_example(3).but(standardization=False), np.random.default_rng(3)
    objective = objective_of(problem, extra=(Smooth(1e-6),))
    w, b = rng.normal(size=(4, 1)) * 50 + rng.normal(size=(4, 3)), rng.normal(size=3)
    start = objective.coordinates.theta(w, b)
    formed = objective.form(start)
    again = objective.coordinates.weights(formed)
    np.testing.assert_allclose(again.sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(again - again[:, :1], w - w[:, :1], atol=1e-11)
    np.testing.assert_allclose(objective.form(formed), formed, atol=1e-13)
    result = minimise(SOLVERS["newton"](), objective, formed)
    assert result.status is Status.CONVERGED
    assert result.n_iter <= 12
    one = objective_of(problem.but(loss="bxe", y=np.minimum(problem.y, 1.0)))
    np.testing.assert_array_equal(one.form(np.arange(5.0)), np.arange(5.0))
