"""Parquet files, read by the tasks themselves."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source, leaf_rows
from w261reg.sources.paths import Files, one_line


class Slice(NamedTuple):
    """Rows [number * size, (number + 1) * size) of one row group."""

    path: str
    group: int
    number: int
    size: int
    constants: tuple[tuple[str, Any], ...]


class ParquetSource(Source):
    """A Parquet file, or a folder of them, also one partitioned as `key=value/`.

    Leaves are slices of row groups, in the order of the files' names. Tasks that share a row group
    each decode it and keep their own slices.
    """

    def __init__(self, files: Files) -> None:
        self.given = files.given
        self.filesystem = files.filesystem
        self.description = f"Parquet {files.given}"
        self.groups: list[tuple[str, int, int, tuple[tuple[str, Any], ...]]] = []
        schema: pa.Schema | None = None
        for path in files.paths:
            constants = _constants(path[len(files.root) :]) if files.folder else ()
            try:
                with self.filesystem.open_input_file(path) as file:
                    reader = pq.ParquetFile(file)
                    own = reader.schema_arrow.remove_metadata()
                    counts = [
                        reader.metadata.row_group(g).num_rows
                        for g in range(reader.metadata.num_row_groups)
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
            self.groups += [(path, g, count, constants) for g, count in enumerate(counts)]
        assert schema is not None
        self.schema = schema

    def handles(self, width: int) -> list[Handle]:
        size = leaf_rows(width)
        return [
            Slice(path, group, number, size, constants)
            for path, group, rows, constants in self.groups
            for number in range(-(-rows // size))
        ]

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
            reader = pq.ParquetFile(file)
            stored = set(reader.schema_arrow.names)
            own = [name for name in wanted if name in stored]
            # iter_batches counts through the row groups it is given: one, so slices are aligned
            for batch in reader.iter_batches(
                batch_size=size, row_groups=[group], columns=own, use_threads=False
            ):
                columns = {name: batch.column(name) for name in own}
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
