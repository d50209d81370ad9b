"""CSV files with a header."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv as pacsv

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source
from w261reg.sources.columns import is_text
from w261reg.sources.paths import Files, head, one_line
from w261reg.sources.text import Span, TextFiles

# how much of the first file, and of each further one, types are inferred from
HEAD, LATER_HEAD = 2**20, 2**16


class CsvSource(Source):
    """CSV, parsed by pyarrow in the tasks; every file begins with the same header.

    Types are inferred once, from the beginnings of the files, so that every task reads the same
    table. A file of more than one leaf must not have line breaks inside quotes.
    """

    def __init__(self, files: Files) -> None:
        self.text = TextFiles.of(files)
        self.description = f"CSV {files.given}"
        self.given = files.given
        seen = [self._look(files, i) for i, size in enumerate(files.sizes) if size]
        schemas = [(path, schema) for path, schema, _ in seen if schema is not None]
        if not schemas:
            raise InputError(f"data {files.given} is empty")
        names = schemas[0][1].names
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"data {files.given} has two columns named {name!r}")
        for path, schema in schemas:
            if schema.names != names:
                raise InputError(
                    f"data {files.given} has files of different columns: {path} begins with "
                    f"{', '.join(schema.names)[:80]!r}, not with the header of the first file"
                )
        kinds = [
            _common([schema.field(j).type for _, schema in schemas]) for j in range(len(names))
        ]
        self.schema = pa.schema(list(zip(names, kinds, strict=True)))
        # a type inferred from a part may not hold for the rest: what is not used stays text then
        self.typed = all(whole for _, _, whole in seen)

    @staticmethod
    def _look(files: Files, index: int) -> tuple[str, pa.Schema | None, bool]:
        """(path, types by the beginning of one file or None if blank, whether that was all)."""
        size = HEAD if index == 0 else LATER_HEAD
        start = head(files, index, size)
        whole = len(start) < size
        if not whole:
            start = start[: start.rfind(b"\n") + 1] or start
        if not start.strip():
            return files.paths[index], None, whole
        try:
            start.split(b"\n", 1)[0].decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"data {files.given} is not CSV in UTF-8") from None
        try:
            return files.paths[index], pacsv.open_csv(pa.BufferReader(start)).schema, whole
        except pa.ArrowInvalid as error:
            raise InputError(f"data {files.given} is not CSV: {one_line(error)}") from None

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
        if span.start == 0:
            text = text.lstrip(b"\r\n")  # or a blank line would be taken for the header
        names = self.schema.names
        types = {field.name: self._type(field, columns, numeric) for field in self.schema}
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

    def _type(
        self, field: pa.Field, columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> pa.DataType:
        if field.name in numeric and not pa.types.is_boolean(field.type):
            return pa.float64()
        used = columns is not None or field.name in numeric
        return field.type if used or self.typed else pa.string()

    def _explain(self, message: str) -> str:
        """pyarrow's message with the column's name for its number."""
        found = re.search(r"In CSV column #(\d+).*invalid value (.*)$", message)
        if found:
            name = self.schema.names[int(found.group(1))]
            return f"column {name!r} holds {found.group(2)}, which is not a number"
        return message.replace("CSV parse error: ", "a ragged row: ")


def _common(kinds: list[pa.DataType]) -> pa.DataType:
    """The type of a column by the types that its files suggest; no value anywhere is a number."""
    found = {pa.string() if is_text(kind) else kind for kind in kinds if not pa.types.is_null(kind)}
    if len(found) <= 1:
        return found.pop() if found else pa.float64()
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in found)
    return pa.float64() if numbers else pa.string()
