"""Fixtures of the command line's tests."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.helpers import Run, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def run(spark: "SparkSession", capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line on the tests' session."""
    return Run(capsys)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results without a report, which takes longer than the rest together."""
    monkeypatch.setattr("w261reg.report.write_report", lambda folder: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The table of helpers.table as CSV, in a folder of its own."""
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "t.csv"
    table().to_csv(path, index=False)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A result folder that is not there, in a folder that is and is empty."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "r"
