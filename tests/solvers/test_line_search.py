"""Steps that are refused: what rides along with the first saves a pass, and changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.problems import example, objective_of
from w261reg.objective import Objective
from w261reg.solvers import SOLVERS, FirstPass, FitResult, minimise
from w261reg.solvers import line_search as line_search_module
from w261reg.solvers.line_search import TRIALS, Ray, search

Array = NDArray[np.float64]


def far(mix: float = 0.0) -> tuple[Objective, Array]:
    """An objective, and a theta from which Newton's full step overshoots."""
    objective = objective_of(example("bxe").but(reg_param=1e-4, mix=mix))
    return objective, np.full(objective.p, 8.0)


def ray_of(objective: Objective, direction: float, order: int, doubtful: bool) -> Ray:
    """Along the negative gradient, `direction` times as far as the gradient is long."""
    start = objective.evaluate(np.full(objective.p, 0.5), 2)
    g = start.gradient
    return Ray(
        start=start,
        point=lambda t: start.theta - t * direction * g,
        change=lambda theta: float(g @ (theta - start.theta)),
        first=1.0,
        order=order,
        label="step",
        doubtful=doubtful,
    )


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("length", [2.0**7, 2.0**10])
def test_values_that_rode_along_save_a_pass(order: int, length: float) -> None:
    found = []
    for doubtful in (False, True):
        objective, _ = far()
        ray = ray_of(objective, length, order, doubtful)
        before = objective.dataset.passes
        answer = search(objective, ray)
        assert answer is not None
        after, step = answer
        found.append((objective.dataset.passes - before, after, step))
    (passes, plain, step), (fewer, doubted, same_step) = found
    assert step == same_step < 1.0
    assert plain.theta.tobytes() == doubted.theta.tobytes()
    assert plain.gradient.tobytes() == doubted.gradient.tobytes()
    assert plain.objective == doubted.objective
    assert (passes, fewer) == ((3, 2) if step in TRIALS[0] else (4, 3))


def test_both_rows_of_trials_are_met() -> None:
    """So that the cases of the test above are what they say."""
    steps = []
    for length in (2.0**7, 2.0**10):
        objective, _ = far()
        answer = search(objective, ray_of(objective, length, 1, False))
        assert answer is not None
        steps.append(answer[1])
    assert steps[0] in TRIALS[0]
    assert steps[1] in TRIALS[1]


def test_a_step_that_is_taken_costs_one_pass_doubtful_or_not() -> None:
    for doubtful in (False, True):
        objective, _ = far()
        ray = ray_of(objective, 0.5, 1, doubtful)
        before = objective.dataset.passes
        answer = search(objective, ray)
        assert answer is not None
        assert answer[1] == 1.0
        assert objective.dataset.passes == before + 1


def run(change: Callable[[Ray], Ray], solver: str, monkeypatch: Any) -> tuple[FitResult, int]:
    """A fit from far away, with each of its rays changed."""
    true = line_search_module.search
    module = {"newton": "second_order", "proximal": "second_order"}.get(solver, solver)
    with monkeypatch.context() as patched:
        patched.setattr(
            f"w261reg.solvers.{module}.search", lambda objective, ray: true(objective, change(ray))
        )
        objective, theta = far(mix=0.5 if solver == "proximal" else 0.0)
        result = minimise(SOLVERS[solver](max_iter=500), objective, theta)
        return result, objective.dataset.passes


@pytest.mark.parametrize("solver", ["newton", "proximal", "lbfgs", "sampled"])
def test_the_iterates_do_not_depend_on_what_rides_along(
    solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rays: list[Ray] = []

    def seen(ray: Ray) -> Ray:
        rays.append(ray)
        return ray

    own, passes = run(seen, solver, monkeypatch)
    never, most = run(lambda ray: replace(ray, doubtful=False), solver, monkeypatch)
    always, least = run(lambda ray: replace(ray, doubtful=True), solver, monkeypatch)
    for other in (never, always):
        assert other.status == own.status == "converged"
        assert other.w.tobytes() == own.w.tobytes()
        assert [entry.objective for entry in other.history] == [
            entry.objective for entry in own.history
        ]
    assert least <= passes <= most
    assert least < most
    assert any(ray.doubtful for ray in rays)
    assert not all(ray.doubtful for ray in rays)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_what_rides_along_is_what_its_own_pass_would_find(loss: str, order: int) -> None:
    objective = objective_of(example(loss, weighted=True).but(reg_param=0.1, mix=0.5), every=2)
    rng = np.random.default_rng(3)
    theta, beside = rng.normal(size=objective.p), rng.normal(size=(objective.p, 6))
    alone = objective.evaluate(theta, order)
    sampled = objective.evaluate(theta, 1, sampled=True).sampled
    before = objective.dataset.passes
    both = objective.evaluate(theta, order, "step", beside, sampled=True)
    assert objective.dataset.passes == before + 1
    assert both.objective == alone.objective
    assert both.gradient.tobytes() == alone.gradient.tobytes()
    assert (both.hessian is None) == (order == 1)
    assert both.beside is not None
    assert both.beside.tobytes() == objective.values(beside).tobytes()
    assert both.sampled is not None
    assert sampled is not None
    assert both.sampled.tobytes() == sampled.tobytes()


def test_a_sample_of_all_rows_estimates_the_hessian_and_no_less() -> None:
    """Beside the part that is added for the small sample."""
    objective = objective_of(example("bxe", m=4000).but(reg_param=0.1), FirstPass.SAMPLE, every=1)
    theta = np.linspace(-1, 1, objective.p)
    found = objective.evaluate(theta, 2, sampled=True)
    assert found.sampled is not None
    assert found.hessian is not None
    extra = found.sampled - found.hessian
    assert np.linalg.eigvalsh(extra)[0] >= -1e-15
    assert np.linalg.norm(extra) < 0.01 * np.linalg.norm(found.hessian)
