"""What holds signals back, and what is in force where: in this process."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from w261reg import signals
from w261reg.errors import Terminated


@pytest.fixture(autouse=True)
def defaults(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SIGINT may be ignored where tests run; all is as it was afterwards, the tests' JVM, too."""
    monkeypatch.setattr(signals, "children", lambda pid: set())
    monkeypatch.setattr(signals, "descendants", lambda pid: set())
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_ends_the_run(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with signals.handled():
        with pytest.raises(Terminated) as caught, signals.working():
            signal.raise_signal(number)
        assert signals.came() == number
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before
    assert signals.came() is None


def test_what_is_moved_is_whole() -> None:
    done = []
    with signals.handled(), pytest.raises(Terminated, match="SIGHUP"), signals.working():
        with signals.held_back(), signals.held_back():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            done.append(1)
        done.append(2)
    assert done == [1]


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_that_is_ignored_stays_so(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)  # as nohup and a shell's & do
    with signals.handled(), signals.working():
        signal.raise_signal(number)
        with signals.kept():
            signal.signal(number, signal.SIG_DFL)  # as pyspark does
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_IGN
    assert signals.came() is None


def test_the_handlers_of_others_stay() -> None:
    came = []
    signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    with signals.handled(), signals.working():
        signal.raise_signal(signal.SIGTERM)
    assert came == [signal.SIGTERM]


def test_nothing_is_in_force_in_a_thread_or_in_the_library() -> None:
    found = []

    def run() -> None:
        with signals.handled(), signals.working(), signals.held_back(), signals.kept():
            found.append([signal.getsignal(number) for number in signals.ENDING])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    with signals.working(), signals.held_back(), signals.kept(), signals.temporary(Path("x")):
        found.append([signal.getsignal(number) for number in signals.ENDING])
    assert found == [[signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]] * 2
    assert signals.folder() is None


def test_what_is_temporary_goes() -> None:
    before = tempfile.gettempdir()
    with signals.handled():
        folder = Path(tempfile.gettempdir())
        assert str(folder) == signals.folder() != before
        (folder / "left").write_text("")
    assert tempfile.gettempdir() == before
    assert not folder.exists()


ORPHAN = """
import sys, time
from pathlib import Path
from w261reg import signals
from w261reg.cli import guarded

def work():
    with signals.working():
        part = Path("part")
        part.mkdir()
        with signals.temporary(part):
            try:
                print(signals.folder(), flush=True)
                time.sleep(60)
                print("alone", flush=True)
            finally:
                part.rmdir()

sys.exit(guarded(work, last=True))
"""


@pytest.mark.parametrize("submitted", [True, False])
def test_a_run_does_not_outlive_the_jvm_that_submitted_it(tmp_path: Path, submitted: bool) -> None:
    """Other parents may end: nohup's shell does."""
    (tmp_path / "tmp").mkdir()
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    env |= {"TMPDIR": str(tmp_path / "tmp"), "PYSPARK_GATEWAY_PORT": "1"}
    if not submitted:
        del env["PYSPARK_GATEWAY_PORT"]
    with (tmp_path / "err").open("w") as err:
        parent = subprocess.Popen(
            ["sh", "-c", '"$0" -c "$1" & echo $!; wait', sys.executable, ORPHAN],
            cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=err, text=True,
        )  # fmt: skip
    assert parent.stdout is not None
    child, folder = int(parent.stdout.readline()), Path(parent.stdout.readline().strip())
    try:
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + (20.0 if submitted else 3 * signals.ORPHANED)
        while signals._state(child) not in ("", "Z") and time.monotonic() < deadline:
            time.sleep(0.02)
        gone = signals._state(child) in ("", "Z")
        assert gone == submitted
        assert folder.exists() == (tmp_path / "part").exists() == (not submitted)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        parent.stdout.close()
    assert (tmp_path / "err").read_text() == ""


SECOND = """
import subprocess, sys, time
from pathlib import Path
from w261reg import signals
from w261reg.cli import guarded

def work():
    with signals.working():
        child = subprocess.Popen([sys.executable, "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(); time.sleep(300)"],
            stdout=subprocess.PIPE)
        child.stdout.readline()
        part = Path("part")
        part.mkdir()
        with signals.temporary(part):
            try:
                print(child.pid, signals.folder(), flush=True)
                time.sleep(300)
            finally:
                print("closing", flush=True)
                time.sleep(300)

sys.exit(guarded(work, last=True))
"""


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """Whatever its clean-up waits for, and whatever its children think of it."""
    running = subprocess.Popen(
        [sys.executable, "-c", SECOND],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in signals.ENDING],
    )
    try:
        assert running.stdout is not None
        child, folder = running.stdout.readline().split()
        running.send_signal(number)
        assert running.stdout.readline() == "closing\n"
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=20)
    finally:
        running.kill()
    assert running.returncode == 128 + number
    assert said == f"w261reg: error: {Terminated(number)}\n"
    assert not Path(folder).exists()
    assert not (tmp_path / "part").exists()
    # one that nobody takes note of is ended, too
    assert signals._state(int(child)) in ("", "Z")
