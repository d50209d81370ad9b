"""Signals to a job under spark-submit: to the Python program, to the JVM, and to both at once.

The exit code is 128 + the signal always. spark-submit passes on the line of a Python program that
was signalled; a JVM that was, ends at once, and with it the pipe that the line would come through.
"""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.cli import moments
from tests.cli.moments import SIGNALS, Ended, Running, a_table, seeded
from tests.jobs.submit import ROOT, SPARK_HOME
from w261reg import load, train
from w261reg.errors import Terminated

pytestmark = [
    *(pytest.mark.spark, pytest.mark.long),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]
FIT = ("--label", "y", "--loss", "bxe", "--reg-param", "0.01", "--out", "results/r")
# on Spark, not collected
LONG = ("--collect-bytes", "0", "--solver", "gd", "--max-iter", "100000", "--tol", "0")
JOBS: dict[str, tuple[Any, ...]] = {
    "train": ("TABLE", *FIT, "--overwrite"),
    "long": ("TABLE", *FIT, *LONG, "--overwrite"),
    "compare": ("TABLE", *FIT, "--overwrite"),
    "predict": ("OLD", "TABLE", "--out", "results/p.csv"),
}


def submitted(
    folder: Path, job: str, master: str = "local[2]", options: Sequence[str] = ()
) -> Running:
    """A running spark-submit; an old result is there."""
    table, old = a_table(folder), folder / "results" / "r"
    old.parent.mkdir()
    train(pd.read_csv(table), "y", loss="bxe", reg_param=1.0).save(old)
    temporary = folder / "tmp"
    java = [f"-Djava.io.tmpdir={temporary}", "-XX:-UsePerfData"]
    java.append(f"-Dlog4j2.configurationFile={ROOT}/conf/log4j2.properties")
    settings = {
        "spark.driver.extraJavaOptions": " ".join(java),
        "spark.local.dir": str(temporary),
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.pyspark.python": sys.executable,
        "spark.ui.enabled": "false",
    }
    given = [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
    program = ROOT / "jobs" / f"{'train' if job == 'long' else job}.py"
    places = {"TABLE": table, "OLD": old}
    arguments = [places.get(part, part) for part in JOBS[job]]
    start = ["--master", master, *options, *given, str(program)]
    return Running(folder, arguments, start, SPARK_HOME / "bin" / "spark-submit")


def check(ended: Ended, folder: Path, number: signal.Signals, to: str) -> None:
    assert ended.processes == []
    assert ended.temporary == []
    said = ended.out + ended.err
    assert "Traceback" not in said, said
    results = {path.name for path in (folder / "results").iterdir()}
    assert "r" in results and results <= {"r", "p.csv"}
    model = load(folder / "results" / "r")  # the old one or the new one
    assert (folder / "results" / "r" / "report.html").read_text().endswith("</html>")
    lines = [line for line in said.splitlines() if line.startswith("w261reg: error: ")]
    if ended.code == 0:
        assert lines == []
        return
    assert ended.code == 128 + number, said
    assert lines in ([[f"w261reg: error: {Terminated(number)}"]] + [[]] * (to != "python")), said
    assert model.config["reg_param"] in (1.0, 0.01)


@pytest.mark.parametrize("to", ["python", "process", "group"])
@pytest.mark.parametrize(
    ("job", "moment"),
    [("train", "has_read"), ("long", "solves"), ("compare", "has_read"), ("predict", "writes")],
)
def test_a_signal(tmp_path: Path, job: str, moment: str, to: str) -> None:
    seed = len(job) + len(moment) + len(to)
    number = SIGNALS[seed % len(SIGNALS)]
    running = submitted(tmp_path, job)
    assert running.wait_until(getattr(moments, moment)), running.said
    time.sleep(seeded(seed, 1.0))
    ended = running.end(number, to=to)
    check(ended, tmp_path, number, to)


def test_a_jvm_that_is_killed(tmp_path: Path) -> None:
    """The Python program ends by itself, without a result; nobody is there to remove Spark's."""
    running = submitted(tmp_path, "train")
    assert running.wait_until(moments.has_read), running.said
    before = load(tmp_path / "results" / "r").config["reg_param"]
    ended = running.end(signal.SIGKILL)
    assert (ended.code, before) == (-signal.SIGKILL, 1.0)
    assert ended.processes == []
    assert not [name for name in ended.temporary if name.startswith("w261reg-")]
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["r"]
    load(tmp_path / "results" / "r")
