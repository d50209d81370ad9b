"""Tables as people have them, by the command line: each option in each command that has it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.cli.helpers import Run, model_of, names_in, refused, table
from tests.sources.helpers import libsvm_line

pytestmark = pytest.mark.spark
FIT = ("--loss", "bxe", "--reg-param", "0.1")
# what a spreadsheet of another country writes: row numbers, a name that begins with a space, `?`
DIALECT = ("--format", "csv", "--delimiter", ";", "--null-values", "?,-")
FEATURES = ("--features", 'a," b"')


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """The table in that dialect, in a folder and a file whose names are globs of others."""
    frame = table().rename(columns={"b": " b"})[["a", " b", "y"]]
    frame["note"] = np.where(frame["a"] > 0, "?", "007")
    (tmp_path / "c[1]").mkdir()
    (tmp_path / "c1").mkdir()
    path = tmp_path / "c[1]" / "t?{x}*.data"
    frame.to_csv(path, sep=";")
    (1 - frame[["y"]]).assign(a=1.0, b=2.0).to_csv(tmp_path / "c1" / "tt{x}.data", sep=";")
    return path


@pytest.fixture
def plain(run: Run, no_figures: None, tmp_path: Path) -> dict[str, Any]:
    """The model of the same rows, of a plain file."""
    table()[["a", "b", "y"]].to_csv(tmp_path / "plain.csv", index=False)
    out = tmp_path / "plain"
    run("train", tmp_path / "plain.csv", "--label", "y", *FIT, "--out", out).ok()
    return model_of(out)


def test_a_dialect_in_every_command(
    run: Run, plain: dict[str, Any], odd: Path, tmp_path: Path
) -> None:
    """Also `file:` as Spark and Hadoop write it, and paths that are globs to them."""
    given = ("--label", "y", *FIT, *FEATURES, *DIALECT)
    run("train", f"file:{odd}", *given, "--out", f"file:{tmp_path}/m").ok()
    model = model_of(tmp_path / "m")
    assert model["feature_names"] == ["a", " b"]
    assert model["coefficients"] == pytest.approx(plain["coefficients"], rel=1e-12)

    run("compare", odd, *given, "--out", f"file://{tmp_path}/both").ok()
    result = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert result["max_coefficient_difference"] < 1e-4
    assert result["engines"]["pyspark.ml"]["metrics"]["rows"] == 80

    answer = run("evaluate", tmp_path / "m", f"file://{odd}", "--label", "y", *DIALECT).ok()
    assert json.loads(answer.out)["auc"] == pytest.approx(
        json.loads((tmp_path / "both" / "metrics.json").read_text())["train"]["auc"], rel=1e-12
    )

    out = tmp_path / "out[1]?.csv"
    column = ("--prediction-column", "p")
    run("predict", tmp_path / "m", odd, "--out", f"file:{out}", *column, *DIALECT).ok()
    found = pd.read_csv(out, dtype={"note": str}, keep_default_na=False)
    assert list(found.columns) == ["Unnamed: 0", "a", " b", "y", "note", "p", "p_probability"]
    assert list(found["note"]) == ["?" if a > 0 else "007" for a in table()["a"]]
    assert list((found["p_probability"] > 0.5).astype(int)) == list(found["p"])
    assert not (tmp_path / "file:").exists()


def test_what_is_said_without_the_options(run: Run, odd: Path, out: Path) -> None:
    given = ("--label", "y", *FIT, "--out", out)
    refused(run("train", odd, *given), "one column only", "';'", "delimiter")
    refused(run("train", odd, *given, "--delimiter", ";"), "'note' is not numeric", "'?' in row")
    refused(run("train", odd, *given, "--delimiter", ";;"), "delimiter must be one ASCII character")
    refused(run("train", odd, *given, "--format", "parquet"), "is not Parquet")
    libsvm = ("--label", "label", *FIT, "--out", out, "--format", "libsvm")
    refused(run("train", odd, *libsvm), "line 1 is not LIBSVM")
    refused(run("train", f"dbfs:{odd}", *given), "data dbfs:/", "is not mounted here at /dbfs")
    refused(run("train", odd, *given[:-1], "dbfs:/r"), "out dbfs:/r", "not mounted")
    refused(run("train", odd, *given[:-1], "hdfs:/r", *FEATURES, *DIALECT), "hdfs://HOST/r")
    assert names_in(out.parent) == []


def test_row_numbers_are_pointed_out(run: Run, no_figures: None, out: Path, odd: Path) -> None:
    frame = table()[["a", "b", "y"]]
    frame.to_csv(odd.with_name("n.csv"))
    answer = run("train", odd.with_name("n.csv"), "--label", "y", *FIT, "--out", out).ok()
    assert model_of(out)["feature_names"] == ["a", "b"]
    assert [line for line in answer.warnings if "column '' of the data is left out" in line]


def test_libsvm_of_other_features(run: Run, no_figures: None, tmp_path: Path) -> None:
    frame = table()
    rows = frame[["a", "b", "c"]].to_numpy()
    lines = [libsvm_line(y, row) for y, row in zip(frame["y"], rows, strict=True)]
    (tmp_path / "t.txt").write_text("\n".join(lines))
    lines[4] += " 4:1.5 9:1 # more"
    (tmp_path / "wider.txt").write_text("\n".join(lines))
    libsvm = ("--format", "libsvm")
    model = tmp_path / "m"
    run("train", tmp_path / "t.txt", "--label", "label", *FIT, *libsvm, "--out", model).ok()
    known = run("evaluate", model, tmp_path / "t.txt", "--label", "label").ok()

    evaluate = ("evaluate", model, tmp_path / "wider.txt", "--label", "label", *libsvm)
    refused(run(*evaluate), "line 5 has the feature index 4", "has 3 features", "ignore_unknown")
    assert json.loads(run(*evaluate, "--ignore-unknown").ok().out) == json.loads(known.out)

    found = []
    for name, more in (("t.txt", ()), ("wider.txt", ("--ignore-unknown",))):
        out = tmp_path / f"{name}.parquet"
        predict = ("predict", model, tmp_path / name, "--out", out)
        if more:
            refused(run(*predict), "line 5 has the feature index 4")
            assert not out.exists()
        run(*predict, *more).ok()
        found.append(pq.read_table(out).column("probability").to_pylist())
    assert found[0] == found[1]
