"""Parquet files, read by the tasks themselves."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source, leaf_rows
from w261reg.sources.columns import Columns
from w261reg.sources.paths import Files, one_line

# bytes of a local column that are read at a time
BUFFER_BYTES = 2**18


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

    @classmethod
    def of(cls, group: Any) -> "_Group":
        columns = [group.column(j) for j in range(group.num_columns)]
        nested = {c.path_in_schema: c.num_values for c in columns if "." in c.path_in_schema}
        return cls(group.num_rows, group.total_byte_size, nested)

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
        schema: pa.Schema | None = None
        for path in files.paths:
            constants = _constants(path[len(files.root) :]) if files.folder else ()
            try:
                with self.filesystem.open_input_file(path) as file:
                    reader = pq.ParquetFile(file)
                    own = reader.schema_arrow.remove_metadata()
                    counts = [
                        _Group.of(reader.metadata.row_group(g))
                        for g in range(reader.num_row_groups)
                    ]
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"data {path} is not Parquet: {one_line(error)}") from None
            for name, value in constants:
                if name not in own.names:
                    own = own.append(pa.field(name, pa.scalar(value).type))
            if schema is None:
                schema = own
            elif set(own.names) == set(schema.names):
                schema = _promoted(schema, own, files.given)
            elif set(own.names) != set(schema.names):
                different = sorted(set(own.names) ^ set(schema.names))
                raise InputError(
                    f"data {files.given} has files of different columns: {different[0]!r} is not "
                    f"in all of them ({path})"
                )
            self.groups += [(path, g, group, constants) for g, group in enumerate(counts)]
        assert schema is not None
        self.schema = schema
        self.rows = sum(group.rows for _, _, group, _ in self.groups)

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
            try:
                for number, batch in enumerate(
                    self._slices(path, group, slices[0].size, wanted, dict(constants))
                ):
                    if number in at:
                        yield at[number], batch
                    if number == slices[-1].number:
                        break
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"data {path} cannot be read: {one_line(error)}") from None

    def _slices(
        self, path: str, group: int, size: int, wanted: list[str], constants: dict[str, Any]
    ) -> Iterator[pa.RecordBatch]:
        with self.filesystem.open_input_file(path) as file:
            reader = pq.ParquetFile(file, **self.buffering)
            stored = set(reader.schema_arrow.names)
            own = [name for name in wanted if name in stored]
            # iter_batches counts through the row groups it is given: one, so slices are aligned
            for batch in reader.iter_batches(
                batch_size=size, row_groups=[group], columns=own, use_threads=False
            ):
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                for name, value in constants.items():
                    if name in wanted and name not in columns:
                        columns[name] = pa.repeat(pa.scalar(value), batch.num_rows)
                arrays = [_as(columns[name], self.schema.field(name).type) for name in wanted]
                yield pa.record_batch(arrays, names=wanted)


def _promoted(left: pa.Schema, right: pa.Schema, given: str) -> pa.Schema:
    """One schema for files whose types differ: the wider type."""
    right = pa.schema([right.field(name) for name in left.names])
    try:
        return pa.unify_schemas([left, right], promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(
            f"data {given} has files of types that do not go together: {one_line(error)}"
        ) from None


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)


def _constants(path: str) -> tuple[tuple[str, Any], ...]:
    """The columns that the `key=value/` folders of a path inside the table stand for."""
    pairs = [part.partition("=")[::2] for part in path.split("/")[:-1] if "=" in part]
    return tuple((unquote(key), _value(unquote(value))) for key, value in pairs)


def _value(value: str) -> Any:
    if value == "__HIVE_DEFAULT_PARTITION__":
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
