"""Tables that are written batch by batch, as CSV or Parquet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from w261reg.errors import InputError
from w261reg.sources.columns import is_vector


def check_csv(schema: pa.Schema) -> None:
    """Raise InputError for a column that CSV has no place for."""
    for field in schema:
        if pa.types.is_nested(field.type) and not is_vector(field.type):
            raise InputError(
                f"column {field.name!r} ({field.type}) has no place in CSV: let out end in .parquet"
            )


class TableWriter:
    """Writes batches of one schema to a file; opened by the first.

    Args:
        path: where.
        csv: write CSV, with vectors as text, instead of Parquet.
    """

    def __init__(self, path: Path, csv: bool) -> None:
        self.path, self.csv = path, csv
        self.rows = 0
        self._writer: Any = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""
        if self.csv:
            batch = _vectors_as_text(batch)
        if self._writer is None:
            self._writer = self._open(batch.schema)
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def _open(self, schema: pa.Schema) -> Any:
        if not self.csv:
            return pq.ParquetWriter(self.path, schema)
        quoting = pacsv.WriteOptions(quoting_style="needed")
        return pacsv.CSVWriter(self.path, schema, write_options=quoting)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def table_writer(path: Path, csv: bool) -> Iterator[TableWriter]:
    """A TableWriter that is closed at the end."""
    writer = TableWriter(path, csv)
    try:
        yield writer
    finally:
        writer.close()


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """A batch as Arrow's stream format, to travel."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def from_bytes(data: bytes) -> pa.RecordBatch:
    """The batch of `to_bytes`."""
    return pa.ipc.open_stream(data).read_next_batch()


def _vectors_as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Vectors as `index:value ...` from 1: CSV has no other place for them."""
    arrays = [
        pa.array(map(_vector_text, column.to_pylist()), pa.string())
        if is_vector(column.type)
        else column
        for column in batch.columns
    ]
    return pa.record_batch(arrays, names=batch.schema.names)


def _vector_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        indices = value["indices"]  # null for a dense row of pyspark.ml's struct
        indices = range(len(value["values"])) if indices is None else indices
        pairs = list(zip(indices, value["values"], strict=True))
    return " ".join(f"{index + 1}:{number!r}" for index, number in pairs)
