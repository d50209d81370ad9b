"""Passes are what costs: each is counted, and each solver takes as few as it claims."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.checks import DESCENTS
from tests.problems import example, objective_of
from w261reg.solvers import SOLVERS, FirstPass, FitResult, Iteration, minimise


def solve(solver: str, loss: str, **changes: Any) -> tuple[FitResult, int, list[Iteration]]:
    """The result, the dataset's passes, and what the monitor saw."""
    seen: list[Iteration] = []
    kind = SOLVERS[solver]
    objective = objective_of(example(loss).but(**changes), kind.first_pass)
    result = minimise(kind(), objective, monitor=seen.append)
    return result, objective.dataset.passes, seen


CASES = [
    (solver, loss, mix)
    for solver, kind in sorted(SOLVERS.items())
    for loss in ("mse", "bxe")
    for mix in (0.0, 0.5)
    if not (kind.quadratic_only and loss != "mse")
    and not kind.kinked_only
    and not (kind.smooth_only and mix)
]


@pytest.mark.parametrize(("solver", "loss", "mix"), CASES)
def test_history(solver: str, loss: str, mix: float) -> None:
    result, passes, seen = solve(solver, loss, reg_param=0.05, mix=mix)
    history = result.history
    # what is proven of the answer may cost a pass after the last step
    assert [*history[:-1], replace(history[-1], passes=seen[-1].passes)] == seen
    assert seen[-1].passes <= history[-1].passes <= seen[-1].passes + 1
    assert [entry.iteration for entry in history] == list(range(result.n_iter + 1))
    counts = [entry.passes for entry in history]
    assert counts[0] >= 1
    assert (np.diff(counts) >= 0).all()
    assert counts[-1] == passes
    seconds = [entry.seconds for entry in history]
    assert (np.diff(seconds) >= 0).all()
    assert np.isnan(history[0].step)
    assert all(entry.step > 0 for entry in history[1:]) or solver in ("gd", "lbfgs")
    assert history[-1].objective == result.evaluation.objective
    assert history[-1].residual == result.evaluation.residual
    if not (solver in DESCENTS and mix):
        assert history[-1].objective <= history[0].objective


@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled"])
def test_passes_of_proofs_are_counted_too(solver: str) -> None:
    """Without a penalty some solvers take a pass or two more to prove that an optimum exists."""
    wide = example("bxe").x[:, [0, 1, 2, 3, 0]]
    for x in (example("bxe").x, wide):
        result, passes, _ = solve(solver, "bxe", x=x)
        assert result.status == "converged"
        assert result.history[-1].passes == passes


def test_passes_of_a_step_not_taken_are_counted_too() -> None:
    objective = objective_of(example("mse"), FirstPass.MOMENTS)
    result = minimise(SOLVERS["gd"](step_size=1e300), objective)  # type: ignore[call-arg]
    assert result.status == "diverged"
    assert result.history[-1].passes == objective.dataset.passes


@pytest.mark.parametrize("mix", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("strength", [0.0, 0.1])
@pytest.mark.parametrize("intercept", [True, False])
def test_gram_takes_one_pass(intercept: bool, strength: float, mix: float) -> None:
    result, passes, _ = solve("gram", "mse", reg_param=strength, mix=mix, fit_intercept=intercept)
    assert passes == 1
    assert result.n_iter == 1
    assert result.evaluation.residual < 1e-12


@pytest.mark.parametrize("strength", [0.0, 0.1])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("solver", ["newton", "proximal"])
def test_second_order_takes_a_pass_an_iteration(
    solver: str, intercept: bool, strength: float
) -> None:
    """And the first pass, which packs, is also the start: n_passes = n_iter + 1."""
    result, passes, _ = solve(solver, "bxe", reg_param=strength, fit_intercept=intercept)
    assert passes == result.n_iter + 1
    assert [entry.passes for entry in result.history] == list(range(1, passes + 1))
    assert result.n_iter <= 8


def test_newton_on_squared_error_is_one_step() -> None:
    result, _, _ = solve("newton", "mse", reg_param=0.1)
    assert result.n_iter == 1


def test_newton_converges_quadratically() -> None:
    result, _, _ = solve("newton", "bxe", reg_param=0.01)
    residuals = [entry.residual for entry in result.history]
    for before, after in pairwise(residuals[1:]):
        assert after < max(10 * before**2, 1e-14)


def test_start_of_lbfgs_and_gd_costs_no_pass() -> None:
    for solver in ("lbfgs", "gd", "sampled"):
        result, _, _ = solve(solver, "bxe", reg_param=0.1)
        assert result.history[0].passes == 1


def test_few_iterations_for_lbfgs() -> None:
    result, passes, _ = solve("lbfgs", "bxe", reg_param=0.05)
    assert result.n_iter < 40
    assert passes < 2 * result.n_iter


def test_linesearch_tries_all_lengths_in_one_pass() -> None:
    """From far away Newton's full step overshoots: one pass for it, one for 30, one to evaluate."""
    objective = objective_of(example("bxe").but(reg_param=1e-4))
    start = np.full(objective.p, 8.0)
    result = minimise(SOLVERS["newton"](), objective, start)
    assert result.status == "converged"
    counts = np.diff([entry.passes for entry in result.history])
    assert set(counts.tolist()) <= {1, 3}
    assert 3 in counts
    values = [entry.objective for entry in result.history]
    assert (np.diff(values) <= 0).all()
