"""Support vector machines: hinge by Pegasos with its proof, squared hinge by the smooth solvers."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize
from sklearn import svm

from tests.problems import (
    Problem,
    dataset_of,
    example,
    objective_of,
    pointwise,
    reference_answer,
    reference_minimum,
    value_at,
)
from w261reg.aggregators import LocalSteps
from w261reg.errors import InputError
from w261reg.losses import get_loss
from w261reg.objective import Objective
from w261reg.solvers import SOLVERS, FirstPass, FitResult, Status, minimise
from w261reg.solvers.certificates import suboptimality_bound
from w261reg.solvers.planes import Planes, floor

Array = NDArray[np.float64]
BOTH = (True, False)
minimize_by_scipy: Any = optimize.minimize
EVERY = list(itertools.product((0.3, 0.02, 0.002), BOTH, BOTH, BOTH, BOTH))


def hinge(l2: float, weighted: bool = False, **changes: Any) -> Problem:
    return example("hinge", m=120, weighted=weighted).but(reg_param=l2, **changes)


def pegasos(problem: Problem, **options: float) -> FitResult:
    objective = objective_of(problem, FirstPass.MOMENTS)
    return minimise(SOLVERS["pegasos"](**options), objective)  # type: ignore[arg-type]


# --- hinge --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("l2", "intercept", "standard", "weighted", "as_sparse"), EVERY)
def test_hinge_is_libsvms_and_liblinears(
    l2: float, intercept: bool, standard: bool, weighted: bool, as_sparse: bool
) -> None:
    problem = hinge(
        l2, weighted, fit_intercept=intercept, standardization=standard, sparse=as_sparse
    )
    result = pegasos(problem)
    assert result.status is Status.CONVERGED, result.message
    found, theirs = value_at(problem, result.w, result.intercept), reference_minimum(problem)
    assert found == pytest.approx(result.evaluation.objective, rel=1e-12)
    assert found <= theirs * (1 + 1e-9)
    assert theirs <= found * (1 + 1e-6)  # they stop at a tolerance of their own
    assert result.suboptimality_bound is not None
    assert result.suboptimality_bound <= 1e-9 * found
    # F is strongly convex in d w: l2 |d (w - w*)|^2 / 2 is at most the gap of either
    w, _ = reference_answer(problem)
    distance = float(np.linalg.norm(problem.scale * (result.w - w)))
    gap = max(0.0, theirs - found) + 1e-9 * found
    assert distance <= 2 * np.sqrt(2 * gap / l2)
    if not intercept:
        assert result.intercept == 0.0


@pytest.mark.parametrize("intercept", BOTH)
def test_hinge_against_a_linear_program_in_the_limit(intercept: bool) -> None:
    """Without a penalty the hinge is a linear program; with little L2, F is near its value."""
    problem = hinge(0.0, fit_intercept=intercept)
    m, n = problem.x.shape
    sign = 2 * problem.y - 1
    design = np.column_stack([problem.x, np.full(m, float(intercept))])
    program: Any = optimize.linprog(
        np.concatenate([np.zeros(n + 1), np.full(m, 1 / m)]),
        A_ub=-np.hstack([sign[:, None] * design, np.eye(m)]),
        b_ub=-np.ones(m),
        bounds=[(None, None)] * (n + 1) + [(0, None)] * m,
    )
    least, w = program.fun, program.x[:n]
    l2 = 1e-4
    result = pegasos(problem.but(reg_param=l2), max_iter=300)
    assert result.status is Status.CONVERGED
    most = l2 / 2 * float((problem.scale * w) @ (problem.scale * w))
    assert least <= result.evaluation.objective <= least + most + 1e-9


def test_bound_holds_at_every_iteration() -> None:
    """Against the optimum, which is known to 1e-14; and F never rises."""
    for l2, intercept in itertools.product((0.3, 0.01, 1e-4), BOTH):
        problem = hinge(l2, weighted=True, fit_intercept=intercept)
        best = pegasos(problem, tol=1e-13, max_iter=400).evaluation.objective
        objective = objective_of(problem, FirstPass.MOMENTS)
        result = minimise(SOLVERS["pegasos"](), objective)
        values = np.array([entry.objective for entry in result.history])
        residuals = np.array([entry.residual for entry in result.history])
        assert (np.diff(values) <= 0).all()
        assert (values - best <= residuals * values + 1e-13 * best).all()
        assert (residuals[1:] * values[1:] <= residuals[:-1] * values[:-1] * (1 + 1e-12)).all()
        assert residuals[0] > 0.01
        # one pass an iteration, after that which reads
        assert [entry.passes for entry in result.history] == list(range(1, len(values) + 1))


# SLSQP of scipy before 1.15 may leave the bounds by rounding: it says so, and clips
@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")
def test_bound_is_the_dual_objective_of_feasible_multipliers() -> None:
    """alpha_i in [0, s_i/S] with sum alpha_i t_i = 0 is what stands behind the bound: rebuilt here
    by scipy from the subgradients alone."""
    problem = hinge(0.05, weighted=True)
    share, sign = problem.weight / problem.weight.sum(), 2 * problem.y - 1
    x, d = problem.x, problem.scale

    def dual(alpha: Array) -> float:
        v = x.T @ (alpha * sign) / d
        return float(alpha.sum() - v @ v / (2 * problem.l2))

    found = minimize_by_scipy(
        lambda alpha: -dual(alpha),
        share / 2,
        jac=lambda alpha: -(1 - sign * ((x / d) @ (x.T @ (alpha * sign) / d)) / problem.l2),
        bounds=[(0.0, float(s)) for s in share],
        constraints={"type": "eq", "fun": lambda alpha: alpha @ sign, "jac": lambda _: sign},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-15},
    )
    assert ((found.x >= 0) & (found.x <= share)).all()
    assert float(found.x @ sign) == pytest.approx(0.0, abs=1e-12)
    result = pegasos(problem)
    assert dual(found.x) == pytest.approx(result.evaluation.objective, rel=1e-7)
    assert result.evaluation.gap is not None
    proven = result.evaluation.objective - result.evaluation.gap
    assert dual(found.x) <= result.evaluation.objective * (1 + 1e-9)
    assert proven == pytest.approx(dual(found.x), rel=1e-7)


def test_stops_early_and_says_so() -> None:
    short = pegasos(hinge(0.01), max_iter=3)
    assert short.status is Status.MAX_ITER
    assert short.n_iter == 3
    loose = pegasos(hinge(0.01), tol=1e-3)
    assert loose.status is Status.CONVERGED
    assert loose.n_iter < pegasos(hinge(0.01)).n_iter
    best = reference_minimum(hinge(0.01))
    for result in (short, loose):
        gap = result.evaluation.objective - best
        assert result.suboptimality_bound is not None
        assert gap <= result.suboptimality_bound
    assert loose.suboptimality_bound is not None
    assert loose.suboptimality_bound <= 1e-3 * loose.evaluation.objective


@pytest.mark.parametrize("intercept", BOTH)
def test_separable_rows_have_an_optimum(intercept: bool) -> None:
    x = np.array([[-2.0], [-1], [1], [2]])
    problem = Problem(
        x, np.array([0.0, 0, 1, 1]), np.ones(4), "hinge", 0.1, fit_intercept=intercept,
        standardization=False, leaves=2,
    )  # fmt: skip
    result = pegasos(problem)
    assert result.status is Status.CONVERGED
    assert result.w[0] == pytest.approx(1.0, rel=1e-7)  # the margin of the inner rows is 1
    assert result.evaluation.objective == pytest.approx(0.05, rel=1e-9)


def test_extreme_units_are_only_units() -> None:
    plain = hinge(0.02, weighted=True)
    size = np.array([1e-150, 1e150, 1.0, 3e-140])
    expected, result = pegasos(plain), pegasos(plain.but(x=plain.x * size))
    assert result.status is Status.CONVERGED
    assert result.evaluation.objective == pytest.approx(expected.evaluation.objective, rel=1e-9)
    np.testing.assert_allclose(result.w * size, expected.w, rtol=1e-3, atol=1e-5)


def test_constant_columns_have_no_weight() -> None:
    plain = hinge(0.02)
    wide = plain.but(x=np.insert(plain.x, 2, 7.0, axis=1))
    result = pegasos(wide)
    assert result.w[2] == 0.0
    assert result.evaluation.objective == pytest.approx(reference_minimum(plain), rel=1e-6)


def test_more_features_than_rows() -> None:
    problem = example("hinge", seed=5, m=12, n=30).but(reg_param=0.05, leaves=2)
    result = pegasos(problem)
    assert result.status is Status.CONVERGED
    assert result.evaluation.objective <= reference_minimum(problem) * (1 + 1e-9)


def test_warm_start() -> None:
    problem = hinge(0.01)
    objective = objective_of(problem, FirstPass.MOMENTS)
    cold = minimise(SOLVERS["pegasos"](), objective)
    start = objective.coordinates.theta(cold.w, cold.intercept)
    warm = minimise(SOLVERS["pegasos"](), objective, start)
    assert warm.history[0].objective == pytest.approx(cold.evaluation.objective, rel=1e-13)
    assert warm.status is Status.CONVERGED


@pytest.mark.parametrize("name", ["newton", "proximal", "sampled", "lbfgs", "gram"])
def test_hinge_is_for_first_order_solvers(name: str) -> None:
    with pytest.raises(InputError, match=f"solver {name} needs a .* not hinge; use auto"):
        minimise(SOLVERS[name](), objective_of(hinge(0.1)))


def test_armijos_rule_ends_at_a_kink_and_says_what_to_do() -> None:
    result = minimise(SOLVERS["gd"](max_iter=1000), objective_of(hinge(0.1)))
    assert result.status is Status.MAX_ITER
    assert "give a step_size" in result.message


def test_what_pegasos_is_not_for() -> None:
    for loss in ("bxe", "mse", "squared_hinge"):
        with pytest.raises(InputError, match=f"pegasos is for loss hinge, not {loss}; use auto"):
            minimise(SOLVERS["pegasos"](), objective_of(example(loss).but(reg_param=0.1)))
    for changes in ({"reg_param": 0.0}, {"mix": 0.5}, {"mix": 1.0}):
        with pytest.raises(InputError, match="needs a penalty of L2 alone, reg_param > 0"):
            pegasos(hinge(0.1).but(**changes))


# --- Pegasos' own steps -------------------------------------------------------------------------


def stepper(objective: Objective, w: Array, b: float, round: int) -> LocalSteps:
    to, strengths = objective.coordinates, objective.strengths
    return LocalSteps(
        objective.loss, w, b, to.centre, scale=strengths.scale, l2=strengths.l2,
        radius=float(np.sqrt(2 / strengths.l2)), size=objective.p, round=round,
        fit_intercept=to.fit_intercept,
    )  # fmt: skip


@pytest.mark.parametrize("l2", [0.3, 0.03])
def test_rate_of_the_local_steps(l2: float) -> None:
    """On their own, without the planes: in expectation F - F* falls like 1/t (their theorem 1)."""
    problem = example("hinge", m=400, n=4).but(reg_param=l2, leaves=1, fit_intercept=False)
    best = reference_minimum(problem)
    objective = objective_of(problem, FirstPass.MOMENTS)
    w, excess = np.zeros(4), []
    for number in range(64):
        own = objective.dataset.aggregate(stepper(objective, w, 0.0, number))
        w = own.w / own.weight
        excess.append(value_at(problem, w, 0.0) - best)
    early, late = np.mean(excess[1:5]), np.mean(excess[-16:])
    assert (np.array(excess) >= -1e-9).all()
    assert late < early / 4
    assert excess[-1] < 3e-3 * best


@pytest.mark.parametrize("as_sparse", BOTH)
@pytest.mark.parametrize("intercept", BOTH)
def test_plane_of_the_local_steps_is_below_the_loss(intercept: bool, as_sparse: bool) -> None:
    problem = hinge(0.05, weighted=True, fit_intercept=intercept, sparse=as_sparse)
    objective = objective_of(problem, FirstPass.MOMENTS)
    rng = np.random.default_rng(3)
    own = dataset_of(problem).aggregate(stepper(objective, np.zeros(4), 0.0, 0))
    total = problem.weight.sum()
    assert own.weight == pytest.approx(total)
    centre = objective.coordinates.centre
    tight = np.inf
    for size in (0.0, 0.1, 0.5, 1.0, 3.0):
        for _ in range(20):
            w, b = own.w / total + size * rng.normal(size=4), size * float(rng.normal())
            b = b + own.b / total if intercept else 0.0
            plane = (own.height + own.slope @ w + own.intercept * b) / total
            z = (problem.x - centre) @ w + b
            loss = np.average(pointwise("hinge", problem.y, z)[0], weights=problem.weight)
            assert plane <= loss + 1e-12
            tight = min(tight, loss - plane)
    assert tight < 0.1


def test_local_steps_of_one_row_a_step_by_hand() -> None:
    """A leaf of 16 rows is one step an epoch: the steps of the paper, written down once more."""
    problem = example("hinge", m=16, weighted=True).but(
        reg_param=0.2, leaves=1, weight=np.linspace(0.5, 2.0, 16)
    )
    objective = objective_of(problem, FirstPass.MOMENTS)
    centre, d, l2 = objective.coordinates.centre, problem.scale, 0.2
    own = dataset_of(problem).aggregate(stepper(objective, np.zeros(4), 0.1, 0))
    share, sign = problem.weight / problem.weight.sum(), 2 * problem.y - 1
    u = (problem.x - centre) / d
    v, b, kept = np.zeros(4), 0.1, []
    for step in range(1, 65):
        eta = 1 / (l2 * (objective.p / l2 + step))
        active = sign * (u @ v + b) < 1
        pull = share * sign * active
        v, b = (1 - eta * l2) * v + eta * (u.T @ pull), b + eta * pull.sum()
        v *= min(1.0, np.sqrt(2 / l2) / np.linalg.norm(v))
        kept.append(np.append(v / d, b))
    mean = np.mean(kept[32:], axis=0)
    np.testing.assert_allclose(own.w / own.weight, mean[:4], rtol=1e-10)
    assert own.b / own.weight == pytest.approx(mean[4], rel=1e-10)


# --- planes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_least_of_planes_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, k = int(rng.integers(1, 7)), int(rng.integers(1, 15))
    intercept = bool(seed % 2)
    ridge = rng.uniform(0.1, 3.0, p) * 10.0 ** rng.uniform(-2, 1)
    if intercept:
        ridge = np.append(ridge, 0.0)
        p += 1
    slopes = rng.normal(size=(p, k))
    planes = Planes.none(p).joined(rng.normal(size=k), slopes, np.zeros(k))
    found = floor(planes, ridge)

    def f(theta: Array) -> float:
        return float(np.max(planes.heights + planes.slopes.T @ theta) + ridge @ theta**2 / 2)

    level = minimize_by_scipy(
        lambda t: t[-1] + ridge @ t[:-1] ** 2 / 2,
        np.append(np.zeros(p), 10.0),
        jac=lambda t: np.append(ridge * t[:-1], 1.0),
        constraints={
            "type": "ineq",
            "fun": lambda t: t[-1] - planes.heights - planes.slopes.T @ t[:-1],
            "jac": lambda t: np.column_stack([-planes.slopes.T, np.ones(k + 1)]),
        },
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    assert found.bound == pytest.approx(level.fun, rel=1e-7, abs=1e-9)
    assert found.bound <= f(found.theta) + 1e-10
    assert f(found.theta) == pytest.approx(found.bound, rel=1e-7, abs=1e-8)
    for _ in range(50):
        assert found.bound <= f(found.theta + rng.normal(size=p)) + 1e-12
    assert found.shares.sum() == pytest.approx(1.0)
    assert (found.shares >= 0).all()


def test_planes_that_are_dropped_and_those_that_are_no_numbers() -> None:
    heights, slopes = np.array([1.0, np.nan, 2.0, 3.0]), np.array([[1.0, 1.0, np.inf, 2.0]])
    planes = Planes.none(1).joined(heights, slopes, np.zeros(4))
    lower = Planes.none(1).joined(heights, slopes, np.ones(4))
    assert (lower.heights[1:] < planes.heights[1:]).all()
    assert planes.heights.tolist() == [0.0, 1.0, 3.0]
    kept = planes.bearing(np.array([0.0, 0.2, 0.8]), 2)
    assert kept.heights.tolist() == [0.0, 3.0]
    assert planes.bearing(np.array([0.0, 0.2, 0.8]), 3) is planes


# --- squared hinge ------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", BOTH)
@pytest.mark.parametrize("l2", [1.0, 0.03, 1e-4])
@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled"])
def test_squared_hinge_is_liblinears(solver: str, l2: float, weighted: bool) -> None:
    problem = example("squared_hinge", m=120, weighted=weighted).but(
        reg_param=l2, fit_intercept=False, standardization=False
    )
    c = 1 / (l2 * problem.weight.sum())
    theirs = svm.LinearSVC(
        C=c, fit_intercept=False, tol=1e-14, max_iter=100_000, dual=False, loss="squared_hinge"
    ).fit(problem.x, problem.y, sample_weight=problem.weight)
    kind = SOLVERS[solver]
    ours = minimise(kind(max_iter=300), objective_of(problem, kind.first_pass))
    assert ours.status is Status.CONVERGED
    best = value_at(problem, theirs.coef_[0], 0.0)
    assert ours.evaluation.objective == pytest.approx(best, rel=1e-10)
    np.testing.assert_allclose(ours.w, theirs.coef_[0], rtol=1e-5, atol=1e-7)
    assert ours.suboptimality_bound is not None
    assert ours.suboptimality_bound < 1e-9 * best


@pytest.mark.parametrize("intercept", BOTH)
@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled", "gd"])
def test_separable_rows_need_no_penalty(solver: str, intercept: bool) -> None:
    """The least value, 0, is attained: converged, and proven."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 2))
    x += 2.0 * np.sign(x[:, [0]]) * [1.0, 0.0]
    problem = Problem(
        x, (x[:, 0] > 0).astype(float), np.ones(60), "squared_hinge", fit_intercept=intercept
    )
    kind = SOLVERS[solver]
    options: dict[str, Any] = {"max_iter": 5000, "standardized": True} if solver == "gd" else {}
    result = minimise(kind(**options), objective_of(problem, kind.first_pass))
    assert result.status is Status.CONVERGED, result.message
    assert result.evaluation.objective < 1e-12
    if result.evaluation.objective == 0:
        assert result.suboptimality_bound is not None
        assert result.suboptimality_bound < 1e-30  # the square of what rounds z


@pytest.mark.parametrize(
    ("solver", "mix"),
    [("newton", 0.0), ("proximal", 0.0), ("lbfgs", 0.0), ("sampled", 0.0), ("proximal", 1.0),
     ("sampled", 1.0)],
)  # fmt: skip
def test_few_rows_within_the_margin(solver: str, mix: float) -> None:
    """Near the optimum of nearly separable rows with little penalty, fewer rows than features have
    any curvature."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 12))
    truth = rng.normal(size=12)
    y = (x @ truth > 0).astype(float)
    problem = Problem(x, y, np.ones(200), "squared_hinge", 1e-6, mix)
    kind = SOLVERS[solver]
    result = minimise(kind(max_iter=1000), objective_of(problem, kind.first_pass))
    assert result.status is Status.CONVERGED, result.message
    assert result.evaluation.objective == pytest.approx(reference_minimum(problem), rel=1e-5)


def test_a_loss_of_0_is_its_own_proof() -> None:
    x = np.array([[-3.0], [-2.0], [2.0], [3.0]])
    problem = Problem(x, np.array([0.0, 0, 1, 1]), np.ones(4), "squared_hinge", leaves=1)
    objective = objective_of(problem)
    at = objective.evaluate(objective.coordinates.theta(np.array([1.0]), 0.0), 1)
    assert (at.objective, suboptimality_bound(objective, at)) == (0.0, 0.0)
    near = objective.evaluate(objective.coordinates.theta(np.array([0.4]), 0.0), 1)
    assert near.objective > 0
    assert suboptimality_bound(objective, near) is None


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_steps_of_a_fixed_size(loss: str) -> None:
    """gd by the subgradient: the textbook's step, and below F of the start after enough."""
    problem = example(loss, m=120).but(reg_param=0.1, standardization=False)
    share, sign = 1 / 120, 2 * problem.y - 1
    kind: Any = SOLVERS["gd"]
    result = minimise(kind(max_iter=200, step_size=0.02, tol=1e-30), objective_of(problem))
    w, b = np.zeros(4), get_loss(loss).null_predictor(float(problem.y.mean()))
    for _ in range(200):
        slope = pointwise(loss, problem.y, problem.x @ w + b)[1] * share
        w, b = w - 0.02 * (problem.x.T @ slope + 0.1 * w), b - 0.02 * slope.sum()
    np.testing.assert_allclose(result.w, w, rtol=1e-8)
    assert result.intercept == pytest.approx(b, rel=1e-8)
    assert sign.any()
    assert result.evaluation.objective < 1.05 * pegasos_or_newton(problem)


def pegasos_or_newton(problem: Problem) -> float:
    if problem.loss == "hinge":
        return pegasos(problem).evaluation.objective
    return minimise(SOLVERS["newton"](), objective_of(problem)).evaluation.objective
