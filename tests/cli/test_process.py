"""The command line as a process of its own: what reaches the two streams, and the terminal."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.helpers import IONOSPHERE, ROOT, Run, model_of
from w261reg import __version__
from w261reg.conventions import CONVENTIONS
from w261reg.losses import LOSSES
from w261reg.solvers import SOLVERS

COMMAND = [sys.executable, "-m", "w261reg"]
FIT = ["--label", "label", "--positive", "g", "--loss", "bxe", "--reg-param", "0.01"]
OURS = re.compile(
    r"(read [\d,]+ rows x \d+ features, "
    r"collected from local\[2\]: 1 lea(f|ves) in one process, [\d.]+ s"
    r"|solver \w+: .*"
    r"|warning: constant, so coefficient 0: x2"
    r"|iteration +\d+  objective [-\d.e]+  residual [-\d.e]+(  step \S+)?  passes \d+  [\d.]+ s"
    r"|converged: .*)"
)


def environment() -> dict[str, str]:
    """This one's, without what a running session has put into it."""
    left_out = ("PYSPARK_", "SPARK_", "W261REG_", "MASTER")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    return {**kept, "PYTHONPATH": str(ROOT)}


@pytest.mark.spark
def test_quiet_batch_log(tmp_path: Path) -> None:
    out = tmp_path / "r"
    done = subprocess.run(
        [*COMMAND, "train", str(IONOSPHERE), *FIT, "--master", "local[2]", "--out", str(out)],
        env=environment(),
        cwd=tmp_path,  # away from the repository: workers find the package all the same
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert OURS.fullmatch(line), repr(line)
    assert sum(line.startswith("iteration ") for line in done.stderr.splitlines()) > 3
    assert model_of(out)["status"] == "converged"
    assert f"report: {out}/report.html" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["r"]  # no spark-warehouse, no metastore


@pytest.mark.spark
def test_terminal_shows_a_live_line(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "train", str(IONOSPHERE), *FIT, "--out", str(tmp_path / "r")],
        env={**environment(), "MASTER": "local[2]"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    said = b""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 1.0)
        try:
            chunk = os.read(master, 4096) if ready else b""
        except OSError:  # the other end is closed
            break
        said += chunk
        if not chunk and process.poll() is not None:
            break
    os.close(master)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    shown = said.decode()
    assert shown.count("\r\x1b[Kiteration ") > 3
    # they overwrite each other: no line end between them
    assert re.search(r"\r\x1b\[Kiteration   1 [^\n]*\r\x1b\[Kiteration   2 ", shown)
    lines = [line.rsplit("\x1b[K", 1)[-1] for line in shown.replace("\r\n", "\n").splitlines()]
    for line in lines:
        assert OURS.fullmatch(line) or not line, repr(line)
    assert lines[-1].startswith("converged: ")
    assert b"Status" in stdout


def test_bad_input_starts_no_spark(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [*COMMAND, "train", str(tmp_path / "t.csv"), *FIT, "--out", str(tmp_path / "r")],
        env={**environment(), "JAVA_HOME": "/nowhere", "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"w261reg: error: data not found: {tmp_path / 't.csv'}\n"
    assert time.monotonic() - began < 60


def test_no_java_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "train", str(IONOSPHERE), *FIT, "--out", str(tmp_path / "r")],
        env={**environment(), "JAVA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"w261reg: error: Spark needs Java 17 or newer .*\n", done.stderr)
    assert not list(tmp_path.iterdir())


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys)
    top = run("--help")
    assert (top.code, top.err) == (0, "")
    for command in ("train", "predict", "evaluate", "compare"):
        assert re.search(rf"^ +{command} +\w", top.out, re.MULTILINE)
        answer = run(command, "--help")
        assert (answer.code, answer.err) == (0, "")
        assert "exit codes:" in answer.out
        assert max(map(len, answer.out.splitlines())) <= 120
    said = " ".join(run("train", "--help").out.split())
    for option in (
        "--label", "--positive", "--features", "--weight", "--loss", "--reg-param",
        "--elastic-net-param", "--no-intercept", "--convention", "--standardization",
        "--no-standardization", "--solver", "--step-size", "--max-iter", "--tol", "--warm-start",
        "--master", "--config", "--overwrite", "--strict", "--out", "--step-rule", "--batch-rows",
        "--seed",
    ):  # fmt: skip
        assert option in said
    for name in (*LOSSES, *SOLVERS, *CONVENTIONS):
        assert name in said
    assert run("--version").out == f"w261reg {__version__}\n"
