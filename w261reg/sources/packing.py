"""From a source to a dataset: leaves are read and packed where they will be used."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from w261reg.blocks import Block, Census, DenseBlock
from w261reg.blocks.store import Packed
from w261reg.datasets import Dataset, LocalDataset
from w261reg.datasets.base import LOCAL_SECONDS
from w261reg.datasets.failure import spark_failures
from w261reg.datasets.recipe import Item, Recipe
from w261reg.errors import InputError
from w261reg.held import Held
from w261reg.sources.base import Handle, Source
from w261reg.sources.batches import recut
from w261reg.sources.columns import Columns, is_text, to_block
from w261reg.sources.frame import select_plain
from w261reg.sources.paths import one_line

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext
    from pyspark.sql import DataFrame

# rows that are read beforehand: this many or more, by the number of features, from so many places
PREVIEW_ROWS, PREVIEW_PER_FEATURE, PREVIEW_PLACES = 20_000, 20, 2
# as long as they take no more memory, and the table has so many times as many
PREVIEW_BYTES, PREVIEWED = 2**26, 16


def pack(
    source: Source,
    handles: Sequence[Handle],
    first: int,
    columns: Columns,
    storage: str = "float64",
) -> Iterator[tuple[int, Block]]:
    """(leaf, block) of some leaves, numbered from `first`.

    What cannot be read becomes a block without rows whose census says why: an exception would be
    retried by Spark, and reported in 90 lines.
    """
    kinds = source.schema
    numeric = [name for name in columns.needed if not is_text(kinds.field(name).type)]
    numeric = [name for name in numeric if name != columns.group]  # of integers, all digits count
    leaf = first
    try:
        with _system_memory:
            for position, batch in source.read(handles, columns.needed, numeric):
                leaf = first + position
                yield leaf, stored(to_block(batch, columns), storage)
    except InputError as error:
        yield leaf, _refused(str(error), columns)
    except OSError as error:
        yield leaf, _refused(f"{source.description} cannot be read: {one_line(error)}", columns)


def _take_system_memory() -> Callable[[], None]:
    """pyarrow's own allocator takes half a second of a process's first batches to set itself up."""
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    return lambda: pa.set_memory_pool(usual)


_system_memory = Held(_take_system_memory)


def stored(block: Block, storage: str) -> Block:
    """The block with features of type `storage`. Raises InputError where they do not fit it."""
    if storage == "float64":
        return block
    with np.errstate(over="ignore"):
        rounded = block.stored_as(storage)
    if rounded.rows and not np.isfinite(rounded.range()).all():
        largest = float(np.finfo(storage).max)
        raise InputError(f"storage {storage} holds numbers up to {largest:.2g}: a feature has more")
    return rounded


def _refused(why: str, columns: Columns) -> Block:
    nothing = np.zeros(0)
    empty = np.zeros((0, columns.width))
    return DenseBlock.of(empty, nothing, nothing, Census(invalid=why))


def local_dataset(source: Source, columns: Columns, storage: str = "float64") -> LocalDataset:
    """All leaves in this process."""
    entries = source.values_per_row(columns)
    handles = source.handles(entries)
    dataset = LocalDataset(pack(source, handles, 0, columns, storage), len(columns.names))
    dataset.entries, dataset.preview = entries, previewing(source, handles, columns, entries)
    return dataset


def previewing(
    source: Source, handles: Sequence[Handle], columns: Columns, entries: int
) -> Callable[[], LocalDataset] | None:
    """How to read a few rows from a few places; None where they would be too many or too few."""
    n = len(columns.names)
    rows = min(max(PREVIEW_ROWS, PREVIEW_PER_FEATURE * n), PREVIEW_BYTES // (8 * max(1, entries)))
    heads = source.heads(handles)
    if rows < n * PREVIEW_PER_FEATURE / 2 or not heads or (source.rows or 0) < PREVIEWED * rows:
        return None
    places = [heads[i * len(heads) // PREVIEW_PLACES] for i in range(PREVIEW_PLACES)]
    places = list(dict.fromkeys(places))
    each = -(-rows // len(places))

    def read() -> LocalDataset:
        found = ((i, next(pack(source, [own], 0, columns))[1]) for i, own in enumerate(places))
        few = ((i, block.take(np.arange(min(each, block.rows)))) for i, block in found)
        return LocalDataset(few, n)

    return read


def spark_dataset(
    context: "SparkContext",
    source: Source,
    columns: Columns,
    tasks: int | None = None,
    storage: str = "float64",
    **options: Any,
) -> Dataset:
    """Leaves dealt out in contiguous runs of about equal bytes to tasks.

    Args:
        context: the running Spark.
        source, columns: what to read.
        tasks: how many; None is Spark's default parallelism.
        storage: the features' type in the packed blocks.
        options: of RddDataset.

    Raises:
        InputError: the source has no rows.
    """
    from w261reg.datasets.rdd import RddDataset

    entries = source.values_per_row(columns)
    handles = source.handles(entries)
    if not handles:
        raise InputError(f"{source.description} has no rows")
    runs = deal([source.weigh(handle) for handle in handles], tasks or context.defaultParallelism)
    parts = [(run.start, [handles[i] for i in run]) for run in runs]

    needed = columns.for_tasks()

    def reading(recipe: Recipe) -> "RDD[Item]":
        def read(index: int, part: Iterable[Any]) -> Iterator[Item]:
            given = list(part)
            leaves = chain.from_iterable(
                pack(source, own, first, needed, storage) for first, own in given
            )
            return recipe.run(index, leaves)

        return context.parallelize(parts, len(parts)).mapPartitionsWithIndex(read)

    leaves = [list(run) for run in runs]
    dataset = RddDataset(context, reading, len(parts), len(columns.names), leaves, **options)
    dataset.rows, dataset.entries = source.rows, entries
    dataset.preview = previewing(source, handles, columns, entries)
    if source.rows and 8 * source.rows * entries <= options.get("collect_bytes", 0):
        # further passes will run on the driver
        dataset.overhead, dataset.travels = LOCAL_SECONDS, False
    return dataset


def deal(weights: Sequence[float], tasks: int) -> list[range]:
    """Contiguous runs of leaves, of weights about as equal as can be, none empty.

    Where a task has many leaves, runs begin at multiples of a power of two: whole subtrees leave
    fewer shares over, and the shares of wide problems are large.
    """
    tasks = max(1, min(tasks, len(weights)))
    grain = 1 << max(0, (len(weights) // (8 * tasks)).bit_length() - 1)
    ends = np.cumsum(weights)
    cuts = [0]
    for i in range(1, tasks):
        cut = int(np.searchsorted(ends, ends[-1] * i / tasks - 1e-9 * ends[-1])) + 1
        cut = (cut + grain // 2) // grain * grain
        cuts.append(min(max(cut, cuts[-1] + 1), len(weights) - tasks + i))
    return [range(a, b) for a, b in pairwise([*cuts, len(weights)])]


def frame_dataset(
    frame: "DataFrame", columns: Columns, storage: str = "float64", **options: Any
) -> Dataset:
    """The rows of a Spark DataFrame, by mapInArrow; each partition is one leaf.

    A DataFrame's rows have no order of their own: its leaves are those of the partitions as Spark
    delivers them, in blocks that are cut by the rows, not where Spark cuts its batches. The tasks
    that see the rows do not know which partition of the RDD they are (Spark tells them their number
    in the job): the number is set behind them.

    Args:
        frame: the rows.
        columns: what they hold.
        storage: the features' type in the packed blocks.
        options: of RddDataset.
    """
    from w261reg.datasets.rdd import RddDataset

    plain, needed = select_plain(frame, columns.needed), columns.for_tasks()

    def reading(recipe: Recipe) -> "RDD[Item]":
        def to_items(batches: Iterator[Any]) -> Iterator[Any]:
            import pyarrow as pa

            def blocks() -> Iterator[tuple[int, Block]]:
                names = needed.needed
                given = (pa.record_batch(batch.columns, names=names) for batch in batches)
                for batch in recut(given, needed):
                    try:
                        yield 0, stored(to_block(batch, needed), storage)
                    except InputError as error:
                        yield 0, _refused(str(error), needed)

            for item in recipe.run(None, blocks()):
                payload = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
                yield pa.record_batch([pa.array([payload], pa.binary())], names=["item"])

        def numbered(index: int, rows: Iterable[Any]) -> Iterator[Item]:
            for row in rows:
                if recipe.only is not None and index not in recipe.only:
                    continue
                item = pickle.loads(bytes(row[0]))
                if isinstance(item, Packed):
                    yield replace(item, partition=index, first_leaf=index)
                else:
                    yield item[0], index, item[2]

        return plain.mapInArrow(to_items, "item binary").rdd.mapPartitionsWithIndex(numbered)

    with spark_failures("reading the DataFrame"):
        tasks = plain.rdd.getNumPartitions()
    context = frame.sparkSession.sparkContext
    return RddDataset(context, reading, tasks, len(columns.names), None, **options)
