"""Signals to the command line: one line, 128 + the signal, and nothing left."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli import moments
from tests.cli.helpers import ROOT
from tests.cli.moments import FIT, LONG, SIGNALS, Ended, Running, a_table, seeded
from w261reg import load, train
from w261reg.errors import Terminated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
COMMANDS: dict[str, tuple[Any, ...]] = {
    "train": ("train", "TABLE", *FIT, "--out", "results/r"),
    "long": ("train", "TABLE", *LONG, "--out", "results/r"),
    "compare": ("compare", "TABLE", *FIT, "--out", "results/r"),
    "predict": ("predict", "MODEL", "TABLE", "--out", "results/p.csv", "--master", "local[2]"),
    "evaluate": ("evaluate", "MODEL", "TABLE", "--label", "y", "--master", "local[2]"),
    "check-gradient": ("check-gradient", "TABLE", *FIT),
}
# until Spark starts, all commands are alike
MOMENTS = {
    "train": ("imports", "starts_spark", "has_read", "writes", "has_said"),
    "long": ("solves",),
    "compare": ("starts_spark", "has_read", "writes", "has_said"),
    "predict": ("starts_spark", "writes", "has_said"),
    "evaluate": ("starts_spark", "has_said"),
    "check-gradient": ("has_said",),
}


def started(folder: Path, command: str) -> Running:
    (folder / "results").mkdir()
    table = a_table(folder)
    if "MODEL" in COMMANDS[command]:
        train(str_free(table), "y", loss="bxe").save(folder / "m")
    given = {"TABLE": table, "MODEL": folder / "m"}
    return Running(folder, [given.get(part, part) for part in COMMANDS[command]])


def str_free(table: Path) -> Any:
    """The table in this process: no Spark is needed to train on it."""
    import pandas as pd

    return pd.read_csv(table)


def check(ended: Ended, folder: Path, number: signal.Signals) -> None:
    """One line and the code of the signal; or, where that came too late, an ordinary end."""
    assert ended.processes == []
    assert ended.temporary == []
    assert "Traceback" not in ended.err and "Exception" not in ended.err, ended.err
    results = {path.name for path in (folder / "results").iterdir()}
    if ended.code == 0:
        assert results in ({"r"}, {"p.csv"}, set())
        assert "error: " not in ended.err
    else:
        assert ended.code == 128 + number, ended.err
        said = [line for line in ended.err.splitlines() if "w261reg: error: " in line]
        assert said == [f"w261reg: error: {Terminated(number)}"]
        assert ended.err.endswith(f"{said[0]}\n")
        assert results <= {"r", "p.csv"}
    if "r" in results:
        assert load(folder / "results" / "r").status == "converged"
        assert (folder / "results" / "r" / "report.html").read_text().endswith("</html>")
    if "p.csv" in results:
        assert len((folder / "results" / "p.csv").read_text().splitlines()) == 2001


@pytest.mark.parametrize(
    ("command", "moment", "number"),
    [
        ("train", "imports", signal.SIGHUP),
        ("train", "has_read", signal.SIGTERM),
        ("compare", "starts_spark", signal.SIGINT),
    ],
)
def test_a_signal(tmp_path: Path, command: str, moment: str, number: signal.Signals) -> None:
    running = started(tmp_path, command)
    assert running.wait_until(getattr(moments, moment)), running.err.read_text()
    ended = running.end(number)
    check(ended, tmp_path, number)
    assert ended.code == 128 + number
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.long
@pytest.mark.parametrize("to", ["process", "group"])
@pytest.mark.parametrize(
    ("command", "moment"), [(command, moment) for command in MOMENTS for moment in MOMENTS[command]]
)
def test_a_signal_soon_after_a_moment(tmp_path: Path, command: str, moment: str, to: str) -> None:
    """To this process, and to its JVM at once, as Ctrl-C is."""
    seed = len(command) + len(moment) + len(to)
    number = SIGNALS[seed % len(SIGNALS)]
    running = started(tmp_path, command)
    running.wait_until(getattr(moments, moment))
    time.sleep(seeded(seed, 1.0))
    check(running.end(number, to=to), tmp_path, number)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_a_second_signal(tmp_path: Path, seed: int) -> None:
    """While the first is being obeyed, at any moment: the end is prompt, and as clean."""
    running = started(tmp_path, "long" if seed % 2 else "compare")
    assert running.wait_until(moments.solves if seed % 2 else moments.starts_spark)
    numbers = SIGNALS[seed % 3], SIGNALS[(seed + seed // 3) % 3]
    ended = running.end(*numbers, pause=seeded(seed, 1.2))
    check(ended, tmp_path, numbers[0])
    assert ended.seconds < 6.0


@pytest.mark.long
@pytest.mark.parametrize(
    ("job", "number"), [("train.py", signal.SIGHUP), ("compare.py", signal.SIGTERM)]
)
def test_jobs(tmp_path: Path, job: str, number: signal.Signals) -> None:
    (tmp_path / "results").mkdir()
    arguments = COMMANDS["train"][2:]
    running = Running(tmp_path, [a_table(tmp_path), *arguments], [str(ROOT / "jobs" / job)])
    assert running.wait_until(moments.starts_spark)
    time.sleep(seeded(number, 4.0))
    check(running.end(number), tmp_path, number)


@pytest.mark.long
@pytest.mark.parametrize("number", SIGNALS)
def test_the_main_job(tmp_path: Path, number: signal.Signals) -> None:
    """It ends as a whole, not the comparison alone in which it is."""
    out = tmp_path / "results"
    (tmp_path / "data").symlink_to(ROOT / "data")
    running = Running(tmp_path, ["--out", out], [str(ROOT / "jobs" / "main.py")])
    assert running.wait_until(moments.solves_some)
    ended = running.end(number)
    assert ended.code == 128 + number, ended.err
    assert ended.processes == ended.temporary == []
    assert ended.err.count("w261reg: error: ") == 1, ended.err
    assert not out.exists() or not list(out.rglob("*.partial-*"))
