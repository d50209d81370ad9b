"""Smooth coefficients: every solver against scikit-learn, scipy and the homework's closed form."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, sparse
from sklearn import linear_model

from tests.checks import DESCENTS, PROOFS, check_bounds
from tests.problems import Problem, example, objective_of, pointwise, value_at
from w261reg import InputError, load, train
from w261reg.objective import Objective
from w261reg.penalties.smooth import Smooth
from w261reg.solvers import SOLVERS, Status, minimise
from w261reg.solvers.existence import Existence, existence

Array = NDArray[np.float64]
GAMMA = 0.3
MIXES = {"alone": (0.0, 0.0), "l2": (0.05, 0.0), "l1": (0.02, 1.0), "en": (0.03, 0.6)}
ORDERS = {"all": None, "some": np.array([4, 0, 3, 5])}
# a first-order method stalls where its steps change F by less than rounding, with any penalty: it
# is held to the objective, as all are, and to a residual that it can reach
LONGER: dict[str, dict[str, Any]] = {
    "gd": {"max_iter": 20_000, "tol": 1e-7},
    "lbfgs": {"max_iter": 500},
}


def differences(n: int, order: NDArray[np.int64] | None) -> Array:
    """D, a row a pair of neighbours: the penalty is gamma |D w|^2 / 2."""
    return np.diff(np.eye(n)[np.arange(n) if order is None else order], axis=0)


def total(p: Problem, gamma: float, d: Array, w: Array, b: float) -> float:
    """The objective."""
    return value_at(p, w, b) + gamma / 2 * float(np.sum((d @ w) ** 2))


def best_of(p: Problem, gamma: float, d: Array) -> float:
    """The least objective by others: scikit-learn with the differences as rows, or scipy."""
    if p.loss == "mse":
        return total(p, gamma, d, *_augmented(p, gamma, d))
    return total(p, gamma, d, *_scipy(p, gamma, d))


def _augmented(p: Problem, gamma: float, d: Array) -> tuple[Array, float]:
    """Least squares with a row sqrt(gamma) (w_j - w_k) = 0 for each pair of neighbours."""
    share = p.weight / p.weight.sum()
    centre = share @ p.x if p.fit_intercept else np.zeros(p.x.shape[1])
    y_centre = float(share @ p.y) if p.fit_intercept else 0.0
    root = np.sqrt(share)
    x = np.vstack([root[:, None] * (p.x - centre), np.sqrt(gamma) * d]) / p.scale
    y = np.append(root * (p.y - y_centre), np.zeros(len(d)))
    if p.l1:
        rows = len(y)
        net = linear_model.ElasticNet(
            alpha=p.reg_param / rows, l1_ratio=p.mix, fit_intercept=False, tol=1e-15,
            max_iter=200_000,
        )  # fmt: skip
        u = net.fit(x, y).coef_
    elif p.l2:
        u = linear_model.Ridge(alpha=p.l2, fit_intercept=False, solver="cholesky").fit(x, y).coef_
    else:
        u = np.linalg.lstsq(x, y, rcond=None)[0]
    w = u / p.scale
    return w, y_centre - float(centre @ w)


def _scipy(p: Problem, gamma: float, d: Array) -> tuple[Array, float]:
    """L-BFGS-B on w = (plus - minus) / scale, which has no kink."""
    n, share, scale = p.x.shape[1], p.weight / p.weight.sum(), p.scale

    def f(t: Array) -> tuple[float, Array]:
        v = t[:n] - t[n : 2 * n]
        w = v / scale
        value, slope = pointwise(p.loss, p.y, p.x @ w + t[-1])
        g = (p.x.T @ (share * slope) + gamma * d.T @ (d @ w)) / scale + p.l2 * v
        gradient = np.concatenate([g + p.l1, -g + p.l1, [share @ slope]])
        penalty = p.l1 * t[: 2 * n].sum() + p.l2 / 2 * (v @ v) + gamma / 2 * np.sum((d @ w) ** 2)
        return float(share @ value + penalty), gradient

    low = (0.0, None) if p.l1 else (None, None)
    high = (0.0, None) if p.l1 else (0.0, 0.0)
    free = (None, None) if p.fit_intercept else (0.0, 0.0)
    t = np.zeros(2 * n + 1)
    for _ in range(4):
        t = optimize.minimize(
            f, t, jac=True, method="L-BFGS-B", bounds=[low] * n + [high] * n + [free],
            options={"maxiter": 50_000, "maxfun": 100_000, "ftol": 0.0, "gtol": 1e-13},
        ).x  # fmt: skip
    return (t[:n] - t[n : 2 * n]) / scale, float(t[-1])


CASES = [
    (loss, mix, intercept, standard, sparse, order)
    for loss in ("mse", "bxe")
    for mix in MIXES
    for intercept in (True, False)
    for standard, sparse, order in (
        (True, False, "all"),
        (False, True, "all"),
        (True, True, "some"),
    )
]


@pytest.mark.parametrize(("loss", "mix", "intercept", "standard", "sparse", "order"), CASES)
def test_every_solver(
    loss: str, mix: str, intercept: bool, standard: bool, sparse: bool, order: str
) -> None:
    strength, l1_ratio = MIXES[mix]
    problem = example(loss, n=6, weighted=True).but(
        reg_param=strength,
        mix=l1_ratio,
        fit_intercept=intercept,
        standardization=standard,
        sparse=sparse,
    )
    d = differences(6, ORDERS[order])
    best = best_of(problem, GAMMA, d)
    plain = total(problem, GAMMA, d, *_answer(objective_of(problem), "proximal"))
    assert plain > best + 1e-4  # the penalty counts
    solved = 0
    for name, kind in SOLVERS.items():
        extra = (Smooth(GAMMA, ORDERS[order]),)
        objective = objective_of(problem, kind.first_pass, extra=extra)
        refused = kind.kinked_only or (kind.smooth_only and problem.l1)
        creeps = name in DESCENTS and (name != "gd" or problem.l1)
        if refused or creeps or (kind.quadratic_only and loss != "mse"):
            continue
        result = minimise(kind(**LONGER.get(name, {})), objective)
        assert result.status is Status.CONVERGED, (name, result.message)
        found = total(problem, GAMMA, d, result.w, result.intercept)
        assert found == pytest.approx(result.evaluation.objective, rel=1e-12), name
        assert abs(found - best) <= 1e-9 * best, (name, found - best)
        bound = result.suboptimality_bound
        assert bound is None or found - best <= bound + 1e-12 * best
        if name in ("gram", "newton", "proximal"):
            assert bound is not None, name
            assert bound < 1e-9 * best
        if name == "gram":
            assert result.history[-1].passes == 1
        solved += 1
    assert solved >= 3


def _answer(objective: Objective, solver: str) -> tuple[Array, float]:
    result = minimise(SOLVERS[solver](), objective)
    return result.w, result.intercept


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_derivatives(loss: str) -> None:
    """F's gradient and Hessian in theta, against central differences, with all penalties."""
    problem = example(loss, n=6, weighted=True).but(reg_param=0.1, mix=0.5)
    objective = objective_of(problem, extra=(Smooth(GAMMA, ORDERS["some"]),))
    rng = np.random.default_rng(8)
    theta = rng.normal(size=objective.p)
    at = objective.evaluate(theta, 2)
    assert at.hessian is not None
    h = float(np.finfo(float).eps ** (1 / 3))
    for j, e in enumerate(h * np.eye(objective.p)):
        values = objective.values(np.column_stack([theta + e, theta - e]))
        slope = (values[0] - values[1]) / (2 * h)
        assert slope == pytest.approx(at.gradient[j], rel=1e-7, abs=1e-8)
        ahead, behind = objective.evaluate(theta + e, 1), objective.evaluate(theta - e, 1)
        bend = (ahead.gradient - behind.gradient) / (2 * h)
        np.testing.assert_allclose(bend, at.hessian[j], rtol=1e-7, atol=1e-8)
    diagonal = objective.evaluate(theta, 1, diagonal=True).diagonal
    assert diagonal is not None
    np.testing.assert_allclose(diagonal, np.diagonal(at.hessian), rtol=1e-13)


@pytest.mark.parametrize("solver", ["gram", "newton", "lbfgs"])
def test_closed_form_of_the_homework(solver: str) -> None:
    """w = (X'X/sigma^2 + lam I + gamma L)^-1 X'y/sigma^2, with strengths times sigma^2/m."""
    rng = np.random.default_rng(11)
    m, n, sigma, lam, gamma = 90, 12, 0.4, 2.0, 30.0
    x = rng.normal(size=(m, n)) * rng.uniform(0.2, 5.0, n) + 1.0
    y = x @ np.sin(np.arange(n) / 3) + sigma * rng.normal(size=m)
    path = np.diag([1.0, *[2.0] * (n - 2), 1.0]) - np.eye(n, k=1) - np.eye(n, k=-1)
    precision = x.T @ x / sigma**2 + lam * np.eye(n) + gamma * path
    expected = np.linalg.solve(precision, x.T @ y / sigma**2)
    model = train(
        x,
        y,
        loss="mse",
        convention="canonical",
        standardization=False,
        fit_intercept=False,
        reg_param=lam * sigma**2 / m,
        smooth_param=gamma * sigma**2 / m,
        solver=solver,
    )
    np.testing.assert_allclose(model.weights, expected, rtol=1e-7)
    if solver != "lbfgs":
        np.testing.assert_allclose(model.weights, expected, rtol=1e-11)
    assert model.l2 == lam * sigma**2 / m
    # and it is the maximum of the posterior that the homework writes down
    posterior = (
        np.sum((y - x @ expected) ** 2) / (2 * sigma**2)
        + lam / 2 * expected @ expected
        + gamma / 2 * np.sum(np.diff(expected) ** 2)
    )
    constant = m / sigma**2  # F is the mean loss
    assert model.objective * constant == pytest.approx(posterior, rel=1e-12)


def test_the_strength_is_canonical_whatever_the_convention() -> None:
    problem = example("mse", n=6)
    fits = [
        train(problem.x, problem.y, loss="mse", convention=name, standardization=scaled,
              smooth_param=0.4).weights
        for name in ("canonical", "spark", "sklearn", "course")
        for scaled in (True, False)
    ]  # fmt: skip
    for other in fits[1:]:
        np.testing.assert_allclose(other, fits[0], rtol=1e-11)


def test_ever_stronger_makes_all_the_same() -> None:
    problem = example("bxe", n=6)
    spreads = [
        np.ptp(train(problem.x, problem.y, loss="bxe", smooth_param=gamma).weights)
        for gamma in (0.0, 1e-2, 1.0, 1e2, 1e6)
    ]
    assert (np.diff(spreads) < 0).all()
    assert spreads[-1] < 1e-5
    # then it is the model of the sum of the features
    whole = train(problem.x.sum(axis=1)[:, None], problem.y, loss="bxe").weights[0]
    level = train(problem.x, problem.y, loss="bxe", smooth_param=1e6).weights
    np.testing.assert_allclose(level, whole, rtol=1e-4)


@pytest.mark.parametrize("solver", ["gram", "newton", "proximal", "lbfgs", "sampled"])
def test_a_constant_feature_is_a_neighbour_of_weight_zero(solver: str) -> None:
    """What F says with w_j = 0 there: its neighbours are drawn to 0."""
    problem = example("mse", n=6)
    x = problem.x.copy()
    x[:, 2] = 7.0
    gamma, d = 0.8, differences(6, None)
    model = train(x, problem.y, loss="mse", smooth_param=gamma, solver=solver, max_iter=500)
    assert model.weights[2] == 0.0
    used = [0, 1, 3, 4, 5]
    centred = x - x.mean(axis=0)
    normal = centred.T @ centred / len(x) + gamma * d.T @ d
    rhs = centred.T @ (problem.y - problem.y.mean()) / len(x)
    expected = np.linalg.solve(normal[np.ix_(used, used)], rhs[used])
    np.testing.assert_allclose(model.weights[used], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["lbfgs", "gd"])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_many_features_need_no_matrix(
    monkeypatch: pytest.MonkeyPatch, loss: str, solver: str
) -> None:
    """Solvers without a Hessian take as many features with the penalty as without."""

    def refuse(self: Smooth, w: Array) -> Array:
        raise AssertionError("a matrix of all features")

    monkeypatch.setattr(Smooth, "hessian", refuse)
    rng = np.random.default_rng(31)
    m, n, gamma, l2 = 300, 5000, 0.02, 0.1
    x = sparse.csr_array(np.where(rng.random((m, n)) < 0.01, rng.random((m, n)), 0.0))
    z = x @ np.sin(np.arange(n) / 100)
    y = z + 0.1 * rng.normal(size=m) if loss == "mse" else (z > 0).astype(float)
    model = train(x, y, loss=loss, convention="canonical", standardization=False, reg_param=l2,
                  smooth_param=gamma, solver=solver, max_iter=2000, tol=1e-7)  # fmt: skip
    assert model.status == "converged"
    w, b = model.weights, model.intercept
    slope = pointwise(loss, y, x @ w + b)[1] / m
    jump = sparse.csr_array(sparse.eye(n - 1, n, k=1) - sparse.eye(n - 1, n))
    path = jump.T @ jump
    gradient = x.T @ slope + l2 * w + gamma * (path @ w)
    varies = np.asarray(x.sum(axis=0)) > 0  # a feature without entries has weight 0
    assert not w[~varies].any()
    gradient = gradient[varies]
    # F is at least l2/2-strongly convex in w
    assert gradient @ gradient / (2 * l2) < 1e-9 * model.objective
    assert abs(slope.sum()) < 1e-7
    bare = train(x, y, loss=loss, convention="canonical", standardization=False, reg_param=l2,
                 solver=solver, max_iter=2000, tol=1e-7).weights  # fmt: skip
    assert np.sum(np.diff(w) ** 2) < 0.9 * np.sum(np.diff(bare) ** 2)


# --- what is proven -----------------------------------------------------------------------------


def random_problem(seed: int, loss: str, mix: str) -> Problem:
    rng = np.random.default_rng(7000 + seed)
    m, n = int(rng.integers(10, 60)), int(rng.integers(2, 7))
    x = rng.normal(size=(m, n)) * 10.0 ** rng.uniform(-1, 1, n) + rng.normal(size=n)
    z = x @ rng.normal(size=n) + rng.normal()
    y = z + rng.normal(size=m) * 10.0 ** rng.uniform(-2, 1)
    if loss == "bxe":
        y = (rng.random(m) < 1 / (1 + np.exp(-0.5 * z))).astype(float)
        y[:2] = [0.0, 1.0]
    ratio = {"alone": 0.0, "l2": 0.0, "l1": 1.0, "en": rng.uniform(0.1, 0.9)}[mix]
    return Problem(
        x,
        y,
        rng.choice(np.array([1.0, 0.3, 2.0]), m),
        loss,
        0.0 if mix == "alone" else 10.0 ** rng.uniform(-3, 0.5),
        float(ratio),
        fit_intercept=bool(rng.integers(2)),
        standardization=bool(rng.integers(2)),
        leaves=2,
    )


@pytest.mark.parametrize("mix", sorted(MIXES))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_bounds_are_above_the_true_gap(loss: str, mix: str) -> None:
    proven = dict.fromkeys(PROOFS, 0)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        problem = random_problem(seed, loss, mix)
        n = problem.x.shape[1]
        order = None if seed % 2 else rng.permutation(n)[: max(2, n - 1)]
        objective = objective_of(problem, extra=(Smooth(10.0 ** rng.uniform(-3, 1), order),))
        solver = SOLVERS["newton" if objective.smooth else "proximal"]
        answer = minimise(solver(tol=1e-13, max_iter=200), objective)
        attained = answer.status is not Status.SEPARATED and answer.evaluation.residual < 1e-11
        best = answer.evaluation.objective
        points = [minimise(solver(tol=1e-300, max_iter=k), objective).evaluation for k in range(4)]
        for size in (1e-4, 1e-2, 0.3, 2.0):
            theta = answer.evaluation.theta + size * rng.normal(size=objective.p)
            points.append(objective.evaluate(theta, 2))
        check_bounds(objective, points, best if attained else None, proven)
    assert proven["any"] >= 25
    assert proven["gap"] > 25 or mix not in ("l1", "l2", "en")
    assert (proven["quadratic"] > 25) == (loss == "mse")
    assert (proven["self_concordant"] > 25) == (loss == "bxe")


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (1.0, 1e4, 1e-4)])
@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled"])
def test_level_weights_that_separate(solver: str, size: tuple[float, ...]) -> None:
    """The penalty does not see (1, 1, 1): along it the loss may fall for ever."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 3)) * size
    y = (x.sum(axis=1) > 0).astype(float)
    separable = Problem(x, y, np.ones(60), "bxe")
    kind = SOLVERS[solver]
    options = LONGER.get(solver, {})
    result = minimise(kind(**options), objective_of(separable, extra=(Smooth(0.5),)))
    assert result.status is Status.SEPARATED
    assert result.suboptimality_bound is None
    assert "add an L2 penalty" in result.message
    # with other classes than the level direction can tell apart there is an optimum, which no
    # penalty at all would not have
    other = separable.but(y=(x[:, 0] / size[0] > x[:, 1] / size[1]).astype(float))
    bare = minimise(kind(**options), objective_of(other))
    assert bare.status is Status.SEPARATED
    smooth = minimise(kind(**options), objective_of(other, extra=(Smooth(0.5),)))
    assert smooth.status is Status.CONVERGED, smooth.message
    assert total(other, 0.5, differences(3, None), smooth.w, smooth.intercept) == pytest.approx(
        best_of(other, 0.5, differences(3, None)), rel=1e-9
    )


def test_a_direction_that_the_penalty_sees_separates_nothing() -> None:
    """Far along one that tells the classes apart the penalty has the last word."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 3))
    problem = Problem(x, (x[:, 0] > x[:, 1]).astype(float), np.ones(60), "bxe")
    bare, smooth = objective_of(problem), objective_of(problem, extra=(Smooth(0.5),))
    theta = bare.coordinates.theta(np.array([30.0, -30.0, 0.0]), 0.0)
    assert existence(bare, bare.evaluate(theta, 2)) is Existence.SEPARATED
    assert existence(smooth, smooth.evaluate(theta, 2)) is not Existence.SEPARATED


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_directions_that_the_penalty_alone_sees(loss: str) -> None:
    """Of two copied columns, one copy is told apart by the penalty, and one by nothing."""
    rng = np.random.default_rng(29)
    a, b, c = rng.normal(size=(3, 80))
    z = a - b + 0.5 * c
    y = z + rng.normal(size=80)
    if loss == "bxe":
        y = (rng.random(80) < 1 / (1 + np.exp(-z))).astype(float)
    problem = Problem(np.column_stack([a, a, b, c, c]), y, np.ones(80), loss)
    order = np.array([0, 1, 2])
    objective = objective_of(problem, extra=(Smooth(0.3, order),))
    result = minimise(SOLVERS["newton"](), objective)
    assert result.status is Status.CONVERGED
    assert "rank 5 of 6" in result.message
    # least (w0 - w1)^2 + (w1 - w2)^2 for w0 + w1 as the data wants it
    assert 2 * (result.w[0] - result.w[1]) == pytest.approx(result.w[1] - result.w[2], rel=1e-7)
    assert result.w[3] == pytest.approx(result.w[4], rel=1e-9)
    assert result.suboptimality_bound is not None
    best = best_of(problem, 0.3, differences(5, order))
    assert result.evaluation.objective == pytest.approx(best, rel=1e-11)
    assert result.suboptimality_bound < 1e-10 * best


def test_the_status_is_that_of_linear_programming() -> None:
    """An optimum exists if no direction that the penalty does not see separates."""
    rng = np.random.default_rng(17)
    verdicts = []
    for _ in range(40):
        m, n = int(rng.integers(6, 14)), 4
        x = rng.integers(-2, 3, (m, n)).astype(float)
        z = x @ rng.normal(size=n) + rng.normal(size=m) * rng.choice([0.01, 1.5])
        if rng.random() < 0.5:
            z = x[:, :3].sum(axis=1) + 0.5 * x[:, 3] + rng.normal(size=m) * 0.2
        y = (z > 0).astype(float)
        y[:2] = [0, 1]
        # the first three are smoothed: level weights and the fourth are free
        free = np.column_stack([x[:, :3].sum(axis=1), x[:, 3], np.ones(m)])
        signed = (2 * y - 1)[:, None] * free
        most = optimize.linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(m), bounds=(-1, 1))
        separable = float(most.fun or 0.0) < -1e-9
        problem = Problem(x, y, np.ones(m), "bxe", leaves=2)
        objective = objective_of(problem, extra=(Smooth(0.2, np.array([0, 1, 2])),))
        result = minimise(SOLVERS["newton"](), objective)
        assert (result.status is Status.SEPARATED) == separable, (x.tolist(), y.tolist())
        if not separable:
            assert result.status is Status.CONVERGED
            assert existence(objective, result.evaluation) is Existence.ATTAINED
        verdicts.append(separable)
    assert 5 < sum(verdicts) < 35


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_one_hot_features(loss: str) -> None:
    """With an intercept their level is free: F is flat along it, and the bound still proven."""
    rng = np.random.default_rng(23)
    month = rng.integers(0, 6, 300)
    x = np.eye(6)[month]
    z = np.sin(month / 2)
    y: Array = z + rng.normal(size=300)
    if loss == "bxe":
        y = (rng.random(300) < 1 / (1 + np.exp(-z))).astype(float)
    model = train(x, y, loss=loss, smooth_param=0.05)
    assert model.status == "converged"
    assert "singular" in model.message
    problem = Problem(x, y, np.ones(300), loss, standardization=False)
    best = best_of(problem, 0.05, differences(6, None))
    found = total(problem, 0.05, differences(6, None), model.weights, model.intercept)
    assert found == pytest.approx(best, rel=1e-11)
    assert model.suboptimality_bound is not None
    assert model.suboptimality_bound < 1e-12


# --- options ------------------------------------------------------------------------------------


def test_the_order_is_that_of_the_names(tmp_path: Any) -> None:
    import pandas as pd

    problem = example("mse", n=4)
    frame = pd.DataFrame(problem.x, columns=["mar", "jan", "other", "feb"]).assign(y=problem.y)
    model = train(frame, "y", loss="mse", smooth_param=0.6, smooth_order=["jan", "feb", "mar"])
    d = differences(4, np.array([1, 3, 0]))
    bare = problem.but(standardization=False)
    best = best_of(bare, 0.6, d)
    found = total(bare, 0.6, d, model.weights, model.intercept)
    assert found == pytest.approx(best, rel=1e-12)
    assert model.objective == pytest.approx(best, rel=1e-12)
    expected = {"smooth_param": 0.6, "smooth_order": ["jan", "feb", "mar"]}
    assert model.penalty_params == expected
    assert {key: model.config[key] for key in expected} == expected
    assert "smoothness penalty" in model.summary()
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").penalty_params == expected
    page = (tmp_path / "m" / "report.html").read_text()
    assert "(jan, feb, mar)" in page
    assert "There is no penalty" not in page
    assert "Deviance of the model" in page
    # the columns in another order are the same problem
    again = train(frame[["feb", "other", "jan", "mar", "y"]], "y", loss="mse", smooth_param=0.6,
                  smooth_order="jan, feb, mar")  # fmt: skip
    np.testing.assert_allclose(
        again.coefficients["coefficient"].loc[list(frame.columns[:4])], model.weights, rtol=1e-11
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"smooth_param": -1.0}, "smooth_param must be >= 0, not -1"),
        ({"smooth_param": "much"}, "smooth_param must be a number >= 0, not 'much'"),
        ({"smooth_order": "x1,x2"}, "smooth_order is for smooth_param, which is not given: x1, x2"),
        ({"smooth_param": 1.0, "smooth_order": "x1"}, "at least two features, not 'x1'"),
        ({"smooth_param": 1.0, "smooth_order": []}, "at least two features, not ''"),
        ({"smooth_param": 1.0, "smooth_order": "x1,x2,x1"}, "names feature 'x1' twice"),
        (
            {"smooth_param": 1.0, "smooth_order": "x1,y"},
            "smooth_order must name features: 'y' is not one",
        ),
        ({"smooth_param": 1.0, "smooth_order": 3}, "smooth_order must be column names, not 3"),
    ],
)
def test_bad_input(settings: dict[str, Any], says: str) -> None:
    problem = example("mse")
    with pytest.raises(InputError) as error:
        train(problem.x, problem.y, loss="mse", **settings)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
