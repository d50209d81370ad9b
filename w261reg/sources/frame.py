"""What a Spark DataFrame says of its columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from w261reg.sources.columns import is_numeric

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

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
}
_VECTOR = pa.struct([("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))])


def is_spark_frame(data: Any) -> bool:
    """Whether this is a Spark DataFrame, without importing pyspark for other data."""
    return type(data).__module__.startswith("pyspark.sql") and hasattr(data, "mapInArrow")


def frame_schema(frame: "DataFrame") -> pa.Schema:
    """The Arrow types of a frame's columns, as far as features and labels need them."""
    return pa.schema([(field.name, _arrow(field.dataType)) for field in frame.schema.fields])


def _arrow(kind: Any) -> pa.DataType:
    name = kind.typeName() if kind.typeName() != "udt" else type(kind).__name__
    if name in ("vectorudt", "VectorUDT"):
        return _VECTOR
    if name == "array" and is_numeric(_arrow(kind.elementType)):
        return pa.list_(pa.float64())
    if name == "decimal":
        return pa.decimal128(kind.precision, kind.scale)
    return _KINDS.get(kind.simpleString(), pa.binary())


def select_plain(frame: "DataFrame", columns: Sequence[str]) -> "DataFrame":
    """These columns, named c0, c1, ...: mapInArrow stumbles over backticks in names."""
    from pyspark.sql import functions as F

    quoted = ["`" + name.replace("`", "``") + "`" for name in columns]
    return frame.select(*[F.col(name).alias(f"c{j}") for j, name in enumerate(quoted)])


def vector_names(frame: "DataFrame", column: str) -> list[str]:
    """Names of a vector column's elements: VectorAssembler's where they are, else column_i."""
    attributes = frame.schema[column].metadata.get("ml_attr", {})
    count = attributes.get("num_attrs", 0)
    named = {
        entry["idx"]: entry["name"]
        for group in attributes.get("attrs", {}).values()
        for entry in group
        if "name" in entry
    }
    if not count:
        row = select_plain(frame, [column]).dropna().head()
        count = len(row[0]) if row is not None else 0
    return [named.get(i, f"{column}_{i}") for i in range(count)]
