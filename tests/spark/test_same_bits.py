"""However the work is cut, the same bits."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.spark.helpers import (
    bits,
    everything,
    fit_on,
    leaves_of,
    model_bits,
    settings_of,
    table,
    write_dense,
    write_sparse,
)
from w261reg import train
from w261reg.blocks import DenseBlock, SparseBlock
from w261reg.datasets import LocalDataset
from w261reg.sources import Columns, open_path
from w261reg.sources.packing import frame_dataset, local_dataset, spark_dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
WRITE = {"dense": write_dense, "csr": write_sparse}
KIND = {"dense": DenseBlock, "csr": SparseBlock}


@pytest.fixture(autouse=True)
def _small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves are planned on the driver: to make them small there is enough."""
    monkeypatch.setattr("w261reg.sources.parquet.leaf_rows", lambda width: 16)
    monkeypatch.setattr("w261reg.sources.text.TEXT_LEAF_BYTES", 900)


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_every_pass(spark: "SparkSession", tmp_path: Path, form: str) -> None:
    path = WRITE[form](tmp_path, True)
    _, columns = settings_of(path, loss="bxe")
    source = open_path(str(path))
    local = local_dataset(source, columns)
    assert len(local.leaves) > 16
    assert all(isinstance(block, KIND[form]) for _, block in local.leaves)
    wanted = bits(local.aggregate(everything(5)))
    for tasks, depth in [(1, 1), (2, None), (7, 1), (7, 2), (7, 3)]:
        dataset = spark_dataset(spark.sparkContext, source, columns, tasks, aggregation_depth=depth)
        assert bits(dataset.aggregate(everything(5))) == wanted, (tasks, depth)
        dataset.release()


def test_the_bits_depend_on_the_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests around this one are known to be able to fail."""
    path = write_dense(tmp_path, True)
    _, columns = settings_of(path, loss="bxe")
    fine = local_dataset(open_path(str(path)), columns).aggregate(everything(5))
    monkeypatch.setattr("w261reg.sources.parquet.leaf_rows", lambda width: 64)
    coarse = local_dataset(open_path(str(path)), columns).aggregate(everything(5))
    assert bits(fine) != bits(coarse)
    np.testing.assert_allclose(fine[2].hessian, coarse[2].hessian, rtol=1e-12)


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize(
    ("loss", "solver", "mix"),
    [("mse", "gram", 0.0), ("mse", "gram", 0.7), ("bxe", "newton", 0.0), ("bxe", "proximal", 0.7),
     ("bxe", "lbfgs", 0.0), ("hinge", "pegasos", 0.0), ("squared_hinge", "newton", 0.0)],
)  # fmt: skip
def test_every_solver(
    spark: "SparkSession", tmp_path: Path, form: str, loss: str, solver: str, mix: float
) -> None:
    path = WRITE[form](tmp_path, loss != "mse")
    settings, columns = settings_of(
        path, loss=loss, solver=solver, reg_param=0.02, elastic_net_param=mix
    )
    source = open_path(str(path))
    wanted = fit_on(local_dataset(source, columns), settings, columns)
    assert wanted.status == "converged"
    # one cut each: that all cuts agree is tested pass by pass
    tasks, depth = (7, 2) if (form, solver) in (("dense", "newton"), ("csr", "gram")) else (2, 1)
    dataset = spark_dataset(spark.sparkContext, source, columns, tasks, aggregation_depth=depth)
    assert model_bits(fit_on(dataset, settings, columns)) == model_bits(wanted)


@pytest.mark.parametrize("collect", [0, 2**26])
@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize(("solver", "loss"), [("sgd", "bxe"), ("adam", "mse"), ("nesterov", "bxe")])
def test_mini_batches(
    spark: "SparkSession", tmp_path: Path, solver: str, loss: str, form: str, collect: int
) -> None:
    """Rows are drawn by leaf, not by task, in the executors as on the driver."""
    path = WRITE[form](tmp_path, loss == "bxe")
    settings, columns = settings_of(
        path, loss=loss, solver=solver, reg_param=0.02, batch_rows=3, seed=4, max_iter=3
    )
    source = open_path(str(path))
    wanted = fit_on(local_dataset(source, columns), settings, columns)
    assert wanted.n_iter == 3
    assert len({entry.objective for entry in wanted.history}) == 4
    for tasks in (1, 2, 7):
        dataset = spark_dataset(spark.sparkContext, source, columns, tasks, collect_bytes=collect)
        assert model_bits(fit_on(dataset, settings, columns)) == model_bits(wanted), tasks


@pytest.mark.parametrize("solver", ["gd", "momentum", "adagrad"])
def test_a_trace_from_one_pass_on_spark(spark: "SparkSession", tmp_path: Path, solver: str) -> None:
    path = write_dense(tmp_path, False)
    settings, columns = settings_of(path, loss="mse", solver=solver, step_size=0.1, max_iter=50)
    source = open_path(str(path))
    wanted = fit_on(local_dataset(source, columns), settings, columns)
    dataset = spark_dataset(spark.sparkContext, source, columns, 3)
    found = fit_on(dataset, settings, columns)
    assert model_bits(found) == model_bits(wanted)
    assert (found.n_iter, found.n_passes, dataset.passes) == (50, 1, 1)


@pytest.mark.parametrize("tasks", [1, 2, 7])
def test_rows_keep_their_order(spark: "SparkSession", tmp_path: Path, tasks: int) -> None:
    path = write_dense(tmp_path, True)
    _, columns = settings_of(path, loss="bxe")
    dataset: Any = spark_dataset(spark.sparkContext, open_path(str(path)), columns, tasks)
    leaves = leaves_of(dataset)
    dataset.release()
    assert [leaf for leaf, _ in leaves] == list(range(len(leaves)))
    x = np.vstack([block.dot(np.eye(5), np.zeros(5)) for _, block in leaves])
    np.testing.assert_array_equal(x, table()[0])


@pytest.mark.parametrize("depth", [1, 3])
def test_empty_partitions_of_a_frame(spark: "SparkSession", depth: int) -> None:
    x, y, _ = table(rows=60)
    rows = [
        (i, *row, label) for i, (row, label) in enumerate(zip(x.tolist(), y.tolist(), strict=True))
    ]
    names = [f"x{j}" for j in range(5)]
    frame = spark.createDataFrame(rows, ["row", *names, "label"])
    frame = frame.repartition(9, "row").where("row % 7 < 2")
    columns = Columns(tuple(names), tuple(names), label="label", classes=True)
    dataset: Any = frame_dataset(frame, columns, aggregation_depth=depth)
    local = LocalDataset(leaves_of(dataset), 5)
    filled = {leaf for leaf, block in local.leaves}
    assert 1 < len(filled) < dataset.tasks == 9
    got = dataset.aggregate(everything(5))
    dataset.release()
    assert got[0].rows == sum(i % 7 < 2 for i in range(60))
    assert bits(got) == bits(local.aggregate(everything(5)))


@pytest.fixture
def batch_rows(spark: "SparkSession") -> Iterator[Callable[[int], None]]:
    """Sets how many rows Spark puts into an Arrow batch."""
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(key) or ""
    yield lambda rows: spark.conf.set(key, rows)
    spark.conf.set(key, before)


@pytest.mark.parametrize("form", ["columns", "dense vectors", "sparse vectors"])
def test_a_frame_in_batches_of_any_size(
    spark: "SparkSession", batch_rows: Callable[[int], None], form: str
) -> None:
    """A notebook's session has 10,000 rows in a batch, and ours 65,536: both have these."""
    from pyspark.ml.linalg import Vectors

    from w261reg import train

    x, y, _ = table(rows=300)
    if form == "columns":
        names = [f"x{j}" for j in range(5)]
        rows: list[Any] = [(*row, own) for row, own in zip(x.tolist(), y.tolist(), strict=True)]
    else:
        names = ["features"]
        made: list[Any] = [Vectors.dense(row) for row in x]
        if form == "sparse vectors":
            made = [Vectors.sparse(5, [(j, v) for j, v in enumerate(row) if v]) for row in x]
        rows = list(zip(made, y.tolist(), strict=True))
    frame = spark.createDataFrame(rows, [*names, "label"]).coalesce(2)
    found = []
    for batch in (7, 64, 0):  # 0 is all in one
        batch_rows(batch)
        model = train(frame, "label", loss="bxe", reg_param=0.01, collect_bytes=0)
        predicted = model.predict(frame).toPandas()
        found.append([model_bits(model), bits(predicted.probability.to_numpy())])
    assert found[0] == found[1] == found[2]


def test_a_frame_of_few_rows_in_many_partitions(spark: "SparkSession") -> None:
    from w261reg import train

    frame = spark.createDataFrame([(1.0, 2.0), (2.0, 3.0), (4.0, 4.5)], ["x", "y"]).repartition(12)
    model = train(frame, label="y", loss="mse")
    slope, intercept = np.polyfit([1.0, 2.0, 4.0], [2.0, 3.0, 4.5], 1)
    np.testing.assert_allclose([model.weights[0], model.intercept], [slope, intercept], rtol=1e-13)


def test_many_scores_are_looked_at_again(spark: "SparkSession", tmp_path: Path) -> None:
    """The second pass of an AUC in tasks: exact, with rare positives and scores close together."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=70_000)
    y = (x - 5 + rng.logistic(size=len(x)) > 0).astype(float)
    frame = pd.DataFrame({"x": x, "y": y})
    frame.to_parquet(tmp_path / "t.parquet")
    given: dict[str, Any] = {"label": "y", "loss": "bxe", "reg_param": 100.0}
    far = train(str(tmp_path / "t.parquet"), **given, collect_bytes=0).metrics["train"]
    near = train(frame, **given).metrics["train"]
    assert far["auc"] == near["auc"] == pytest.approx(roc_auc_score(y, x), rel=1e-13)
    assert "auc_error" not in far
