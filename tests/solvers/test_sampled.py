"""Quasi-Newton from a sampled Hessian: the optimum of the others, whatever the sample was."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.problems import Problem, example, objective_of, reference_minimum, value_at
from w261reg.solvers import SOLVERS, FirstPass, FitResult, Status, minimise
from w261reg.solvers.choose import MAX_HESSIAN_FEATURES

Array = NDArray[np.float64]
PENALTY = {"none": (0.0, 0.0), "l2": (0.02, 0.0), "l1": (0.05, 1.0), "en": (0.05, 0.5)}


def solve(name: str, problem: Problem, every: int = 1, **options: Any) -> tuple[FitResult, int]:
    """The result, and the dataset's passes."""
    kind = SOLVERS[name]
    objective = objective_of(problem, kind.first_pass, every=every)
    result = minimise(kind(max_iter=500), objective, **options)
    return result, objective.dataset.passes


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("penalty", sorted(PENALTY))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_the_optimum_is_that_of_the_others(loss: str, penalty: str, as_sparse: bool) -> None:
    """To 1e-9 relative in objective, from one row in ten."""
    strength, mix = PENALTY[penalty]
    problem = example(loss, m=600, n=12, weighted=True).but(
        reg_param=strength, mix=mix, sparse=as_sparse
    )
    result, _ = solve("sampled", problem, every=10)
    assert result.status is Status.CONVERGED, result.message
    found = value_at(problem, result.w, result.intercept)
    others = {"mse": ["gram", "proximal", "lbfgs"], "bxe": ["proximal", "lbfgs"]}[loss]
    for name in [*others, *(["newton"] if mix == 0 else [])]:
        other, _ = solve(name, problem)
        assert other.status is Status.CONVERGED
        assert abs(value_at(problem, other.w, other.intercept) - found) <= 1e-9 * found
        np.testing.assert_array_equal(result.w == 0, other.w == 0)


@pytest.mark.parametrize("mix", [0.0, 1.0])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("every", [1, 20, 150, 10**6])
def test_a_sample_smaller_than_the_features(every: int, loss: str, mix: float) -> None:
    problem = example(loss, m=600, n=20).but(reg_param=0.03, mix=mix)
    result, _ = solve("sampled", problem, every=every)
    assert result.status is Status.CONVERGED, result.message
    found = value_at(problem, result.w, result.intercept)
    assert found == pytest.approx(reference_minimum(problem), rel=1e-10)


@pytest.mark.parametrize("penalty", sorted(PENALTY))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_features_without_spread_in_the_sample(loss: str, penalty: str) -> None:
    """A level so rare that no sampled row has it."""
    strength, mix = PENALTY[penalty]
    base = example(loss, m=900, n=4)
    rare = np.zeros((900, 2))
    rare[[3, 400, 401, 777, 800, 801, 890], 0] = 1.0
    rare[[5, 17, 402, 600, 602], 1] = 2.0
    y = base.y.copy()
    if loss == "bxe":  # both classes on each level, or there is no optimum without a penalty
        y[[3, 400, 777]], y[[401, 800]] = 1.0, 0.0
        y[[5, 17]], y[[402, 600]] = 1.0, 0.0
    problem = base.but(x=np.hstack([base.x, rare]), y=y, reg_param=strength, mix=mix)
    objective = objective_of(problem, FirstPass.SAMPLE, every=50)
    assert objective.sample is not None
    assert (objective.sample.sd()[4:6] == 0).any()
    result = minimise(SOLVERS["sampled"](max_iter=500), objective)
    assert result.status is Status.CONVERGED, result.message
    found = value_at(problem, result.w, result.intercept)
    assert found == pytest.approx(reference_minimum(problem), rel=1e-9)


@pytest.mark.parametrize("mix", [0.0, 0.7])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_a_warm_start(loss: str, mix: float) -> None:
    problem = example(loss, m=400, n=8).but(reg_param=0.05, mix=mix)
    cold, _ = solve("sampled", problem, every=5)
    kind = SOLVERS["sampled"]
    near = objective_of(problem.but(reg_param=0.055), FirstPass.MOMENTS, every=5)
    theta = near.coordinates.theta(cold.w, cold.intercept)
    warm = minimise(kind(), near, theta)
    assert warm.status is Status.CONVERGED
    alone, _ = solve("sampled", problem.but(reg_param=0.055), every=5)
    np.testing.assert_allclose(warm.w, alone.w, rtol=1e-6, atol=1e-9)
    again = minimise(kind(), objective_of(problem, FirstPass.MOMENTS, every=5), theta)
    assert again.n_iter == 0
    far = np.random.default_rng(5).normal(size=near.p) * 4
    back = minimise(kind(max_iter=500), objective_of(problem, FirstPass.MOMENTS, every=5), far)
    assert back.status is Status.CONVERGED
    np.testing.assert_allclose(back.w, cold.w, rtol=1e-6, atol=1e-8)


def test_separated_data_is_told_and_not_fitted() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 3))
    y = (x @ [1.0, -2.0, 0.5] > 0.1).astype(float)
    result, _ = solve("sampled", Problem(x, y, np.ones(200), "bxe"), every=4)
    assert result.status is Status.SEPARATED


def test_convergence_without_a_penalty_is_proven() -> None:
    result, passes = solve("sampled", example("bxe", m=400, n=5), every=4)
    assert result.status is Status.CONVERGED
    assert result.evaluation.hessian is not None  # the proof's
    assert result.history[-1].passes == passes


def test_no_proof_means_no_convergence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w261reg.solvers.loop.MAX_HESSIAN_FEATURES", 3)
    assert MAX_HESSIAN_FEATURES > 3
    result, _ = solve("sampled", example("bxe", m=400, n=5), every=4)
    assert result.status is Status.MAX_ITER
    assert "proof" in result.message


def test_a_sample_saves_passes_over_gradients_alone() -> None:
    """On correlated features, as a good Hessian does."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(2000, 30)) @ (rng.normal(size=(30, 30)) + 2)
    y = (x @ rng.normal(size=30) / 60 + rng.logistic(size=2000) > 0).astype(float)
    problem = Problem(x, y, np.ones(2000), "bxe", reg_param=1e-3)
    _, sampled = solve("sampled", problem, every=4)
    _, alone = solve("lbfgs", problem)
    assert sampled < alone / 2


def test_the_start_and_its_model_cost_the_first_pass_only() -> None:
    result, _ = solve("sampled", example("bxe", m=400, n=5).but(reg_param=0.1), every=4)
    assert [entry.passes for entry in result.history] == list(range(1, result.n_iter + 2))


def test_the_same_bits_on_one_leaf_order_and_twice() -> None:
    problem = example("bxe", m=400, n=5).but(reg_param=0.01, leaves=7)
    (one, _), (two, _) = (solve("sampled", problem, every=4) for _ in range(2))
    assert one.w.tobytes() == two.w.tobytes()
    other, _ = solve("sampled", problem, every=5)
    assert one.w.tobytes() != other.w.tobytes()  # the sample matters, within the tolerance
    np.testing.assert_allclose(other.w, one.w, rtol=1e-6)
