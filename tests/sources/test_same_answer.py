"""One problem through every source: the same coefficients."""

import decimal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from tests.sources.helpers import (
    NAMES,
    Array,
    Problem,
    problem,
    write_csv,
    write_libsvm,
    write_parquet,
)
from w261reg import Model, train

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

GIVEN = problem()
Make = Callable[[Path], Any]


def answer(model: Model) -> Array:
    return np.append(model.weights, model.intercept)


def fit(data: Any, label: Any = "label") -> Array:
    model = train(data, label=label, loss="mse", reg_param=0.02)
    assert model.status == "converged"
    assert model.rows == len(GIVEN.y)
    return answer(model)


REFERENCE = fit(GIVEN.frame)


def assert_same(got: Array) -> None:
    np.testing.assert_allclose(got, REFERENCE, rtol=0, atol=1e-12 * np.abs(REFERENCE).max())


# --- in this process ----------------------------------------------------------------------------


def test_reference_is_the_normal_equation() -> None:
    x, y = GIVEN.x - GIVEN.x.mean(axis=0), GIVEN.y - GIVEN.y.mean()
    m = len(y)
    ridge = 0.02 / y.std() * np.diag(GIVEN.x.var(axis=0))
    w = np.linalg.solve(x.T @ x / m + ridge, x.T @ y / m)
    assert_same(np.append(w, GIVEN.y.mean() - GIVEN.x.mean(axis=0) @ w))


@pytest.mark.parametrize(
    "x",
    [GIVEN.x, GIVEN.x.tolist(), sparse.csr_array(GIVEN.x), sparse.csc_matrix(GIVEN.x)],
    ids=["numpy", "lists", "csr_array", "csc_matrix"],
)
def test_matrices(x: Any) -> None:
    assert_same(fit(x, GIVEN.y))


def test_arrow_table() -> None:
    assert_same(fit(pa.Table.from_pandas(GIVEN.frame)))


# --- paths, on Spark ----------------------------------------------------------------------------


def parquet_of_row_groups(folder: Path) -> Path:
    return write_parquet(folder / "t.parquet", GIVEN.frame, row_group_size=25)


def parquet_of_decimals(folder: Path) -> Path:
    columns: dict[str, Any] = {
        name: pa.array([decimal.Decimal(f"{v:.3f}") for v in GIVEN.x[:, j]], pa.decimal128(12, 3))
        for j, name in enumerate(NAMES)
    }
    columns["label"] = pa.array(GIVEN.y == 1)
    return write_parquet(folder / "decimals", pa.table(columns))


def parquet_of_lists(folder: Path) -> Path:
    table = pa.table({"v": pa.array(GIVEN.x.tolist()), "label": GIVEN.y.astype(int)})
    return write_parquet(folder / "lists.parquet", table)


def parquet_by_label(folder: Path) -> Path:
    for value in (0.0, 1.0):
        part = folder / "table" / f"label={value:g}"
        part.mkdir(parents=True)
        write_parquet(part / "0.parquet", GIVEN.frame[GIVEN.y == value].drop(columns="label"))
    return folder / "table"


def csv_in_parts(folder: Path) -> Path:
    (folder / "parts").mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(GIVEN.y)), 3)):
        write_csv(folder / "parts" / f"{number}.csv", GIVEN.frame.iloc[rows])
    return folder / "parts"


def csv_compressed(folder: Path) -> Path:
    return write_csv(folder / "t.csv.gz", GIVEN.frame)


def libsvm(folder: Path) -> Path:
    return write_libsvm(folder / "t.libsvm", GIVEN)


@pytest.mark.spark
@pytest.mark.parametrize(
    "make",
    [
        parquet_of_row_groups,
        parquet_of_decimals,
        parquet_of_lists,
        parquet_by_label,
        csv_in_parts,
        csv_compressed,
        libsvm,
    ],
    ids=lambda make: make.__name__,
)
def test_paths(spark: "SparkSession", tmp_path: Path, make: Make) -> None:
    assert_same(fit(make(tmp_path)))


@pytest.mark.spark
def test_a_csv_cut_in_many_spans(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w261reg.sources.text.TEXT_LEAF_BYTES", 200)
    assert_same(fit(write_csv(tmp_path / "t.csv", GIVEN.frame)))


@pytest.mark.spark
@pytest.mark.parametrize("form", ["dense", "sparse", "mixed"])
def test_vectors_saved_by_spark(spark: "SparkSession", tmp_path: Path, form: str) -> None:
    path = str(tmp_path / "saved")
    vector_frame(spark, GIVEN, form).repartitionByRange(3, "row").drop("row").write.parquet(path)
    assert_same(fit(path))


# --- Spark DataFrames ---------------------------------------------------------------------------


def vector_frame(spark: "SparkSession", given: Problem, form: str) -> "DataFrame":
    """Columns v (vectors of this form), label and row."""
    from pyspark.ml.linalg import Vectors

    def vector(number: int, row: Array) -> Any:
        if form == "dense" or (form == "mixed" and number % 3):
            return Vectors.dense(row.tolist())
        at = np.flatnonzero(row)
        return Vectors.sparse(len(row), at.tolist(), row[at].tolist())

    rows = [
        (vector(i, row), label, i)
        for i, (row, label) in enumerate(zip(given.x, given.y.tolist(), strict=True))
    ]
    return spark.createDataFrame(rows, ["v", "label", "row"])


@pytest.mark.spark
@pytest.mark.parametrize("form", ["dense", "sparse", "mixed"])
def test_frame_of_vectors(spark: "SparkSession", form: str) -> None:
    model = train(
        vector_frame(spark, GIVEN, form), label="label", features="v", loss="mse", reg_param=0.02
    )
    assert_same(answer(model))
    assert model.feature_names == ("v_0", "v_1", "v_2", "v_3")


@pytest.mark.spark
def test_frame_of_columns_with_odd_names(spark: "SparkSession") -> None:
    names = ["a.b", "two words", "tick`ed", "ünï,code"]
    frame = GIVEN.frame.set_axis([*names, "the label."], axis=1)
    model = train(spark.createDataFrame(frame), label="the label.", loss="mse", reg_param=0.02)
    assert_same(answer(model))
    assert list(model.coefficients.index) == names
    predicted = model.predict(spark.createDataFrame(frame)).toPandas()
    np.testing.assert_allclose(
        predicted["prediction"], GIVEN.x @ model.weights + model.intercept, rtol=0, atol=1e-13
    )
    assert list(predicted) == [*names, "the label.", "prediction"]


@pytest.mark.spark
@pytest.mark.parametrize("kind", ["array<double>", "array<float>", "array<decimal(12,3)>"])
def test_frame_of_arrays(spark: "SparkSession", kind: str) -> None:
    x = GIVEN.x if kind != "array<float>" else np.round(GIVEN.x * 8) / 8  # exact in float32
    rows = [(row.tolist(), label) for row, label in zip(x, GIVEN.y.tolist(), strict=True)]
    frame = spark.createDataFrame(rows, ["v", "label"]).selectExpr(f"cast(v as {kind}) v", "label")
    local = train(x, GIVEN.y, loss="mse", reg_param=0.02)
    model = train(frame, label="label", loss="mse", reg_param=0.02)
    np.testing.assert_allclose(answer(model), answer(local), rtol=0, atol=1e-12)


@pytest.mark.spark
def test_frame_of_other_numbers(spark: "SparkSession") -> None:
    frame = spark.createDataFrame(GIVEN.frame).selectExpr(
        "cast(x1 as decimal(12,3)) x1", "x2", "x3", "x4", "label = 1 as label"
    )
    assert_same(fit(frame))


@pytest.mark.spark
def test_assembled_vectors_keep_their_names(spark: "SparkSession") -> None:
    from pyspark.ml.feature import VectorAssembler

    frame = VectorAssembler(inputCols=list(NAMES), outputCol="v").transform(
        spark.createDataFrame(GIVEN.frame)
    )
    model = train(frame, label="label", features=["v"], loss="mse", reg_param=0.02)
    assert model.feature_names == NAMES
    assert_same(answer(model))
