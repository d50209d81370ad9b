"""A file system that pyarrow cannot open, and Spark can."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.sources.helpers import L2, problem, write_csv, write_parquet
from w261reg import opening, train
from w261reg.errors import ComputeError, InputError, Unreachable
from w261reg.sources.paths import find, reachable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GIVEN = problem()


@pytest.fixture
def mounted(spark: "SparkSession", tmp_path: Path) -> Iterator[str]:
    """tmp_path under a scheme that needs Hadoop's classes."""
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    name = f"t{uuid.uuid4().hex}"  # Hadoop keeps a file system by its name
    key = f"fs.viewfs.mounttable.{name}.link./d"
    hadoop.set(key, f"file://{tmp_path}")
    yield f"viewfs://{name}/d"
    hadoop.unset(key)


@pytest.mark.spark
@pytest.mark.parametrize("collect", [0, 2**26])
def test_spark_reads_what_pyarrow_cannot(
    mounted: str, tmp_path: Path, collect: int, caplog: pytest.LogCaptureFixture
) -> None:
    write_parquet(tmp_path / "t.parquet", GIVEN.frame)
    with pytest.raises(Unreachable):
        find(f"{mounted}/t.parquet")
    with caplog.at_level("INFO", logger="w261reg"):
        model = train(f"{mounted}/t.parquet", label="label", collect_bytes=collect, **L2)
    lines = [line for line in caplog.messages if line.endswith("; reading it with Spark")]
    assert len(lines) == 1
    assert f"data {mounted}/t.parquet cannot be read: " in lines[0]
    assert "\n" not in lines[0]
    local = train(GIVEN.frame, label="label", **L2)
    assert model.status == "converged"
    assert model.weights == pytest.approx(local.weights, rel=1e-9)
    assert model.feature_names == local.feature_names


@pytest.mark.spark
def test_a_folder_of_files_too(mounted: str, tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    write_parquet(tmp_path / "table" / "1.parquet", GIVEN.frame[:70])
    write_parquet(tmp_path / "table" / "2.parquet", GIVEN.frame[70:])
    model = train(f"{mounted}/table", label="label", **L2)
    assert model.rows == len(GIVEN.y)


@pytest.mark.spark
def test_text_that_pyarrow_cannot_reach_is_refused(mounted: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", GIVEN.frame)
    with pytest.raises(InputError, match=r"t\.csv cannot be read") as caught:
        train(f"{mounted}/t.csv", label="label", **L2)
    assert "\n" not in str(caught.value)


@pytest.mark.spark
def test_what_spark_cannot_read_either_is_one_line(mounted: str) -> None:
    with pytest.raises((InputError, ComputeError)) as caught:
        train(f"{mounted}/nothing.parquet", label="label", **L2)
    assert "\n" not in str(caught.value)
    assert "nothing.parquet" in str(caught.value)
    assert "py4j" not in str(caught.value)


def test_reachable_says_why_not(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", GIVEN.frame)
    files = find(str(path))
    assert reachable(files) == ""
    path.unlink()
    assert "t.parquet" in reachable(files)
    assert "\n" not in reachable(files)


class Elsewhere:
    """A context whose executors are other machines, for those who ask for its master."""

    master = "spark://elsewhere:7077"

    def __init__(self, context: Any) -> None:
        self.context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)


@pytest.mark.spark
@pytest.mark.parametrize("there", [True, False])
def test_tasks_try_whether_they_reach_the_table(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    files = find(str(write_parquet(tmp_path / "t.parquet", GIVEN.frame)))
    if not there:
        files = replace(files, paths=(str(tmp_path / "other.parquet"),))
    monkeypatch.setattr(opening, "find", lambda _: files)
    why = opening._out_of_reach(Elsewhere(spark.sparkContext), "gs://b/t.parquet")  # type: ignore[arg-type]
    assert ("other.parquet" in why) != there
    assert why.startswith("the executors cannot open gs://b/t.parquet: ") != there
    assert "\n" not in why
