"""Where the files of packed blocks are, and what tells one from another."""

import glob
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from w261reg.blocks.census import Census

PREFIX, PARTIAL = "w261reg-", ".part"


class Mark(NamedTuple):
    """What tells a file from another one under its name."""

    inode: int
    size: int
    mtime_ns: int


def mark_of(status: os.stat_result) -> Mark:
    """The mark of a file of this status."""
    return Mark(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Handle:
    """Where a block lies in a file: labels, weights, origin and features, in this order.

    Attributes:
        leaf: the leaf it is a part of.
        offset: of its first byte.
        rows, n_features: b and n.
        entries: of the CSR matrix; None for a dense block.
        kind: of the features' numbers, as numpy writes it.
        weighted, shifted: whether weights, and an origin, are there: else they are 1 and 0.
        checksum: of its arrays, one after the other.
        census: what packing saw.
    """

    leaf: int
    offset: int
    rows: int
    n_features: int
    entries: int | None
    kind: str
    weighted: bool
    shifted: bool
    checksum: int
    census: Census


def folders() -> list[str]:
    """Where an executor keeps its files: Spark's local directories."""
    given = [name for name in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if name]
    return given or [tempfile.gettempdir()]


def folder(partition: int | None) -> str:
    """The one for a partition: each in turn."""
    places = folders()
    return places[(os.getpid() if partition is None else partition) % len(places)]


def remove(token: str) -> int:
    """Delete a dataset's files on this machine; returns how many."""
    count = 0
    for place in folders():
        for path in glob.glob(os.path.join(glob.escape(place), f"{PREFIX}{token}-*")):
            with suppress(OSError):
                os.remove(path)
                count += 1
    return count
