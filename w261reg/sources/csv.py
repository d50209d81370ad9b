"""CSV files with a header."""

import csv
import io
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv as pacsv

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source
from w261reg.sources.columns import is_text
from w261reg.sources.paths import Files, head, one_line
from w261reg.sources.text import Span, TextFiles


class CsvSource(Source):
    """CSV, parsed by pyarrow in the tasks; every file begins with the same header.

    Types are inferred once, from the beginning of the first file, so that every task reads the same
    table. A file of more than one leaf must not have line breaks inside quotes.
    """

    def __init__(self, files: Files) -> None:
        self.text = TextFiles.of(files)
        self.description = f"CSV {files.given}"
        self.given = files.given
        first = next((i for i, size in enumerate(files.sizes) if size), 0)
        start = head(files, first)
        if not start.strip():
            raise InputError(f"data {files.given} is empty")
        if len(start) >= 2**20:
            start = start[: start.rfind(b"\n") + 1] or start
        try:
            self.schema = _without_nulls(pacsv.open_csv(pa.BufferReader(start)).schema)
        except pa.ArrowInvalid as error:
            raise InputError(f"data {files.given} is not CSV: {one_line(error)}") from None
        names = self.schema.names
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"data {files.given} has two columns named {name!r}")
        for index in range(first + 1, len(files.paths)):
            own = _header(head(files, index, size=2**16))
            if own and own != names:
                raise InputError(
                    f"data {files.given} has files of different columns: {files.paths[index]} "
                    f"begins with {', '.join(own)[:80]!r}, not with the header of the first file"
                )

    def handles(self, width: int) -> list[Handle]:
        return list(self.text.spans)

    def read(
        self, handles: Sequence[Handle], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        for position, span in enumerate(handles):
            table = self._parse(span, columns, numeric)
            if table.num_rows:
                yield position, table.combine_chunks().to_batches()[0]

    def _parse(self, span: Span, columns: Sequence[str] | None, numeric: Sequence[str]) -> pa.Table:
        text = self.text.lines(span)
        names = self.schema.names
        types = {
            field.name: pa.float64()
            if field.name in numeric and not pa.types.is_boolean(field.type)
            else field.type
            for field in self.schema
        }
        if not text.strip():
            return self.schema.empty_table()
        try:
            return pacsv.read_csv(
                pa.BufferReader(text),
                read_options=pacsv.ReadOptions(
                    use_threads=False,
                    column_names=names,
                    skip_rows=1 if span.start == 0 else 0,
                    block_size=max(len(text), 1),
                ),
                parse_options=pacsv.ParseOptions(newlines_in_values=span.whole),
                convert_options=pacsv.ConvertOptions(
                    column_types=types, include_columns=list(columns) if columns else None
                ),
            )
        except pa.ArrowInvalid as error:
            raise InputError(f"data {self.given}: {self._explain(one_line(error))}") from None

    def _explain(self, message: str) -> str:
        """pyarrow's message with the column's name for its number."""
        found = re.search(r"In CSV column #(\d+).*invalid value (.*)$", message)
        if found:
            name = self.schema.names[int(found.group(1))]
            return f"column {name!r} holds {found.group(2)}, which is not a number"
        return message.replace("CSV parse error: ", "a ragged row: ")


def _without_nulls(schema: pa.Schema) -> pa.Schema:
    """Columns without a value at the beginning are taken for numbers."""
    fields = [
        pa.field(f.name, pa.float64() if pa.types.is_null(f.type) else _plain(f.type))
        for f in schema
    ]
    return pa.schema(fields)


def _header(start: bytes) -> list[str]:
    """The names in the first line that is not blank; none in an empty file."""
    rows = csv.reader(io.StringIO(start.decode("utf-8-sig", "replace")))
    return next((row for row in rows if row), [])


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if is_text(kind) else kind
