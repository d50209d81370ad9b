"""What a Spark DataFrame says of its columns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from w261reg.errors import InputError
from w261reg.sources.base import Source
from w261reg.sources.columns import Columns, is_numeric, is_text
from w261reg.sources.fields import shown_as

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_KINDS: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "void": pa.null(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
    "date": pa.date32(),
}
_NOT_IN_ARROW = ("YearMonthIntervalType", "CalendarIntervalType")
_VECTOR = pa.struct([("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))])


def is_spark_frame(data: Any) -> bool:
    """Whether this is a Spark DataFrame, without importing pyspark for other data."""
    return type(data).__module__.startswith("pyspark.sql") and hasattr(data, "mapInArrow")


def frame_schema(frame: "DataFrame") -> pa.Schema:
    """The Arrow types of a frame's columns, as far as features and labels need them."""
    return pa.schema(
        [
            shown_as(pa.field(field.name, _arrow(field.dataType)), field.dataType.simpleString())
            for field in frame.schema.fields
        ]
    )


def _arrow(kind: Any) -> pa.DataType:
    name = kind.typeName() if kind.typeName() != "udt" else type(kind).__name__
    if name in ("vectorudt", "VectorUDT"):
        return _VECTOR
    if name == "array" and is_numeric(_arrow(kind.elementType)):
        return pa.list_(pa.float64())
    if name == "decimal":
        return pa.decimal128(kind.precision, kind.scale)
    return _KINDS.get(kind.simpleString(), pa.binary())


def by_position(frame: "DataFrame") -> "DataFrame":
    """The frame with its columns named c0, c1, ...

    Names may repeat, as a join leaves them, or differ by their case only, which Spark does not
    tell apart; and mapInArrow stumbles over backticks in them.
    """
    return frame.toDF(*[f"c{j}" for j in range(len(frame.schema.fields))])


def check_arrow(frame: "DataFrame") -> None:
    """Raise InputError for a column that Spark cannot hand to Python as Arrow."""
    for field in frame.schema.fields:
        if type(field.dataType).__name__ in _NOT_IN_ARROW:
            raise InputError(
                f"column {field.name!r} ({field.dataType.simpleString()}) has no form in Arrow: "
                "drop it, or select the others"
            )


def folds_case(frame: "DataFrame") -> bool:
    """Whether names that differ by their case only are the same to this frame's Spark."""
    return frame.sparkSession.conf.get("spark.sql.caseSensitive") != "true"


def select_plain(frame: "DataFrame", columns: Sequence[str]) -> "DataFrame":
    """These columns, named c0, c1, ... in this order."""
    names = frame.schema.names
    plain = by_position(frame).select(*[f"c{names.index(name)}" for name in columns])
    return plain.toDF(*[f"c{j}" for j in range(len(columns))])


def names_in(metadata: Mapping[str, Any]) -> tuple[int, dict[int, str]]:
    """How many elements pyspark.ml's metadata of a vector column says it has, and their names."""
    attributes = metadata.get("ml_attr", {})
    named = {
        entry["idx"]: entry["name"]
        for group in attributes.get("attrs", {}).values()
        for entry in group
        if "name" in entry
    }
    return attributes.get("num_attrs", 0), named


def known_names(column: str, metadata: Mapping[str, Any]) -> list[str] | None:
    """The names of a vector column's elements by its metadata; None where it has none."""
    count, named = names_in(metadata)
    return [named.get(i, f"{column}_{i}") for i in range(count)] if count and named else None


def vector_names(frame: "DataFrame", column: str) -> list[str]:
    """Names of a vector column's elements: VectorAssembler's where they are, else column_i."""
    metadata = frame.schema[column].metadata
    if (known := known_names(column, metadata)) is not None:
        return known
    count, _ = names_in(metadata)
    if not count:
        row = select_plain(frame, [column]).dropna().head()
        count = len(row[0]) if row is not None else 0
    return [f"{column}_{i}" for i in range(count)]


def without_globs(path: str) -> str:
    """A path as Spark's readers must have it, for which * ? [ ] { } and backslashes mean more."""
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", path)


def source_frame(spark: "SparkSession", source: Source, columns: Columns) -> "DataFrame":
    """The columns of a source that a problem needs as a Spark DataFrame, read by Spark's tasks."""
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql import functions as F

    handles, needed = source.handles(len(columns.names)), columns.needed
    texts = [name for name in needed if is_text(source.schema.field(name).type)]
    numeric = [name for name in needed if name not in texts and not _is_pairs(source, name)]
    kinds = {
        name: "string"
        if name in texts
        else "double"
        if name in numeric
        else "struct<indices: array<int>, values: array<double>>"
        for name in needed
    }

    def read(batches: Iterator[Any]) -> Iterator[Any]:
        for own in batches:
            for leaf in own.column(0).to_pylist():
                for _, batch in source.read([handles[leaf]], needed, numeric):
                    arrays = [
                        column.cast(pa.float64()) if name in numeric else column
                        for name, column in zip(needed, batch.columns, strict=True)
                    ]
                    yield pa.record_batch(arrays, names=[f"c{j}" for j in range(len(arrays))])

    schema = ", ".join(f"c{j} {kinds[name]}" for j, name in enumerate(needed))
    leaves = spark.range(0, len(handles), 1, len(handles))
    frame = leaves.mapInArrow(read, schema)
    width = len(columns.names)
    vector = F.udf(lambda row: Vectors.sparse(width, row[0], row[1]), VectorUDT())
    return frame.select(
        *[
            (vector(f"c{j}") if _is_pairs(source, name) else F.col(f"c{j}")).alias(name)
            for j, name in enumerate(needed)
        ]
    )


def _is_pairs(source: Source, name: str) -> bool:
    return pa.types.is_struct(source.schema.field(name).type)
