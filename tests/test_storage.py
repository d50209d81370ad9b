"""float32 storage: half the room, the same computations, and what it cost is told."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy import sparse

from tests.problems import Problem, value_at
from w261reg import Model, load, train
from w261reg.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Array = NDArray[np.float64]
FIT = {"reg_param": 0.03, "elastic_net_param": 0.3}


def random_problem(loss: str, seed: int, m: int = 300, n: int = 6) -> Problem:
    """Features of several scales that change sign, so that none has an origin; weights."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, n)) * 10.0 ** rng.uniform(-3, 3, n)
    z = (x / x.std(axis=0)) @ rng.normal(size=n) + 0.3
    y = z + rng.normal(size=m)
    if loss == "bxe":
        y = (z + rng.logistic(size=m) > 0).astype(float)
    return Problem(x, y, rng.uniform(0.1, 3, m), loss)


def rounded(x: Array) -> Array:
    return x.astype(np.float32).astype(np.float64)


def answer(model: Model) -> Any:
    history = [(entry.objective, entry.residual, entry.passes) for entry in model.history]
    return model.weights.tobytes(), model.intercept, model.metrics, history


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_the_fit_is_that_of_the_rounded_features(loss: str, as_sparse: bool) -> None:
    problem = random_problem(loss, 1)
    x = problem.x.copy()
    if as_sparse:
        x[np.random.default_rng(2).random(x.shape) < 0.6] = 0.0
    form: Any = sparse.csr_array if as_sparse else np.asarray
    narrow = train(form(x), problem.y, weight=problem.weight, loss=loss, storage="float32", **FIT)
    wide = train(form(rounded(x)), problem.y, weight=problem.weight, loss=loss, **FIT)
    exact = train(form(x), problem.y, weight=problem.weight, loss=loss, **FIT)
    assert answer(narrow) == answer(wide)
    assert answer(narrow) != answer(exact)
    assert (narrow.storage, wide.storage) == ("float32", "float64")
    assert narrow.storage_bound is not None
    assert narrow.storage_bound > 0
    assert wide.storage_bound is None


@pytest.mark.parametrize("standardization", [False, True])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_what_it_cost_is_within_the_bound(loss: str, standardization: bool) -> None:
    for seed in range(12):
        problem = random_problem(loss, seed, m=60).but(
            reg_param=0.02, mix=0.4, standardization=standardization
        )
        model = train(
            problem.x,
            problem.y,
            weight=problem.weight,
            loss=loss,
            convention="canonical",
            standardization=standardization,
            reg_param=0.02,
            elastic_net_param=0.4,
            storage="float32",
        )
        moved = abs(value_at(problem, model.weights, model.intercept) - model.objective)
        assert model.storage_bound is not None
        assert 0 < moved <= model.storage_bound
        assert model.storage_bound < 1e-5 * (1 + model.objective)


def test_the_bound_counts_the_penalty_that_moves_with_the_features(tmp_path: Path) -> None:
    """A penalty of weights times standard deviations is of the rounded features, too."""
    rng = np.random.default_rng(4)
    x = 0.1 * rng.integers(-1, 2, (200, 1)).astype(float)  # 0.1 is rounded the same way in each row
    problem = Problem(x, 20 * x[:, 0] + 1e-3 * rng.normal(size=200), np.ones(200), reg_param=50.0)
    train(x, problem.y, loss="mse").save(tmp_path / "free")
    model = train(
        x,
        problem.y,
        loss="mse",
        convention="canonical",
        standardization=True,
        reg_param=50.0,
        solver="newton",
        warm_start=tmp_path / "free",
        max_iter=0,
        storage="float32",
    )
    moved = abs(value_at(problem, model.weights, model.intercept) - model.objective)
    assert model.storage_bound is not None
    assert moved <= model.storage_bound


def test_an_origin_keeps_more_digits_than_float32_has() -> None:
    """Years and time stamps: what is rounded is the distance from their origin."""
    rng = np.random.default_rng(3)
    x = 1.7e9 + rng.integers(0, 10**6, (400, 1)).astype(float)
    y = 1e-6 * (x[:, 0] - 1.7e9) + rng.normal(size=400)
    narrow = train(x, y, loss="mse", storage="float32")
    wide = train(x, y, loss="mse")
    assert answer(narrow) == answer(wide)  # distances below 2^24 are whole numbers of float32
    assert narrow.storage_bound == 0.0


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_float32_cannot_hold_is_refused(sign: float, as_sparse: bool) -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    form: Any = sparse.csr_array if as_sparse else np.asarray
    for size, fits in ((3.4e38, True), (3.5e38, False), (1e300, False)):
        x[7, 1] = sign * size
        if fits:
            train(form(x), x[:, 0], loss="mse", reg_param=0.1, storage="float32")
            continue
        with pytest.raises(InputError) as caught:
            train(form(x), x[:, 0], loss="mse", reg_param=0.1, storage="float32")
        assert "storage float32 holds numbers up to 3.4e+38: a feature has more" in str(
            caught.value
        )
        assert "\n" not in str(caught.value)


def test_only_what_there_is_can_be_asked_for() -> None:
    for storage in ("float16", "int8", ""):
        with pytest.raises(InputError, match="storage"):
            train(np.ones((3, 1)), [1.0, 2.0, 3.0], loss="mse", storage=storage)


def test_the_model_remembers_and_older_ones_load(tmp_path: Path) -> None:
    problem = random_problem("bxe", 3)
    model = train(problem.x, problem.y, loss="bxe", reg_param=0.1, storage="float32")
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert (again.storage, again.storage_bound) == ("float32", model.storage_bound)
    document = json.loads((tmp_path / "m" / "model.json").read_text())
    assert document["storage"] == "float32"
    assert document["storage_bound"] == model.storage_bound
    for name in ("storage", "storage_bound", "solver_estimates"):
        del document[name]
    (tmp_path / "old.json").write_text(json.dumps(document))
    old = load(tmp_path / "old.json")
    assert (old.storage, old.storage_bound, old.solver_estimates) == ("float64", None, {})
    assert old.weights.tobytes() == model.weights.tobytes()
    # as far as models of float64 tell it
    plain = train(problem.x, problem.y, loss="bxe", reg_param=0.1)
    assert (plain.storage, plain.storage_bound) == ("float64", None)


@pytest.mark.spark
@pytest.mark.parametrize("collect", [0, 2**26])
@pytest.mark.parametrize("form", ["columns", "vectors"])
def test_on_spark(
    spark: "SparkSession", tmp_path: Path, collect: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w261reg.sources.parquet.leaf_rows", lambda width: 64)
    problem = random_problem("bxe", 5)

    def fitted(x: Array, name: str, **more: Any) -> Model:
        columns: dict[str, Any] = {f"x{j}": x[:, j] for j in range(6)}
        if form == "vectors":
            columns = {"v": pa.array(x.tolist())}
        pq.write_table(pa.table({**columns, "y": problem.y}), tmp_path / name, row_group_size=100)
        path = str(tmp_path / name)
        return train(path, label="y", loss="bxe", collect_bytes=collect, **FIT, **more)

    narrow = fitted(problem.x, "raw.parquet", storage="float32")
    wide = fitted(rounded(problem.x), "rounded.parquet")
    assert answer(narrow) == answer(wide)
    assert narrow.storage == "float32"
    assert narrow.storage_bound is not None
    assert narrow.storage_bound > 0


@pytest.mark.spark
def test_a_frame_on_spark(spark: "SparkSession") -> None:
    problem = random_problem("mse", 6, m=60, n=2)

    def fitted(x: Array, **more: Any) -> Model:
        rows = [(*row, y) for row, y in zip(x.tolist(), problem.y.tolist(), strict=True)]
        frame = spark.createDataFrame(rows, ["a", "b", "y"]).coalesce(1)
        return train(frame, label="y", loss="mse", **FIT, **more)

    assert answer(fitted(problem.x, storage="float32")) == answer(fitted(rounded(problem.x)))
    bad = problem.x.copy()
    bad[3, 0] = 1e39
    with pytest.raises(InputError, match=r"holds numbers up to 3\.4e\+38"):
        fitted(bad, storage="float32")
