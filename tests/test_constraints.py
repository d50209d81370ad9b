"""Linear equality constraints, against statsmodels, scipy and dense systems of equations."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import optimize

from tests.problems import Problem, example, objective_of, pointwise, value_at
from tests.report.helpers import Page
from w261reg import InputError, Loss, Model, information, load, train
from w261reg.aggregators import Summarise
from w261reg.constrained import Constrained
from w261reg.constraints import read_constraints
from w261reg.penalties import Penalty
from w261reg.penalties.smooth import Smooth
from w261reg.solvers import SOLVERS, FitResult, Status, minimise
from w261reg.solvers.certificates import suboptimality_bound
from w261reg.solvers.existence import Existence, existence
from w261reg.sources import packing

Array = NDArray[np.float64]
Table = dict[str, Any]


def table(rhs: float, **coefficients: float) -> Table:
    return {"rhs": rhs, "coefficients": coefficients}


# on x1 ... x4 and the intercept
SETS: dict[str, list[Table]] = {
    "one": [table(1.0, x1=1, x2=-2)],
    "homogeneous": [table(0, x1=1, x2=1, x3=1)],
    "two": [table(0.7, x1=0.3, x4=-1.1), table(-1.5, x2=2, x3=0.5)],
    "intercept": [table(0.25, intercept=1)],
    "intercept and weights": [table(0.5, x3=1, intercept=1), table(1, x1=1, x2=-2)],
    "fixed": [table(0.4, x2=1), table(0, x4=1)],
    "all": [table(j / 7, **{name: 1}) for j, name in enumerate(["x1", "x2", "x3", "x4"])]
    + [table(-0.2, intercept=1)],
}


def dense(tables: list[Table], n: int, intercept: bool = True) -> tuple[Array, Array]:
    """(A, c) on (w, b), by numpy."""
    names = [*(f"x{j}" for j in range(1, n + 1)), *(["intercept"] * intercept)]
    rows = [[float(t["coefficients"].get(name, 0)) for name in names] for t in tables]
    return np.array(rows), np.array([float(t["rhs"]) for t in tables])


def design(problem: Problem) -> Array:
    return np.column_stack([problem.x, np.ones(len(problem.y))])[
        :, : problem.x.shape[1] + problem.fit_intercept
    ]


def bend(problem: Problem, extra: Array | None = None) -> Array:
    """The penalty's Hessian on (w, b)."""
    n, p = problem.x.shape[1], design(problem).shape[1]
    total = np.zeros((p, p))
    total[:n, :n] = np.diag(problem.l2 * problem.scale**2)
    if extra is not None:
        total[:n, :n] += extra
    return total


def kkt(problem: Problem, a: Array, c: Array, extra: Array | None = None) -> tuple[Array, Array]:
    """(w, b) and the multipliers of the canonical objective of squared error, by one system."""
    x, share = design(problem), problem.weight / problem.weight.sum()
    p, r = x.shape[1], len(c)
    h = x.T @ (share[:, None] * x) + bend(problem, extra)
    system = np.block([[h, a.T], [a, np.zeros((r, r))]])
    answer = np.linalg.solve(system, np.append(x.T @ (share * problem.y), c))
    return answer[:p], answer[p:]


def value(problem: Problem, at: Array, extra: Array | None = None) -> float:
    total = value_at(problem, at[: problem.x.shape[1]], at[-1] if problem.fit_intercept else 0.0)
    return total + (
        0.0 if extra is None else float(at[: len(extra)] @ extra @ at[: len(extra)]) / 2
    )


def slope(problem: Problem, at: Array, extra: Array | None = None) -> Array:
    """The gradient of the canonical objective in (w, b)."""
    x, share = design(problem), problem.weight / problem.weight.sum()
    _, first = pointwise(problem.loss, problem.y, x @ at)
    return np.asarray(x.T @ (share * first) + bend(problem, extra) @ at)


def by_scipy(problem: Problem, a: Array, c: Array, extra: Array | None = None) -> Array:
    """(w, b) by SLSQP, from a point that it has to find feasible first."""
    best = np.zeros(a.shape[1])
    equal = {"type": "eq", "fun": lambda t: a @ t - c, "jac": lambda t: a}
    least: Any = optimize.minimize
    for _ in range(3):  # once more from where rounding stopped it
        best = least(
            lambda t: value(problem, t, extra),
            best,
            jac=lambda t: slope(problem, t, extra),
            constraints=equal,
            method="SLSQP",
            options={"ftol": 1e-16, "maxiter": 2000},
        ).x
    return np.asarray(best)


def fitted(problem: Problem, tables: Any, **settings: Any) -> Model:
    given: Table = {
        "loss": problem.loss,
        "reg_param": problem.reg_param,
        "elastic_net_param": problem.mix,
        "convention": "canonical",
        "standardization": problem.standardization,
        "fit_intercept": problem.fit_intercept,
        "weight": problem.weight,
        "tol": 1e-11,
    }
    return train(problem.x, problem.y, constraints=tables, **(given | settings))


def answer(model: Model) -> Array:
    return np.append(model.weights, model.intercept) if model.fit_intercept else model.weights


def multipliers(model: Model) -> Array:
    assert model.multipliers is not None
    return np.array([entry["multiplier"] for entry in model.multipliers])


def stationary(
    problem: Problem, model: Model, a: Array, c: Array, extra: Array | None = None
) -> None:
    """The conditions of an optimum: grad F + A'lambda = 0 and A (w, b) = c."""
    at, gradient = answer(model), slope(problem, answer(model), extra)
    left = gradient + a.T @ multipliers(model)
    assert np.abs(left).max() <= 1e-9 * max(1.0, np.abs(gradient).max())
    assert np.abs(a @ at - c).max() <= 1e-13 * max(1.0, np.abs(a).max() * np.abs(at).max())


# --- the optimum ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("weighted", [False, True])
def test_against_statsmodels(name: str, loss: str, weighted: bool) -> None:
    """Coefficients, covariance, standard errors and log likelihood of GLM.fit_constrained."""
    problem = example(loss, m=120, weighted=weighted)
    model = fitted(problem, SETS[name])
    assert model.status == "converged"
    a, c = dense(SETS[name], 4)
    stationary(problem, model, a, c)
    family = sm.families.Gaussian() if loss == "mse" else sm.families.Binomial()
    glm = sm.GLM(problem.y, design(problem), family=family, freq_weights=problem.weight)
    assert model.covariance is not None
    assert model.standard_errors is not None
    if name == "all":  # statsmodels needs something that is free
        np.testing.assert_allclose(answer(model), np.linalg.solve(a, c), rtol=1e-14)
        assert not np.array(model.covariance).any()
        return
    theirs = glm.fit_constrained((a, c), tol=1e-14, maxiter=200)
    best = value(problem, theirs.params)
    assert model.objective == pytest.approx(value(problem, answer(model)), rel=1e-13)
    assert model.objective <= best * (1 + 1e-12)
    assert model.objective == pytest.approx(best, rel=1e-10)
    np.testing.assert_allclose(answer(model), theirs.params, rtol=1e-6, atol=1e-8)
    covariance = np.array(model.covariance)
    size = np.abs(covariance).max()
    np.testing.assert_allclose(covariance, theirs.cov_params(), rtol=1e-6, atol=1e-7 * size)
    np.testing.assert_allclose(model.standard_errors, theirs.bse[:4], rtol=1e-6, atol=1e-9)
    assert np.abs(a @ covariance).max() <= 1e-12 * size
    metrics = model.metrics["train"]
    if loss == "bxe":
        assert metrics["log_likelihood"] == pytest.approx(theirs.llf, rel=1e-10)
        assert metrics["aic"] == pytest.approx(2 * (5 - len(c)) - 2 * theirs.llf, rel=1e-10)
    else:
        total = problem.weight.sum()
        residuals = problem.weight @ (problem.y - design(problem) @ theirs.params) ** 2
        variance = residuals / total
        profile = -total / 2 * (np.log(2 * np.pi) + np.log(variance) + 1)
        assert metrics["log_likelihood"] == pytest.approx(profile, rel=1e-11)
        assert metrics["mse"] == pytest.approx(variance, rel=1e-11)
        assert metrics["noise_variance"] == pytest.approx(
            residuals / (total - 5 + len(c)), rel=1e-11
        )
        assert metrics["noise_variance"] == pytest.approx(theirs.scale, rel=1e-9)
        assert metrics["aic"] == pytest.approx(2 * (5 - len(c) + 1) - 2 * profile, rel=1e-11)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("reg_param", [0.0, 0.3])
@pytest.mark.parametrize("standardization", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_squared_error_against_a_dense_system(
    name: str, reg_param: float, standardization: bool, sparse: bool
) -> None:
    problem = example("mse", weighted=True).but(
        reg_param=reg_param, standardization=standardization, sparse=sparse
    )
    a, c = dense(SETS[name], 4)
    theirs, lagrange = kkt(problem, a, c)
    best = value(problem, theirs)
    result, objective = solved("gram", problem, SETS[name])
    at = np.append(result.w, result.intercept)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(at, theirs, rtol=1e-10, atol=1e-12)
    found = [entry["multiplier"] for entry in objective.multipliers(result.evaluation)]
    np.testing.assert_allclose(found, lagrange, rtol=1e-9, atol=1e-12)
    assert result.evaluation.objective == pytest.approx(best, rel=1e-13)
    assert result.suboptimality_bound is not None
    assert value(problem, at) - best <= result.suboptimality_bound
    assert result.suboptimality_bound <= 1e-12 * best
    assert objective.dataset.passes == 1


def solved(
    solver: str,
    problem: Problem,
    tables: list[Table],
    extra: tuple[Penalty, ...] = (),
) -> tuple[FitResult, Constrained]:
    """By a solver of this name, without the rest of the fit."""
    free = objective_of(problem)
    names = [f"x{j}" for j in range(1, problem.x.shape[1] + 1)]
    found = read_constraints(tuple(tables))
    posed = (free.dataset, free.loss, free.summary, free.strengths, free.fit_intercept, extra)
    objective = Constrained(found, names, *posed)
    return minimise(SOLVERS[solver](), objective), objective


@pytest.mark.parametrize("name", [name for name in SETS if name != "all"])
@pytest.mark.parametrize("loss", ["mse", "bxe", "squared_hinge"])
@pytest.mark.parametrize("reg_param", [0.0, 0.3])
def test_newton_against_scipy(name: str, loss: str, reg_param: float) -> None:
    problem = example(loss, m=100, weighted=True).but(reg_param=reg_param)
    a, c = dense(SETS[name], 4)
    model = fitted(problem, SETS[name], solver="newton")
    assert model.status == "converged", model.message
    stationary(problem, model, a, c)
    best = value(problem, by_scipy(problem, a, c))
    assert model.objective == pytest.approx(value(problem, answer(model)), rel=1e-12)
    assert model.objective <= best * (1 + 1e-13)
    assert model.objective == pytest.approx(best, rel=1e-9)
    if model.suboptimality_bound is not None:
        assert model.suboptimality_bound >= model.objective - best
    assert (model.covariance is None) == (reg_param > 0 or loss == "squared_hinge")
    assert (model.standard_errors is None) == (model.covariance is None)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_smooth_coefficients(loss: str) -> None:
    problem = example(loss, m=100).but(reg_param=0.05, standardization=False)
    d = np.diff(np.eye(4), axis=0)
    extra = 0.8 * d.T @ d
    a, c = dense(SETS["two"], 4)
    for lam in (0.0, 0.05):
        own = problem.but(reg_param=lam)
        model = fitted(own, SETS["two"], smooth_param=0.8)
        assert model.status == "converged"
        stationary(own, model, a, c, extra)
        best = kkt(own, a, c, extra)[0] if loss == "mse" else by_scipy(own, a, c, extra)
        assert model.objective == pytest.approx(value(own, best, extra), rel=1e-9)
        assert model.objective <= value(own, best, extra) * (1 + 1e-13)
        assert model.suboptimality_bound is not None
        assert model.suboptimality_bound < 1e-9
        assert model.covariance is None


class Poisson(Loss):
    """e^z - y z."""

    label_range = (0, np.inf)

    def value(self, y: Array, z: Array) -> Array:
        return np.exp(z) - y[:, None] * z

    def derivative(self, y: Array, z: Array) -> Array:
        return np.exp(z) - y[:, None]

    def curvature(self, y: Array, z: Array) -> Array:
        return np.exp(z)

    def mean(self, z: Array) -> Array:
        return np.exp(z)


def test_a_loss_of_ones_own() -> None:
    """Without statistics, which need to know of what it is the likelihood."""
    problem = example("bxe", m=100)
    y = np.random.default_rng(1).poisson(np.exp(0.3 * problem.x[:, 0])).astype(float)
    a, c = dense(SETS["intercept and weights"], 4)
    model = train(problem.x, y, loss=Poisson, constraints=SETS["intercept and weights"])
    assert model.status == "converged"
    theirs = sm.GLM(y, design(problem), family=sm.families.Poisson()).fit_constrained(
        (a, c), tol=1e-14
    )
    np.testing.assert_allclose(answer(model), theirs.params, rtol=1e-7, atol=1e-9)
    gradient = design(problem).T @ (np.exp(design(problem) @ answer(model)) - y) / 100
    np.testing.assert_allclose(gradient + a.T @ multipliers(model), 0, atol=1e-8)
    assert model.covariance is None
    assert model.standard_errors is None


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_without_an_intercept(loss: str) -> None:
    problem = example(loss, m=100).but(fit_intercept=False)
    tables = SETS["two"]
    a, c = dense(tables, 4, intercept=False)
    model = fitted(problem, tables)
    assert model.status == "converged"
    assert model.intercept == 0.0
    stationary(problem, model, a, c)
    family = sm.families.Gaussian() if loss == "mse" else sm.families.Binomial()
    theirs = sm.GLM(problem.y, problem.x, family=family).fit_constrained((a, c), tol=1e-14)
    assert model.objective == pytest.approx(value(problem, theirs.params), rel=1e-10)
    covariance = np.array(model.covariance)
    assert covariance.shape == (4, 4)
    np.testing.assert_allclose(covariance, theirs.cov_params(), rtol=1e-6, atol=1e-9)


def test_multipliers_are_rates_and_scale_as_they_are_said_to() -> None:
    """-dF/drhs; and 2 S times, those of the sum of squares in closed form."""
    problem, tables = example("mse", weighted=True), SETS["intercept and weights"]
    model = fitted(problem, tables)
    for k in range(2):
        h = 1e-4
        shifted = []
        for sign in (1, -1):
            moved = [dict(t) for t in tables]
            moved[k]["rhs"] += sign * h
            shifted.append(fitted(problem, moved).objective)
        rate = (shifted[0] - shifted[1]) / (2 * h)
        assert multipliers(model)[k] == pytest.approx(-rate, rel=1e-7)
    a, c = dense(tables, 4)
    x, root = design(problem), np.sqrt(problem.weight)
    g = x.T @ (problem.weight[:, None] * x)
    free = np.linalg.lstsq(x * root[:, None], problem.y * root, rcond=None)[0]
    inner = np.linalg.inv(a @ np.linalg.inv(g) @ a.T)
    expected = 2 * inner @ (a @ free - c)
    np.testing.assert_allclose(2 * problem.weight.sum() * multipliers(model), expected, rtol=1e-9)
    closed = free - np.linalg.inv(g) @ a.T @ inner @ (a @ free - c)
    np.testing.assert_allclose(answer(model), closed, rtol=1e-10)


@pytest.mark.parametrize("reg_param", [0.0, 0.3])
def test_rows_of_known_noise(reg_param: float) -> None:
    """Their weights are s/sigma^2, and the covariance needs no estimate of the noise."""
    plain = example("mse", m=100, weighted=True).but(reg_param=reg_param)
    sigma = np.random.default_rng(2).uniform(0.5, 2.0, 100)
    problem = plain.but(weight=plain.weight / sigma**2)
    tables = SETS["intercept and weights"]
    a, c = dense(tables, 4)
    model = fitted(plain, tables, sigma=sigma)
    assert model.status == "converged"
    stationary(problem, model, a, c)
    np.testing.assert_allclose(answer(model), kkt(problem, a, c)[0], rtol=1e-10)
    metrics = model.metrics["train"]
    assert "noise_variance" not in metrics
    residuals = problem.y - design(problem) @ answer(model)
    density = -(residuals**2 / (2 * sigma**2)) - np.log(sigma * np.sqrt(2 * np.pi))
    likelihood = plain.weight @ density
    assert metrics["log_likelihood"] == pytest.approx(likelihood, rel=1e-11)
    assert metrics["aic"] == pytest.approx(2 * 3 - 2 * likelihood, rel=1e-11)
    if reg_param:
        assert model.covariance is None
        return
    x = design(problem)
    inverse = np.linalg.inv(x.T @ (problem.weight[:, None] * x))
    inner = np.linalg.inv(a @ inverse @ a.T)
    expected = inverse - inverse @ a.T @ inner @ a @ inverse
    np.testing.assert_allclose(np.array(model.covariance), expected, rtol=1e-9, atol=1e-14)


# --- systems that are nearly or exactly singular --------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_constraints_make_a_singular_system_regular(loss: str) -> None:
    problem = example(loss, m=100)
    twice = problem.but(x=np.column_stack([problem.x, problem.x[:, 0] * 3 - problem.x[:, 1]]))
    tables = [table(0.5, x1=1, x5=1)]
    model = fitted(twice, tables)
    assert model.status == "converged"
    assert "singular" not in model.message
    a, c = dense(tables, 5)
    stationary(twice, model, a, c)
    # the same fit with four features: w5 = 0.5 - w1
    offset = 0.5 * twice.x[:, 4]
    reduced = twice.x[:, :4] - np.outer(twice.x[:, 4], [1, 0, 0, 0])
    family = sm.families.Gaussian() if loss == "mse" else sm.families.Binomial()
    glm = sm.GLM(twice.y, np.column_stack([reduced, np.ones(100)]), family=family, offset=offset)
    theirs = glm.fit(tol=1e-14, maxiter=100)
    np.testing.assert_allclose(answer(model)[[0, 1, 2, 3, 5]], theirs.params, rtol=1e-7, atol=1e-9)
    covariance = np.array(model.covariance)
    np.testing.assert_allclose(
        covariance[np.ix_([0, 1, 2, 3, 5], [0, 1, 2, 3, 5])], theirs.cov_params(), rtol=1e-6
    )
    assert model.suboptimality_bound is not None


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_a_system_that_stays_singular_says_so(loss: str) -> None:
    problem = example(loss, m=100)
    twice = problem.but(x=np.column_stack([problem.x, problem.x[:, 0]]))
    tables = [table(0.5, x1=1, x5=1), table(0.1, x2=1)]
    model = fitted(twice, tables)
    assert model.status == "converged"
    assert "singular" in model.message
    assert model.covariance is None
    assert model.standard_errors is None
    a, c = dense(tables, 5)
    stationary(twice, model, a, c)
    assert model.weights[0] == pytest.approx(model.weights[4], rel=1e-9)  # of least norm
    alone = fitted(problem, [table(0.5, x1=1), table(0.1, x2=1)])
    assert model.objective == pytest.approx(alone.objective, rel=1e-12)
    assert model.suboptimality_bound is not None


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_a_system_that_is_made_less_singular(loss: str) -> None:
    """Of two flat directions a constraint takes one; what is left is flat in the data alone."""
    problem = example(loss, m=100)
    twice = problem.but(x=np.column_stack([problem.x, problem.x[:, :2]]))
    tables = [table(0.3, x1=1, x5=-1), table(0.5, x1=1, x3=1)]
    model = fitted(twice, tables)
    assert model.status == "converged", model.message
    assert "singular (rank 6 of 7)" in model.message
    stationary(twice, model, *dense(tables, 6))
    assert model.suboptimality_bound is not None
    assert model.suboptimality_bound < 1e-12


def test_an_ill_conditioned_system_keeps_its_digits() -> None:
    """Where the constraint leaves a direction that the Gram matrix hardly sees."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 3))
    x[:, 1] = x[:, 0] + 1e-6 * rng.normal(size=200)
    y = x @ [1.0, 1.0, -1.0] + rng.normal(size=200)
    problem = Problem(x, y, np.ones(200))
    tables = [table(2.0, x1=1, x2=1)]
    a, c = dense(tables, 3)
    model = fitted(problem, tables)
    assert model.status == "converged"
    assert model.condition_number is not None
    assert model.condition_number > 1e8
    # w2 = 2 - w1 leaves well-conditioned least squares
    reduced = np.column_stack([x[:, 0] - x[:, 1], x[:, 2], np.ones(200)])
    theirs = np.linalg.lstsq(reduced, y - 2 * x[:, 1], rcond=None)[0]
    np.testing.assert_allclose(answer(model)[[0, 2, 3]], theirs, rtol=1e-7)
    stationary(problem, model, a, c)


def test_constraints_hold_to_the_last_digit_where_the_gram_matrix_does_not() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 4))
    x[:, 1] = x[:, 0] + 1e-3 * rng.normal(size=200)
    x[:, 3] = x[:, 2] + 1e-3 * rng.normal(size=200)
    problem = Problem(x, x @ [1.0, 1.0, -1.0, 2.0] + rng.normal(size=200), np.ones(200))
    tables = [table(2.0, x1=1, x2=1, x3=0.37), table(1.0, x3=1, x4=-0.9)]
    model = fitted(problem, tables)
    assert model.n_passes == 1
    assert model.condition_number is not None
    assert model.condition_number > 1e5
    a, c = dense(tables, 4)
    size = np.abs(a) @ np.abs(answer(model))
    assert (np.abs(a @ answer(model) - c) <= 4 * np.finfo(float).eps * size).all()


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_scales_and_origins_do_not_count(loss: str) -> None:
    """The same problem in other units of the features: the same residual, objective and fit."""
    problem = example(loss, m=100)
    unit, origin = np.array([1e6, 1e-5, 1.0, 300.0]), np.array([1e3, -2.0, 0.0, 50.0])
    other = problem.but(x=problem.x * unit + origin)
    plain = fitted(problem, [table(1.0, x1=1, x2=-2)], max_iter=2)
    moved = fitted(other, [table(1.0, x1=1e6, x2=-2e-5)], max_iter=2)
    assert moved.objective == pytest.approx(plain.objective, rel=1e-9)
    for a, b in zip(plain.history, moved.history, strict=True):
        assert b.residual == pytest.approx(a.residual, rel=1e-5, abs=1e-13)
    np.testing.assert_allclose(moved.weights * unit, plain.weights, rtol=1e-7, atol=1e-9)


# --- redundant and contradictory rows -------------------------------------------------------------


def test_a_redundant_row_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    problem = example("mse")
    three = [table(0.3, x1=0.1, x2=0.2), table(0.1, x2=0.7, x3=1), table(1.0, x1=0.3, x2=1.3, x3=1)]
    with caplog.at_level("WARNING", logger="w261reg"):
        model = fitted(problem, three)
    assert "row 3 follows from rows 1 and 2" in caplog.text
    alone = fitted(problem, three[:2])
    np.testing.assert_array_equal(model.weights, alone.weights)
    assert model.covariance == alone.covariance
    assert [m["redundant"] for m in model.multipliers or []] == [False, False, True]
    assert multipliers(model)[2] == 0.0
    assert model.metrics == alone.metrics
    stationary(problem, model, *dense(three, 4))


def test_dependence_is_that_of_the_decimals() -> None:
    """0.1 + 0.2 is not 0.3 in binary; as written, the third row is the sum of the others."""
    rows = [table(0.1, a=0.1, b=1), table(0.2, a=0.2, b=1), table(0.3, a=0.1 + 0.2, b=2)]
    assert read_constraints(tuple(rows)).dependent() == {2: [0, 1]}
    rng = np.random.default_rng(5)
    for _ in range(200):
        q, n = rng.integers(1, 6), rng.integers(1, 5)
        a = rng.integers(-2, 3, (q, n))
        a[(a == 0).all(axis=1), 0] = 1
        c = a @ rng.integers(-2, 3, n) if rng.random() < 0.7 else rng.integers(-2, 3, q)
        size = rng.choice([1.0, 0.1, 0.25, 30.0], q)  # of the rows, as written
        tables = tuple(
            table(r * s, **{f"x{j}": v * s for j, v in enumerate(row)})
            for row, r, s in zip(a.tolist(), c.tolist(), size.tolist(), strict=True)
        )
        rank = np.linalg.matrix_rank(a)
        if np.linalg.matrix_rank(np.column_stack([a, c])) > rank:
            with pytest.raises(InputError, match=r"contradict each other|cannot hold"):
                read_constraints(tables)
            continue
        follows = read_constraints(tables).dependent()
        kept = [k for k in range(q) if k not in follows]
        assert len(kept) == rank == np.linalg.matrix_rank(a[kept])
        for k, others in follows.items():
            both = np.linalg.matrix_rank(a[[*others, k]])
            assert both == np.linalg.matrix_rank(a[others]) == len(others)


def test_rows_that_contradict_each_other_are_named_and_no_others() -> None:
    tables = [table(1, x1=1), table(1, x2=1, x3=1), table(0, x4=1), table(3, x2=2, x3=2)]
    with pytest.raises(InputError) as error:
        fitted(example("mse"), tables)
    line = str(error.value)
    assert line == "constraints: rows 2 and 4 contradict each other: x2 + x3 = 1; 2 x2 + 2 x3 = 3"


def test_constant_features_have_coefficient_0() -> None:
    problem = example("mse")
    with_constant = problem.but(x=np.column_stack([problem.x, np.full(80, 7.0)]))
    model = fitted(with_constant, [table(1, x1=1, x2=-2, x5=4), table(0, x5=3)])
    alone = fitted(problem, [table(1, x1=1, x2=-2)])
    np.testing.assert_array_equal(model.weights[:4], alone.weights)
    assert model.weights[4] == 0
    assert [m["redundant"] for m in model.multipliers or []] == [False, True]
    assert model.metrics == alone.metrics
    covariance = np.array(model.covariance)
    assert np.isnan(covariance[4]).all()
    assert np.isnan(covariance[:, 4]).all()
    np.testing.assert_array_equal(
        covariance[np.ix_([0, 1, 2, 3, 5], [0, 1, 2, 3, 5])], np.array(alone.covariance)
    )
    with pytest.raises(InputError, match=r"row 1 cannot hold where constant features .*\(x5\)"):
        fitted(with_constant, [table(1, x5=1)])
    with pytest.raises(InputError, match=r"rows 1 and 2 contradict each other where .*\(x5\)"):
        fitted(with_constant, [table(1, x1=1, x5=1), table(2, x1=1, x5=-1)])


def test_nearly_dependent_rows_are_refused() -> None:
    tables = [table(1, x1=1, x2=1), table(1, x1=1, x2=1 + 1e-13)]
    with pytest.raises(InputError, match="rows 1 and 2 are so nearly dependent"):
        fitted(example("mse"), tables)


# --- where there may be no optimum ----------------------------------------------------------------


def separable(problem: Problem, a: Array) -> bool:
    """Whether a direction with A d = 0 separates some rows without an error, by an LP."""
    signed = (2 * problem.y - 1)[:, None] * design(problem)
    found = optimize.linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        A_eq=a,
        b_eq=np.zeros(len(a)),
        bounds=(-1, 1),
    )
    return float(found.fun or 0.0) < -1e-9


@pytest.mark.parametrize("smooth", [False, True])
def test_separation_is_that_of_the_directions_that_are_left(smooth: bool) -> None:
    """Those that keep to the constraints and that no penalty sees."""
    rng = np.random.default_rng(29)
    level = np.array([[0.0, 1.0, -1.0, 0.0]])  # of directions without a jump from x2 to x3
    d = level[:, :3]
    verdicts = []
    for trial in range(80):
        m = int(rng.integers(6, 20))
        x = rng.integers(-2, 3, (m, 3)).astype(float)
        x[:, 2] += rng.normal(size=m) * (trial % 2)
        z = x[:, 0] + 0.7 * x[:, 1] + 0.3 * rng.normal(size=m)
        y = (z > 0).astype(float)
        y[:2] = [0, 1]
        problem = Problem(x, y, np.ones(m), "bxe", leaves=2)
        rhs = float(rng.integers(-1, 2))
        tables = [
            [table(rhs, x1=1, x2=-1)],
            [table(rhs, x1=1), table(1, x3=1)],
            [table(rhs, x1=1, x2=2, intercept=1)],
            [table(rhs, x2=1), table(0, intercept=1)],
        ][trial % 4]
        if len(np.unique(x[:, 2])) == 1:
            continue
        a, c = dense(tables, 3)
        expected = separable(problem, np.vstack([a, level]) if smooth else a)
        own = (Smooth(0.2, np.array([1, 2])),) if smooth else ()
        result, objective = solved("newton", problem, tables, own)
        assert (result.status is Status.SEPARATED) == expected, (trial, result.message)
        if not expected:
            assert result.status is Status.CONVERGED, (trial, result.message)
            assert existence(objective, result.evaluation) is Existence.ATTAINED
            bend = 0.2 * d.T @ d if smooth else None
            best = value(problem, by_scipy(problem, a, c, bend), bend)
            assert result.evaluation.objective <= best * (1 + 1e-12)
            assert result.suboptimality_bound is not None
        verdicts.append(expected)
    assert 5 < sum(verdicts) < len(verdicts) - 5


def test_constraints_may_give_separable_classes_an_optimum() -> None:
    x = np.array([[-2.0, 0.3], [-1.0, -0.4], [-0.5, 0.1], [0.5, 0.9], [1.0, -0.8], [2.0, 0.2]])
    y = (x[:, 0] > 0).astype(float)
    assert train(x, y, loss="bxe").status == "separated"
    for slope_ in (3.0, 30.0):
        tables = [table(slope_, x1=1)]
        model = train(x, y, loss="bxe", constraints=tables)
        assert model.status == "converged"
        assert model.weights[0] == pytest.approx(slope_, rel=1e-14)
        problem = Problem(x, y, np.ones(6), "bxe")
        best = value(problem, by_scipy(problem, *dense(tables, 2)))
        assert model.objective == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("smooth", [False, True])
def test_a_direction_that_leaves_the_constraints_proves_nothing(smooth: bool) -> None:
    """Far from the optimum, where nothing proves yet that it is attained."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(40, 3))
    problem = Problem(x, (x[:, 0] > 0).astype(float), np.ones(40), "bxe")
    extra = (Smooth(0.2, np.array([1, 2])),) if smooth else ()
    result, objective = solved("newton", problem, [table(300, x1=1)], extra)
    assert result.status is Status.CONVERGED
    theta = objective.coordinates.theta(np.array([300.0, 0.0, 0.0]), 0.0)
    away = objective.evaluate(theta, 2)
    assert existence(objective, away) is Existence.UNKNOWN
    free = objective_of(problem, extra=extra)
    assert existence(free, free.evaluate(theta, 2)) is Existence.SEPARATED


@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("reg_param", [0.0, 0.3])
def test_bounds_hold_at_any_feasible_point(loss: str, reg_param: float) -> None:
    problem = example(loss, m=100, weighted=True).but(reg_param=reg_param)
    for name in ("one", "two", "intercept and weights"):
        result, objective = solved("newton", problem, SETS[name])
        best = result.evaluation
        rng = np.random.default_rng(6)
        proven = 0
        for size in np.geomspace(1e-4, 1.0, 30):
            theta = best.theta + size * rng.normal(size=objective.p)
            at = objective.evaluate(theta, 2)
            bound = suboptimality_bound(objective, at)
            if bound is not None:
                assert at.objective - best.objective <= bound + 1e-14 * best.objective
                proven += 1
        assert proven >= (30 if loss == "mse" else 10)


# --- starts ---------------------------------------------------------------------------------------


def test_a_warm_start_is_made_feasible(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    problem = example("bxe", m=100)
    train(problem.x, problem.y, loss="bxe").save(tmp_path / "free")
    tables = SETS["intercept and weights"]
    with caplog.at_level("INFO", logger="w261reg"):
        model = fitted(problem, tables, warm_start=tmp_path / "free")
    assert "warm start: moved to the nearest coefficients" in caplog.text
    cold = fitted(problem, tables)
    assert model.objective == pytest.approx(cold.objective, rel=1e-13)
    stationary(problem, model, *dense(tables, 4))
    model.save(tmp_path / "kept")
    caplog.clear()
    with caplog.at_level("INFO", logger="w261reg"):
        again = fitted(problem, tables, warm_start=tmp_path / "kept")
    assert "warm start: moved" not in caplog.text
    assert again.n_iter <= 1


@pytest.mark.parametrize("name", ["two", "intercept and weights", "homogeneous"])
def test_a_head_start_is_feasible(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    problem = example("bxe", m=6000)
    cold = fitted(problem, SETS[name], solver="newton")
    monkeypatch.setattr(packing, "PREVIEW_ROWS", 300)
    monkeypatch.setattr(packing, "PREVIEWED", 1)
    with caplog.at_level("INFO", logger="w261reg"):
        model = fitted(problem, SETS[name], solver="newton")
    assert "starts at the optimum of" in caplog.text
    assert model.status == "converged"
    assert model.n_passes < cold.n_passes + (name == "homogeneous")
    assert model.objective == pytest.approx(cold.objective, rel=1e-13)
    stationary(problem, model, *dense(SETS[name], 4))
    np.testing.assert_allclose(
        np.array(model.covariance), np.array(cold.covariance), rtol=1e-6, atol=1e-9
    )


def test_passes() -> None:
    """Squared error takes one, and where weights 0 are feasible Newton's first step is free."""
    assert fitted(example("mse"), SETS["two"]).n_passes == 1
    free = fitted(example("bxe", m=100), SETS["homogeneous"])
    assert free.n_passes == 1 + free.n_iter
    other = fitted(example("bxe", m=100), SETS["two"])
    assert other.n_passes == 2 + other.n_iter


def test_derivatives_of_the_lagrangian() -> None:
    """Its gradient and Hessian against differences of values at feasible points."""
    problem = example("bxe", weighted=True).but(reg_param=0.2)
    _, objective = solved("newton", problem, SETS["two"])
    rng = np.random.default_rng(2)
    theta = objective.feasible(rng.normal(size=objective.p))
    at = objective.evaluate(theta, 2)
    np.testing.assert_array_equal(objective.feasible(at.theta), objective.feasible(theta))
    assert at.hessian is not None
    basis = objective.directions(np.eye(objective.p))
    assert basis.shape == (5, 3)
    h = 1e-5
    for d in basis.T:
        both = [objective.evaluate(theta + t * d, 1) for t in (h, -h)]
        assert (both[0].objective - both[1].objective) / (2 * h) == pytest.approx(
            d @ at.gradient, rel=1e-7, abs=1e-9
        )
        bend = (both[0].gradient - both[1].gradient) / (2 * h)
        np.testing.assert_allclose(basis.T @ bend, basis.T @ at.hessian @ d, rtol=1e-6, atol=1e-8)


# --- forms ----------------------------------------------------------------------------------------


def test_forms_of_the_same_constraints(tmp_path: Path) -> None:
    problem = example("mse")
    frame = pd.DataFrame(problem.x, columns=["day 1", "b", "c", "d"]).assign(y=problem.y)
    (tmp_path / "c.csv").write_text('"day 1",intercept,b,rhs\n1,,-2,0.5\n0, 1,,-1e-1\n\n')
    (tmp_path / "c.toml").write_text(
        "[[constraint]]\nrhs = 0.5\ncoefficients = {'day 1' = 1, b = -2.0}\n"
        "[[constraint]]\nrhs = -0.1\n[constraint.coefficients]\nintercept = 1\n"
    )
    tables = [table(0.5, **{"day 1": 1, "b": -2}), table(-0.1, intercept=1)]
    wide = pd.DataFrame(
        {"day 1": [1, 0], "intercept": [np.nan, 1], "b": [-2, 0], "rhs": [0.5, -0.1]}
    )
    forms: list[Any] = [str(tmp_path / "c.csv"), tmp_path / "c.toml", tables, tuple(tables), wide]
    models = [train(frame, "y", loss="mse", constraints=form) for form in forms]
    for model in models:
        np.testing.assert_array_equal(model.weights, models[0].weights)
        texts = [entry["constraint"] for entry in model.multipliers or []]
        assert texts == ["day 1 - 2 b = 0.5", "intercept = -0.1"]
    assert models[0].weights[0] - 2 * models[0].weights[1] == pytest.approx(0.5, rel=1e-14)
    assert models[0].intercept == pytest.approx(-0.1, rel=1e-14)
    # what is kept of a run trains it again
    for k, model in enumerate(models):
        settings = {key: v for key, v in model.config.items() if key != "label"}
        again = train(frame, "y", **settings)
        np.testing.assert_array_equal(again.weights, model.weights)
        model.save(tmp_path / f"m{k}")
        loaded = load(tmp_path / f"m{k}")
        assert loaded.multipliers == model.multipliers
        assert loaded.covariance == model.covariance
        assert loaded.standard_errors == model.standard_errors
        page = Page(tmp_path / f"m{k}" / "report.html")
        assert page.row("intercept = -0.1")[1] == f"{multipliers(model)[1]:.6g}"
        assert "4 features, no penalty, 2 linear constraints" in page.text
        assert loaded.parameters == model.parameters == 2  # and the intercept
        np.testing.assert_array_equal(
            loaded.predict(frame)["prediction"], model.predict(frame)["prediction"]
        )


def test_what_is_fixed_has_no_variance() -> None:
    """Also where it takes several rows to fix it."""
    tables = [table(1, x1=0.3, x2=0.7), table(0.2, x1=0.9, x2=-0.1), table(1, x3=1, intercept=1)]
    for loss in ("mse", "bxe"):
        model = fitted(example(loss, m=100), tables)
        covariance = np.array(model.covariance)
        assert not covariance[:2].any()
        assert model.standard_errors is not None
        assert model.standard_errors[:2] == [0.0, 0.0]
        assert (np.diagonal(covariance)[2:] > 1e-6).all()


def test_models_without_constraints_have_none() -> None:
    problem = example("mse")
    model = train(problem.x, problem.y, loss="mse")
    assert model.multipliers is None
    assert model.covariance is None
    assert model.standard_errors is None


def test_many_coefficients_have_standard_errors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = example("mse")
    few = fitted(problem, SETS["one"])
    monkeypatch.setattr(information, "MOST_COVARIANCES", 3)
    model = fitted(problem, SETS["one"])
    assert model.covariance is None
    assert model.standard_errors == few.standard_errors is not None


# --- refusals -------------------------------------------------------------------------------------

FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "empty": ("", ("must have a column 'rhs'", "no header")),
    "no rhs": ("x1,x2\n1,2\n", ("must have a column 'rhs'", "x1, x2")),
    "rhs alone": ("rhs\n1\n", ("must have a column 'rhs' and one a coefficient",)),
    "no rows": ("x1,rhs\n", ("has no rows",)),
    "a column twice": ("x1,x1,rhs\n1,2,3\n", ("has the column 'x1' twice",)),
    "ragged": ("x1,x2,rhs\n1,2,3\n1,2\n", ("row 2 has 2 values for 3 columns",)),
    "text": ("x1,rhs\n1,2\nmuch,2\n", ("row 2: coefficient of 'x1' must be", "not much")),
    "infinite": ("x1,rhs\ninf,2\n", ("row 1: coefficient of 'x1' must be", "not inf")),
    "too large": ("x1,rhs\n1,1e400\n", ("row 1: rhs must be a finite number, not 1e400",)),
    "no number of a right hand side": ("x1,rhs\n1,\n", ("row 1: rhs must be a finite number",)),
    "zeros": ("x1,x2,rhs\n1,2,3\n0,,0\n", ("row 2 has no coefficient other than 0",)),
    "unknown": ("x1,x9,rhs\n1,2,3\n", ("row 1 names 'x9'", "neither a feature nor 'intercept'")),
    "the label": ("x1,y,rhs\n1,2,3\n", ("row 1 names 'y'",)),
    "contradiction": (
        "x1,x2,rhs\n1,1,1\n2,2,2\n1,1,2\n",
        ("rows 1 and 3 contradict each other: x1 + x2 = 1; x1 + x2 = 2",),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files(name: str, tmp_path: Path) -> None:
    content, says = FILES[name]
    path = tmp_path / "c.csv"
    path.write_text(content)
    refused(example("mse"), path, str(path), *says)


TOML: dict[str, tuple[str, tuple[str, ...]]] = {
    "not TOML": ("rhs: 1", ("is not TOML",)),
    "empty": ("", ("must hold [[constraint]] tables alone",)),
    "one table": ("[constraint]\nrhs = 1\n", ("must hold [[constraint]] tables alone",)),
    "another key": ("a = 1\n[[constraint]]\nrhs = 1\n", ("alone, not 'a'",)),
    "no coefficients": ("[[constraint]]\nrhs = 1\n", ("row 1 must have rhs and coefficients",)),
    "a switch": (
        "[[constraint]]\nrhs = true\ncoefficients = {x1 = 1}\n", ("row 1: rhs must be a finite",)),
    "text": (
        "[[constraint]]\nrhs = 1\ncoefficients = {x1 = []}\n", ("coefficient of 'x1' must be",)),
    "a list": ("[[constraint]]\nrhs = 1\ncoefficients = [1]\n", ("coefficients must be a number",)),
}  # fmt: skip


@pytest.mark.parametrize("name", TOML)
def test_bad_tables(name: str, tmp_path: Path) -> None:
    content, says = TOML[name]
    path = tmp_path / "c.toml"
    path.write_text(content)
    refused(example("mse"), path, str(path), *says)


ONE = [table(1, x1=1)]
SETTINGS: dict[str, tuple[Any, Table, tuple[str, ...]]] = {
    "no file": ("missing.csv", {}, ("constraints missing.csv cannot be read: No such file",)),
    "a number": (3, {}, ("constraints must be a path, a DataFrame, or tables", "not 3")),
    "a list of numbers": ([1, 2], {}, ("constraints must be a path",)),
    "no tables": ([], {}, ("constraints has no rows",)),
    "a frame without rhs": (pd.DataFrame({"x1": [1.0]}), {}, ("must have a column 'rhs'",)),
    "L1": (ONE, {"reg_param": 0.1, "elastic_net_param": 0.5}, ("without an L1 part",)),
    "proximal": (ONE, {"solver": "proximal"}, ("solver proximal takes no constraints",)),
    "lbfgs": (ONE, {"solver": "lbfgs"}, ("solver lbfgs takes no constraints",)),
    "a step size": (ONE, {"step_size": 0.1}, ("solver gd takes no constraints",)),
    "no intercept": (
        [table(1, intercept=1)], {"fit_intercept": False}, ("names the intercept", "row 1")),
    "hinge": (ONE, {"loss": "hinge"}, ("without kinks, not hinge",)),
    "cxe": (ONE, {"loss": "cxe"}, ("losses of one output, not cxe",)),
    "naive Bayes": (ONE, {"loss": "naive_bayes"}, ("constraints has no meaning for loss naive",)),
    "groups": (ONE, {"noise_group": "g"}, ("constraints do not go with noise_group: 'g'",)),
    "gram for bxe": (ONE, {"loss": "bxe", "solver": "gram"}, ("gram needs a quadratic loss",)),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_bad_settings(name: str) -> None:
    given, settings, says = SETTINGS[name]
    problem = example("bxe" if settings.get("loss", "mse") != "mse" else "mse")
    refused(problem, given, *says, **settings)


def test_a_feature_called_intercept() -> None:
    problem = example("mse")
    frame = pd.DataFrame(problem.x, columns=["a", "intercept", "c", "d"]).assign(y=problem.y)
    with pytest.raises(InputError, match="the intercept and a feature, too"):
        train(frame, "y", loss="mse", constraints=[table(1, intercept=1)])
    model = train(frame, "y", loss="mse", constraints=[table(1, a=1)])
    assert model.weights[0] == pytest.approx(1.0, rel=1e-14)


def refused(problem: Problem, given: Any, *says: str, **settings: Any) -> None:
    """Before the first pass, in one line."""
    passes: list[Any] = []
    aggregate = Summarise.add

    def counted(self: Summarise, state: Any, block: Any) -> Any:
        passes.append(block)
        return aggregate(self, state, block)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(Summarise, "add", counted)
        train(problem.x, problem.y, constraints=given, **({"loss": problem.loss} | settings))
    assert not passes
    line = str(error.value)
    assert "\n" not in line
    for part in says:
        assert part in line, line


def test_other_solvers_refuse_a_constrained_objective() -> None:
    problem = example("bxe").but(reg_param=0.1)
    for name, kind in SOLVERS.items():
        if not kind.takes_constraints and not kind.kinked_only:
            with pytest.raises(InputError, match=f"solver {name} takes no constraints"):
                solved(name, problem, SETS["one"])


@pytest.mark.parametrize(("rhs", "best"), [
    (10, 2.388307135755268), (100, 23.104360165983792), (1000, 230.96963306312628),
    (10_000, 2309.628068226874),
])  # fmt: skip
def test_constraints_far_from_the_data(rhs: int, best: float) -> None:
    """Most rows lie so far off that the loss has no curvature there; optima by scipy's BFGS."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    y = (x[:, 0] + rng.logistic(size=40) > 0).astype(float)
    result, _ = solved("newton", Problem(x, y, np.ones(40), "bxe"), [table(rhs, x1=1, x2=1)])
    assert result.status is Status.CONVERGED, result.message
    assert result.evaluation.objective == pytest.approx(best, rel=1e-10)
