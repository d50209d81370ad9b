"""Tables that are written batch by batch, as CSV or Parquet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from w261reg.errors import InputError
from w261reg.sources.columns import is_vector, plain_type


def check_csv(schema: pa.Schema) -> None:
    """Raise InputError for a column that CSV has no place for."""
    for field in schema:
        if is_vector(field.type):
            continue
        try:
            pa.nulls(1, plain_type(field.type)).cast(pa.large_utf8())
        except pa.ArrowException:
            raise InputError(
                f"column {field.name!r} ({field.type}) has no place in CSV: let out end in .parquet"
            ) from None


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
        if self._writer is None:
            self._writer = self._open(batch.schema)
        if self.csv:
            self._writer.write(_lines(batch))
        else:
            self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def _open(self, schema: pa.Schema) -> Any:
        if not self.csv:
            return pq.ParquetWriter(self.path, schema)
        file = self.path.open("wb")
        file.write(_joined([pa.array([name], pa.large_utf8()) for name in schema.names]))
        return file

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


def _lines(batch: pa.RecordBatch) -> bytes:
    """A batch as lines of CSV, quoted where it must be; a missing value is empty, "" is a text."""
    arrays = zip(batch.schema.names, batch.columns, strict=True)
    return _joined([_as_text(name, column) for name, column in arrays])


def _as_text(name: str, column: pa.Array) -> pa.Array:
    """A column as CSV can have it: vectors as `index:value ...` from 1, for CSV has no other place
    for them, and dictionaries as their values."""
    if is_vector(column.type):
        return pa.array(map(_vector_text, column.to_pylist()), pa.large_utf8())
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column.cast(pa.large_utf8())
    except pa.ArrowException:
        raise InputError(
            f"column {name!r} holds bytes that are no text, for which CSV has no place: let out "
            "end in .parquet"
        ) from None


def _joined(columns: list[pa.Array]) -> bytes:
    """Lines out of columns of text."""
    quoted = [_quoted(column) for column in columns]
    comma, end = pa.scalar(",", pa.large_utf8()), pa.scalar("\n", pa.large_utf8())
    nothing = pa.scalar("", pa.large_utf8())
    options = {"null_handling": "replace", "null_replacement": ""}
    rows = pc.binary_join_element_wise(*quoted, comma, **options)
    return pc.binary_join_element_wise(rows, nothing, end, **options).buffers()[2].to_pybytes()


def _quoted(column: pa.Array) -> pa.Array:
    special = pc.match_substring_regex(column, r'^$|[",\r\n]')
    if not pc.any(special).as_py():
        return column
    mark = pa.scalar('"', pa.large_utf8())
    inner = pc.replace_substring(column, '"', '""')
    nothing = pa.scalar("", pa.large_utf8())
    return pc.if_else(special, pc.binary_join_element_wise(mark, inner, mark, nothing), column)


def _vector_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        indices = value["indices"]  # null for a dense row of pyspark.ml's struct
        indices = range(len(value["values"])) if indices is None else indices
        pairs = list(zip(indices, value["values"], strict=True))
    return " ".join(f"{at + 1}:{'' if number is None else repr(number)}" for at, number in pairs)
