"""Nearly collinear features: small curvature is not none, and flat is what rows say is flat.

The right answers come from the same models in other features: of x and x + e d, the span is that
of x and d, in which plain Newton steps in numpy are exact.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse, special

from tests.problems import Problem, example, objective_of, pointwise
from w261reg import Model, train
from w261reg.solvers import SOLVERS, Status, minimise
from w261reg.solvers.certificates import suboptimality_bound
from w261reg.solvers.rank import rank

Array = NDArray[np.float64]
SMOOTH = ["bxe", "squared_hinge", "mse"]


@dataclass(frozen=True)
class Twins:
    """Features (m, 3) of which two are nearly one, and others (m, 3) of the same span.

    Attributes:
        x: the features; `back` of the twin's weights are theirs.
        twin: the same models, well-conditioned.
        back: (3, 3).
    """

    x: Array
    twin: Array
    y: Array
    back: Array


def twins(loss: str, e: float, seed: int = 0, m: int = 80, offset: float = 0.0) -> Twins:
    rng = np.random.default_rng(seed)
    z, other = rng.normal(size=(2, m)) + offset
    x = np.column_stack([z, z + e * rng.normal(size=m), other])
    d = (x[:, 1] - x[:, 0]) / e  # exact but for the division
    twin = np.column_stack([z, d, other])
    eta = d + 0.5 * (other - offset)
    y = (
        eta + rng.normal(size=m)
        if loss == "mse"
        else (eta + rng.logistic(size=m) > 0).astype(float)
    )
    back = np.array([[1.0, -1 / e, 0.0], [0.0, 1 / e, 0.0], [0.0, 0.0, 1.0]])
    return Twins(x, twin, y, back)


def optimum(
    loss: str, x: Array, y: Array, fit_intercept: bool, bend: Array | None = None, tilt: Any = 0.0
) -> tuple[Array, float]:
    """Weights, intercept last, and least mean loss + w'bend w/2 + tilt'w: Newton in numpy."""
    design = np.column_stack([x, np.ones(len(x))]) if fit_intercept else x
    p, n = design.shape[1], x.shape[1]
    ridge = np.zeros((p, p))
    if bend is not None:
        ridge[:n, :n] = bend
    linear = np.zeros(p)
    linear[:n] = tilt

    def value(w: Array) -> float:
        at = pointwise(loss, y, design @ w)[0].mean()
        return float(at + w @ ridge @ w / 2 + linear @ w)

    w = np.zeros(p)
    for _ in range(60):
        z = design @ w
        slope = pointwise(loss, y, z)[1]
        if loss == "bxe":
            curvature = special.expit(z) * special.expit(-z)
        else:
            curvature = np.ones(len(y)) if loss == "mse" else 2.0 * ((2 * y - 1) * z < 1)
        gradient = design.T @ slope / len(y) + ridge @ w + linear
        hessian = design.T @ (design * curvature[:, None]) / len(y) + ridge
        step = -np.linalg.solve(hessian, gradient)
        t = 1.0
        while value(w + t * step) > value(w) + 1e-14 and t > 1e-6:
            t /= 2
        w = w + t * step
        if np.abs(step).max() < 1e-13 * np.abs(w).max():
            break
    return w, value(w)


def fitted(x: Any, y: Array, loss: str, **settings: Any) -> Model:
    return train(x, y, loss=loss, convention="canonical", **settings)


def known(e: float) -> float:
    """What z, a sum of terms 1/e times its size, leaves of a mean loss of slope 1."""
    return 1e-13 + 3e-16 / e


def proven(model: Model, best: float, slack: float) -> None:
    """It converged to the optimum, and its bound holds."""
    assert model.status == "converged", model.message
    assert model.objective == pytest.approx(best, abs=slack)
    if model.loss != "squared_hinge":
        assert model.suboptimality_bound is not None
        assert model.objective - best <= model.suboptimality_bound + 1e-14


# --- the optimum is found -------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("e", [1e-5, 3e-8, 1e-9, 1e-11])
@pytest.mark.parametrize(
    ("loss", "solver"),
    [("bxe", "newton"), ("bxe", "proximal"), ("squared_hinge", "newton"), ("mse", "newton"),
     ("mse", "gram"), ("mse", "proximal")],
)  # fmt: skip
def test_what_is_nearly_collinear_is_data(
    loss: str, solver: str, e: float, fit_intercept: bool
) -> None:
    pair = twins(loss, e)
    _, best = optimum(loss, pair.twin, pair.y, fit_intercept)
    model = fitted(pair.x, pair.y, loss, solver=solver, fit_intercept=fit_intercept)
    proven(model, best, known(e))
    assert model.n_passes <= 14


@pytest.mark.parametrize("loss", ["bxe", "squared_hinge"])
def test_sparse_rows_too(loss: str) -> None:
    pair = twins(loss, 1e-8)
    keep = np.random.default_rng(3).random(len(pair.y)) < 0.5
    x, twin = pair.x * keep[:, None], pair.twin * keep[:, None]
    _, best = optimum(loss, twin, pair.y, True)
    proven(fitted(sparse.csr_matrix(x), pair.y, loss), best, known(1e-8))


@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs"])
def test_start_and_end(solver: str) -> None:
    """Seconds since 1970 of a start and an end: what matters is their difference."""
    rng = np.random.default_rng(11)
    start = np.round(1.7e9 + 3e7 * rng.random(200), 3)
    end = np.round(start + rng.lognormal(-1, 0.5, 200), 3)
    lasted = end - start
    failed = (6 * (lasted - 0.4) + rng.logistic(size=200) > 0).astype(float)
    far = (start - start.mean()) / start.std()
    _, best = optimum("bxe", np.column_stack([far, lasted]), failed, True)
    model = fitted(np.column_stack([start, end]), failed, "bxe", solver=solver)
    proven(model, best, 1e-9)
    alone = fitted(np.column_stack([far, lasted]), failed, "bxe")
    assert model.weights[1] == pytest.approx(alone.weights[1], rel=1e-5)
    assert model.weights[0] == pytest.approx(-model.weights[1], rel=1e-6)
    assert model.metrics["train"]["auc"] == pytest.approx(alone.metrics["train"]["auc"], abs=1e-9)


@pytest.mark.parametrize("solver", ["newton", "proximal"])
def test_several_classes(solver: str) -> None:
    pair = twins("bxe", 1e-8, m=120)
    rng = np.random.default_rng(4)
    score = pair.twin @ rng.normal(size=(3, 3)) + rng.gumbel(size=(120, 3))
    y = score.argmax(axis=1)
    near = fitted(pair.x, y, "cxe", solver=solver)
    well = fitted(pair.twin, y, "cxe", solver=solver)
    assert well.suboptimality_bound is not None
    assert well.suboptimality_bound < 1e-12
    proven(near, well.objective, known(1e-8))


@pytest.mark.parametrize("degree", [10, 12])
@pytest.mark.parametrize("loss", ["bxe", "mse", "squared_hinge"])
def test_polynomials_of_age(loss: str, degree: int) -> None:
    rng = np.random.default_rng(1)
    age = rng.integers(18, 91, 150).astype(float)
    eta = 2 * np.sin(age / 8)
    noisy: Array = eta + 0.3 * rng.normal(size=150)
    y = noisy if loss == "mse" else np.asarray(eta > rng.logistic(size=150), dtype=float)
    powers = age[:, None] ** np.arange(1, degree + 1)
    legendre: Array = np.asarray(
        np.polynomial.legendre.legvander((age - 54) / 36, degree)[:, 1:], dtype=np.float64
    )
    _, best = optimum(loss, legendre, y, True)
    model = fitted(powers, y, loss, solver="newton")
    assert model.objective == pytest.approx(best, abs=1e-7)  # powers are rounded
    # degree 12 leaves too few digits to prove that there is an optimum
    assert model.status == "converged" or "allows no more digits" in model.message
    if model.suboptimality_bound is not None:
        assert model.objective - best <= model.suboptimality_bound + 1e-9


def test_celsius_and_fahrenheit_in_float32() -> None:
    rng = np.random.default_rng(5)
    celsius = rng.normal(20, 8, 120).astype(np.float32)
    fahrenheit = celsius * np.float32(1.8) + np.float32(32)
    x = np.column_stack([celsius, fahrenheit]).astype(float)
    y = x[:, 0] / 8 + rng.normal(size=120)
    # what rounding to float32 left of the difference is data, however little sense it makes
    d = x[:, 1] - (1.8 * x[:, 0] + 32)
    _, best = optimum("mse", np.column_stack([(x[:, 0] - 20) / 8, d / d.std()]), y, True)
    for solver in ("gram", "newton"):
        proven(fitted(x, y, "mse", solver=solver), best, 1e-10)


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("ridge", [1e-16, 1e-12, 1e-8])
def test_a_tiny_ridge(loss: str, ridge: float) -> None:
    e = 1e-7
    pair = twins(loss, e)
    bend = ridge * pair.back.T @ pair.back  # of raw weights, for the twin
    _, best = optimum(loss, pair.twin, pair.y, True, bend)
    model = fitted(pair.x, pair.y, loss, reg_param=ridge, standardization=False, solver="newton")
    proven(model, best, known(e))


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("strength", [1e-13, 1e-10])
def test_a_tiny_lasso(loss: str, strength: float) -> None:
    """Where signs are known the L1 part is linear."""
    e = 1e-8
    pair = twins(loss, e)
    signs = np.array([-1.0, 1.0, 1.0])
    tilt = strength * (signs @ pair.back)
    w, best = optimum(loss, pair.twin, pair.y, True, tilt=tilt)
    assert (np.sign(pair.back @ w[:3]) == signs).all()
    model = fitted(
        pair.x, pair.y, loss, reg_param=strength, elastic_net_param=1.0, standardization=False,
        solver="proximal",
    )  # fmt: skip
    proven(model, best, known(e))


def test_a_lasso_that_leaves_one_of_the_two() -> None:
    """With exact zeros the support is well-conditioned: no further pass."""
    pair = twins("bxe", 1e-9)
    y = (pair.x[:, 0] + np.random.default_rng(6).logistic(size=80) > 0).astype(float)
    model = fitted(pair.x, y, "bxe", reg_param=0.01, elastic_net_param=1.0, solver="proximal")
    assert model.status == "converged"
    assert (model.weights[:2] == 0).sum() == 1
    alone = fitted(pair.x[:, [0, 2]], y, "bxe", reg_param=0.01, elastic_net_param=1.0)
    assert model.objective == pytest.approx(alone.objective, rel=1e-8)


@pytest.mark.parametrize("loss", ["bxe", "mse"])
def test_under_constraints(loss: str) -> None:
    e = 1e-9
    pair = twins(loss, e)
    # w3 = 0.25 of the features is the twin's third weight
    rows = [{"rhs": 0.25, "coefficients": {"x3": 1.0}}]
    model = fitted(pair.x, pair.y, loss, constraints=rows)
    free = pair.twin[:, :2]
    shifted = 0.25 * pair.twin[:, 2]
    w, _ = optimum_beside(loss, free, pair.y, shifted)
    z = free @ w[:2] + w[2] + shifted
    proven(model, float(pointwise(loss, pair.y, z)[0].mean()), known(e))
    assert model.weights[2] == pytest.approx(0.25, abs=1e-9)
    assert model.standard_errors is not None
    assert model.standard_errors[2] == 0.0
    # the error of w2 is that of the twin's second weight, 1/e times
    design = np.column_stack([free, np.ones(80)])
    h = np.ones(80) if loss == "mse" else special.expit(z) * special.expit(-z)
    inverse = np.linalg.inv(design.T @ (design * h[:, None]))
    noise = 2 * model.objective * 80 / (80 - 3) if loss == "mse" else 1.0
    assert model.standard_errors[1] == pytest.approx(np.sqrt(noise * inverse[1, 1]) / e, rel=1e-5)


def optimum_beside(loss: str, x: Array, y: Array, beside: Array) -> tuple[Array, float]:
    """That of z = x'w + b + beside."""
    if loss == "mse":
        return optimum(loss, x, y - beside, True)
    design = np.column_stack([x, np.ones(len(x))])
    w = np.zeros(design.shape[1])
    for _ in range(40):
        z = design @ w + beside
        slope = special.expit(z) - y
        curvature = special.expit(z) * special.expit(-z)
        w -= np.linalg.solve(design.T @ (design * curvature[:, None]), design.T @ slope)
    return w, float(pointwise(loss, y, design @ w + beside)[0].mean())


@pytest.mark.parametrize("solver", ["newton", "auto"])
def test_offsets_without_an_intercept(solver: str) -> None:
    """2^40 + small integers: all features are one but for 1e-12 of them.

    In any order of the rows, which has the last bits of another sum: the slope along all features
    is mostly its rounding, and must not hide those along their differences.
    """
    rng = np.random.default_rng(2)
    small = rng.integers(-3, 4, (60, 3)).astype(float)
    x = small + 2.0**40
    y = (small[:, 0] - small[:, 1] + rng.logistic(size=60) > 0).astype(float)
    twin = np.column_stack([small[:, 1:] - small[:, :1], x[:, 0] / 2.0**40])
    _, best = optimum("bxe", twin, y, False)
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(60)
        model = fitted(x[order], y[order], "bxe", fit_intercept=False, solver=solver)
        assert model.objective == pytest.approx(best, abs=1e-8)
        assert model.suboptimality_bound is not None
        assert model.objective - best <= model.suboptimality_bound


# --- separation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["newton", "proximal"])
@pytest.mark.parametrize("e", [1e-7, 1e-9, 1e-11])
def test_separated_along_a_small_direction(e: float, solver: str) -> None:
    rng = np.random.default_rng(8)
    z, y = rng.normal(size=60), (rng.random(60) < 0.5).astype(float)
    x = np.column_stack([z, z + e * (2 * y - 1) * (0.1 + rng.random(60))])
    assert ((x[:, 1] > x[:, 0]) == (y > 0)).all()
    assert fitted(x, y, "bxe", solver=solver).status == "separated"
    # with some rows of each class on the wrong side no direction separates
    wrong = np.concatenate([np.flatnonzero(y == k)[:4] for k in (0, 1)])
    x[wrong, 1] = x[wrong, 0] - (x[wrong, 1] - x[wrong, 0])
    assert fitted(x, y, "bxe", solver=solver).status != "separated"


# --- what is not known is not claimed -------------------------------------------------------------


@pytest.mark.parametrize("loss", ["bxe", "squared_hinge", "mse"])
@pytest.mark.parametrize("e", [3e-14, 1e-14])
def test_what_varies_a_little_more_than_rounding_is_not_called_flat(loss: str, e: float) -> None:
    pair = twins(loss, e)
    _, best = optimum(loss, pair.twin, pair.y, True)
    model = fitted(pair.x, pair.y, loss)
    if model.objective > best + known(e):
        assert model.status != "converged"
        assert model.suboptimality_bound is None or (
            model.objective - best <= model.suboptimality_bound
        )
        assert "predict the same" not in model.message
    else:
        assert model.objective == pytest.approx(best, abs=known(e))


def test_rank_is_not_guessed_from_second_moments() -> None:
    pair = twins("bxe", 1e-9)
    objective = objective_of(Problem(pair.x, pair.y, np.ones(80), "bxe"))
    assert rank(objective) == -1
    assert rank(objective_of(Problem(pair.twin, pair.y, np.ones(80), "bxe"))) == 4
    objective.basis = objective.take_basis()
    assert rank(objective) == 4


def test_rank_of_what_is_flat() -> None:
    base = example("bxe")
    problem = base.but(x=np.column_stack([base.x, base.x[:, 0] + base.x[:, 1]]))
    objective = objective_of(problem)
    assert rank(objective) == -1
    assert minimise(SOLVERS["newton"](), objective).status is Status.CONVERGED
    assert rank(objective) == problem.x.shape[1]


@pytest.mark.parametrize("e", [1e-3, 1e-6, 1e-9, 1e-12])
def test_a_bound_holds_far_from_the_optimum(e: float) -> None:
    """At any theta, not only where a solver ends."""
    pair = twins("mse", e)
    w, best = optimum("mse", pair.twin, pair.y, True)
    objective = objective_of(Problem(pair.x, pair.y, np.ones(80)))
    solver = SOLVERS["newton"](max_iter=1, tol=1e-300)
    minimise(solver, objective)  # takes the basis where it is needed
    aim = objective.coordinates.theta(pair.back @ w[:3], w[3])
    for share in (0.0, 0.5, 0.99, 0.9999):
        at = objective.evaluate(share * aim, 2)
        bound = suboptimality_bound(objective, at)
        assert bound is not None
        gap = at.objective - best
        assert gap <= bound * (1 + 1e-6) + known(e)
        if gap > 1e-3 and e > 1e-10:
            assert bound == pytest.approx(gap, rel=1e-2)


# --- passes ---------------------------------------------------------------------------------------


def test_the_pass_is_said_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    pair = twins("bxe", 1e-9)
    with caplog.at_level(logging.INFO, logger="w261reg"):
        near = fitted(pair.x, pair.y, "bxe")
    lines = [r.getMessage() for r in caplog.records if "orthogonal factor" in r.getMessage()]
    assert lines == ["nearly collinear features: one more pass for an orthogonal factor"]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="w261reg"):
        well = fitted(pair.twin, pair.y, "bxe")
    assert not any("orthogonal" in r.getMessage() for r in caplog.records)
    assert near.n_passes == well.n_passes + 1


@pytest.mark.parametrize("loss", ["bxe", "cxe", "squared_hinge"])
@pytest.mark.parametrize(("strength", "mix"), [(0.0, 0.0), (0.1, 0.0), (0.01, 1.0)])
def test_well_conditioned_problems_take_none(loss: str, strength: float, mix: float) -> None:
    problem = example("bxe", n=6, m=200)
    objective = objective_of(problem.but(loss=loss, reg_param=strength, mix=mix))
    result = minimise(SOLVERS["proximal"](), objective)
    assert result.status is Status.CONVERGED
    assert objective.basis is None
    assert result.history[-1].passes == len(result.history)


# --- of many answers one --------------------------------------------------------------------------


def _wide(seed: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 30)) * 10.0 ** rng.uniform(-2, 2, 30)
    return x, x[:, :3].sum(axis=1) + rng.normal(size=12)


def _dummies(seed: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(60, 3))
    x = np.column_stack([base, base.sum(axis=1), np.eye(3)[rng.integers(0, 3, 60)]])
    return x, base[:, 0] + rng.normal(size=60)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    ("loss", "solver", "table"),
    [("mse", "gram", _wide), ("mse", "newton", _wide), ("mse", "lbfgs", _wide),
     ("mse", "gram", _dummies), ("bxe", "newton", _dummies), ("bxe", "lbfgs", _dummies),
     ("cxe", "newton", _dummies)],
)  # fmt: skip
def test_least_norm_is_one_answer(loss: str, solver: str, table: Any, fit_intercept: bool) -> None:
    """Whatever the order of the rows, the units and, with an intercept, the offsets."""
    x, y = table()
    if loss != "mse":
        y = (y > 0).astype(float) if loss == "bxe" else np.digitize(y, [-1.0, 1.0])
    first = fitted(x, y, loss, solver=solver, fit_intercept=fit_intercept)
    assert first.status == "converged"
    assert "singular" in first.message
    for seed in range(3):
        rng = np.random.default_rng(seed)
        order, per = rng.permutation(len(x)), 10.0 ** rng.uniform(-3, 3, x.shape[1])
        shift = rng.normal(size=x.shape[1]) if fit_intercept else 0.0
        other = fitted(
            ((x + shift) * per)[order], y[order], loss, solver=solver, fit_intercept=fit_intercept
        )
        w = np.asarray(other.weights) * (per if loss != "cxe" else per[:, None])
        size = np.abs(first.weights).max()
        np.testing.assert_allclose(w, first.weights, rtol=1e-7, atol=1e-8 * size)


@pytest.mark.parametrize("solver", ["gram", "newton", "lbfgs"])
def test_least_norm_is_that_of_standardized_features(solver: str) -> None:
    x, y = _wide()
    sd = x.std(axis=0)
    right = np.linalg.pinv((x - x.mean(axis=0)) / sd) @ (y - y.mean())
    model = fitted(x, y, "mse", solver=solver)
    np.testing.assert_allclose(model.weights * sd, right, atol=1e-8 * np.abs(right).max())


def test_a_start_leaves_nothing_along_flat_directions() -> None:
    x, y = _dummies()
    problem = Problem(x, (y > 0).astype(float), np.ones(60), "bxe")
    objective = objective_of(problem)
    start = objective.null_theta() + 1.0
    from_there = minimise(SOLVERS["newton"](), objective, start)
    plain = minimise(SOLVERS["newton"](), objective_of(problem))
    np.testing.assert_allclose(from_there.w, plain.w, rtol=1e-8, atol=1e-9)


def test_a_solver_without_second_moments_says_that_there_are_others() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 60))
    model = fitted(x, x[:, 0], "mse", solver="lbfgs")
    assert "one of many" in model.message
