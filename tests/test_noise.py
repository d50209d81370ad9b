"""What the JVM's standard error says that nobody needs."""

import random

import pytest

from w261reg.noise import without_noise

HEAD = b"Traceback (most recent call last):\n"
FRAMES = [
    b'  File "/s/pyspark.zip/pyspark/daemon.py", line 264, in manager\n',
    b'  File "/s/pyspark.zip/pyspark/daemon.py", line 95, in worker\n',
]
CUT_SHORT = [HEAD, *FRAMES, b"BrokenPipeError: [Errno 32] Broken pipe\n"]
OTHER = [HEAD, FRAMES[0], b'  File "/w/own.py", line 3, in value\n', b"ValueError: no such loss\n"]
SAID = [b"22:01:07 ERROR Executor: a\n", b"22:01:08 ERROR Executor: b\n"]


def alternating(traces: list[list[bytes]], seed: int) -> list[bytes]:
    """The lines of several workers, each worker's in order."""
    rng, left, found = random.Random(seed), [list(trace) for trace in traces], []
    while any(left):
        found.append(rng.choice([trace for trace in left if trace]).pop(0))
    return found


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_that_are_told_to_stop_say_nothing(workers: int) -> None:
    for seed in range(20):
        lines = [SAID[0], *alternating([CUT_SHORT] * workers, seed), SAID[1]]
        # what begins after all before it has ended is a trace of its own
        assert list(without_noise(lines)) == SAID, seed


def test_another_error_is_told() -> None:
    assert list(without_noise([*OTHER, *CUT_SHORT, *SAID])) == [*OTHER, *SAID]
    for seed in range(20):
        lines = alternating([CUT_SHORT, OTHER], seed)
        told = list(without_noise([*lines, *SAID]))
        assert {*OTHER, *SAID} <= {*told}, seed


def test_the_end_of_a_trace_that_is_cut_off_is_told() -> None:
    assert list(without_noise([*SAID, *OTHER[:2]])) == [*SAID, *OTHER[:2]]
    assert list(without_noise([b"WARNING: Using incubator modules: jdk.incubator.vector\n"])) == []
