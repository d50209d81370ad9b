"""Signals to a command at moments of its run, and what it left."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tests.cli.helpers import ROOT
from w261reg.benchmark.processes import session_processes
from w261reg.signals import children

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 120.0
MODULE = ("-m", "w261reg")
FIT = ("--label", "y", "--loss", "bxe", "--reg-param", "0.01", "--master", "local[2]")
# on Spark, not collected, and with an iteration after the other for as long as there is a signal
LONG = (*FIT, "--collect-bytes", "0", "--solver", "gd", "--max-iter", "100000", "--tol", "1e-300")


@dataclass(frozen=True)
class Ended:
    """What came of a command: its exit code, what it said, processes and names it left."""

    code: int
    out: str
    err: str
    processes: list[int]
    temporary: list[str]
    seconds: float


class Running:
    """A command that runs in a session of its own, with a folder of its own for temporary files."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[object],
        start: Sequence[str] = MODULE,
        program: Path | str = sys.executable,
    ):
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        left_out = ("PYSPARK_", "SPARK_", "W261REG_", "MASTER", "TMPDIR")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
        self.out, self.err = folder / "stdout", folder / "stderr"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [program, *start, *map(str, arguments)],
                env={**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=_default_signals,
            )

    def wait_until(self, moment: Callable[["Running"], bool]) -> bool:
        """Whether a moment came before the command's end."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if moment(self):
                return True
            time.sleep(0.002)
        return False

    @property
    def said(self) -> str:
        """What it said so far: spark-submit joins a Python program's two streams."""
        return self.out.read_text() + self.err.read_text()

    def python(self) -> int:
        """The Python program of a spark-submit."""
        (pid,) = [
            pid
            for pid in children(self.process.pid)
            if b"/jobs/" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        return pid

    def send(self, number: int, to: str = "process") -> None:
        """A signal to the process, to all of its group (as Ctrl-C), or to the job's Python."""
        if to == "group":
            os.killpg(self.process.pid, number)
        else:
            os.kill(self.python() if to == "python" else self.process.pid, number)

    def end(self, *numbers: int, pause: float = 0.3, to: str = "process") -> Ended:
        """Send signals, and see what is left a few seconds after the end."""
        began = time.monotonic()
        for number in numbers:
            if self.process.poll() is None:
                self.send(number, to)
                time.sleep(pause if len(numbers) > 1 else 0.0)
        try:
            code = self.process.wait(PATIENCE)
            seconds = time.monotonic() - began
            deadline = time.monotonic() + 10
            while session_processes(self.process.pid) and time.monotonic() < deadline:
                time.sleep(0.05)
            left = session_processes(self.process.pid)
        finally:
            for pid in session_processes(self.process.pid):
                os.kill(pid, signal.SIGKILL)
        names = sorted(path.name for path in self.temporary.iterdir())
        return Ended(code, self.out.read_text(), self.err.read_text(), left, names, seconds)


def _default_signals() -> None:
    """They may be ignored where tests run."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def a_table(folder: Path, rows: int = 2000) -> Path:
    """Columns a, b and y (0, 1), as CSV."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=(rows, 2))
    y = (x @ [1.0, -2.0] + generator.logistic(size=rows) > 0).astype(int)
    path = folder / "t.csv"
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}).to_csv(path, index=False)
    return path


def imports(running: Running) -> bool:
    """numpy is being imported, or has been."""
    maps = Path(f"/proc/{running.process.pid}/maps")
    return "numpy" in maps.read_text() if maps.exists() else False


def starts_spark(running: Running) -> bool:
    """The JVM is on its way."""
    return bool(children(running.process.pid))


def has_read(running: Running) -> bool:
    """The first pass is over."""
    return "read 2" in running.said


def solves(running: Running) -> bool:
    """The second iteration is over."""
    return "iteration   2" in running.said


def solves_some(running: Running) -> bool:
    """An iteration of any fit is over."""
    return "iteration " in running.said


def writes(running: Running) -> bool:
    """The output is being written."""
    return any(running.folder.glob("results/.*.partial-*"))


def has_said(running: Running) -> bool:
    """What the command prints is out."""
    return running.out.stat().st_size > 0


def seeded(seed: int, most: float) -> float:
    """Seconds to wait before or after a moment."""
    return random.Random(seed).uniform(0.0, most)
