"""CSV files with a header."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source
from w261reg.sources.columns import is_text
from w261reg.sources.fields import shown_as, unusable
from w261reg.sources.paths import Files, guarded, head, one_line
from w261reg.sources.quotes import header_end, unclosed, whole_records
from w261reg.sources.reading import Reading
from w261reg.sources.text import LINE_BYTES, Span, TextFiles

# how much of the first file, and of each further one, types are inferred from
HEAD, LATER_HEAD = 2**20, 2**16
# what spreadsheets and databases write between fields, where it is no comma
DELIMITERS = ";\t|"
# what a value of a column is, by its type's name
_WANTED = {"double": "a number", "int64": "an integer", "bool": "true or false"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class _Look(NamedTuple):
    """The beginning of a file: its columns, and whether that was all of it.

    `odd` has, of a column of text, the first value that is no number and its row, from 1.
    """

    path: str
    names: tuple[str, ...]
    kinds: tuple[pa.DataType, ...]
    odd: dict[int, tuple[str, int]]
    whole: bool


class CsvSource(Source):
    """CSV, parsed by pyarrow in the tasks; every file begins with a header.

    Types are inferred once, from the beginnings of the files, so that every task reads the same
    table. Columns are told apart by their place, so that names may repeat where nobody uses them;
    a file may lack columns of others. A file of more than one leaf must not have line breaks inside
    quotes, but for its header.
    """

    def __init__(self, files: Files, reading: Reading | None = None) -> None:
        self.reading = reading or Reading()
        self.text = TextFiles.of(files)
        self.description = f"CSV {files.given}"
        self.given = files.given
        seen = [self._look(files, i) for i, size in enumerate(files.sizes) if size]
        looks = [look for look in seen if look.names]
        if not looks:
            raise InputError(f"data {files.given} is empty")
        # a column is (name, how many of that name stand before it)
        places = {look.path: _places(look.names) for look in looks}
        order = list(dict.fromkeys(key for own in places.values() for key in own))
        # where each file has each column of the table
        self.layout = {path: [own.get(key) for key in order] for path, own in places.items()}
        self.header = {look.path: look.names for look in looks}
        self.schema = pa.schema([self._field(j, name, looks) for j, (name, _) in enumerate(order)])
        # a type inferred from a part may not hold for the rest: what is not used stays text then
        self.typed = all(look.whole for look in seen)

    def _field(self, position: int, name: str, looks: Sequence[_Look]) -> pa.Field:
        """One column of the table, by what each file says of it."""
        kinds, odd, lacking = [], None, None
        for look in looks:
            place = self.layout[look.path][position]
            if place is None:
                lacking = lacking or look
                continue
            kinds.append(look.kinds[place])
            odd = odd or look.odd.get(place)
        field = pa.field(name, _common(kinds))
        if is_text(field.type) and odd is not None:
            field = shown_as(field, f"text, as {_short(odd[0])} in row {odd[1]}{_advice(odd[0])}")
        if lacking is not None:
            first = ", ".join(lacking.names)[:80]
            field = unusable(field, f"is not in {lacking.path}, which begins with {first!r}")
        return field

    def _look(self, files: Files, index: int) -> _Look:
        path, size = files.paths[index], HEAD if index == 0 else LATER_HEAD
        start = head(files, index, size)
        if start.startswith(_UTF16):
            raise InputError(f"data {files.given} is not CSV in UTF-8 but in UTF-16: save it anew")
        while len(start) == size and header_end(start.lstrip(b"\r\n")) is None:
            if size == LINE_BYTES:
                raise InputError(f"data {path} has a header of more than {LINE_BYTES:,} bytes")
            size = min(16 * size, LINE_BYTES)
            start = head(files, index, size)
        whole = len(start) < size
        if not whole:
            start = whole_records(start)
        start = start.lstrip(b"\r\n")
        if not start.strip():
            return _Look(path, (), (), {}, whole)
        end = header_end(start) or len(start)
        names = self._names(start[:end])
        rows = start[end:]
        if not rows.strip():
            return _Look(path, names, (pa.null(),) * len(names), {}, whole)
        with guarded(f"data {files.given}", "is not CSV"):
            table = pacsv.read_csv(
                pa.BufferReader(rows),
                read_options=self._blocks(len(names), rows),
                parse_options=self._parsing(newlines=True),
                convert_options=pacsv.ConvertOptions(null_values=self._nulls()),
            )
        odd = {
            j: found
            for j, column in enumerate(table.columns)
            if is_text(column.type) and (found := self._odd(column)) is not None
        }
        return _Look(path, names, tuple(table.schema.types), odd, whole)

    def _names(self, header: bytes) -> tuple[str, ...]:
        """The names in a header, of which line breaks may be part."""
        try:
            text = header.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"data {self.given} is not CSV in UTF-8") from None
        if "\0" in text:
            raise InputError(
                f"data {self.given} is not CSV in UTF-8: its header holds null bytes, as text in "
                "UTF-16 does"
            )
        try:
            reader = csv.reader(io.StringIO(text), delimiter=self._delimiter, strict=True)
            names = tuple(next(reader))
        except (csv.Error, StopIteration) as error:
            raise InputError(f"data {self.given} is not CSV: {one_line(error)}") from None
        found = next((mark for mark in DELIMITERS if mark in "".join(names)), None)
        if len(names) == 1 and found is not None and self.reading.delimiter is None:
            mark = "\\t" if found == "\t" else found
            raise InputError(
                f"data {self.given} has one column only, {_short(names[0])}: where its fields are "
                f"separated by {mark!r}, say so with delimiter"
            )
        return names

    def _odd(self, column: pa.ChunkedArray) -> tuple[str, int] | None:
        """The first value of a column of text that is no number, and its row."""
        missing = set(self._nulls())
        for row, value in enumerate(column.to_pylist(), 1):
            if value is None or value.strip() in missing:
                continue
            try:
                pa.scalar(value.strip()).cast(pa.float64())
            except pa.ArrowInvalid:
                return value, row
        return None

    @property
    def _delimiter(self) -> str:
        return self.reading.delimiter or ","

    def _nulls(self) -> list[str]:
        return [*pacsv.ConvertOptions().null_values, *self.reading.null_values]

    def _parsing(self, newlines: bool) -> pacsv.ParseOptions:
        return pacsv.ParseOptions(delimiter=self._delimiter, newlines_in_values=newlines)

    @staticmethod
    def _blocks(count: int, text: bytes) -> pacsv.ReadOptions:
        """One block, one thread, and columns named by their place."""
        return pacsv.ReadOptions(
            use_threads=False,
            column_names=[str(j) for j in range(count)],
            block_size=max(len(text), 1),
        )

    def handles(self, width: int) -> list[Handle]:
        return list(self.text.spans)

    def read(
        self, handles: Sequence[Handle], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        names = self.schema.names
        wanted = range(len(names)) if columns is None else [names.index(name) for name in columns]
        numbers = set(numeric)
        kinds = {j: self._type(self.schema.field(j), columns, numbers) for j in wanted}
        for position, span in enumerate(handles):
            table = self._parse(span, self._rows(span), kinds)
            if table.num_rows:
                yield position, table.combine_chunks().to_batches()[0]

    def through(
        self, handles: Sequence[Handle], features: Sequence[str], text: bool
    ) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Each column that is no feature is text, as it was written; missing where it is empty."""
        names, numbers = self.schema.names, set(features)
        own = [j for j, name in enumerate(names) if name in numbers]
        kinds = {j: self._type(self.schema.field(j), features, numbers) for j in own}
        for span in handles:
            rows = self._rows(span)
            found = self._parse(span, rows, kinds).combine_chunks()
            every = dict.fromkeys(range(len(names)), pa.string())
            written = self._parse(span, rows, every, written=True).combine_chunks()
            if found.num_rows:
                if not text:
                    for j, column in zip(own, found.columns, strict=True):
                        written = written.set_column(j, names[j], column)
                yield found.to_batches()[0], written.to_batches()[0]

    def _rows(self, span: Span) -> bytes:
        """The text of a span without its header."""
        text = self.text.lines(span)
        if span.start == 0:
            text = text.lstrip(b"\r\n")
            text = text[header_end(text) or len(text) :]
        return text

    def _parse(
        self, span: Span, text: bytes, kinds: dict[int, pa.DataType], written: bool = False
    ) -> pa.Table:
        """The columns of these types, by their place in the table.

        Args:
            span: which it is.
            text: of its rows.
            kinds: type by place.
            written: keep every text as it is; what is empty is missing.
        """
        schema = pa.schema([(self.schema.field(j).name, kind) for j, kind in kinds.items()])
        names = self.header.get(span.path, ())
        if not text.strip() or not names:
            return schema.empty_table()
        place = {j: self.layout[span.path][j] for j in kinds}
        there = {str(at): kinds[j] for j, at in place.items() if at is not None}
        nulls = pacsv.ConvertOptions(
            column_types=there,
            include_columns=list(there) or ["0"],  # or there would be no rows
            null_values=[""] if written else self._nulls(),
            strings_can_be_null=written,
            quoted_strings_can_be_null=not written,
        )
        try:
            with guarded(f"data {self.given}", pass_on=pa.ArrowInvalid):
                table = pacsv.read_csv(
                    pa.BufferReader(text),
                    read_options=self._blocks(len(names), text),
                    parse_options=self._parsing(newlines=span.whole),
                    convert_options=nulls,
                )
        except pa.ArrowInvalid as error:
            raise InputError(f"data {self.given}: {self._explain(error, span)}") from None
        self._check_quotes(span, text, table.num_rows)
        arrays = [
            pa.chunked_array([pa.nulls(table.num_rows, kinds[j])])
            if at is None
            else table.column(str(at))
            for j, at in place.items()
        ]
        if self.reading.null_values and not written:
            arrays = [self._without_nulls(array) for array in arrays]
        return pa.table(arrays, schema=schema)

    def _check_quotes(self, span: Span, text: bytes, rows: int) -> None:
        """Raise InputError where an unclosed quote has taken rows for a part of a value."""
        at = unclosed(text, rows, self._delimiter, many_lines=span.whole)
        if at is None:
            return
        line = 1 + text.count(b"\n", 0, at)
        line += self.text.line_breaks_before(span) if span.start else self._header_breaks(span)
        if span.whole:
            more = "quotes inside of a value are doubled"
        else:
            more = "in a file of this length a value has no line breaks: compress it, as .gz"
        raise InputError(f"data {span.path}, line {line}: a quote is not closed; {more}")

    def _without_nulls(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column of text with the values that mean none missing; of numbers they are already."""
        if not is_text(column.type):
            return column
        missing = pc.is_in(column, value_set=pa.array(self.reading.null_values, column.type))
        return pc.if_else(missing, pa.scalar(None, column.type), column)

    def _type(
        self, field: pa.Field, columns: Sequence[str] | None, numeric: set[str]
    ) -> pa.DataType:
        if field.name in numeric and not pa.types.is_boolean(field.type):
            return pa.float64()
        used = columns is not None or field.name in numeric
        return field.type if used or self.typed else pa.string()

    def _explain(self, error: pa.ArrowInvalid, span: Span) -> str:
        """pyarrow's message with the column's name for its number, and the row in the file."""
        message = one_line(error)
        if found := re.search(r"Row #(\d+): ", message):
            row = int(found.group(1))
            if span.start:
                row += self.text.line_breaks_before(span) - self._header_breaks(span)
            message = message.replace(found.group(0), "")
            where = f" in row {row}"
        else:
            where = ""
        if found := re.search(
            r"In CSV column #(\d+).*error to (\w+).*invalid value '(.*)$", message
        ):
            name, kind = self.header[span.path][int(found.group(1))], found.group(2)
            value = found.group(3).removesuffix("'")
            return (
                f"column {name!r} holds {_short(value)}, which is not {_WANTED.get(kind, kind)},"
                f"{where}{_advice(value)}"
            )
        if "UTF8" in message:
            return "it is not in UTF-8: save it anew"
        return message.replace("CSV parse error: ", f"a ragged row{where}: ")

    def _header_breaks(self, span: Span) -> int:
        """The line breaks up to the end of the header of a span's file."""
        first = self.text.lines(span._replace(start=0, stop=1))
        leading = len(first) - len(first.lstrip(b"\r\n"))
        return first[: leading + (header_end(first[leading:]) or len(first))].count(b"\n")


def _places(names: Sequence[str]) -> dict[tuple[str, int], int]:
    """The place of each column by its name and how many of that name stand before it."""
    before: Counter[str] = Counter()
    places = {}
    for place, name in enumerate(names):
        places[name, before[name]] = place
        before[name] += 1
    return places


def _short(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "...")


def _advice(value: str) -> str:
    """What to do about a text where a number should be."""
    if re.fullmatch(r"\s*[-+]?\d+,\d+\s*", value):
        return "; numbers need a decimal point"
    if re.search(r"\d", value):
        return ""
    return "; null_values names the texts that mean a missing value"


def _common(kinds: list[pa.DataType]) -> pa.DataType:
    """The type of a column by the types that its files suggest; no value anywhere is a number."""
    found = {pa.string() if is_text(kind) else kind for kind in kinds if not pa.types.is_null(kind)}
    if len(found) <= 1:
        return found.pop() if found else pa.float64()
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in found)
    return pa.float64() if numbers else pa.string()
