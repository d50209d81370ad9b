"""Why a fit ended: separated, singular, constant, extreme, tiny, empty."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checks import DESCENTS
from tests.problems import (
    Problem,
    block,
    example,
    leaves_of,
    objective_of,
    reference_answer,
    scipy_answer,
    value_at,
)
from w261reg import train
from w261reg.aggregators import Summarise
from w261reg.conventions import strengths
from w261reg.datasets import LocalDataset
from w261reg.errors import InputError
from w261reg.evaluation import Evaluation
from w261reg.losses import get_loss
from w261reg.objective import Objective
from w261reg.solvers import SOLVERS, FirstPass, FitResult, Solver, Status, minimise
from w261reg.solvers.base import start_at
from w261reg.solvers.loop import _held

Array = NDArray[np.float64]
SMOOTH_CLASSIFIERS = sorted(
    name
    for name, kind in SOLVERS.items()
    if not (kind.quadratic_only or kind.kinked_only) and (name == "gd" or name not in DESCENTS)
)


def classifier(x: Array, y: Array, **changes: object) -> Problem:
    return Problem(x, y, np.ones(len(y)), "bxe", leaves=2).but(**changes)


def solve(name: str, problem: Problem, **options: float) -> FitResult:
    kind: type[Solver] = SOLVERS[name]
    if name == "gd" and "max_iter" not in options:
        options["max_iter"] = 20_000
    if name == "gd":
        options["standardized"] = problem.standardization
    return minimise(kind(**options), objective_of(problem, kind.first_pass))  # type: ignore[arg-type]


# --- separation ---------------------------------------------------------------------------------


def _dummy() -> tuple[Array, Array]:
    """A rare level of a factor whose rows are all of one class; the other feature overlaps."""
    rng = np.random.default_rng(60)
    level = (np.arange(60) < 4).astype(float)
    other = rng.normal(size=60)
    y = (other + rng.normal(size=60) > 0).astype(float)
    y[:4] = 1.0
    return np.column_stack([level, other]), y


SEPARATED: dict[str, tuple[Array, Array, bool]] = {
    "complete": (np.array([[-2.0], [-1], [1], [2]]), np.array([0.0, 0, 1, 1]), True),
    "complete without intercept": (
        np.array([[-2.0], [-1], [1], [2]]),
        np.array([0.0, 0, 1, 1]),
        False,
    ),
    "quasi": (np.array([[-2.0], [-1], [0], [0], [1], [2]]), np.array([0.0, 0, 0, 1, 1, 1]), True),
    "quasi without intercept": (
        np.array([[-2.0], [-1], [0], [0], [1], [2]]),
        np.array([0.0, 0, 0, 1, 1, 1]),
        False,
    ),
    "rare level": (*_dummy(), True),
    "rare level without intercept": (*_dummy(), False),
    "rare level of other units": (_dummy()[0] * [1e4, 1e-4] + [0, 5], _dummy()[1], True),
    "two ties": (
        np.array([[0.0, 3], [0, 1], [0, -1], [0, 2], [1, 0], [1, 4], [2, 1]]),
        np.array([0.0, 1, 1, 0, 1, 1, 1]),
        True,
    ),
}


@pytest.mark.parametrize("solver", SMOOTH_CLASSIFIERS)
@pytest.mark.parametrize("name", sorted(SEPARATED))
def test_separated_data_is_never_converged(name: str, solver: str) -> None:
    x, y, intercept = SEPARATED[name]
    problem = classifier(x, y, fit_intercept=intercept)
    # gradient descent's weights grow like log t: where only some rows separate it runs out of steps
    slow = solver == "gd" and not name.startswith("complete")
    result = solve(solver, problem, max_iter=1000 if slow else 20_000)
    if slow:
        assert result.status is not Status.CONVERGED
        return
    assert result.status is Status.SEPARATED, (result.status, result.message)
    assert "penalty" in result.message
    assert result.suboptimality_bound is None
    assert np.isfinite(result.w).all()
    penalised = solve(solver, problem.but(reg_param=0.1))
    assert penalised.status is Status.CONVERGED
    best = value_at(problem.but(reg_param=0.1), *reference_answer(problem.but(reg_param=0.1)))
    assert penalised.evaluation.objective == pytest.approx(best, rel=1e-10)


@pytest.mark.parametrize("solver", SMOOTH_CLASSIFIERS)
@pytest.mark.parametrize("intercept", [True, False])
def test_nearly_separable_converges(solver: str, intercept: bool) -> None:
    """One row on the wrong side, by little."""
    x = np.array([[-2.0], [-1], [-0.1], [0.1], [1], [2]])
    y = np.array([0.0, 0, 1, 0, 1, 1])
    problem = classifier(x, y, fit_intercept=intercept, standardization=True)
    result = solve(solver, problem)
    assert result.status is Status.CONVERGED, result.message
    best = value_at(problem, *scipy_answer(problem))
    assert result.evaluation.objective == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled"])
def test_nearly_separable_in_two_of_many_rows(solver: str) -> None:
    rng = np.random.default_rng(61)
    x = rng.normal(size=(300, 3))
    y = (x @ [2.0, -1.0, 0.5] > 0).astype(float)
    close = np.argsort(np.abs(x @ [2.0, -1.0, 0.5]))[:2]
    y[close] = 1 - y[close]
    problem = classifier(x, y)
    result = solve(solver, problem, max_iter=1000)
    assert result.status is Status.CONVERGED, result.message
    assert result.evaluation.margin < 0
    newton = solve("newton", problem)
    np.testing.assert_allclose(result.w, newton.w, rtol=1e-5)


@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled"])
def test_margin_proof_is_of_every_row(solver: str) -> None:
    x, y, _ = SEPARATED["complete"]
    result = solve(solver, classifier(x, y))
    z = x @ result.w + result.intercept
    assert ((2 * y - 1) * z > 0).all()


def test_l1_alone_is_a_penalty() -> None:
    x, y, _ = SEPARATED["quasi"]
    problem = classifier(x, y, reg_param=0.01, mix=1.0)
    for solver in ("proximal", "lbfgs", "sampled"):
        assert solve(solver, problem).status is Status.CONVERGED


def test_no_hessian_that_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many features the proof is left out and said so: no pass of order 2 may be tried."""
    problem = example("bxe")
    proven = solve("lbfgs", problem)
    assert proven.status is Status.CONVERGED
    monkeypatch.setattr("w261reg.solvers.loop.MAX_HESSIAN_FEATURES", 3)
    objective = objective_of(problem, FirstPass.MOMENTS)
    evaluate = objective.evaluate

    def first_order(theta: Array, order: int, *others: Any, **named: Any) -> Evaluation:
        assert order < 2
        return evaluate(theta, order, *others, **named)

    monkeypatch.setattr(objective, "evaluate", first_order)
    result = minimise(SOLVERS["lbfgs"](), objective)
    assert result.status is Status.MAX_ITER
    assert "within tol, but the proof" in result.message
    assert result.w.tobytes() == proven.w.tobytes()
    penalised = solve("lbfgs", problem.but(reg_param=0.1))
    assert penalised.status is Status.CONVERGED


# --- singular systems ---------------------------------------------------------------------------


def _collinear(loss: str, kind: str) -> tuple[Problem, Problem]:
    """A problem with redundant columns, and one with the same span without them."""
    base = example(loss, n=2)
    if kind == "x and 2x":
        wide = np.column_stack([base.x[:, 0], 2 * base.x[:, 0], base.x[:, 1]])
        return base.but(x=wide), base
    if kind == "sum of columns":
        return base.but(x=np.column_stack([base.x, base.x.sum(axis=1)])), base
    level = np.arange(80) % 3  # the dummy trap: the levels add up to the intercept's column
    dummies = np.eye(3)[level]
    return base.but(x=np.column_stack([dummies, base.x])), base.but(
        x=np.column_stack([dummies[:, 1:], base.x])
    )


@pytest.mark.parametrize("kind", ["x and 2x", "sum of columns", "dummy trap"])
@pytest.mark.parametrize(
    ("loss", "solver"), [("mse", "gram"), ("mse", "newton"), ("bxe", "newton"), ("bxe", "lbfgs"),
                         ("bxe", "proximal"), ("mse", "proximal")],
)  # fmt: skip
def test_collinear_columns(loss: str, solver: str, kind: str) -> None:
    wide, narrow = _collinear(loss, kind)
    result = solve(solver, wide)
    assert result.status is Status.CONVERGED, result.message
    best = value_at(narrow, *scipy_answer(narrow))
    assert result.evaluation.objective == pytest.approx(best, rel=1e-10)
    if solver in ("gram", "newton"):
        assert "singular" in result.message
        rank, of = {"x and 2x": (3, 4), "sum of columns": (3, 4), "dummy trap": (5, 6)}[kind]
        if solver == "newton":
            assert f"rank {rank} of {of}" in result.message


@pytest.mark.parametrize("kind", ["x and 2x", "sum of columns", "dummy trap"])
@pytest.mark.parametrize(("loss", "solver"), [("mse", "gram"), ("bxe", "newton")])
def test_of_many_answers_the_one_of_least_norm(loss: str, solver: str, kind: str) -> None:
    """Least norm of the coefficients per standard deviation of the features."""
    wide, _ = _collinear(loss, kind)
    result = minimise(SOLVERS[solver](), objective_of(wide))
    sd = wide.x.std(axis=0)
    _, values, rows = np.linalg.svd((wide.x - wide.x.mean(axis=0)) / sd)
    flat = rows[(values > 1e-10).sum() :]
    assert len(flat) == 1
    # with no part along the directions that change nothing, no other answer is shorter
    assert np.abs(flat @ (sd * result.w)).max() < 1e-8 * np.linalg.norm(sd * result.w)


def test_x_and_2x_share_the_weight() -> None:
    """In standardized units both are the same column, so each gets half of what one would."""
    wide, narrow = _collinear("mse", "x and 2x")
    result, alone = solve("gram", wide), solve("gram", narrow)
    np.testing.assert_allclose(result.w[0] + 2 * result.w[1], alone.w[0], rtol=1e-10)
    np.testing.assert_allclose(result.w[0], 2 * result.w[1], rtol=1e-10)


def test_collinear_columns_are_no_problem_with_a_penalty() -> None:
    for loss, solver in (("mse", "gram"), ("bxe", "newton")):
        wide, _ = _collinear(loss, "x and 2x")
        problem = wide.but(reg_param=0.1)
        result = solve(solver, problem)
        assert result.status is Status.CONVERGED
        assert "singular" not in result.message
        best = value_at(problem, *reference_answer(problem))
        assert result.evaluation.objective == pytest.approx(best, rel=1e-12)


# --- constant columns, extreme scales -----------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1, -3.0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("mix", [0.0, 1.0])
@pytest.mark.parametrize("strength", [0.0, 0.02])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_constant_column(
    loss: str, strength: float, mix: float, intercept: bool, value: float
) -> None:
    """Its coefficient is exactly 0, and the rest is the answer without it."""
    without = example(loss, weighted=True).but(reg_param=strength, mix=mix, fit_intercept=intercept)
    problem = without.but(x=np.insert(without.x, 2, value, axis=1))
    for solver, kind in SOLVERS.items():
        if solver in DESCENTS or (kind.smooth_only and strength and mix):
            continue
        if kind.kinked_only or (kind.quadratic_only and loss != "mse"):
            continue
        result, other = solve(solver, problem), solve(solver, without)
        assert result.status is Status.CONVERGED
        assert result.w[2] == 0.0
        np.testing.assert_allclose(np.delete(result.w, 2), other.w, rtol=1e-9, atol=1e-12)
        assert result.intercept == pytest.approx(other.intercept, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_column_whose_deviation_underflows(loss: str, intercept: bool) -> None:
    """It varies, but by less than numbers can say: as good as constant."""
    without = example(loss).but(fit_intercept=intercept)
    tiny = np.zeros(80)
    tiny[3] = 5e-324
    problem = without.but(x=np.insert(without.x, 2, tiny, axis=1))
    for solver in ("proximal", "newton", "lbfgs"):
        result, other = solve(solver, problem), solve(solver, without)
        assert result.status is Status.CONVERGED
        assert result.w[2] == 0.0
        np.testing.assert_allclose(np.delete(result.w, 2), other.w, rtol=1e-9)


@pytest.mark.parametrize("mix", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("strength", [0.0, 0.02])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("intercept", [True, False])
def test_extreme_scales_are_only_units(
    loss: str, strength: float, mix: float, intercept: bool
) -> None:
    plain = example(loss, weighted=True).but(reg_param=strength, mix=mix, fit_intercept=intercept)
    size = np.array([1e-150, 1e150, 1.0, 3e-140])
    problem = plain.but(x=plain.x * size)
    for solver, kind in SOLVERS.items():
        if solver in DESCENTS or (kind.smooth_only and strength and mix):
            continue
        if kind.kinked_only or (kind.quadratic_only and loss != "mse"):
            continue
        result, expected = solve(solver, problem), solve(solver, plain)
        assert result.status is Status.CONVERGED
        np.testing.assert_allclose(result.w * size, expected.w, rtol=1e-7, atol=1e-9)
        assert result.evaluation.objective == pytest.approx(expected.evaluation.objective, 1e-12)
        np.testing.assert_array_equal(result.w == 0, expected.w == 0)


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_labels_of_extreme_size(size: float) -> None:
    plain = example("mse", weighted=True)
    expected = solve("gram", plain)
    for solver in ("gram", "newton", "proximal", "lbfgs", "sampled"):
        result = solve(solver, plain.but(y=plain.y * size))
        assert result.status is Status.CONVERGED, result.message
        np.testing.assert_allclose(result.w / size, expected.w, rtol=1e-7)


def test_shifted_features_shift_the_intercept_only() -> None:
    plain = example("bxe").but(reg_param=0.01)
    shifted = plain.but(x=plain.x + np.array([1e6, -1e5, 0.0, 3.0]))
    expected, result = solve("newton", plain), solve("newton", shifted)
    np.testing.assert_allclose(result.w, expected.w, rtol=1e-8)
    z = plain.x @ expected.w + expected.intercept
    np.testing.assert_allclose(shifted.x @ result.w + result.intercept, z, rtol=1e-6, atol=1e-6)


def test_shifted_label_shifts_predictions_with_it() -> None:
    """Why the intercept is not penalised."""
    problem = example("mse").but(reg_param=0.5)
    low, high = solve("gram", problem), solve("gram", problem.but(y=problem.y + 1000))
    np.testing.assert_allclose(high.w, low.w, rtol=1e-9)
    assert high.intercept - low.intercept == pytest.approx(1000, rel=1e-12)


# --- few rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["gram", "newton", "proximal", "lbfgs", "sampled", "gd"])
def test_single_row(solver: str) -> None:
    problem = Problem(np.array([[1.5, -2.0]]), np.array([3.0]), np.array([0.5]), leaves=1)
    result = solve(solver, problem)
    assert result.status is Status.CONVERGED
    assert result.w.tolist() == [0.0, 0.0]
    assert result.intercept == 3.0


@pytest.mark.parametrize("solver", ["gram", "newton", "proximal", "lbfgs", "sampled", "gd"])
@pytest.mark.parametrize("value", [0.0, 5.0, -1e-3])
def test_constant_label(solver: str, value: float) -> None:
    problem = example("mse").but(y=np.full(80, value), reg_param=0.01)
    result = solve(solver, problem)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.w, 0.0, atol=1e-15)
    assert result.intercept == pytest.approx(value, abs=1e-15)


def test_two_rows_are_a_line() -> None:
    problem = Problem(np.array([[1.0], [3.0]]), np.array([2.0, 8.0]), np.ones(2), leaves=2)
    result = solve("gram", problem)
    assert result.w[0] == pytest.approx(3.0, rel=1e-14)
    assert result.intercept == pytest.approx(-1.0, rel=1e-13)


@pytest.mark.parametrize("solver", ["gram", "newton", "proximal", "lbfgs", "sampled"])
def test_empty_leaves_change_nothing(solver: str) -> None:
    problem = example("mse").but(reg_param=0.05, mix=0.0)
    x, y, s = problem.x, problem.y, problem.weight
    leaves = leaves_of(x, y, s, 4)
    empty = block(x[:0], y[:0], s[:0])
    spread = [(2 * i + 1, leaf) for i, (_, leaf) in enumerate(leaves)]
    mixed = sorted([*spread, *((2 * i, empty) for i in range(6))], key=lambda leaf: leaf[0])
    answers = []
    for chosen in (spread, mixed):
        dataset = LocalDataset(chosen, 4)
        summary = dataset.aggregate(Summarise(4, True))
        loss = get_loss("mse")
        canonical = strengths(
            "canonical", reg_param=0.05, elastic_net_param=0.0, loss=loss, summary=summary,
            fit_intercept=True, standardization=True,
        )  # fmt: skip
        answers.append(
            minimise(SOLVERS[solver](), Objective(dataset, loss, summary, canonical, True))
        )
    np.testing.assert_allclose(answers[0].w, answers[1].w, rtol=1e-12)
    expected = value_at(problem, *reference_answer(problem))
    assert answers[1].evaluation.objective == pytest.approx(expected, rel=1e-10)


def test_all_features_constant() -> None:
    problem = example("mse").but(x=np.full((80, 3), 2.5))
    for solver in ("gram", "newton", "proximal", "lbfgs", "sampled", "gd"):
        result = solve(solver, problem)
        assert result.status is Status.CONVERGED
        assert result.w.tolist() == [0.0] * 3
        assert result.intercept == pytest.approx(problem.y.mean())


# --- refusals and stops -------------------------------------------------------------------------


def test_refusals_name_the_solver_and_the_way_out() -> None:
    kinked = objective_of(example("bxe").but(reg_param=0.1, mix=0.5))
    with pytest.raises(InputError, match=r"solver newton needs a penalty without an L1 part.*auto"):
        minimise(SOLVERS["newton"](), kinked)
    with pytest.raises(InputError, match="solver gram needs a quadratic loss, not bxe"):
        minimise(SOLVERS["gram"](), kinked)


@pytest.mark.parametrize("solver", ["proximal", "lbfgs", "newton"])
def test_max_iter_says_how_far_it_came(solver: str) -> None:
    result = solve(solver, example("bxe").but(reg_param=0.01), max_iter=1)
    assert result.status is Status.MAX_ITER
    assert result.n_iter == 1
    assert "max_iter = 1" in result.message
    assert "above tol" in result.message


def test_one_more_iteration_than_needed_is_not_taken() -> None:
    problem = example("bxe").but(reg_param=0.01)
    needed = solve("newton", problem)
    exact = solve("newton", problem, max_iter=needed.n_iter)
    assert exact.status is Status.CONVERGED
    short = solve("newton", problem, max_iter=needed.n_iter - 1)
    assert short.status is Status.MAX_ITER


@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled", "gram"])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_unreachable_tolerance_ends_without_looping(solver: str, loss: str) -> None:
    if solver == "gram" and loss == "bxe":
        return
    result = solve(solver, example(loss).but(reg_param=0.01), tol=1e-300)
    assert result.status in (Status.MAX_ITER, Status.CONVERGED)
    assert result.n_iter < 100
    assert result.evaluation.residual < 1e-7


def test_status_is_the_word_in_the_file() -> None:
    words = {str(status) for status in Status}
    assert words == {"converged", "max_iter", "diverged", "separated"}


@pytest.mark.parametrize(
    ("seed", "solver"),
    list(itertools.product(range(8), ["newton", "proximal", "lbfgs", "sampled"])),
)
def test_unpenalised_random_data_is_right_or_says_so(seed: int, solver: str) -> None:
    """Small noisy data sets: some separate, some do not; no answer may claim what is not so."""
    rng = np.random.default_rng(700 + seed)
    x = rng.normal(size=(15, 2))
    y = (x[:, 0] + rng.normal(size=15) > 0).astype(float)
    y[:2] = [0, 1]
    problem = classifier(x, y)
    result = solve(solver, problem, max_iter=500)
    far = np.abs(scipy_answer(problem)[0]).max() > 300
    assert result.status is (Status.SEPARATED if far else Status.CONVERGED)


@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled"])
def test_rare_levels_are_never_certified(solver: str) -> None:
    """A 0/1 feature whose ones all have one label: the proof's rho tends to exactly 1 there."""
    seen = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        level = (rng.random(30) < 0.2).astype(float)
        z = rng.normal(size=30)
        y = (rng.random(30) < 1 / (1 + np.exp(-z))).astype(float)
        y[level == 1] = 1.0
        overlap = y[level == 0]
        if not level.any() or overlap.min() == overlap.max():
            continue
        model = train(np.column_stack([level, z]), y, loss="bxe", solver=solver)
        assert model.status != "converged", seed
        seen += model.status == "separated"
    assert seen > 30


@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
def test_a_first_order_solver_that_runs_out_of_iterations_says_separated(solver: str) -> None:
    x = np.array([[-2.0], [-1.0], [0.0], [0.0], [1.0], [2.0]])
    y = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    model = train(x, y, loss="bxe", solver=solver, max_iter=4)
    assert (model.status, model.n_iter) == ("separated", 4)
    mixed = train(x, 1 - np.roll(y, 2), loss="bxe", solver=solver, max_iter=1, tol=1e-14)
    assert mixed.status == "max_iter"


@pytest.mark.parametrize("minority", [0.0, 1.0])
@pytest.mark.parametrize("share", [1e-6, 1e-12, 1e-18])
@pytest.mark.parametrize("loss", ["bxe", "squared_hinge", "hinge"])
def test_a_class_of_next_to_no_weight_keeps_its_digits(
    loss: str, share: float, minority: float
) -> None:
    """The label's mean would round its share to 0: F of 4e-16 beside a proof of 6e-30."""
    plain = example("bxe")
    weight = np.where(plain.y == minority, share, 1.0)
    problem = plain.but(loss=loss, weight=weight)
    objective = objective_of(problem)
    start = start_at(objective, None, 1)
    p = float(weight[plain.y == 1].sum() / weight.sum())
    q = float(weight[plain.y == 0].sum() / weight.sum())
    b, value = {
        "bxe": (np.log(p) - np.log(q), min(p, q) * (1 - np.log(min(p, q)))),
        "squared_hinge": (p - q, 4 * p * q),
        "hinge": (np.sign(p - q), 2 * min(p, q)),
    }[loss]
    assert start.theta[-1] == pytest.approx(b, rel=1e-9)
    assert start.loss == pytest.approx(value, rel=2 * share + 1e-9)
    slopes = get_loss(loss).derivative(plain.y, np.full((80, 1), start.theta[-1]))[:, 0]
    at_rows = weight / weight.sum() * slopes
    x = (plain.x - (weight / weight.sum()) @ plain.x) * objective.coordinates.unit
    size = float((np.abs(x).T @ np.abs(at_rows)).max())
    np.testing.assert_allclose(start.loss_gradient[:-1], x.T @ at_rows, rtol=0, atol=1e-8 * size)


@pytest.mark.parametrize("minority", [0.0, 1.0])
@pytest.mark.parametrize("share", [1e-6, 1e-15, 1e-18, 1e-24])
def test_a_class_of_next_to_no_weight_has_no_false_proof(share: float, minority: float) -> None:
    plain = example("bxe")
    weight = np.where(plain.y == minority, share, 1.0)
    problem = plain.but(loss="squared_hinge", weight=weight, reg_param=1e-3)
    result = solve("newton", problem)
    null = 4 * share * float((plain.y == minority).sum() / (plain.y != minority).sum())
    assert result.evaluation.objective <= null * (1 + 1e-9)
    if result.suboptimality_bound is not None:  # F is not negative
        assert result.suboptimality_bound <= null


@pytest.mark.parametrize("size", [1e6, 1e9, 1e11, 1e13])
@pytest.mark.parametrize("name", ["auto", "lbfgs", "sampled"])
def test_a_far_row_in_several_columns_ends_no_fit_early(name: str, size: float) -> None:
    """It makes them collinear, and while it is being fitted the other rows hardly bend the loss."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    y = (2 * x @ rng.normal(size=3) + rng.logistic(size=30) > 0).astype(float)
    given: dict[str, Any] = {"loss": "bxe", "reg_param": 1e-3, "standardization": False}
    given["convention"] = "canonical"
    others = train(x[1:], y[1:], **given)
    w, b = np.asarray(others.weights), float(others.intercept)
    # the far row is on the right side of the others' model already
    x[0], y[0] = size, float(w.sum() > 0)
    z = x @ w + b
    known = np.mean(np.logaddexp(0.0, z) - y * z) + 0.5e-3 * w @ w
    model = train(x, y, solver=name, **given)
    assert model.suboptimality_bound is None or (
        model.objective - known <= model.suboptimality_bound
    )
    assert model.status != "converged" or model.objective <= known + 1e-9


@pytest.mark.parametrize("loss", ["bxe", "squared_hinge"])
def test_a_row_that_holds_the_others_does_not_pass_for_an_optimum(loss: str) -> None:
    """Far in several features, it lets slopes of the others vanish beside its own size."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(24, 3))
        y = (x @ rng.normal(size=3) + rng.logistic(size=24) > 0).astype(float)
        y[:2] = 0, 1
        near, far = x.copy(), x.copy()
        near[5, :2], far[5, :2] = 1e3, 10.0 ** rng.uniform(8, 14)
        least = train(near, y, loss=loss, max_iter=500)
        found = train(far, y, loss=loss, max_iter=500)
        if found.status == "converged":
            assert found.objective <= least.objective * 1.01, seed
        if loss == "squared_hinge" and found.optimality_residual <= found.tol:
            assert least.status == "converged"
            assert "no proof of an optimum" in found.message


def test_an_indicator_that_is_seldom_1_holds_nothing() -> None:
    """It has all of a column's variance in one row, too, but the others have none to hide."""
    problem = example("bxe", m=400).but(reg_param=0.1)
    seldom, far = problem.x.copy(), problem.x.copy()
    seldom[:, 0] = np.arange(400) == 7
    far[7, 0] = 1e6
    assert not _held(objective_of(problem.but(x=seldom)))
    assert _held(objective_of(problem.but(x=far)))
