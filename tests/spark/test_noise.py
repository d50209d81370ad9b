"""Rows of different noise on Spark: the same bits for any cut, the same answer from any source."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy import sparse

from tests.spark.helpers import bits, fit_on, model_bits
from w261reg import InputError, train
from w261reg.aggregators import GroupFactors, Several, SummariseGroups
from w261reg.config import Settings
from w261reg.model import Model
from w261reg.opening import open_training, source_columns
from w261reg.sources import Columns, array_source, open_path
from w261reg.sources.packing import local_dataset, spark_dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
Array = NDArray[np.float64]
FEATURES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w261reg.sources.parquet.leaf_rows", lambda width: 16)
    monkeypatch.setattr("w261reg.sources.text.TEXT_LEAF_BYTES", 900)


def table(noise: float = 1.0) -> pd.DataFrame:
    """Features a, b, c, half of them 0; label y; weights w; groups word, number, flag; sigma."""
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=(300, 3)), 3)
    x[rng.random(x.shape) < 0.5] = 0.0
    group = rng.integers(0, 3, 300)
    sigma = np.array([0.2, 1.0, 3.0])[group]
    y = x @ [1.0, -2.0, 0.5] + 0.3 + noise * sigma * rng.normal(size=300)
    frame = pd.DataFrame(x, columns=list(FEATURES)).assign(y=y, w=rng.integers(0, 3, 300))
    words = np.array(["low", "middle", "high"])[group]
    return frame.assign(word=words, number=10 * group - 5, flag=group > 0, sigma=sigma)


def write(folder: Path, form: str, noise: float = 1.0) -> Path:
    """Parquet of plain columns, or with the features in one vector column of CSR rows."""
    frame = table(noise)
    found = pa.Table.from_pandas(frame, preserve_index=False)
    if form == "csr":
        matrix = sparse.csr_array(frame[list(FEATURES)].to_numpy())
        vectors = array_source(matrix, None, None)[0].table["features"]
        found = found.drop_columns(list(FEATURES)).append_column("features", vectors)
    pq.write_table(found, folder / "t.parquet", row_group_size=120)
    return folder / "t.parquet"


def settings_of(path: Path, group: str, form: str) -> tuple[Settings, Columns]:
    features = ("features",) if form == "csr" else FEATURES
    given = {"label": "y", "weight": "w", "loss": "mse", "noise_group": group}
    settings = Settings.of({"data": str(path), "features": features, **given}).checked()
    source = open_path(str(path))
    columns = source_columns(source, settings)
    return settings, replace(columns, groups=tuple(sorted(table()[group].unique().tolist())))


def in_process(model: Model, frame: pd.DataFrame, **given: Any) -> None:
    """That this is the model which a table in this process gives."""
    own = {name: frame[column].to_numpy() for name, column in given.items()}
    same = train(frame[list(FEATURES)].to_numpy(), frame["y"].to_numpy(), loss="mse", **own)
    np.testing.assert_allclose(model.weights, same.weights, rtol=1e-12)
    assert model.intercept == pytest.approx(same.intercept, rel=1e-12)
    assert model.standard_errors == pytest.approx(same.standard_errors, rel=1e-12)
    theirs, metrics = same.metrics["train"], model.metrics["train"]
    for name in theirs:
        assert metrics[name] == pytest.approx(theirs[name], rel=1e-11), name
    for ours, wanted in zip(model.noise_groups or [], same.noise_groups or [], strict=True):
        assert ours == {**wanted, "sigma": pytest.approx(wanted["sigma"], rel=1e-12)}


@pytest.mark.parametrize("form", ["dense", "csr"])
def test_the_same_bits_for_any_number_of_tasks(
    spark: "SparkSession", tmp_path: Path, form: str
) -> None:
    path = write(tmp_path, form)
    settings, columns = settings_of(path, "word", form)
    source = open_path(str(path))
    local = local_dataset(source, columns)
    assert len(local.leaves) > 16
    sums = Several(SummariseGroups(3, 3), GroupFactors(3, 3, np.ones(3), np.ones(3), 0.1))
    wanted = bits(local.aggregate(sums))
    model = fit_on(local_dataset(source, columns), settings, columns)
    assert model.status == "converged"
    for tasks in (1, 2, 7):
        dataset = spark_dataset(spark.sparkContext, source, columns, tasks)
        assert bits(dataset.aggregate(sums)) == wanted, tasks
        dataset.release()
        again = spark_dataset(spark.sparkContext, source, columns, tasks)
        found = fit_on(again, settings, columns)
        assert model_bits(found) == model_bits(model), tasks
        assert bits([found.covariance, found.noise_groups]) == bits(
            [model.covariance, model.noise_groups]
        )
    known = replace(columns, group=None, groups=(), sigma="sigma")
    given = replace(settings, noise_group=None, sigma="sigma")
    one = fit_on(local_dataset(source, known), given, known)
    for tasks in (1, 7):
        dataset = spark_dataset(spark.sparkContext, source, known, tasks)
        assert model_bits(fit_on(dataset, given, known)) == model_bits(one)


@pytest.mark.parametrize("group", ["word", "number", "flag"])
@pytest.mark.parametrize("form", ["csv", "dense", "csr", "frame", "vectors"])
def test_groups_from_every_source(
    spark: "SparkSession", tmp_path: Path, form: str, group: str
) -> None:
    frame, features = table(), FEATURES if form in ("csv", "dense", "frame") else ("features",)
    data: Any
    if form == "csv":
        data = tmp_path / "t.csv"
        frame.to_csv(data, index=False)
    elif form in ("dense", "csr"):
        data = write(tmp_path, form)
    else:
        data = spark.read.parquet(str(write(tmp_path, "dense"))).repartition(3)
    if form == "vectors":
        from pyspark.ml.feature import VectorAssembler

        assembler = VectorAssembler(inputCols=list(FEATURES), outputCol="features")
        data = assembler.transform(data)
    given: dict[str, Any] = {"label": "y", "weight": "w", "features": features, "loss": "mse"}
    model = train(data, noise_group=group, **given)
    assert model.n_passes == 2
    in_process(model, frame, weight="w", noise_group=group)
    in_process(train(data, sigma="sigma", **given), frame, weight="w", sigma="sigma")


def test_further_passes_read_the_source_again(spark: "SparkSession", tmp_path: Path) -> None:
    frame = table(noise=1e-6)
    model = train(write(tmp_path, "dense", 1e-6), label="y", noise_group="number", loss="mse",
                  features=FEATURES)  # fmt: skip
    assert model.n_passes > 2
    assert model.status == "converged"
    same = train(frame, label="y", noise_group="number", loss="mse", features=FEATURES)
    assert model.n_passes == same.n_passes
    ours, theirs = ([own["sigma"] for own in m.noise_groups or []] for m in (model, same))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_groups_are_found(spark: "SparkSession", tmp_path: Path) -> None:
    path, frame = write(tmp_path, "dense"), table()
    frame.loc[frame["word"] == "low", "w"] = 0
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=120)
    used = frame[frame["w"] > 0]
    for column in ("word", "number", "flag"):
        given: dict[str, Any] = {"label": "y", "weight": "w", "loss": "mse"}
        given["noise_group"] = column
        given["features"] = FEATURES
        for data in (frame, str(path), spark.read.parquet(str(path))):
            table_given = {"data": data} if isinstance(data, str) else {}
            settings = Settings.of({**given, **table_given}).checked()
            with open_training(data, "y", "w", settings) as opened:
                assert opened.columns.groups == tuple(sorted(used[column].unique().tolist()))
                assert opened.dataset.passes == 1
    holes = spark.read.parquet(str(path)).selectExpr("*", "IF(a = 0, NULL, word) AS hole")
    empty = int((frame["a"] == 0).sum())
    with pytest.raises(InputError, match=rf"noise_group column 'hole' has {empty} null values in"):
        train(holes, label="y", loss="mse", noise_group="hole", features=FEATURES)
    filled = spark.read.parquet(str(path)).selectExpr(
        "a", "y", "IF(a = 0, NULL, word) AS word", "sqrt(a) AS e"
    )
    for asked, says in (
        ({"noise_group": "word"}, "noise_group column 'word' has .* null values in 300 rows"),
        ({"noise_group": "e"}, "noise_group column 'e' must hold text, integers or booleans"),
        ({"sigma": "e"}, "sigma column 'e' has .* non-positive values in 300 rows"),
        ({"sigma": [1.0] * 300}, "sigma must be a column's name"),
    ):
        with pytest.raises(InputError, match=says):
            train(filled, label="y", loss="mse", features=("a",), **asked)
