"""What a dataset is: blocks, and a way to run one pass over them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from w261reg.aggregators.base import Aggregator

S = TypeVar("S")
# of a pass in this process, beside its work: Python's
LOCAL_SECONDS = 1e-3


class Dataset(ABC):
    """Holds the blocks of a problem and counts the passes over them.

    Attributes:
        n_features: n.
        passes: passes so far; the first also reads and packs the source.
        cores: tasks that run at a time.
        rows: of the table, where that is known without reading it; else None.
        entries: numbers stored a row.
        overhead: seconds that a pass takes beside its work.
        travels: whether states travel from tasks to the driver.
        preview: reads a few of the rows in this process, at no pass; None where they are not worth
            it, for they are too many beside the whole, or not to be had.
    """

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features
        self.passes = 0
        self.cores = 1
        self.rows: int | None = None
        self.entries = n_features
        self.overhead = LOCAL_SECONDS
        self.travels = False
        self.preview: Callable[[], Dataset] | None = None

    def aggregate(self, aggregator: Aggregator[S], keep: bool = True) -> S:
        """One pass: the aggregator's state over all rows.

        Args:
            aggregator: what to compute.
            keep: of the first pass: pack the rows for further passes. Without, a further pass reads
                the source again.

        Raises:
            InputError: the source cannot be read, or has no rows, or the pass cannot fit.
            ComputeError: the pass failed.
        """
        state = self._run(aggregator, keep)
        self.passes += 1
        return state

    @abstractmethod
    def _run(self, aggregator: Aggregator[S], keep: bool) -> S: ...

    def release(self) -> None:  # noqa: B027 - nothing to give back is a fine answer
        """Give back what the dataset holds; it cannot be used afterwards."""

    def release_later(self) -> None:
        """`release` while the caller goes on; the end of the session waits for it."""
        self.release()

    @property
    @abstractmethod
    def parallelism(self) -> str:
        """In words, how a pass is split: for logs and reports."""
