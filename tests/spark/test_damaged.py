"""Damaged files through Spark's tasks: one line that says what is wrong, and nothing written."""

import gzip
import random
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.helpers import Run
from tests.sources.helpers import libsvm_line, problem, write_parquet
from w261reg import train
from w261reg.errors import MOST

pytestmark = pytest.mark.spark
GIVEN = problem(400)
FIT = ("--label", "label", "--loss", "bxe", "--reg-param", "0.1", "--max-iter", "2")


@pytest.fixture
def run(spark: object, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture
def frame() -> pd.DataFrame:
    given = GIVEN.frame.assign(s=[str(i) for i in range(400)])
    return given.assign(n=pd.Series([{"a": i, "b": [str(i)] * (i % 3)} for i in range(400)]))


def outcome(run: Run, path: Path, model: Path, *more: str) -> str:
    """What predicting and training end as: "" or the line of an error, the same for both sorts."""
    folder = path.parent / "out"
    folder.mkdir(exist_ok=True)
    said = ""
    for given, made in (
        (("predict", model, path), "p.parquet"),
        (("train", path, *FIT, *more), "r"),
    ):
        answer = run(*given, "--out", folder / made)
        errors = [line for line in answer.lines if " error: " in line]
        if answer.code == 0:
            assert not errors
            (folder / made).rename(folder.parent / f"{path.name}-{made}")
            continue
        assert answer.code == 2, answer
        assert answer.lines[-1:] == errors, answer.err
        assert len(errors[0]) < MOST + 30
        assert list(folder.iterdir()) == []
        said = errors[0]
    return said


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w261reg.report.write_report", lambda folder: None)


@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(4, 100), marks=pytest.mark.long)])
def test_parquet(
    run: Run, frame: pd.DataFrame, tmp_path: Path, no_report: None, seeds: range
) -> None:
    train(GIVEN.frame, "label", loss="bxe", reg_param=0.1).save(tmp_path / "m")
    whole = write_parquet(tmp_path / "whole.parquet", frame, row_group_size=130).read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for seed in seeds:
        rng = random.Random(seed)
        data = bytearray(whole)
        start = (0, footer)[seed % 2]  # values, or what describes them
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(start, len(data))] = rng.randrange(256)
        if seed % 8 == 0:
            data = data[: rng.randrange(len(data))]
        path = tmp_path / f"{seed}.parquet"
        path.write_bytes(data)
        refused += outcome(run, path, tmp_path / "m", "--features", "x1,x2,x3,x4") != ""
    assert refused > len(seeds) // 4


LIBSVM = "".join(f"{libsvm_line(y, x)}\n" for y, x in zip(GIVEN.y, GIVEN.x, strict=True)).encode()
# text that is found to be wrong behind the part that is looked at first, that is by a task
LONG = b"x1,x2,x3,x4,label\n" + b"1,2,3,4,1\n2,1,3,4,0\n" * 60_000


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", LONG + b"\xff,1,1,1,0\n", "holds '\ufffd', which is not a number, in row 120001"),
        ("t.csv", LONG + b"1,1,1\n", "a ragged row in row 120001"),
        ("t.csv", LONG + b"1e400,1,1,1,0\n", "'x1' has 1 infinite value"),
        ("t.csv.gz", gzip.compress(LONG)[:-9], "cannot be read: Truncated"),
        ("t.libsvm", LIBSVM + b"1 1:2:3 4\n", "line 401 is not LIBSVM"),
        ("t.libsvm", LIBSVM + b"1 99999999999999999999999:1\n", "line 401 has the feature index"),
        ("t.libsvm", LIBSVM + b"1 1:\x1b[2J\n", r"line 401 is not LIBSVM"),
    ],
)
def test_text(
    run: Run, tmp_path: Path, no_report: None, name: str, content: bytes, says: str
) -> None:
    given = GIVEN.x if name.endswith("libsvm") else GIVEN.frame
    label = GIVEN.y if name.endswith("libsvm") else "label"
    train(given, label, loss="bxe", reg_param=0.1).save(tmp_path / "m")
    (tmp_path / name).write_bytes(content)
    assert says in outcome(run, tmp_path / name, tmp_path / "m")
