"""Real tables out of their sources, and what Spark sees."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from w261reg import train
from w261reg.benchmark import run as run_module
from w261reg.benchmark.problems import PROBLEMS
from w261reg.benchmark.reading import read_matrix
from w261reg.benchmark.scoring import posed
from w261reg.benchmark.tables import TABLES, Making
from w261reg.errors import ComputeError, InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_every_problem_has_its_table() -> None:
    assert {problem.table for problem in PROBLEMS.values()} == set(TABLES)


@pytest.mark.spark
def test_spark_sees_vectors(spark: "SparkSession", sparse: Path) -> None:
    from pyspark.ml.linalg import SparseVector, VectorUDT

    frame = spark.read.parquet(str(sparse))
    assert isinstance(frame.schema["features"].dataType, VectorUDT)
    row = frame.first()
    assert row is not None
    assert isinstance(row["features"], SparseVector)
    assert row["features"].size == 30
    model = train(str(sparse), "y01", features=("features",), loss="bxe", reg_param=0.1)
    assert (model.status, len(model.weights)) == ("converged", 30)


def test_a9a(tmp_path: Path) -> None:
    source = tmp_path / "a9a"
    source.write_text("-1 3:1 11:1 123:1 \n+1 1:1 5:0.5\n-1 2:1\n")
    making = Making(sources=(("a9a", str(source)),))
    path = TABLES["a9a"]().make(tmp_path / "data", making)
    problem, _ = posed(PROBLEMS["a9a-l2"], path)
    x, y = read_matrix(problem)
    assert x.shape == (3, 123)
    assert sorted(zip(*(part.tolist() for part in x.nonzero()), strict=True)) == [
        (0, 2), (0, 10), (0, 122), (1, 0), (1, 4), (2, 1),
    ]  # fmt: skip
    assert x.toarray()[1, 4] == 0.5
    assert y.tolist() == [0.0, 1.0, 0.0]


def test_three_million_flights(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime(["2001-01-01 08:00", "2001-02-06 09:30", "2001-01-02 08:10"]),
            "delay": [5, -3, 11],
            "distance": [100, 250, 400],
            "origin": ["ATL", "BOS", "ATL"],
            "destination": ["SFO", "JFK", "ORD"],
        }
    )
    frame.to_parquet(tmp_path / "flights.parquet")
    making = Making(sources=(("flights3m", str(tmp_path / "flights.parquet")),))
    problem, _ = posed(
        PROBLEMS["flights3m-ridge"], TABLES["flights3m"]().make(tmp_path / "data", making)
    )
    x, y = read_matrix(problem)
    # distance | month 2 | Tuesday | 9 h | BOS | ORD SFO: January, Monday, 8 h, ATL, JFK are zero
    expected = [[100, 0, 0, 0, 0, 0, 1], [250, 1, 1, 1, 1, 0, 0], [400, 0, 1, 0, 0, 1, 0]]
    np.testing.assert_array_equal(x.toarray(), expected)
    assert y.tolist() == [5.0, -3.0, 11.0]


def test_a_table_is_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = TABLES["dense"]()
    monkeypatch.setattr(type(table), "size", (200, 3))
    path = table.make(tmp_path, Making())
    before = path.stat().st_mtime_ns
    assert table.make(tmp_path, Making()).stat().st_mtime_ns == before
    assert table.make(tmp_path, Making(seed=1)) != path

    def fails(path: Path, making: Making) -> None:
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(table, "write", fails)
    with pytest.raises(OSError, match="disk full"):
        table.make(tmp_path, Making(seed=2))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_table_without_source_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from w261reg.benchmark.plan import plan_of

    plan = plan_of(str(tmp_path / "out"), {"problems": "a9a-l2", "engines": "sklearn"})
    logging.getLogger("w261reg").propagate = True
    with caplog.at_level("INFO", "w261reg"), pytest.raises(ComputeError, match="no problem"):
        run_module.run(plan, tmp_path / "out")
    assert "a9a-l2 is left out: no path was given: --a9a" in caplog.text


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    making = Making(sources=(("a9a", str(tmp_path / "none")),))
    with pytest.raises(InputError, match="a9a must be a file"):
        TABLES["a9a"]().missing(making)
