"""Partition folders have the names, types and values that Spark's own reader gives them."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow as pa
import pytest

from tests.sources.helpers import problem, write_parquet
from w261reg import train
from w261reg.sources import open_path

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
# two values of each key, as the folders are called
VALUES = [
    ("1", "2"), ("007", "1"), ("true", "false"), ("TRUE", "1"), ("1", "2.5"), ("1e3", "2"),
    ("2020-01-01", "1999-12-31"), ("2020-01-01 00:00:00", "2020-01-01 01%3A02%3A03.5"),
    ("2020-01-01 00:00:00.1234567", "2020-01-01"), ("2020-01-01", "1"),
    ("2020-13-01", "2020-01-01"),
    ("__HIVE_DEFAULT_PARTITION__", "1"), ("__HIVE_DEFAULT_PARTITION__", "a"), ("a%20b", "c%2Fd"),
    ("12%3A30 x", "a=b"), ("-0", "+5"), ("0x10", "1"), ("1f", "2d"), ("1L", "1"),
    ("NaN", "-Infinity"),
    ("inf", "1"), ("1e400", ".5"), ("9223372036854775808", "1"), ("99999999999999999999", "2.5"),
    ("3000000000", "1"), ("3000000000", "2.5"), ("null", "None"), (" 1", "2"), ("5.", "1e+2"),
    ("%E9", "%"), ("100%", "a%2520b"), ("1_000", "1"), ("1,5", "1"), ("é", "🙂"),
]  # fmt: skip
TYPES = {"int": "int32", "bigint": "int64", "double": "double", "string": "string",
         "date": "date32[day]", "timestamp": "timestamp[us]"}  # fmt: skip


def test_types_and_values(spark: "SparkSession", tmp_path: Path) -> None:
    given, root = problem(6).frame, tmp_path / "t"
    for side in (0, 1):
        # nested: every key is a level; %-escapes in keys, too
        folder = root.joinpath(*[f"k%20{j}={values[side]}" for j, values in enumerate(VALUES)])
        folder.mkdir(parents=True)
        write_parquet(folder / "part.parquet", given[3 * side : 3 * side + 3])
    frame = spark.read.parquet(str(root))
    source = open_path(str(root))
    assert source.schema.names == frame.columns
    wanted = [row.asDict() for row in frame.orderBy(*given.columns).collect()]
    read = (batch for _, batch in source.read(source.handles(4), None, []))
    found = pa.Table.from_batches(read).sort_by([(name, "ascending") for name in given]).to_pylist()
    assert len(found) == 6
    for field in frame.schema.fields[len(given.columns) :]:
        kind, name = str(source.schema.field(field.name).type), field.name
        about = (name, VALUES[int(name.removeprefix("k "))])
        if field.dataType.typeName() == "decimal":
            assert kind == "decimal128(38, 0)", about
        else:
            assert kind == TYPES[field.dataType.simpleString()], about
        assert [str(row[name]) for row in found] == [str(row[name]) for row in wanted], about


@pytest.mark.long
def test_a_model_of_a_partitioned_table(spark: "SparkSession", tmp_path: Path) -> None:
    """A partition is a feature like another, for w261reg and for Spark."""
    given = problem(40).frame
    given["x1"] = (given["x1"] > 0).astype(int)
    for (one, two), part in given.groupby([given["x1"], given["label"]]):
        folder = tmp_path / "t" / f"x1={one}" / quote(f"label={two:g}", safe="=")
        folder.mkdir(parents=True)
        write_parquet(folder / "part.parquet", part.drop(columns=["x1", "label"]))
    own = train(tmp_path / "t", "label", loss="bxe", reg_param=0.1)
    theirs = train(spark.read.parquet(str(tmp_path / "t")), "label", loss="bxe", reg_param=0.1)
    plain = train(given[["x2", "x3", "x4", "x1", "label"]], "label", loss="bxe", reg_param=0.1)
    for model in (own, theirs):
        assert model.feature_names == plain.feature_names
        assert model.weights == pytest.approx(plain.weights, rel=1e-8)
