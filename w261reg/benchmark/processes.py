"""Fresh processes for single fits, with all that they start: time limit, memory and end."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import w261reg
from w261reg.signals import held_back

PROC: Final = Path("/proc")
PATIENCE: Final = 10.0  # seconds that a killed process may take to go
# a session of spark-submit's would otherwise be shared by what is started from it
_SUBMITTED: Final = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET")


def run_python(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    timeout: float,
) -> str:
    """`python -m module arguments` in a session of its own; returns why it failed, or "".

    Args:
        module: to run.
        arguments: of the module.
        environment: variables on top of this process's.
        log: takes its output.
        timeout: seconds, after which it and all it started are ended.
    """
    inherited = {key: value for key, value in os.environ.items() if key not in _SUBMITTED}
    home = str(Path(w261reg.__file__).parents[1])  # also a zip that --py-files brought
    path = os.pathsep.join([home, *filter(None, [inherited.get("PYTHONPATH")])])
    process = None
    with log.open("wb") as output:
        try:
            with held_back():
                process = subprocess.Popen(
                    [sys.executable, "-m", module, *arguments],
                    env={**inherited, "PYTHONPATH": path, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"stopped after {timeout:g} s"
        finally:
            if process is not None:
                end_session(process.pid)
                process.wait()
    if code == 0:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"exit code {code}" + (f": {lines[-1][:300]}" if lines else "")


def end_session(leader: int) -> None:
    """Kill what is left of the session of this process, and see it gone: the next has all cores."""
    for pid in session_processes(leader):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):  # where there is no /proc
        os.killpg(leader, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while session_processes(leader) and time.monotonic() < deadline:
        time.sleep(0.01)


def session_processes(session: int) -> list[int]:
    """Process ids of a session; empty where there is no /proc."""
    found = []
    for entry in PROC.glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            # pid (name, which may hold anything) state parent group session
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def peak_mb() -> float:
    """The sum of the high-water marks of memory of this session's processes, in MiB.

    Driver, JVM and Python workers of this machine; pages that they share count for each. Without
    /proc only this process and its ended children.
    """
    total = 0
    for pid in session_processes(os.getsid(0)):
        with suppress(OSError):
            for line in (PROC / str(pid) / "status").read_text(errors="replace").splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1])
    if not total:
        unit = 1024 if sys.platform == "darwin" else 1  # bytes there, KiB elsewhere
        total = sum(
            resource.getrusage(who).ru_maxrss // unit
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
    return total / 1024
