"""The start at the optimum of a few rows: what it saves, and that it never costs the answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from tests.problems import dataset_of, example
from w261reg import Model, train
from w261reg.aggregators import Evaluate
from w261reg.datasets import LocalDataset
from w261reg.errors import InputError
from w261reg.losses import get_loss
from w261reg.sources import open_path, packing
from w261reg.sources.packing import previewing
from w261reg.sources.select import select

Array = NDArray[np.float64]
ROWS, N = 6000, 4


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows are 300 here."""
    monkeypatch.setattr(packing, "PREVIEW_ROWS", 300)


def table(seed: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, N)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 1e6, -3.0]
    score = x[:, 0] - 0.1 * x[:, 1] + rng.logistic(size=ROWS)
    return x, (score > -0.5).astype(float)


def written(folder: Path, x: Array, y: Array, group: int = 1000) -> str:
    columns = {f"x{j}": x[:, j] for j in range(x.shape[1])} | {"label": y}
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=group)
    return str(folder / "t.parquet")


def fitted(x: Array, y: Array, **options: Any) -> Model:
    given: dict[str, Any] = {"loss": "bxe", "reg_param": 0.01, "convention": "canonical"}
    return train(x, label=y, **(given | options))


def without(monkeypatch: pytest.MonkeyPatch, fit: Callable[[], Model]) -> Model:
    with monkeypatch.context() as patch:
        patch.setattr(packing, "PREVIEWED", 10**9)
        return fit()


@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"standardization": False}])
def test_same_answer_in_fewer_passes(
    monkeypatch: pytest.MonkeyPatch, mix: float, options: dict[str, bool]
) -> None:
    x, y = table()
    x[:, 2] -= 1e6 * (options != {})  # neither digits nor a condition to lose without centring

    def fit() -> Model:
        solver = "proximal" if mix else "newton"
        return fitted(x, y, elastic_net_param=mix, solver=solver, **options)

    ahead, plain = fit(), without(monkeypatch, fit)
    assert ahead.status == plain.status == "converged"
    assert ahead.history[0].objective < plain.history[0].objective
    assert ahead.n_passes < plain.n_passes
    assert ahead.objective == pytest.approx(plain.objective, rel=1e-13)
    np.testing.assert_allclose(ahead.weights, plain.weights, rtol=1e-7, atol=1e-10)
    assert (ahead.weights == 0).tolist() == (plain.weights == 0).tolist()


@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_smooth_coefficients_go_along(monkeypatch: pytest.MonkeyPatch, mix: float) -> None:
    """The few rows have the penalty of all, in its order."""
    x, y = table()
    options: dict[str, Any] = {"elastic_net_param": mix, "reg_param": 0.001}
    options |= {"smooth_param": 5.0, "smooth_order": "x4,x1"}
    start = fitted(x, y, max_iter=0, **options)
    best = fitted(x, y, **options)
    plain = without(monkeypatch, lambda: fitted(x, y, **options))
    assert best.status == plain.status == "converged"
    assert best.n_passes < plain.n_passes
    np.testing.assert_allclose(best.weights, plain.weights, rtol=1e-7, atol=1e-10)
    assert abs(start.weights[3] - start.weights[0]) < 0.2
    free = fitted(x, y, max_iter=0, elastic_net_param=mix, reg_param=0.001)
    assert abs(free.weights[3] - free.weights[0]) > 0.5


@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_squared_hinge_starts_ahead_too(monkeypatch: pytest.MonkeyPatch, mix: float) -> None:
    """Its l'' jumps, and Newton's steps end after few: no more passes, if not always fewer."""
    x, y = table()

    def fit() -> Model:
        solver = "proximal" if mix else "newton"
        return fitted(x, y, loss="squared_hinge", elastic_net_param=mix, solver=solver)

    ahead, plain = fit(), without(monkeypatch, fit)
    assert ahead.status == plain.status == "converged"
    assert ahead.history[0].objective < plain.history[0].objective
    assert ahead.n_passes <= plain.n_passes
    assert ahead.objective == pytest.approx(plain.objective, rel=1e-13)
    np.testing.assert_allclose(ahead.weights, plain.weights, rtol=1e-7, atol=1e-10)


def test_first_pass_brings_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its objective is that of its weights, and its step is Newton's."""
    x, y = table()
    with caplog.at_level("INFO", logger="w261reg"):
        start = fitted(x, y, max_iter=0)
    assert "starts at the optimum of 300 rows, read beforehand" in caplog.messages
    assert start.n_passes == 1
    z = x @ start.weights + start.intercept
    loss = float(np.mean(np.logaddexp(0, z) - y * z))
    penalty = 0.005 * float(np.sum((x.std(axis=0) * start.weights) ** 2))
    assert start.objective == pytest.approx(loss + penalty, rel=1e-10)
    one = fitted(x, y, max_iter=1)
    again = without(monkeypatch, lambda: fitted(x, y, max_iter=30))
    assert one.n_passes == 2
    assert one.objective - again.objective < 0.02 * (start.objective - again.objective)


@pytest.mark.parametrize("convention", ["sklearn", "homework", "spark", "glmnet"])
def test_strengths_are_those_of_all_rows(convention: str) -> None:
    """C and sums depend on the number of rows: 300 of 6,000 are penalised as all are."""
    x, y = table()
    strength = {"sklearn": 0.001, "homework": 100.0}.get(convention, 0.1)
    start = fitted(x, y, max_iter=0, convention=convention, reg_param=strength)
    best = fitted(x, y, convention=convention, reg_param=strength)
    assert best.status == "converged"
    null = float(np.log(2))
    assert start.objective - best.objective < 0.1 * (null - best.objective)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda x, y: (x, np.r_[np.zeros(1000), y[1000:]]), id="one class"),
        pytest.param(
            lambda x, y: (np.c_[x[:, :3], np.r_[2 * y[:1000] - 1, x[1000:, 3]]], y), id="separated"
        ),
        pytest.param(lambda x, y: (x, np.r_[1 - y[:1000], y[1000:]]), id="the other way round"),
        pytest.param(
            lambda x, y: (np.c_[x[:, :3], np.r_[np.zeros(1000), x[1000:, 3] * 1e150]], y),
            id="constant, then large",
        ),
    ],
)
def test_few_rows_that_mislead(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Array, Array], tuple[Array, Array]]
) -> None:
    x, y = spoil(*table())

    def fit() -> Model:
        return fitted(x, y, reg_param=0.0, solver="newton")

    ahead, plain = fit(), without(monkeypatch, fit)
    assert ahead.status == plain.status == "converged"
    assert ahead.objective == pytest.approx(plain.objective, rel=1e-12)
    assert ahead.n_passes <= plain.n_passes + 1


@pytest.mark.parametrize("row", [17, 5000])
def test_values_that_are_no_numbers_are_still_counted(row: int) -> None:
    x, y = table()
    x[row, 1] = np.nan
    with pytest.raises(InputError, match="has 1 NaN value in 6000 rows"):
        fitted(x, y)


def test_few_rows_are_the_first_of_a_few_row_groups(tmp_path: Path) -> None:
    x, y = table()
    source = open_path(written(tmp_path, x, y))
    columns = select(source.schema, features=None, label="label", classification=True)
    read = previewing(source, source.handles(N), columns, N)
    assert read is not None
    few = read()
    assert isinstance(few, LocalDataset)
    ones = np.ones(150)
    found = np.vstack([b.design(ones, np.zeros(N), np.ones(N)) for _, b in few.leaves])
    np.testing.assert_array_equal(found, np.r_[x[:150], x[3000:3150]])


@pytest.mark.parametrize(
    ("settings", "there"),
    [
        ({}, True),
        ({"PREVIEWED": 21}, False),  # 6,000 rows are 20 times 300
        ({"PREVIEWED": 20}, True),
        ({"PREVIEW_PER_FEATURE": 151}, False),  # 604 rows for 4 features are over a 16th
        ({"PREVIEW_BYTES": 1000}, False),  # room for 31 rows, where 4 features ask for 40
    ],
)
def test_few_rows_are_read_where_they_are_few(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, int], there: bool
) -> None:
    for name, value in settings.items():
        monkeypatch.setattr(packing, name, value)
    source = open_path(written(tmp_path, *table()))
    columns = select(source.schema, features=None, label="label", classification=True)
    assert (previewing(source, source.handles(N), columns, N) is not None) == there


@pytest.mark.parametrize("sparse", [False, True])
def test_sums_about_another_centre(sparse: bool) -> None:
    problem = example("bxe", weighted=True).but(sparse=sparse)
    n = problem.x.shape[1]
    rng = np.random.default_rng(5)
    w, old, new = rng.normal(size=(3, n))
    units, others = np.ldexp(1.0, rng.integers(-3, 4, (2, n)))
    others[1] = 0.0

    def sums(centre: Array, scale: Array) -> Any:
        intercept = np.array([0.3 + centre @ w])
        evaluate = Evaluate(get_loss("bxe"), w[:, None], intercept, centre, 2, scale)
        return dataset_of(problem).aggregate(evaluate)

    moved, wanted = sums(old, units).moved(old - new, units, others), sums(new, others)
    for name in ("value", "gradient", "intercept", "mixed", "curvature", "margin", "weight"):
        np.testing.assert_allclose(
            getattr(moved, name), getattr(wanted, name), rtol=1e-11, atol=1e-11, err_msg=name
        )
    np.testing.assert_allclose(
        np.triu(moved.hessian), np.triu(wanted.hessian), rtol=1e-11, atol=1e-11
    )
