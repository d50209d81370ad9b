"""Columns that stand in the names of folders, `key=value/`, with the types that Spark infers."""

import datetime
import decimal
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

# what Spark writes for null
NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"[-+]?[0-9]+")
# BigDecimal without a fraction: more digits than 64 bits hold, or an exponent
_DECIMAL = re.compile(r"[-+]?([0-9]+)\.?([eE]\+?[0-9]{1,2})?")
# Java's Double.parseDouble
_DOUBLE = re.compile(
    r"\s*[-+]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[dDfF]?)\s*"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")
# types of two values that Spark gives the wider one; others together are text
_WIDER = [("int", "bigint", "decimal"), ("int", "double"), ("date", "timestamp")]

Constants = tuple[tuple[str, Any], ...]


def constants_of(paths: Sequence[str]) -> tuple[list[Constants], pa.Schema]:
    """The values of the folders of each path inside a table, and the columns that they make.

    A column's type is that of all its values: integers of 32 or 64 bits or longer ones, doubles,
    dates, timestamps, else text, as it was written. Truth values are text.
    """
    texts = [_pairs(path) for path in paths]
    keys = list(dict.fromkeys(key for own in texts for key in own))
    values: list[dict[str, Any]] = [{} for _ in paths]
    fields = []
    for key in keys:
        given = {text for own in texts if (text := own.get(key)) is not None}
        kind, parse = _kind(given)
        fields.append(pa.field(key, kind))
        for own, found in zip(texts, values, strict=True):
            if key in own:
                text = own[key]
                found[key] = None if text is None else parse(text)
    return [tuple(own.items()) for own in values], pa.schema(fields)


def _pairs(path: str) -> dict[str, str | None]:
    pairs = [part.partition("=")[::2] for part in path.split("/")[:-1] if "=" in part]
    return {_unescaped(key): None if value == NULL else _unescaped(value) for key, value in pairs}


def _unescaped(text: str) -> str:
    """A name without its %XX: bytes of UTF-8, else characters, as Spark takes them."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return unquote(text, encoding="latin-1")


def _kind(texts: set[str]) -> tuple[pa.DataType, Any]:
    """The type of a column by its values, and how one is read."""
    found = {_kind_of_one(text) for text in texts}
    wide = "string"
    if len(found) == 1:
        (wide,) = found
    elif found:
        order = next((order for order in _WIDER if found <= set(order)), ("string",))
        wide = max(found, key=order.index) if len(order) > 1 else "string"
    return {
        "int": (pa.int32(), int),
        "bigint": (pa.int64(), int),
        "decimal": (pa.decimal128(38, 0), decimal.Decimal),
        "double": (pa.float64(), _double),
        "date": (pa.date32(), datetime.date.fromisoformat),
        "timestamp": (pa.timestamp("us"), _time),
        "string": (pa.string(), str),
    }[wide]


def _kind_of_one(text: str) -> str:
    if _INTEGER.fullmatch(text) and len(text) <= 20 and -(2**63) <= int(text) < 2**63:
        return "int" if -(2**31) <= int(text) < 2**31 else "bigint"
    if _DECIMAL.fullmatch(text) and abs(decimal.Decimal(text)) < 10**38:
        return "decimal"
    if _DOUBLE.fullmatch(text):
        return "double"
    for kind, form, parse in (
        ("date", _DATE, datetime.date.fromisoformat),
        ("timestamp", _TIME, _time),
    ):
        if form.fullmatch(text):
            try:
                parse(text)
            except ValueError:
                return "string"
            return kind
    return "string"


def _double(text: str) -> float:
    return float(text.strip().rstrip("dDfF"))


def _time(text: str) -> datetime.datetime:
    whole, _, fraction = text.partition(".")
    return datetime.datetime.fromisoformat(whole).replace(
        microsecond=int((fraction + "000000")[:6])
    )
