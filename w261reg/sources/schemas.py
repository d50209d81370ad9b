"""One schema for the files of a folder, of which each may have columns of its own."""

from collections.abc import Sequence

import pyarrow as pa

from w261reg.errors import InputError
from w261reg.sources.columns import is_numeric, plain_type
from w261reg.sources.fields import unusable

# where pandas keeps what it knows of a table beside its columns
PANDAS = b"pandas"


def common_schema(schemas: Sequence[tuple[str, pa.Schema]], partitions: pa.Schema) -> pa.Schema:
    """The columns of all files, in the order in which they come up.

    A column that a file lacks, or that has types in them that do not go together, is there, but may
    not be used: nobody could say what its values are.

    Args:
        schemas: (path, schema) of each file; names must not repeat within one.
        partitions: the columns that the folders' names stand for.

    Raises:
        InputError: a file has two columns of one name.
    """
    fields: dict[str, list[tuple[str, pa.Field]]] = {}
    for path, schema in schemas:
        names = schema.names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"data {path} has two columns named {twice!r}")
        for field in schema:
            fields.setdefault(field.name, []).append((path, field))
    found = []
    for name, own in fields.items():
        if len(own) < len(schemas) and name not in partitions.names:
            having = {path for path, _ in own}
            lacking = next(path for path, _ in schemas if path not in having)
            found.append(unusable(_common(name, own), f"is not in {lacking}"))
        else:
            found.append(_common(name, own))
    return pa.schema([*found, *(field for field in partitions if field.name not in fields)])


def pandas_metadata(schemas: Sequence[tuple[str, pa.Schema]]) -> dict[bytes, bytes] | None:
    """What pandas wrote of its index and types, where it is the same for the rows of all files."""
    found = {(schema.metadata or {}).get(PANDAS) for _, schema in schemas}
    written = found.pop()
    return None if found or written is None else {PANDAS: written}


def _common(name: str, fields: Sequence[tuple[str, pa.Field]]) -> pa.Field:
    """One column's field, by the types that it has in the files."""
    types = {field.type: path for path, field in fields}
    if len(types) == 1:
        return fields[0][1].remove_metadata().with_nullable(True)
    plain = list(dict.fromkeys(plain_type(kind) for kind in types))
    try:
        schemas = [pa.schema([(name, kind)]) for kind in plain]
        kind = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        return pa.field(name, kind)
    except pa.ArrowException:
        pass
    if all(is_numeric(kind) for kind in plain):
        return pa.field(name, pa.float64())
    (first, where), (second, other) = list(types.items())[:2]
    why = f"is {first} in {where} and {second} in {other}"
    return unusable(pa.field(name, pa.string()), why)


def retyped(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column in the type that it has in the table."""
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    if pa.types.is_nested(column.type) and pa.types.is_string(kind):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], kind)
    return column if column.type == kind else column.cast(kind)
