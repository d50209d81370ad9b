"""What becomes of a pass whose shares the executors' disks do not take: merged at fewer levels."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from py4j.protocol import Py4JError

from w261reg.aggregators.base import Aggregator
from w261reg.aggregators.census import TakeCensus
from w261reg.datasets.failure import lacks_disk
from w261reg.datasets.rdd import RddDataset

FULL = (
    "An error occurred while calling o55.collectAndServe.\n: org.apache.spark.SparkException: Job "
    "aborted due to stage failure: Task 0 in stage 4.0 failed 4 times, most recent failure: "
    "java.io.IOException: No space left on device\n\tat java.base/sun.nio.ch.FileDispatcherImpl"
)
OF_A_DISK = [
    FULL,
    "java.nio.file.NoSuchFileException: /local/blockmgr-1/0c",
    "java.nio.file.FileSystemException: /local/blockmgr-1/05: Not a directory",
    "java.io.FileNotFoundException: /local/blockmgr-1/0c/shuffle_0_1_0.data",
    "org.apache.spark.shuffle.FetchFailedException: failed to read",
    "FetchFailed(BlockManagerId(0, host, 1), shuffleId=0, mapIndex=0, mapId=1, reduceId=0)",
    "java.io.IOException: Failed to create local dir in /local/blockmgr-1/0c.",
    "OSError: [Errno 122] Disk quota exceeded",
]
OTHERS = [
    "org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
    '  File "own.py", line 3\nValueError: cannot count',
    "w261reg.errors.InputError: the data is not what it seems",
    "Total size of serialized results of 3 tasks is bigger than spark.driver.maxResultSize",
    "java.lang.OutOfMemoryError: Java heap space",
]


@pytest.mark.parametrize("text", OF_A_DISK)
def test_failures_of_a_disk(text: str) -> None:
    assert lacks_disk(Py4JError(text))


@pytest.mark.parametrize("text", OTHERS)
def test_other_failures(text: str) -> None:
    assert not lacks_disk(Py4JError(text))


class Wide(TakeCensus):
    """With shares of a megabyte."""

    def nbytes(self) -> int:
        return 2**20


class Merging(RddDataset):
    """Four tasks of 8 nodes; a merge at any of the levels `fails` fails with this text."""

    def __init__(self, fails: Callable[[int], bool], text: str, limit: int) -> None:
        self.nodes, self.tasks, self.last_leaf = [8] * 4, 4, 31
        self.limit, self.depth, self.most_depth = limit, 3, 10
        self.fails, self.text = fails, text
        self.tried: list[int] = []

    def _merge(self, items: Any, depth: int, shipped: Any) -> Any:
        self.tried.append(depth)
        return Collected(self.text if self.fails(depth) else "")


class Collected:
    def __init__(self, text: str) -> None:
        self.text = text

    def collect(self) -> list[str]:
        if self.text:
            raise Py4JError(self.text)
        return ["node"]


def merged(dataset: Merging, depth: int = 3) -> list[Any]:
    wide = cast(Aggregator[Any], Wide())
    return dataset._merged(cast(Any, None), depth, wide, wide)


def test_a_level_less_where_the_disk_is_full(caplog: pytest.LogCaptureFixture) -> None:
    dataset = Merging(lambda depth: depth > 1, FULL, 0)
    assert merged(dataset) == ["node"]
    assert dataset.tried == [3, 2, 1]
    assert "aggregation_depth 3, for want of a disk: going on with 2" in caplog.text
    assert "aggregation_depth 2, for want of a disk: going on with 1" in caplog.text
    assert dataset._depth(Wide()) == 1  # of later passes


def test_nothing_changes_where_it_merges(caplog: pytest.LogCaptureFixture) -> None:
    dataset = Merging(lambda depth: False, FULL, 0)
    assert merged(dataset) == ["node"]
    assert dataset.tried == [3]
    assert caplog.text == ""
    assert dataset._depth(Wide()) == 3


def test_what_is_no_disks_fault_is_told() -> None:
    for text in OTHERS:
        dataset = Merging(lambda depth: depth > 1, text, 0)
        with pytest.raises(Py4JError):
            merged(dataset)
        assert dataset.tried == [3]


def test_a_failure_on_the_driver_alone_is_told() -> None:
    dataset = Merging(lambda depth: True, FULL, 0)
    with pytest.raises(Py4JError, match="No space left"):
        merged(dataset)
    assert dataset.tried == [3, 2, 1]


def test_no_level_at_which_the_driver_would_get_too_much() -> None:
    """32 shares of a megabyte are over 20; 13 at two levels are not."""
    dataset = Merging(lambda depth: depth > 1, FULL, 20 * 2**20)
    with pytest.raises(Py4JError, match="No space left"):
        merged(dataset)
    assert dataset.tried == [3, 2]
