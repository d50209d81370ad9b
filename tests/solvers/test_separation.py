"""Whether data separates: exact, against linear programs on small integers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

from tests.problems import Problem, objective_of
from w261reg import train
from w261reg.solvers import SOLVERS, Status, minimise
from w261reg.solvers.existence import Existence, existence, separates_every_row
from w261reg.solvers.separation import Separation

Array = NDArray[np.float64]
# six rows that overlap; a seventh of any size beside them changes nothing but by its own loss
X, Y = np.array([0.0, 4, 5, 1, 6, 3]), np.array([0.0, 1, 0, 0, 1, 0])
W, B = 1.0562477939723, -4.7950755995657


def separable(x: Array, y: Array, classes: int, fit_intercept: bool) -> bool:
    """By a linear program on small integers, where its tolerances do not matter."""
    rows = np.column_stack([x, np.ones(len(x))]) if fit_intercept else x
    if classes == 2:
        signed = (2 * y - 1)[:, None] * rows
    else:
        signed = np.array(
            [
                np.kron(np.eye(classes)[int(label)] - np.eye(classes)[k], row)
                for row, label in zip(rows, y, strict=True)
                for k in range(classes)
                if k != label
            ]
        )
    most = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1))
    return float(most.fun or 0.0) < -1e-7


def small(seed: int) -> tuple[Array, Array, int, bool]:
    """Few rows of small integers, with ties, duplicates and collinear columns among them."""
    rng = np.random.default_rng(seed)
    m, n, classes = int(rng.integers(5, 25)), int(rng.integers(1, 5)), int(rng.choice([2, 2, 3, 4]))
    x = rng.integers(-2, 3, (m, n)).astype(float)
    if rng.random() < 0.3:
        x = x[rng.integers(0, max(2, m // 3), m)]
    if n > 2 and rng.random() < 0.3:
        x[:, 2] = x[:, 0] - x[:, 1]
    noise = rng.choice([0.1, 1.0, 4.0])
    y = (x @ rng.normal(size=(n, classes)) + noise * rng.gumbel(size=(m, classes))).argmax(axis=1)
    y[:classes] = np.arange(classes)
    x[0, (x == x[0]).all(axis=0)] += 1.0  # a feature without spread takes no part
    return x, y.astype(float), classes, bool(rng.random() < 0.7)


def disguised(x: Array, kind: str, rng: np.random.Generator, fit_intercept: bool) -> Array:
    """The same rows in other coordinates, exactly: the answer is the same."""
    n = x.shape[1]
    if kind == "scaled":
        return x * 2.0 ** rng.integers(-200, 200, n)
    if kind == "offset" and fit_intercept:
        return x + 2.0 ** rng.integers(30, 50, n)
    if kind == "nearly collinear" and n > 1:
        x = x.copy()
        x[:, 1] = 2.0**44 * x[:, 0] + x[:, 1]
    return x


def problem(x: Array, y: Array, classes: int, fit_intercept: bool = True, **more: Any) -> Problem:
    loss = "bxe" if classes == 2 else "cxe"
    return Problem(x, y, np.ones(len(y)), loss, fit_intercept=fit_intercept, leaves=2, **more)


def check_verdicts(seeds: range, kind: str, sparse: bool = False) -> None:
    verdicts = []
    for seed in seeds:
        x, y, classes, intercept = small(seed)
        rng = np.random.default_rng(seed)
        other = disguised(x, kind, rng, intercept)
        objective = objective_of(problem(other, y, classes, intercept, sparse=sparse))
        before = objective.dataset.passes
        found = Separation(objective)
        found.search(rng.normal(size=(objective.p, 2)))
        assert found.separated == separable(x, y, classes, intercept), seed
        assert objective.dataset.passes - before <= 12
        verdicts.append(found.separated)
    assert {True, False} == set(verdicts)


@pytest.mark.parametrize("kind", ["plain", "scaled", "offset", "nearly collinear", "sparse"])
def test_verdicts(kind: str) -> None:
    check_verdicts(range(25), kind, kind == "sparse")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["plain", "scaled", "offset", "nearly collinear", "sparse"])
def test_hundreds_of_verdicts(kind: str) -> None:
    check_verdicts(range(100, 500), kind, kind == "sparse")


def check_statuses(seeds: range, solver: str) -> None:
    """Never separated where a linear program says overlap, never converged where not."""
    verdicts = []
    for seed in seeds:
        x, y, classes, intercept = small(seed)
        result = minimise(SOLVERS[solver](), objective_of(problem(x, y, classes, intercept)))
        expected = separable(x, y, classes, intercept)
        assert (result.status is Status.SEPARATED) == expected, (seed, result.message)
        assert result.status is not Status.DIVERGED
        if solver == "newton" and not expected:
            assert result.status is Status.CONVERGED, (seed, result.message)
        verdicts.append(expected)
    assert {True, False} == set(verdicts)


@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled"])
def test_statuses(solver: str) -> None:
    check_statuses(range(600, 625), solver)


@pytest.mark.long
@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs"])
def test_hundreds_of_statuses(solver: str) -> None:
    check_statuses(range(1000, 1300), solver)


@pytest.mark.parametrize("solver", ["newton", "proximal"])
@pytest.mark.parametrize("exponent", range(5, 12))
def test_one_row_far_away(exponent: int, solver: str) -> None:
    x = np.append(X, 10.0**exponent)[:, None]
    y = np.append(Y, 1.0)
    result = minimise(SOLVERS[solver](), objective_of(problem(x, y, 2)))
    assert result.status is Status.CONVERGED, result.message
    assert result.w[0] == pytest.approx(W, rel=1e-7)
    assert result.intercept == pytest.approx(B, rel=1e-7)
    assert result.suboptimality_bound is not None
    # the far row's own rounding of z is below this
    assert result.suboptimality_bound < max(1e-12, 1e-16 * 10.0**exponent)


@pytest.mark.parametrize("solver", ["lbfgs", "sampled"])
@pytest.mark.parametrize("exponent", [7, 9, 12])
def test_one_row_far_away_never_separates(exponent: int, solver: str) -> None:
    x = np.append(X, 10.0**exponent)[:, None]
    result = minimise(SOLVERS[solver](), objective_of(problem(x, np.append(Y, 1.0), 2)))
    assert result.status is not Status.SEPARATED
    if result.status is Status.CONVERGED:
        assert result.w[0] == pytest.approx(W, rel=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_far_rows_in_two_features_with_weights(sparse: bool) -> None:
    """On the right side of a bulk, so that the optimum is that of the bulk alone."""
    rng = np.random.default_rng(2)
    bulk = rng.normal(size=(60, 2)) + 5
    y = (bulk @ [1.0, -1.0] + 2 * rng.logistic(size=60) > 0).astype(float)
    x = np.vstack([bulk, [1e9, 5.0], [5.0, 1e10]])
    y = np.append(y, [1.0, 0.0])
    weight = np.append(rng.uniform(0.1, 3.0, 60), [1e-6, 1e3])
    whole = minimise(SOLVERS["newton"](), objective_of(Problem(x, y, weight, "bxe", sparse=sparse)))
    alone = minimise(SOLVERS["newton"](), objective_of(Problem(bulk, y[:60], weight[:60], "bxe")))
    assert whole.status is Status.CONVERGED, whole.message
    np.testing.assert_allclose(whole.w, alone.w, rtol=1e-7)
    assert whole.intercept == pytest.approx(alone.intercept, rel=1e-6)


def test_a_far_row_on_the_side_that_separates() -> None:
    """x = 5 and 4 exchanged: the six rows separate, and so do all seven."""
    y = np.array([0.0, 0, 1, 0, 1, 0])
    for exponent in (3, 8, 12):
        x = np.append(X, 10.0**exponent)[:, None]
        for solver in ("newton", "proximal", "lbfgs", "sampled"):
            last = minimise(SOLVERS[solver](), objective_of(problem(x, np.append(y, 1.0), 2)))
            assert last.status is Status.SEPARATED
            first = minimise(SOLVERS[solver](), objective_of(problem(x, np.append(y, 0.0), 2)))
            assert first.status is not Status.SEPARATED


def test_a_small_direction_separates() -> None:
    """x2 - x1 is 1e-9 on one side and -1e-9 on the other: a Hessian does not see it."""
    rng = np.random.default_rng(4)
    z = np.round(rng.normal(size=50), 3)
    y = (z + rng.logistic(size=50) > 0).astype(float)
    x = np.column_stack([z, z + 1e-9 * (2 * y - 1) * (0.1 + rng.random(50))])
    result = minimise(SOLVERS["newton"](), objective_of(problem(x, y, 2)))
    assert result.status is Status.SEPARATED
    x[7, 1] = z[7] - 1e-9 * (2 * y[7] - 1)
    result = minimise(SOLVERS["newton"](), objective_of(problem(x, y, 2)))
    assert result.status is not Status.SEPARATED


def test_a_margin_of_rounding_is_none() -> None:
    """A margin that rounding may have made is looked at without."""
    large = 2.0**53
    x = large + np.array([[0.0, 0], [2, 0], [6, 2]])
    for y, separates in (([0.0, 1, 0], False), ([0.0, 0, 1], True)):
        objective = objective_of(problem(x, np.array(y), 2, fit_intercept=False))
        theta = objective.coordinates.theta(np.array([1.0, -1.0]), 0.0)
        at = objective.evaluate(theta, 2)
        before = objective.dataset.passes
        assert separates_every_row(objective, replace(at, margin=1e-3)) == separates
        assert objective.dataset.passes > before
        before = objective.dataset.passes
        assert separates_every_row(objective, replace(at, margin=1e3))
        assert objective.dataset.passes == before


def test_constraints_and_penalties_leave_fewer_directions() -> None:
    """x1 separates, which w1 = 0 forbids, and so does a penalty that sees w1 - w2 alone."""
    rng = np.random.default_rng(6)
    x = np.column_stack([rng.normal(size=30), rng.normal(size=30)])
    y = (x[:, 0] > 0).astype(float)
    free = train(x, y, loss="bxe", reg_param=0, solver="newton")
    assert free.status == "separated"
    held = train(x, y, loss="bxe", reg_param=0, constraints=[{"rhs": 0, "coefficients": {"x1": 1}}])
    assert held.status == "converged"
    loose = train(
        x, y, loss="bxe", reg_param=0, constraints=[{"rhs": 3, "coefficients": {"x2": 1}}]
    )
    assert loose.status == "separated"
    for flip, status in ((False, "separated"), (True, "converged")):
        label = (x.sum(axis=1) > 0).astype(float)
        if flip:
            nearest = np.argsort(np.abs(x.sum(axis=1)))[:2]
            label[nearest] = 1 - label[nearest]
        smooth = train(x, label, loss="bxe", reg_param=0, smooth_param=0.5, solver="newton")
        assert smooth.status == status


def test_what_is_known_takes_no_further_pass() -> None:
    x = np.array([[-2.0], [-1], [0], [0], [1], [2]])
    for y, verdict in (([0.0, 0, 0, 1, 1, 1], Existence.SEPARATED), ([0.0, 1] * 3, None)):
        objective = objective_of(problem(x, np.array(y), 2))
        at = objective.evaluate(np.full(objective.p, 3.0), 2)
        first = existence(objective, at)
        assert first is (verdict or Existence.UNKNOWN)
        before = objective.dataset.passes
        assert existence(objective, at) is first
        assert objective.dataset.passes == before


def test_too_large_a_program_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w261reg.solvers.separation.MOST_WORK", 1)
    x = np.append(X, 1e10)[:, None]
    objective = objective_of(problem(x, np.append(Y, 1.0), 2))
    found = Separation(objective)
    before = objective.dataset.passes
    found.search(np.ones((objective.p, 1)))
    assert found.separated is None
    assert objective.dataset.passes == before + 1


@pytest.mark.parametrize("classes", [2, 3])
def test_a_rare_level_among_many_features(classes: int) -> None:
    """Too many coefficients for the linear program: the direction that Newton finds is tried."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(600, 40))
    x[:, 3] = np.arange(600) % 5 == 0
    x[:, 4] = np.arange(600) < 7
    z = x[:, :classes] + rng.gumbel(size=(600, classes)) * 2
    y = z.argmax(axis=1).astype(float)
    y[:classes] = np.arange(classes)  # the level has rows of each class
    overlap = minimise(SOLVERS["newton"](), objective_of(problem(x, y, classes)))
    assert overlap.status is Status.CONVERGED
    y[:7] = 1.0
    apart = minimise(SOLVERS["newton"](), objective_of(problem(x, y, classes)))
    assert apart.status is Status.SEPARATED, apart.message
