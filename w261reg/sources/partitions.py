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
# Java's Double.parseDouble
_DOUBLE = re.compile(
    r"\s*[-+]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[dDfF]?)\s*"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[ T][0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]+)?)?"
)

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
    return {unquote(key): None if value == NULL else unquote(value) for key, value in pairs}


def _kind(texts: set[str]) -> tuple[pa.DataType, Any]:
    """The type of a column by its values, and how one is read."""
    if not texts:
        return pa.string(), str
    if all(_INTEGER.fullmatch(text) for text in texts):
        most = max(abs(int(text)) for text in texts)
        if most < 2**31:
            return pa.int32(), int
        if most < 2**63:
            return pa.int64(), int
        if most < 10**38:
            return pa.decimal128(38, 0), decimal.Decimal
    if all(_DOUBLE.fullmatch(text) for text in texts):
        return pa.float64(), _double
    for kind, form, parse in (
        (pa.date32(), _DATE, _date),
        (pa.timestamp("us"), _TIME, _time),
    ):
        if all(form.fullmatch(text) for text in texts):
            try:
                for text in texts:
                    parse(text)
                return kind, parse
            except ValueError:
                continue
    return pa.string(), str


def _double(text: str) -> float:
    return float(text.strip().rstrip("dDfF") if not text.strip().endswith("Infinity") else text)


def _date(text: str) -> datetime.date:
    return datetime.date(*map(int, text.split("-")))


def _time(text: str) -> datetime.datetime:
    day, _, clock = text.replace("T", " ").partition(" ")
    hour, minute, second = (*clock.split(":"), "0")[:3]
    whole, _, fraction = second.partition(".")
    return datetime.datetime.combine(
        _date(day),
        datetime.time(int(hour), int(minute), int(whole), int((fraction + "000000")[:6])),
    )
