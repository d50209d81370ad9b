"""Columns that a model does not use come out of predict as they went in, whatever their type."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.helpers import problem, write_parquet
from w261reg import train
from w261reg.output import check_csv, from_bytes, table_writer, to_bytes
from w261reg.sources import open_path

ROWS = 8
GIVEN = problem(ROWS).frame
MODEL = train(GIVEN, "label", loss="bxe", reg_param=0.1)


def of(kind: Any, *values: Any) -> pa.Array:
    """A column of these values in turn, with a missing one in every four."""
    return pa.array([None if i % 4 == 3 else values[i % len(values)] for i in range(ROWS)], kind)


# type: the column, and its first value in CSV; None where CSV has no place for it
TYPES: dict[str, tuple[pa.Array, str | None]] = {
    "decimal": (of(pa.decimal128(19, 2), Decimal("99999999999999999.90"), Decimal("1.10")),
                "99999999999999999.90"),
    "decimal of 256 bits": (of(pa.decimal256(60, 1), Decimal("9" * 50 + ".5")), "9" * 50 + ".5"),
    "date": (of(pa.date32(), datetime.date(1, 1, 1), datetime.date(9999, 12, 31)), "0001-01-01"),
    "date of 64 bits": (of(pa.date64(), datetime.date(2020, 1, 1)), "2020-01-01"),
    "timestamp of ns": (of(pa.timestamp("ns"), 1234567890123456789, -1),
                        "2009-02-13 23:31:30.123456789"),
    "timestamp of us": (of(pa.timestamp("us"), -62135596800000000, 1),
                        "0001-01-01 00:00:00.000000"),
    "timestamp of s": (of(pa.timestamp("s"), 253402300799), "9999-12-31 23:59:59.000"),
    "zone of ns": (of(pa.timestamp("ns", "UTC"), 1), "1970-01-01 00:00:00.000000001Z"),
    "zone of us": (of(pa.timestamp("us", "Europe/Berlin"), 1), "1970-01-01 01:00:00.000001+0100"),
    "time": (of(pa.time32("ms"), 1), "00:00:00.001"),
    "time of ns": (of(pa.time64("ns"), 123456789), "00:00:00.123456789"),
    "duration": (of(pa.duration("ns"), 10**9, -5), "1000000000"),
    "binary": (of(pa.binary(), b"\0\xff", b"a"), None),
    "fixed binary": (of(pa.binary(2), b"\xff\xff"), None),
    "list of integers": (of(pa.list_(pa.int64()), [2**53 + 1, None], []), "1:9007199254740993 2:"),
    "list of text": (of(pa.large_list(pa.string()), ["a"], []), None),
    "struct": (of(None, {"a": 1, "b": [{"c": "x"}]}), None),
    "map": (of(pa.map_(pa.string(), pa.int64()), [("k", 1)]), None),
    "dictionary": (of(None, "u", "v").dictionary_encode(), "u"),
    "dictionary of numbers": (of(None, 20, 10).dictionary_encode(), "20"),
    "large text": (of(pa.large_string(), 'a,"q', ""), '"a,""q"'),
    "text": (of(None, "007", "NA", "", "é🙂"), "007"),
    "uint64": (of(pa.uint64(), 2**64 - 1, 2**53 + 1), "18446744073709551615"),
    "int64": (of(pa.int64(), 2**63 - 1, 2**53 + 1), "9223372036854775807"),
    "int8": (of(pa.int8(), -128), "-128"),
    "float16": (pa.array(np.array([1.5, np.nan] * 4, np.float16)), "1.5"),
    "float32": (of(pa.float32(), np.float32(0.1), float("inf")), "0.1"),
    "float64": (of(pa.float64(), 0.1, -0.0, 5e-324), "0.1"),
    "bool": (of(None, True, False), "true"),
    "null": (pa.nulls(ROWS), ""),
}  # fmt: skip


def table_with(**columns: Any) -> pa.Table:
    features: dict[str, Any] = {str(name): GIVEN[name].to_numpy() for name in GIVEN}
    return pa.table({**features, **columns})


def predicted(given: Path, out: Path) -> Path:
    """What a task, and the driver that writes, make of a file."""
    source = open_path(str(given))
    columns, text = MODEL.columns_in(source), out.suffix == ".csv"
    if text:
        check_csv(source.schema)
    with table_writer(out, csv=text) as writer:
        for features, rows in source.through(source.handles(4), columns.columns, text):
            found = MODEL.predictor.append(features, columns, rows)
            writer.write(from_bytes(to_bytes(found)))
    return out


def bits(column: pa.ChunkedArray) -> Any:
    """Values that are equal where the bits are."""
    if pa.types.is_floating(column.type):
        return [None if v is None else np.float64(v).tobytes() for v in column.to_pylist()]
    if pa.types.is_timestamp(column.type) or pa.types.is_time(column.type):
        return column.cast(
            pa.int32() if pa.types.is_time32(column.type) else pa.int64()
        ).to_pylist()
    return column.to_pylist()


@pytest.mark.parametrize("name", TYPES)
def test_parquet(tmp_path: Path, name: str) -> None:
    given = write_parquet(tmp_path / "t.parquet", table_with(c=TYPES[name][0]))
    before, after = pq.read_table(given), pq.read_table(predicted(given, tmp_path / "o.parquet"))
    assert after.column_names == [*before.column_names, "prediction", "probability"]
    assert after.schema.field("c").type == before.schema.field("c").type
    assert bits(after["c"]) == bits(before["c"])


@pytest.mark.parametrize("name", TYPES)
def test_csv_of_parquet(tmp_path: Path, name: str) -> None:
    column, wanted = TYPES[name]
    given = write_parquet(tmp_path / "t.parquet", table_with(c=column).select([*GIVEN, "c"]))
    if wanted is None:
        with pytest.raises(ValueError, match=r"column 'c' .* CSV has no place|no place in CSV"):
            predicted(given, tmp_path / "o.csv")
        return
    lines = predicted(given, tmp_path / "o.csv").read_text().splitlines()
    assert lines[1].split(",", 5)[5].rsplit(",", 2)[0] == wanted
    missing = lines[4].split(",", 5)[5].rsplit(",", 2)[0]
    assert missing == ("nan" if name == "float16" else "")


@pytest.mark.parametrize("name", TYPES)
def test_arrow(name: str) -> None:
    """pandas holds each value, in its own types or in Arrow's."""
    found = MODEL.predict(table_with(c=TYPES[name][0]))
    assert len(found) == ROWS
    column = TYPES[name][0]
    if pa.types.is_nested(column.type) or name in ("null", "zone of us", "dictionary of numbers"):
        return
    again = pa.array(found["c"], from_pandas=True)
    if pa.types.is_dictionary(again.type):
        again, column = again.dictionary_decode(), column.dictionary_decode()
    if name == "float16":
        assert np.array_equal(found["c"], column.to_numpy(zero_copy_only=False), equal_nan=True)
        return
    wanted = pa.chunked_array([column])
    assert bits(pa.chunked_array([again.cast(column.type)])) == bits(wanted)


INDEXES: dict[str, pd.DataFrame] = {
    "named": GIVEN.assign(k=list("abcdefgh")).set_index("k"),
    "without a name": GIVEN.set_index(pd.Index([5, 3, 1, 9, 9, 0, 2, 2])),
    "of two": GIVEN.assign(k=list("abcdefgh"), j=1).set_index(["k", "j"]),
    "times": GIVEN.set_index(pd.date_range("2020", periods=ROWS, tz="Europe/Berlin", name="d")),
    "range": GIVEN.set_index(pd.RangeIndex(10, 26, 2, name="n")),
    "as a feature": GIVEN.set_index(pd.Index(GIVEN["x1"])),
    "types": GIVEN.assign(
        whole=pd.array([2**53 + 1, None] * 4, "Int64"), text=pd.array(["a", None] * 4, "string"),
        ordered=pd.Categorical(list("abababab"), ["b", "a"], ordered=True),
    ).set_index(pd.period_range("2020", periods=ROWS, freq="M", name="p")),
}  # fmt: skip


@pytest.mark.parametrize("name", INDEXES)
def test_the_index_and_types_of_pandas(tmp_path: Path, name: str) -> None:
    frame = INDEXES[name]
    frame.to_parquet(tmp_path / "t.parquet")
    wanted = pd.read_parquet(tmp_path / "t.parquet")
    written = pd.read_parquet(predicted(tmp_path / "t.parquet", tmp_path / "o.parquet"))
    for found in (written, MODEL.predict(tmp_path / "t.parquet"), MODEL.predict(frame),
                  MODEL.predict(pa.Table.from_pandas(frame))):  # fmt: skip
        assert list(found.columns) == [*wanted.columns, "prediction", "probability"]
        pd.testing.assert_frame_equal(found[list(wanted.columns)], wanted, check_freq=False)


def test_what_pandas_has_no_type_for_leaves_the_index_alone() -> None:
    """Times of nanoseconds, a zone that nobody knows, a union."""
    table = pa.Table.from_pandas(INDEXES["named"])
    odd = {
        "time": of(pa.time64("ns"), 123456789),
        "zone": of(pa.timestamp("us", "Nowhere/X"), 1),
        "union": pa.UnionArray.from_sparse(
            pa.array([0] * ROWS, pa.int8()), [pa.array(range(ROWS))]
        ),
    }
    for name, column in odd.items():
        table = table.append_column(name, column)
    found = MODEL.predict(table)
    assert list(found.index) == list("abcdefgh")
    for name, column in odd.items():
        assert found[name].dtype == pd.ArrowDtype(column.type)
        assert found[name].array.__arrow_array__().combine_chunks().equals(column)


def test_parts_that_differ_in_their_index_have_none(tmp_path: Path) -> None:
    INDEXES["named"].to_parquet(tmp_path / "a.parquet")
    GIVEN.assign(k="z").to_parquet(tmp_path / "b.parquet")
    found = MODEL.predict(tmp_path)
    assert list(found["k"]) == [*"abcdefgh", *"zzzzzzzz"]


@pytest.mark.parametrize(
    "written",
    [b"", b"{", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"index_columns": 3}',
     b'{"index_columns": ["z"], "columns": []}', b'{"index_columns": [["x1"]], "columns": []}'],
)  # fmt: skip
def test_what_a_stranger_wrote_for_pandas(tmp_path: Path, written: bytes) -> None:
    table = table_with(n=of(pa.int64(), 2**53 + 1)).replace_schema_metadata({b"pandas": written})
    path = write_parquet(tmp_path / "t.parquet", table)
    for found in (MODEL.predict(table), MODEL.predict(path)):
        assert found["n"].tolist()[:3] == [2**53 + 1] * 3
    assert pq.read_table(predicted(path, tmp_path / "o.parquet")).num_rows == ROWS
