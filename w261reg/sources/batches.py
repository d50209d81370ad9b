"""Arrow batches cut anew: whoever made them, the same rows make the same blocks."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from w261reg.sources.base import LEAF_BYTES, leaf_rows
from w261reg.sources.columns import Columns

# rows and stored values of a batch, at most: what Spark is asked for, and what a leaf holds
MOST_ROWS, MOST_VALUES = 2**16, LEAF_BYTES // 8


def recut(batches: Iterable[pa.RecordBatch], columns: Columns) -> Iterator[pa.RecordBatch]:
    """The rows of these batches, in batches whose ends depend on the rows alone.

    Spark ends its own where spark.sql.execution.arrow.maxRecordsPerBatch says, and sums over
    other blocks have other last bits. Vectors may be sparse, so they are cut by what they store.

    Args:
        batches: of one schema.
        columns: which of theirs are features.
    """
    rows = MOST_ROWS if columns.vector else min(MOST_ROWS, leaf_rows(len(columns.names)))
    waiting: list[pa.RecordBatch] = []
    held = values = 0
    for batch in batches:
        start, stored = 0, _stored(batch, columns)
        while start < batch.num_rows:
            count = min(rows - held, batch.num_rows - start)
            within = np.searchsorted(stored, stored[start] + MOST_VALUES - values)
            count = max(1, min(count, int(within) - start))
            waiting.append(batch.slice(start, count))
            held += count
            values += int(stored[start + count] - stored[start])
            start += count
            if held == rows or values >= MOST_VALUES:
                yield _one(waiting)
                waiting, held, values = [], 0, 0
    if waiting:
        yield _one(waiting)


def _stored(batch: pa.RecordBatch, columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How many numbers the vectors before each row hold, (rows + 1,); without vectors 0."""
    before = np.zeros(batch.num_rows + 1, dtype=np.int64)
    if columns.vector:
        vectors = batch.column(columns.columns[0])
        if pa.types.is_struct(vectors.type):
            vectors = pc.struct_field(vectors, "values")
        if not pa.types.is_fixed_size_list(vectors.type):
            lengths = pc.fill_null(pc.list_value_length(vectors), 0)
            np.cumsum(lengths.to_numpy(zero_copy_only=False), out=before[1:])
        else:
            before[:] = vectors.type.list_size * np.arange(len(before))
    return before


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """The rows of several batches in one."""
    if len(batches) == 1:
        return batches[0]
    (whole,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return whole
