"""Runs in fresh processes, what is kept of them, and bad input."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmark.helpers import tiny
from w261reg import signals
from w261reg.benchmark import processes
from w261reg.benchmark.engines import get_engine
from w261reg.benchmark.micro import rates
from w261reg.benchmark.records import read_records
from w261reg.benchmark.run import COLUMNS, RESULTS
from w261reg.benchmark.scoring import objective
from w261reg.benchmark.steps import benchmark
from w261reg.benchmark.tables.generated import DenseTable
from w261reg.benchmark.worker import fits
from w261reg.cli import main
from w261reg.errors import Terminated

GIVEN: dict[str, Any] = {
    "problems": "bxe-l2-dense", "repeats": 2, "micro": False, "timeout": 100.0,
    "master": "local[2]",
}  # fmt: skip


@pytest.mark.spark
@pytest.mark.long
def test_run_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("glum")
    monkeypatch.setattr(DenseTable, "size", (3000, 5))
    out = tmp_path / "out"
    first = benchmark(str(out), {**GIVEN, "engines": "glum", "repeats": 1})
    assert "glum" in first
    assert (out / "report.html").is_file()
    before = (out / RESULTS).read_text()
    assert list((out / "logs").iterdir()) == []
    benchmark(str(out), {**GIVEN, "engines": "glum,sklearn"})
    after = (out / RESULTS).read_text()
    assert after.startswith(before)  # what was measured is not measured again
    rows = read_records(out / RESULTS, COLUMNS)
    assert [(row["engine"], row["repeat"]) for row in rows] == [
        ("glum", "0"),
        ("sklearn", "0"),
        ("glum", "1"),
        ("sklearn", "1"),
    ]
    for row in rows:
        assert (row["error"], row["reached"]) == ("", "True")
        assert abs(float(row["gap"])) <= 1e-8
        assert float(row["seconds"]) > 0
        assert float(row["peak_mb"]) > 10
        assert '"numpy"' in row["versions"]


@pytest.mark.spark
@pytest.mark.usefixtures("spark")
def test_the_second_fit_is_warm(dense: Path) -> None:
    problem, found = tiny(dense, "bxe", 0.0, 0.01)
    engine = get_engine("w261reg")
    engine.start()
    spec = {"problem": asdict(problem), "tolerances": [1e-6, 1e-9], "fits": engine.fits}
    cold, warm = fits(engine, spec)
    assert (cold["temperature"], warm["temperature"]) == ("cold", "warm")
    assert cold["tol"] == warm["tol"] == 1e-6
    assert cold["w"] == warm["w"]
    assert cold["passes"] >= 2
    target = objective(problem, found.sd, np.array(cold["w"]), cold["intercept"])
    ladder = {**spec, "tolerances": [1e-1, 1e-6, 1e-9], "target": target, "within": 1e-9}
    tried = list(fits(engine, {**ladder, "sd": found.sd.tolist()}))
    assert [line["tol"] for line in tried] == [1e-1, 1e-6]  # no tighter than it must be
    assert tried[-1]["objective"] == target


def test_an_error_is_a_line(dense: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem, _ = tiny(dense, "mse", 0.1, 0.0)
    broken = asdict(problem) | {"path": "nowhere.parquet"}
    engine = get_engine("sklearn")
    (line,) = fits(engine, {"problem": broken, "tolerances": [1e-3], "fits": 1})
    assert line["error"].startswith("FileNotFoundError: ")
    assert "Traceback" in capsys.readouterr().err  # for the log


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    child = "import time; time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    (tmp_path / "sleeper.py").write_text(code)
    began = time.monotonic()
    why = processes.run_python(
        "sleeper", [], {"PYTHONPATH": str(tmp_path)}, tmp_path / "log", timeout=1.0
    )
    assert why == "stopped after 1 s"
    assert time.monotonic() - began < 30
    if sys.platform == "linux":
        waiting = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _sleeps(p)]
        assert waiting == []


def _sleeps(path: Path) -> bool:
    try:
        return b"time.sleep(60)" in path.read_bytes()
    except OSError:
        return False


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text("raise SystemExit('no such thing')")
    why = processes.run_python(
        "failing", [], {"PYTHONPATH": str(tmp_path)}, tmp_path / "log", timeout=60.0
    )
    assert why == "exit code 1: no such thing"


# --- a signal -----------------------------------------------------------------------------------

SLEEPER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
with open(sys.argv[1] + ".part", "w") as told:
    told.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(300)
"""
TERMINAL = """
import signal, sys
from pathlib import Path
from w261reg import signals
from w261reg.benchmark import processes, steps
from w261reg.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where tests run
signal.signal(signal.SIGHUP, signal.SIG_DFL)
told, log = Path(sys.argv[1], "told"), Path(sys.argv[1], "log")
sleeper = {"PYTHONPATH": sys.argv[1]}
steps.run = lambda plan, out: processes.run_python("sleeper", [str(told)], sleeper, log, 300.0)
sys.exit(main(["benchmark", "--steps", "run", "--out", str(Path(sys.argv[1], "out"))]))
"""


def _lives(pid: int) -> bool:
    """Whether it runs: one that waits for its parent to take note of its end does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_what_was_started(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    running = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "told").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        started = [int(pid) for pid in (tmp_path / "told").read_text().split()]
        assert [_lives(pid) for pid in started] == [True, True]
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 128 + number
    how = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    assert said.splitlines() == [f"w261reg: error: {how}"]
    assert [_lives(pid) for pid in started] == [False, False]


def test_a_signal_waits_for_the_number_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    real = subprocess.Popen

    def interrupted(*given: Any, **more: Any) -> Any:
        started.append(real(*given, **more))
        signal.raise_signal(signal.SIGTERM)
        return started[0]

    monkeypatch.setattr(processes.subprocess, "Popen", interrupted)
    monkeypatch.setattr(signals, "children", lambda pid: set())  # the tests' JVM is one
    monkeypatch.setattr(signals, "descendants", lambda pid: set())
    (tmp_path / "sleeper.py").write_text("import time; time.sleep(300)")
    environment = {"PYTHONPATH": str(tmp_path)}
    with signals.handled(), signals.working(), pytest.raises(Terminated) as caught:
        processes.run_python("sleeper", [], environment, tmp_path / "log", 300.0)
    assert caught.value.exit_code == 143
    assert started[0].returncode == -signal.SIGKILL


@pytest.mark.spark
@pytest.mark.usefixtures("spark")
def test_micro() -> None:
    found = list(rates(size=20, rows=2000, features=4, repeats=1))
    assert [rate["kernel"] for rate in found] == [
        "dsyrk", "numpy gradient", "empty Spark job", "w261reg gradient", "w261reg Gram",
    ]  # fmt: skip
    assert all(float(rate["value"]) > 0 for rate in found)


# --- bad input ----------------------------------------------------------------------------------

BAD = {
    "no out": ((), "out is required"),
    "problem": (("--out", "OUT", "--problems", "bxe"), "problems must be of bxe-l2-dense"),
    "engine": (("--out", "OUT", "--engines", "w261reg,weka"), "engines must be of"),
    "twice": (("--out", "OUT", "--engines", "glum,glum"), "engines names 'glum' twice"),
    "none": (("--out", "OUT", "--steps", ","), "steps must name one of run, analyse, plot"),
    "step": (("--out", "OUT", "--steps", "run,print"), "'print'"),
    "repeats": (("--out", "OUT", "--repeats", "0"), "repeats must be an integer >= 1, not 0"),
    "scale": (("--out", "OUT", "--scale", "x"), "scale must be a number > 0, not 'x'"),
    "seed": (("--out", "OUT", "--seed", "-1"), "seed must be an integer >= 0"),
    "timeout": (("--out", "OUT", "--timeout", "0"), "timeout must be a number > 0"),
    "conf": (("--out", "OUT", "--conf", "memory=1g"), "conf must be spark.KEY=VALUE"),
    "a9a": (("--out", "OUT", "--a9a", "OUT/a9a"), "a9a must be a file"),
    "nothing to plot": (("--out", "OUT", "--steps", "plot"), "holds no benchmark"),
    "uri": (("--out", "s3://bucket/out"), "out must be a folder on this machine"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, says = BAD[case]
    out = tmp_path / "out"
    code = main(["benchmark", *(part.replace("OUT", str(out)) for part in arguments)])
    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert len(lines) == 1
    assert says in lines[0]
    assert not out.exists()


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    assert main(["benchmark", "--out", str(tmp_path)]) == 2
    assert "does not hold a benchmark" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_another_scale_is_another_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmark.json").write_text(
        '{"making": {"scale": 0.5, "seed": 0, "row_group_rows": 131072}}'
    )
    assert main(["benchmark", "--out", str(tmp_path)]) == 2
    assert "a benchmark of scale 0.5, not 1.0" in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--list"]) == 0
    text = capsys.readouterr().out
    assert "bxe-l2-sparse" in text
    assert "* w261reg " in text
    assert "w261reg:newton" in text
