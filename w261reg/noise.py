"""What Spark's JVM prints by itself: dropped where it says nothing, held back while it starts."""

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# what the JVM and its native libraries print by themselves and no setting silences
_NOISE = (b"jdk.incubator.vector", b"JNI_OnLoad: dlopen", b"netlib-")


class Noise:
    """A thread between the JVM's standard error and ours.

    The JVM is given a pipe and keeps it: what it prints passes through here for as long as this
    process lives. While `held` is a list, lines are kept in it: if the start fails they say why, in
    our words, and if not they are passed on.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.held: list[bytes] | None = []
        self.lock = threading.Lock()

    def pump(self, read: int) -> None:
        """Pass lines on until the other end is closed."""
        with os.fdopen(read, "rb") as lines:
            for line in without_noise(lines):
                with self.lock:
                    if self.held is not None:
                        self.held.append(line)
                    # a worker that is told to stop while it writes prints a trace
                    elif not stopping.is_set():
                        os.write(self.target, line)

    def release(self) -> None:
        """The start succeeded: pass on what was held, and hold no more."""
        with self.lock:
            for line in self.held or []:
                os.write(self.target, line)
            self.held = None

    def text(self) -> str:
        """What is held."""
        with self.lock:
            return b"".join(self.held or []).decode("utf-8", "replace")


stopping = threading.Event()


@contextmanager
def quiet_start() -> Iterator[Noise]:
    """A context in which Spark's JVM is started; its standard error is filtered from then on."""
    stopping.clear()
    sys.stderr.flush()
    saved = os.dup(2)
    noise = Noise(saved)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)
    threading.Thread(target=noise.pump, args=(read,), daemon=True).start()
    try:
        yield noise
        noise.release()
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)


def without_noise(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that are not in _NOISE, nor the traces of workers whose tasks were cancelled.

    Several workers that are told to stop write at once: the lines of their traces alternate, and
    end with as many errors as there were heads.
    """
    trace: list[bytes] = []
    heads = errors = 0
    for line in lines:
        if line.startswith(b"Traceback (most recent call last)"):
            trace.append(line)
            heads += 1
        elif trace:
            trace.append(line)
            errors += not line.startswith(b" ")
            if errors == heads:
                yield from [] if _cancelled(trace) else trace
                trace, heads, errors = [], 0, 0
        elif not any(noise in line for noise in _NOISE):
            yield line
    yield from trace


def _cancelled(trace: list[bytes]) -> bool:
    """Whether these are of workers that could not write, for nobody waited for it."""
    frames = [line for line in trace if line.startswith(b"  File")]
    ends = [line for line in trace if not line.startswith((b" ", b"Traceback"))]
    cut_short = all(b"BrokenPipeError" in line for line in ends)
    return bool(frames) and b"pyspark/daemon.py" in frames[0] and cut_short
