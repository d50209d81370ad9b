"""The processes and files of one application on this machine, as /proc tells them."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

EXECUTOR = "CoarseGrainedExecutorBackend"
PYTHON_WORKER = "pyspark.daemon"


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                stat = Path("/proc", entry, "stat").read_text()
                found[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    return found


def children(what: str, of: int | None = None) -> list[int]:
    """The processes below this one (or `of`) with `what` in their command lines."""
    above = parents()
    below, todo = [], [os.getpid() if of is None else of]
    while todo:
        todo = [pid for pid, parent in above.items() if parent in todo]
        below += todo
    return sorted(pid for pid in below if what in command(pid))


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def executor_of(worker: int) -> int:
    """The executor's JVM that a Python worker serves."""
    above = parents()
    while EXECUTOR not in command(worker):
        worker = above[worker]
    return worker


def folders_of(executor: int) -> list[Path]:
    """The local directories that its worker gave an executor."""
    given = Path(f"/proc/{executor}/environ").read_bytes().decode().split("\0")
    values = dict(entry.partition("=")[::2] for entry in given)
    return [Path(name) for name in values["SPARK_EXECUTOR_DIRS"].split(os.pathsep)]


def kill(executor: int) -> None:
    """kill -9, and delete what it leaves: on another machine, nobody would find it."""
    folders = folders_of(executor)
    os.kill(executor, signal.SIGKILL)
    end = time.monotonic() + 30
    while EXECUTOR in command(executor):
        assert time.monotonic() < end
        time.sleep(0.01)
    for folder in folders:
        for path in block_files(folder):
            path.unlink(missing_ok=True)


def block_files(folder: Path) -> list[Path]:
    """The files of packed blocks below a folder, whole or not."""
    return sorted(folder.rglob("w261reg-*"))


def resident(pid: int | str = "self") -> int:
    """Bytes of a process that lie in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
