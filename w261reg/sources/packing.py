"""From a source to a dataset: leaves are read and packed where they will be used."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from w261reg.blocks import Block, Census, DenseBlock
from w261reg.datasets import Dataset, LocalDataset
from w261reg.datasets.failure import spark_failures
from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source
from w261reg.sources.columns import Columns, is_text, to_block
from w261reg.sources.frame import select_plain
from w261reg.sources.paths import one_line

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import DataFrame


def pack(
    source: Source, handles: Sequence[Handle], first: int, columns: Columns
) -> Iterator[tuple[int, Block]]:
    """(leaf, block) of some leaves, numbered from `first`.

    What cannot be read becomes a block without rows whose census says why: an exception would be
    retried by Spark, and reported in 90 lines.
    """
    kinds = source.schema
    numeric = [name for name in columns.needed if not is_text(kinds.field(name).type)]
    leaf = first
    try:
        for position, batch in source.read(handles, columns.needed, numeric):
            leaf = first + position
            yield leaf, to_block(batch, columns)
    except InputError as error:
        yield leaf, _refused(str(error), columns)
    except OSError as error:
        yield leaf, _refused(f"{source.description} cannot be read: {one_line(error)}", columns)


def _refused(why: str, columns: Columns) -> Block:
    nothing = np.zeros(0)
    empty = np.zeros((0, len(columns.names)))
    return DenseBlock.of(empty, nothing, nothing, Census(invalid=why))


def local_dataset(source: Source, columns: Columns) -> LocalDataset:
    """All leaves in this process."""
    handles = source.handles(len(columns.names))
    return LocalDataset(pack(source, handles, 0, columns), len(columns.names))


def spark_dataset(
    context: "SparkContext",
    source: Source,
    columns: Columns,
    tasks: int | None = None,
    aggregation_depth: int | None = None,
) -> Dataset:
    """Leaves dealt out in runs of equal number to `tasks` tasks (Spark's default parallelism)."""
    from w261reg.datasets.rdd import RddDataset

    handles = source.handles(len(columns.names))
    if not handles:
        raise InputError(f"{source.description} has no rows")
    runs = deal(len(handles), tasks or context.defaultParallelism)
    parts = [(run.start, [handles[i] for i in run]) for run in runs]

    def blocks(part: tuple[int, list[Any]]) -> Iterator[tuple[int, Block]]:
        return pack(source, part[1], part[0], columns)

    rdd = context.parallelize(parts, len(parts)).flatMap(blocks)
    leaves = [list(run) for run in runs]
    return RddDataset(rdd, len(columns.names), leaves, aggregation_depth)


def deal(leaves: int, tasks: int) -> list[range]:
    """Contiguous runs, as equal as can be, none empty."""
    tasks = max(1, min(tasks, leaves))
    cuts = [leaves * i // tasks for i in range(tasks + 1)]
    return [range(a, b) for a, b in pairwise(cuts)]


def frame_dataset(
    frame: "DataFrame", columns: Columns, aggregation_depth: int | None = None
) -> Dataset:
    """The rows of a Spark DataFrame, by mapInArrow; each partition is one leaf.

    A DataFrame's rows have no order of their own: its leaves are those of the partitions as Spark
    delivers them.
    """
    import pickle

    from w261reg.datasets.rdd import RddDataset

    def to_bytes(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for given in batches:
            batch = pa.record_batch(given.columns, names=columns.needed)
            try:
                block = to_block(batch, columns)
            except InputError as error:
                block = _refused(str(error), columns)
            payload = pickle.dumps(block, pickle.HIGHEST_PROTOCOL)
            yield pa.record_batch([pa.array([payload], pa.binary())], names=["block"])

    def numbered(index: int, rows: Iterable[Any]) -> Iterator[tuple[int, Block]]:
        for row in rows:
            yield index, pickle.loads(bytes(row[0]))

    with spark_failures("reading the DataFrame"):
        packed = select_plain(frame, columns.needed).mapInArrow(to_bytes, "block binary")
        rdd = packed.rdd.mapPartitionsWithIndex(numbered)
        return RddDataset(rdd, len(columns.names), None, aggregation_depth)
