"""Parquet files, read by the tasks themselves."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source, leaf_rows
from w261reg.sources.columns import Columns
from w261reg.sources.footer import values_of
from w261reg.sources.frame import known_names
from w261reg.sources.partitions import constants_of
from w261reg.sources.paths import Files, guarded, one_line
from w261reg.sources.schemas import common_schema, pandas_metadata, retyped

# bytes of a local column that are read at a time
BUFFER_BYTES = 2**18
# of a row group; more is a footer that was damaged, or made to harm
MOST_ROWS = 2**31 - 1
# where Spark keeps a table's schema in a footer
SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"


class Slice(NamedTuple):
    """Rows [number * size, (number + 1) * size) of one row group."""

    path: str
    group: int
    number: int
    size: int
    constants: tuple[tuple[str, Any], ...]
    nbytes: float


class _Group(NamedTuple):
    """What a row group's footer tells: rows, bytes, and the values of nested columns."""

    rows: int
    nbytes: int
    values: dict[str, int]

    def most_values(self, column: str) -> int:
        """Values of the longest part of a nested column: its vectors' elements."""
        return max(
            (n for path, n in self.values.items() if path.startswith(f"{column}.")), default=0
        )

    def share(self, number: int, size: int) -> float:
        """The part of the group's bytes that a slice has."""
        return self.nbytes * (min(self.rows, (number + 1) * size) - number * size) / self.rows


class ParquetSource(Source):
    """A Parquet file, or a folder of them, also one partitioned as `key=value/`.

    Leaves are slices of row groups, in the order of the files' names. Tasks that share a row group
    each decode it and keep their own slices.
    """

    def __init__(self, files: Files) -> None:
        self.given = files.given
        self.filesystem = files.filesystem
        # pyarrow's own way is to read a row group whole before its first rows, which suits stores
        # where each request takes long; a local file is read as it is decoded
        local = isinstance(files.filesystem, pafs.LocalFileSystem)
        self.buffering = {"pre_buffer": False, "buffer_size": BUFFER_BYTES} if local else {}
        self.description = f"Parquet {files.given}"
        self.groups: list[tuple[str, int, _Group, tuple[tuple[str, Any], ...]]] = []
        self.elements: dict[str, list[str]] = {}
        inner = [path[len(files.root) :] if files.folder else "" for path in files.paths]
        constants, partitions = constants_of(inner)
        schemas: list[tuple[str, pa.Schema]] = []
        for path, own in zip(files.paths, constants, strict=True):
            with guarded(f"data {path}", "is not Parquet"):
                schema, groups = self._look(path)
            schemas.append((path, schema))
            self.groups += [(path, g, group, own) for g, group in enumerate(groups)]
        self.schema = common_schema(schemas, partitions).with_metadata(pandas_metadata(schemas))
        self.rows = sum(group.rows for _, _, group, _ in self.groups)

    def _look(self, path: str) -> tuple[pa.Schema, list[_Group]]:
        """What a file's footer tells."""
        with self.filesystem.open_input_file(path) as file:
            reader = pq.ParquetFile(file)
            schema = reader.schema_arrow
            paths = [reader.schema.column(j).path for j in range(len(reader.schema))]
            nested = {j: path for j, path in enumerate(paths) if "." in path}
            found = [reader.metadata.row_group(g) for g in range(reader.num_row_groups)]
            counts = values_of(file) if nested else [[]] * len(found)
            groups = [
                _Group(
                    group.num_rows,
                    group.total_byte_size,
                    {path: values[j] for j, path in nested.items()},
                )
                for group, values in zip(found, counts, strict=True)
            ]
            counted = [group.rows for group in groups]
            if sum(counted) != reader.metadata.num_rows or min(counted, default=0) < 0:
                raise InputError(f"data {path} is not Parquet: its numbers of rows do not agree")
            if max(counted, default=0) > MOST_ROWS:
                raise InputError(f"data {path} has a row group of more than {MOST_ROWS:,} rows")
            self.elements.update(_elements((schema.metadata or {}).get(SPARK_SCHEMA)))
            return schema, groups

    def vector_names(self, column: str) -> list[str] | None:
        return self.elements.get(column)

    def handles(self, width: int) -> list[Handle]:
        size = leaf_rows(width)
        return [
            Slice(path, index, number, size, constants, group.share(number, size))
            for path, index, group, constants in self.groups
            for number in range(-(-group.rows // size))
        ]

    def heads(self, handles: Sequence[Slice]) -> Sequence[Slice]:
        """The first of local row groups: from a store, and up to a later slice, all is read."""
        return [own for own in handles if own.number == 0] if self.buffering else []

    def weigh(self, handle: Slice) -> float:
        return handle.nbytes

    def values_per_row(self, columns: Columns) -> int:
        n = len(columns.names)
        if not columns.vector:
            return n
        name = columns.columns[0]
        values = sum(group.most_values(name) for _, _, group, _ in self.groups)
        return max(1, min(n, -(-values // max(1, self.rows or 0))))

    def read(
        self, handles: Sequence[Handle], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        wanted = list(self.schema.names if columns is None else columns)
        position = 0
        for (path, group, constants), run in groupby(
            handles, key=lambda s: (s.path, s.group, s.constants)
        ):
            slices = list(run)
            at = {s.number: position + i for i, s in enumerate(slices)}
            position += len(slices)
            steps = self._slices(path, group, slices[0].size, wanted, dict(constants))
            for number, batch in enumerate(steps):
                if number in at:
                    yield at[number], batch
                if number == slices[-1].number:
                    break

    def _slices(
        self, path: str, group: int, size: int, wanted: list[str], constants: dict[str, Any]
    ) -> Iterator[pa.RecordBatch]:
        with guarded(f"data {path}"), self.filesystem.open_input_file(path) as file:
            reader = pq.ParquetFile(file, page_checksum_verification=True, **self.buffering)
            names = reader.schema_arrow.names
            stored = set(names)
            own = [name for name in dict.fromkeys(wanted) if name in stored]
            if not own:  # of such columns the number of rows is all that is needed
                own = names[:1]
            # iter_batches counts through the row groups it is given: one, so slices are aligned
            for batch in reader.iter_batches(
                batch_size=size, row_groups=[group], columns=own, use_threads=False
            ):
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                for column in batch.columns:
                    if pa.types.is_dictionary(column.type):
                        column.validate(full=True)  # the decoder does not look at the indices
                fields = [self.schema.field(self.schema.names.index(name)) for name in wanted]
                arrays = [_column(field, columns, constants, batch.num_rows) for field in fields]
                schema = pa.schema([field.remove_metadata() for field in fields])
                if wanted == self.schema.names:
                    schema = schema.with_metadata(self.schema.metadata)
                yield pa.record_batch(arrays, schema=schema)


def _column(
    field: pa.Field, columns: dict[str, pa.Array], constants: dict[str, Any], rows: int
) -> pa.Array:
    """A column of a batch, in the table's type; missing where the file has none.

    Raises:
        InputError: a value has no place in that type.
    """
    if field.name in columns:
        own = columns[field.name]
        try:
            return retyped(own, field.type)
        except pa.ArrowInvalid as error:
            raise InputError(
                f"column {field.name!r} is {own.type} in one file and elsewhere of a type for "
                f"which only {field.type} has room: {one_line(error)}"
            ) from None
    return pa.repeat(pa.scalar(constants.get(field.name), field.type), rows)


def _elements(document: bytes | None) -> dict[str, list[str]]:
    """The names of the elements of vector columns, where Spark wrote them into the footer."""
    try:
        fields = json.loads(document or b"{}").get("fields", [])
        own = {field["name"]: known_names(field["name"], field["metadata"]) for field in fields}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # it describes nothing that is needed
    return {column: names for column, names in own.items() if names is not None}
