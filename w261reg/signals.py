"""How SIGINT, SIGTERM and SIGHUP end a run of the command line: in one line, leaving nothing.

The first signal tells this process's children (Spark's JVM) to end and raises Terminated in the
main thread, so that whatever is open is closed. A second one, or the end of PATIENCE, kills the
children and removes what was marked as temporary, at once. The end of spark-submit's JVM, which no
signal tells of, is taken for SIGTERM. Nothing here is in force unless `handled` is, and that is the
command line's alone: a library must not take a program's signals.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from w261reg.errors import Terminated
from w261reg.noise import stopping

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE: Final = 15.0  # seconds that closing may take, of which children may take a part to end
CHILDREN: Final = 8.0
ORPHANED: Final = 0.5  # seconds between looks whether the parent is there
_DEFAULTS: Final = (signal.SIG_DFL, signal.default_int_handler)


class _Run:
    """The run that is in force in this process.

    Attributes:
        came: the first signal that came, or None.
        working: whether there is something to close; before and after that the process just ends.
        held: depth of `held_back`.
        waiting: whether `came` came while held back.
        temporary: paths to remove, whatever happens.
        children: processes that were seen below this one.
    """

    def __init__(self) -> None:
        self.came: int | None = None
        self.working = False
        self.held = 0
        self.waiting = False
        self.temporary: list[Path] = []
        self.children: set[int] = set()
        self.said = False  # whether the line is out
        self.over = threading.Event()

    def handle(self, number: int, _: FrameType | None = None) -> None:
        if self.held:  # what is being moved is to be whole
            self.waiting, self.came = True, self.came or number
        elif not self.working or self.came is not None:
            self.came = self.came or number
            self.end_now()
        else:
            self.came = number
            self.begin_to_end()
            raise Terminated(number)

    def begin_to_end(self) -> None:
        stopping.set()
        # one line is said; what falls over meanwhile says nothing more
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the run
        threading.Thread(target=self._watch, daemon=True).start()
        self.children |= descendants(os.getpid())
        for pid in children(os.getpid()):
            if _session(pid) == os.getsid(0):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def watch_parent(self) -> None:
        """End the run with its parent, if that is spark-submit's JVM.

        One that is killed alone leaves the Python program running, which would go on to replace
        results long after spark-submit has said that it was ended.
        """
        if "PYSPARK_GATEWAY_PORT" in os.environ:
            parent = os.getppid()
            threading.Thread(target=self._end_without, args=(parent,), daemon=True).start()

    def _end_without(self, parent: int) -> None:
        while os.getppid() == parent:
            if self.over.wait(ORPHANED):
                return
        if self.came is None:
            os.kill(os.getpid(), signal.SIGTERM)

    def _watch(self) -> None:
        if not self.over.wait(PATIENCE):
            self.end_now()

    def await_children(self) -> None:
        """See the children gone: those that were told to end, and what they had started."""
        deadline = time.monotonic() + CHILDREN
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill_children()

    def _alive(self) -> set[int]:
        self.children |= descendants(os.getpid())
        self.children = {pid for pid in self.children if _state(pid) not in ("", "Z")}
        return self.children

    def kill_children(self) -> None:
        deadline = time.monotonic() + 2.0
        killed: set[int] = set()
        while (alive := self._alive()) and time.monotonic() < deadline:
            for pid in alive - killed:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            killed |= alive
            time.sleep(0.01)
        for pid in killed:  # a JVM's, which it would have removed
            for left in Path("/tmp").glob(f"hsperfdata_*/{pid}"):
                with suppress(OSError):
                    left.unlink()

    def clear(self) -> None:
        for path in reversed(self.temporary):
            with suppress(OSError):
                path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)

    def end_now(self) -> NoReturn:
        """The line, and the end of all."""
        number = self.came or signal.SIGTERM
        if not self.said:
            with suppress(OSError):
                os.write(2, f"w261reg: error: {Terminated(number)}\n".encode())
        self.kill_children()
        self.clear()
        os._exit(128 + number)


_run: _Run | None = None


@contextmanager
def handled(last: bool = False) -> Iterator[_Run]:
    """A context in which the three signals end the run; what is temporary has a folder in it.

    Signals that are ignored (nohup) stay so, and those that another program handles; in a thread,
    all.

    Args:
        last: the process ends with the run, so that signals are handled until it has ended.
    """
    global _run
    if _run is not None or threading.current_thread() is not threading.main_thread():
        yield _run or _Run()
        return
    _run = run = _Run()
    stderr = sys.stderr
    ours = [number for number in ENDING if signal.getsignal(number) in _DEFAULTS]
    before = {number: signal.signal(number, run.handle) for number in ours}
    try:
        with _own_folder(run):
            run.watch_parent()
            yield run
            if run.came is not None:
                run.await_children()
    finally:
        if last:
            atexit.register(_ignore, ours)
        else:
            _run = None
            run.over.set()
            if sys.stderr is not stderr:
                sys.stderr.close()
                sys.stderr = stderr
            for number, handler in before.items():
                signal.signal(number, handler)


def _ignore(numbers: Sequence[int]) -> None:
    """Python takes its handlers away before it has ended: by then all is done, and said."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _own_folder(run: _Run) -> Iterator[None]:
    """A folder in which this process, and a JVM that it starts, make what is temporary."""
    before = tempfile.tempdir
    folder = tempfile.mkdtemp(prefix="w261reg-")
    run.temporary.append(Path(folder))
    tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def working() -> Iterator[None]:
    """A context of a run in which there may be something to close."""
    if _run is None:
        yield
        return
    before, _run.working = _run.working, True
    try:
        yield
    finally:
        _run.working = before


def came() -> int | None:
    """The signal that is ending this run, if one is."""
    return None if _run is None else _run.came


def to_say() -> bool:
    """Whether the line that tells of the signal is still to be said, which its caller now does.

    Runs within a run (a job of several commands) all end by the one signal.
    """
    if _run is None or _run.said:
        return False
    _run.said = True
    return True


def folder() -> str | None:
    """The folder of what is temporary in this run, if one is in force."""
    return None if _run is None else str(_run.temporary[0])


@contextmanager
def temporary(path: Path) -> Iterator[None]:
    """A context whose owner removes this path at its end; a run that is killed meanwhile does."""
    run = _run
    if run is None:
        yield
        return
    run.temporary.append(path)
    try:
        yield
    finally:
        run.temporary.remove(path)


@contextmanager
def held_back() -> Iterator[None]:
    """A context that a signal does not cut short; it comes at the end."""
    run = _run
    if run is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    run.held += 1
    try:
        yield
    finally:
        run.held -= 1
        if run.waiting and not run.held:
            number, run.came, run.waiting = run.came or signal.SIGTERM, None, False
            run.handle(number)


@contextmanager
def kept() -> Iterator[None]:
    """A context after which the signals are handled as before: pyspark takes SIGINT for itself."""
    if _run is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- processes, where there is /proc ------------------------------------------------------------


def _fields(pid: int) -> list[str]:
    """State, parent, group, session ... of a process; empty where it is not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # its name may hold anything


def _state(pid: int) -> str:
    return (_fields(pid) or [""])[0]


def _session(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[3]) if fields else -1


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if fields := _fields(int(entry.name)):
            found[int(entry.name)] = int(fields[1])
    return found


def children(pid: int) -> set[int]:
    """The processes that this one has started."""
    return {child for child, parent in _parents().items() if parent == pid}


def descendants(pid: int) -> set[int]:
    """They, and those that they have started."""
    parents = _parents()
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found
