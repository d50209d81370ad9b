"""What `auto` takes: the solver of least estimated cost."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from w261reg import load, train
from w261reg.blocks import Census, DenseBlock
from w261reg.datasets import LocalDataset
from w261reg.losses import get_loss
from w261reg.solvers import SOLVERS
from w261reg.solvers.choose import (
    LEAST_SAMPLE,
    MAX_HESSIAN_FEATURES,
    SAMPLE_PER_FEATURE,
    Size,
    choose,
)

MSE, BXE = get_loss("mse"), get_loss("bxe")


def dense(rows: int, n: int, cores: int = 2, overhead: float = 0.1) -> Size:
    return Size(rows, n, n, cores, overhead)


@pytest.mark.parametrize(
    ("loss", "size", "kinked", "wanted"),
    [
        ("mse", dense(100, 10), False, "gram"),
        ("mse", dense(100, 10), True, "gram"),
        ("mse", dense(200_000, 1000), False, "gram"),
        ("mse", dense(200_000, 1000), True, "gram"),
        ("bxe", dense(100, 10), False, "newton"),
        ("bxe", dense(100, 10), True, "proximal"),
        ("bxe", dense(10**6, 50), False, "newton"),
        ("bxe", dense(10**6, 50), True, "proximal"),
        ("bxe", dense(10**6, 50, cores=1), False, "newton"),
        ("bxe", dense(200_000, 1000), False, "sampled"),
        ("bxe", dense(200_000, 1000), True, "sampled"),
        ("bxe", Size(10**6, 10**5, 40, 2, 0.1), False, "lbfgs"),
        ("bxe", Size(10**6, 10**5, 40, 2, 0.1), True, "lbfgs"),
        ("mse", Size(10**6, 10**5, 40, 2, 0.1), False, "lbfgs"),
        ("bxe", dense(100, MAX_HESSIAN_FEATURES + 1), False, "lbfgs"),
        ("mse", dense(10**6, MAX_HESSIAN_FEATURES + 1), True, "lbfgs"),
    ],
)
def test_choices_for_typical_sizes(loss: str, size: Size, kinked: bool, wanted: str) -> None:
    choice = choose(get_loss(loss), size, kinked, None)
    assert choice.solver == wanted
    best = choice.estimates[wanted]
    assert all(best.seconds <= other.seconds for other in choice.estimates.values())
    assert f"{best.passes} pass" in choice.why or len(choice.estimates) == 1
    for other in set(choice.estimates) - {wanted}:
        assert other in choice.why
    SOLVERS[wanted].check(get_loss(loss), kinked)


@pytest.mark.parametrize(("kinked", "wanted"), [(False, "newton"), (True, "proximal")])
@pytest.mark.parametrize("shape", [(8, 12), (62, 500), (14, 6), (2000, 60)])
def test_tables_in_this_process_take_solvers_that_prove(
    kinked: bool, wanted: str, shape: tuple[int, int]
) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    dataset = LocalDataset([(0, DenseBlock.of(x, x[:, 0], np.ones(len(x)), Census()))], shape[1])
    assert dataset.overhead > 0
    assert not dataset.travels
    size = Size(*shape, shape[1], 1, dataset.overhead, dataset.travels)
    choice = choose(BXE, size, kinked, None)
    assert choice.solver == wanted


def test_a_proof_is_worth_a_second() -> None:
    size = Size(72, 2000, 2000, 1, 1e-3, travels=False)
    choice = choose(BXE, size, False, None)
    assert choice.solver == "newton"
    assert choice.why.startswith("its answer comes with a proof: 6 passes ")
    assert choice.estimates["lbfgs"].seconds < choice.estimates["newton"].seconds
    dear = choose(BXE, replace(size, rows=200_000), False, None)
    assert dear.solver != "newton"


def test_a_step_size_is_for_gradient_descent() -> None:
    for loss, kinked in itertools.product((MSE, BXE), (False, True)):
        choice = choose(loss, dense(100, 10), kinked, 0.1)
        assert (choice.solver, choice.estimates) == ("gd", {})
        assert "step size" in choice.why


def test_above_the_largest_hessian_the_reason_is_said() -> None:
    choice = choose(BXE, dense(100, 5000), False, None)
    assert list(choice.estimates) == ["lbfgs"]
    assert "Hessian of 5,000 features is too large (over 4,096)" in choice.why


SIZES = [
    Size(rows, n, entries, cores, overhead)
    for rows in (1, 1000, 10**6)
    for n, entries in ((1, 1), (50, 50), (1000, 1000), (1000, 10), (4096, 1.5), (10**5, 40))
    for cores in (1, 16)
    for overhead in (0.0, 0.1)
]


@pytest.mark.parametrize("kinked", [False, True])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_every_candidate_takes_the_problem_and_costs_something(loss: str, kinked: bool) -> None:
    for size in SIZES:
        choice = choose(get_loss(loss), size, kinked, None)
        assert choice.solver in choice.estimates
        for name, estimate in choice.estimates.items():
            SOLVERS[name].check(get_loss(loss), kinked)
            assert estimate.passes >= 1
            assert np.isfinite(estimate.seconds)
            assert estimate.seconds > 0
            if SOLVERS[name].first_pass.value != "moments":
                assert size.features <= MAX_HESSIAN_FEATURES


@pytest.mark.parametrize("kinked", [False, True])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_more_rows_cost_more_and_more_cores_less_work(loss: str, kinked: bool) -> None:
    for size in SIZES:
        here = choose(get_loss(loss), size, kinked, None).estimates
        # tenfold, so that a sample's rounding does not matter
        more = choose(get_loss(loss), replace(size, rows=10 * size.rows), kinked, None).estimates
        slow = replace(size, overhead=size.overhead + 1.0)
        later = choose(get_loss(loss), slow, kinked, None).estimates
        for name, estimate in here.items():
            assert more[name].seconds > estimate.seconds
            assert more[name].passes == estimate.passes
            assert later[name].seconds == pytest.approx(estimate.seconds + estimate.passes)


def test_the_choice_for_more_features_goes_one_way() -> None:
    """From full Hessians over sampled ones to none, never back."""
    rank = {"newton": 0, "sampled": 1, "lbfgs": 2}
    for rows, cores in itertools.product((10**4, 10**6), (1, 16)):
        found = [
            rank[choose(BXE, dense(rows, n, cores), False, None).solver]
            for n in (2, 10, 50, 100, 200, 500, 1000, 2000, 4096, 4097, 10**4)
        ]
        assert found == sorted(found)
        assert found[0] == 0
        assert found[-1] == 2


@pytest.mark.parametrize("n", [1, 50, 1000, 4096])
@pytest.mark.parametrize("rows", [0, 1, 100, 20_000, 10**6, 10**9])
def test_the_sample_has_enough_rows_or_all(rows: int, n: int) -> None:
    every = dense(rows, n).every
    wanted = max(LEAST_SAMPLE, SAMPLE_PER_FEATURE * n)
    assert every >= 1
    assert rows // every >= min(rows, wanted)
    if every > 1:
        assert rows / every < 2 * wanted


def test_estimates_are_in_the_model_its_file_and_the_log(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = (x[:, 0] + rng.normal(size=200) > 0).astype(float)
    with caplog.at_level("INFO", logger="w261reg"):
        model = train(x, y, loss="bxe", reg_param=0.1)
    assert model.solver == "newton"
    assert set(model.solver_estimates) == {"newton", "sampled", "lbfgs"}
    for estimate in model.solver_estimates.values():
        assert estimate["passes"] >= 1
        assert estimate["seconds"] > 0
    assert model.why_solver.startswith("least estimated cost: 6 passes ")
    assert "sampled 12 passes" in model.why_solver
    assert f"solver newton: {model.why_solver}" in caplog.messages
    folder = tmp_path_factory.mktemp("model") / "m"
    model.save(folder)
    again = load(folder)
    assert again.solver_estimates == model.solver_estimates
    assert again.why_solver == model.why_solver


def test_a_users_choice_has_no_estimates() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    model = train(x, x[:, 0] * 2, loss="mse", solver="newton", reg_param=0.1)
    assert (model.solver_estimates, model.why_solver) == ({}, "the user's choice")
