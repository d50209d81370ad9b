"""`auto` goes on with another solver where the first does not converge."""

import math
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tests.problems import Problem, example, objective_of
from w261reg import train
from w261reg.solvers import SOLVERS, Iteration, Status
from w261reg.solvers.choose import Choice, Estimate
from w261reg.solvers.relay import _iterations_to, relay

Array = NDArray[np.float64]


def wide(rows: int, n: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, n))
    return x, (x[:, :3].sum(axis=1) + rng.logistic(size=rows) > 0).astype(float)


def run(first: str, others: dict[str, Estimate], max_iter: int = 100, **changes: Any) -> Any:
    """What a relay of these solvers finds on a small problem, and what its monitor saw."""
    choice = Choice(first, "told so", {first: Estimate(3, 0.1), **others})
    objective = objective_of(example("bxe").but(**changes))
    seen: list[Iteration] = []
    result, last = relay(
        choice,
        lambda name: SOLVERS[name](max_iter, 1e-9),
        objective,
        None,
        seen.append,
        time.perf_counter(),
    )
    return result, last, seen, objective.dataset.passes


# --- what users ask for -------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "n"), [(62, 500), (8, 12), (30, 12)])
def test_more_features_than_rows_and_l1(rows: int, n: int) -> None:
    x, y = wide(rows, n)
    model = train(x, y, loss="bxe", reg_param=0.02, elastic_net_param=1.0)
    assert (model.status, model.solver) == ("converged", "proximal")
    assert model.n_passes <= 10


def test_one_that_no_estimate_saves_is_taken_over() -> None:
    """A Hessian of 2,000 features looks dear, and no first-order solver gets there."""
    x, y = wide(72, 2000)
    alone = train(x, y, loss="bxe", reg_param=0.02, elastic_net_param=1.0, solver="lbfgs")
    assert alone.status == "max_iter"
    model = train(x, y, loss="bxe", reg_param=0.02, elastic_net_param=1.0)
    assert (model.status, model.solver) == ("converged", "proximal")
    assert model.why_solver.startswith("lbfgs did not converge in ")
    assert model.n_iter <= 100
    assert [line.iteration for line in model.history] == list(range(model.n_iter + 1))
    assert model.objective < alone.objective


def test_ten_classes_of_digits() -> None:
    digits = load_digits()
    model = train(digits.data, digits.target, loss="cxe", reg_param=0.001, elastic_net_param=1.0)
    assert model.status == "converged"
    assert model.n_passes <= 12
    assert model.suboptimality_bound is not None
    assert model.suboptimality_bound < 1e-12


def test_a_constant_feature_changes_no_solver() -> None:
    x, y = wide(14, 5)
    plain = train(x, y, loss="bxe", reg_param=0.01)
    more = train(np.column_stack([x, np.full(14, 3.7)]), y, loss="bxe", reg_param=0.01)
    assert plain.solver == more.solver == "newton"
    assert plain.n_passes == more.n_passes


@pytest.mark.parametrize("seed", range(12))
def test_auto_converges_where_a_candidate_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, n = int(rng.integers(6, 80)), int(rng.integers(2, 120))
    x = rng.normal(size=(rows, n)) * np.exp(rng.normal(size=n))
    y = (x @ rng.normal(size=n) + rng.logistic(size=rows) > 0).astype(float)
    y[:2] = 0, 1
    options: dict[str, Any] = {
        "loss": "bxe",
        "reg_param": 10.0 ** rng.uniform(-3, -1),
        "elastic_net_param": float(rng.integers(0, 3)) / 2,
    }
    model = train(x, y, **options)
    assert model.status == "converged"
    for solver in model.solver_estimates:
        other = train(x, y, **options, solver=solver)
        if other.status == "converged":
            assert model.objective <= other.objective * (1 + 1e-9)


# --- the relay itself ---------------------------------------------------------------------------


def test_a_slow_solver_hands_over_its_point() -> None:
    result, choice, seen, passes = run("gd", {"newton": Estimate(6, 1e-3)}, reg_param=1e-4)
    assert (result.status, choice.solver) == (Status.CONVERGED, "newton")
    assert choice.why.startswith("gd did not converge in ")
    assert choice.why.endswith("(told so)")
    history = result.history
    assert [line.iteration for line in history] == list(range(result.n_iter + 1))
    assert [line.iteration for line in seen] == list(range(result.n_iter + 1))
    counts = [line.passes for line in history]
    assert (np.diff(counts) >= 0).all()
    assert counts[-1] == passes
    objectives = [line.objective for line in history]
    assert (np.diff(objectives) <= 1e-15).all()
    assert 8 < result.n_iter < 50


def test_a_fast_solver_keeps_the_problem() -> None:
    result, choice, _, _ = run("newton", {"lbfgs": Estimate(1, 1e-9)}, reg_param=0.01)
    assert (result.status, choice.solver, choice.why) == (Status.CONVERGED, "newton", "told so")


def test_a_dear_candidate_waits_until_iterations_run_out() -> None:
    dear = {"newton": Estimate(6, 1e6)}
    result, choice, _, _ = run("gd", dear, max_iter=60, reg_param=1e-4)
    assert (result.status, choice.solver) == (Status.CONVERGED, "newton")
    assert 60 - 2 * 6 < result.n_iter <= 60


def test_the_iterations_of_all_are_bounded() -> None:
    for most in (0, 1, 2, 5, 9):
        others = {"sampled": Estimate(12, 1e-3), "newton": Estimate(6, 1e-3)}
        result, _, _, _ = run("gd", others, max_iter=most, reg_param=1e-4)
        assert result.n_iter <= most


def test_without_candidates_one_solver_runs_to_its_end() -> None:
    result, choice, _, _ = run("gd", {}, max_iter=20, reg_param=1e-4)
    assert (result.status, result.n_iter, choice.solver) == (Status.MAX_ITER, 20, "gd")


def test_data_that_separates_is_told_by_the_one_that_takes_over() -> None:
    problem: Problem = example("bxe")
    y = (problem.x[:, 0] > np.median(problem.x[:, 0])).astype(float)
    result, choice, _, _ = run("gd", {"newton": Estimate(6, 1e-3)}, y=y)
    assert (result.status, choice.solver) == (Status.SEPARATED, "newton")


@pytest.mark.parametrize(
    ("residuals", "wanted"),
    [
        ([1.0] * 5, 0.0),  # too few to tell
        ([10.0**-k for k in range(9)], 1.0),  # one more iteration for one more digit
        ([1.0] * 20, math.inf),
        ([1e-3] * 10 + [1e-2] * 10, math.inf),
        ([1.0] * 9 + [1e-9], 0.0),
    ],
)
def test_the_rate_of_the_last_iterations(residuals: list[float], wanted: float) -> None:
    assert _iterations_to(1e-9, residuals) == pytest.approx(wanted)
