"""CSV: spans, compression, quotes, types."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.sources.helpers import (
    NAMES,
    frame_of,
    leaves_of,
    matrix_of,
    problem,
    rows_of,
    write_csv,
)
from w261reg.errors import InputError
from w261reg.sources import Columns, open_path
from w261reg.sources import text as text_module
from w261reg.sources.reading import Reading
from w261reg.sources.select import select

LONG = 2**20  # types are inferred from this many bytes


def columns_of(names: tuple[str, ...]) -> Columns:
    return Columns(names, names, label="label")


def long_csv(path: Path, last: str, head: str = "x1,label\n", line: str = "1,0\n") -> Path:
    """A CSV whose last line lies beyond the part that types are inferred from."""
    path.write_text(head + line * (LONG // len(line) + 10) + last + "\n")
    return path


def test_many_spans_hold_each_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(200).frame
    path = write_csv(tmp_path / "t.csv", given)
    size = path.stat().st_size
    for leaf in (7, 64, 100, 1000, size - 1, size, size + 1):
        monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", leaf)
        source = open_path(str(path))
        assert len(source.handles(4)) == -(-size // leaf)
        got = rows_of(source, NAMES)
        pd.testing.assert_frame_equal(got, given, check_dtype=False)


def test_a_span_does_not_depend_on_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "t.csv", problem(50).frame)
    monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", 100)
    source = open_path(str(path))
    handles = source.handles(4)
    together = {p: b.to_pydict() for p, b in source.read(handles, None, NAMES)}
    alone = {
        p: b.to_pydict()
        for p, handle in enumerate(handles)
        for _, b in source.read([handle], None, NAMES)
    }
    assert together == alone
    assert len(together) > 10


@pytest.mark.parametrize("leaf", [50, 2**24])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf: int, end: str) -> None:
    given = problem(40).frame
    text = given.to_csv(index=False, lineterminator=end or "\n")
    (tmp_path / "t.csv").write_bytes(text.encode() if end else text.rstrip("\n").encode())
    monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", leaf)
    pd.testing.assert_frame_equal(frame_of(tmp_path / "t.csv", NAMES), given, check_dtype=False)


def test_compressed_is_the_same(tmp_path: Path) -> None:
    given = problem(50).frame
    path = write_csv(tmp_path / "t.csv.gz", given)
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    pd.testing.assert_frame_equal(frame_of(path, NAMES), given, check_dtype=False)


def test_compressed_of_more_than_the_head(tmp_path: Path) -> None:
    given = pd.concat([problem(1000).frame] * 60, ignore_index=True)
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        given.to_csv(file, index=False)
    with gzip.open(tmp_path / "t.csv.gz") as file:
        assert len(file.read()) > LONG
    used = (*NAMES, "label")
    pd.testing.assert_frame_equal(frame_of(tmp_path / "t.csv.gz", used), given, check_dtype=False)


def test_what_is_not_used_stays_text_where_types_are_not_sure(tmp_path: Path) -> None:
    """An identifier that looks like a number in the first MiB must not stop a prediction."""
    given = pd.concat([problem(1000).frame] * 60, ignore_index=True)
    given["id"] = np.arange(len(given)).astype(str)
    given.loc[len(given) - 1, "id"] = "last"
    assert write_csv(tmp_path / "t.csv", given).stat().st_size > LONG
    got = frame_of(tmp_path / "t.csv", NAMES)
    assert list(got["id"]) == list(given["id"])
    assert got["x1"].dtype == np.float64


def test_types_are_those_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x1,x2,x3\n1,1,\n")
    (tmp_path / "b.csv").write_text("x1,x2,x3\n0.5,one,\n")
    assert frame_of(tmp_path).to_dict("list")["x1"] == [1.0, 0.5]
    assert list(frame_of(tmp_path)["x2"]) == ["1", "one"]


def test_folder_of_parts_each_with_a_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem(60).frame
    for number, part in enumerate((given[:25], given[25:26], given[26:])):
        write_csv(tmp_path / f"part-{number}.csv", part)
    (tmp_path / "_SUCCESS").touch()
    for leaf in (100, 2**24):
        monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", leaf)
        pd.testing.assert_frame_equal(frame_of(tmp_path, NAMES), given, check_dtype=False)


def test_parts_may_have_their_columns_in_another_order(tmp_path: Path) -> None:
    given = problem(20).frame
    write_csv(tmp_path / "a.csv", given[:10])
    write_csv(tmp_path / "b.csv", given[10:][["x2", "x1", "x3", "x4", "label"]])
    pd.testing.assert_frame_equal(frame_of(tmp_path, NAMES), given, check_dtype=False)


def test_what_a_part_lacks_may_not_be_used(tmp_path: Path) -> None:
    given = problem(20).frame
    write_csv(tmp_path / "a.csv", given[:10])
    write_csv(tmp_path / "b.csv", given[10:].drop(columns="x3").assign(more=1))
    schema = open_path(str(tmp_path)).schema
    chosen = select(schema, features=("x1", "x2"), label="label", classification=True)
    leaves = leaves_of(open_path(str(tmp_path)), chosen)
    np.testing.assert_array_equal(matrix_of(leaves), problem(20).x[:, :2])
    with pytest.raises(InputError, match=r"'x3' is not in .*b\.csv, which begins with 'x1, x2, x4"):
        select(schema, features=("x1", "x3"), label="label", classification=True)


def test_quotes(tmp_path: Path) -> None:
    given = problem(10).frame.assign(
        text=["a,b", 'say "so"', "", " x ", "1", "naïve", "c", "d", "e", "two\nlines"]
    )
    path = write_csv(tmp_path / "t.csv", given, quoting=csv.QUOTE_NONNUMERIC)
    got = frame_of(path, NAMES)
    pd.testing.assert_frame_equal(got, given, check_dtype=False)


def test_quoted_numbers_are_numbers(tmp_path: Path) -> None:
    given = problem(10).frame
    path = write_csv(tmp_path / "t.csv", given, quoting=csv.QUOTE_ALL)
    pd.testing.assert_frame_equal(frame_of(path, NAMES), given, check_dtype=False)


def test_bool_column_is_numeric(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x1,x2,label\ntrue,1,0\nfalse,2,1\ntrue,3,1\n")
    source = open_path(str(tmp_path / "t.csv"))
    ((_, block),) = leaves_of(source, columns_of(("x1", "x2")))
    np.testing.assert_array_equal(
        block.dot(np.eye(2), np.zeros(2)), [[1.0, 1.0], [0.0, 2.0], [1.0, 3.0]]
    )


@pytest.mark.parametrize("missing", ["", "NA", "NULL", "null"])
def test_missing_values_are_nulls(tmp_path: Path, missing: str) -> None:
    (tmp_path / "t.csv").write_text(f"x1,x2,label\n1,{missing},0\n2,5,1\n3,{missing},1\n")
    ((_, block),) = leaves_of(open_path(str(tmp_path / "t.csv")), columns_of(("x1", "x2")))
    assert block.census.defects == {("x2", "null"): 2}
    assert block.census.rows == 3


@pytest.mark.parametrize(
    ("written", "kind"),
    [("nan", "null"), ("NaN", "null"), ("inf", "infinite"), ("-inf", "infinite")],
)
def test_numbers_that_are_none(tmp_path: Path, written: str, kind: str) -> None:
    (tmp_path / "t.csv").write_text(f"x1,x2,label\n1,3,0\n2,{written},1\n3,4,1\n")
    ((_, block),) = leaves_of(open_path(str(tmp_path / "t.csv")), columns_of(("x1", "x2")))
    assert block.census.defects == {("x2", kind): 1}  # pyarrow reads the word NaN as no value


def test_integers_become_floats_beyond_the_head(tmp_path: Path) -> None:
    path = long_csv(tmp_path / "t.csv", "1.5,0.25")
    ((_, block),) = leaves_of(open_path(str(path)), columns_of(("x1",)))
    assert block.census.invalid == ""
    assert block.dot(np.eye(1), np.zeros(1))[-1, 0] == 1.5
    assert block.y[-1] == 0.25  # of an int64 at the beginning


def test_text_beyond_the_head_is_named(tmp_path: Path) -> None:
    path = long_csv(tmp_path / "t.csv", "oops,1")
    ((_, block),) = leaves_of(open_path(str(path)), columns_of(("x1",)))
    assert block.rows == 0
    assert "column 'x1' holds 'oops', which is not a number" in block.census.invalid


@pytest.mark.parametrize("names", ["x1", "x2"])
def test_text_beyond_the_head_names_the_column_read(tmp_path: Path, names: str) -> None:
    """Also where only some columns are read."""
    row = {"x1": "oops,1,0", "x2": "1,oops,0"}[names]
    path = long_csv(tmp_path / "t.csv", row, "x1,x2,label\n", "1,2,0\n")
    ((_, block),) = leaves_of(open_path(str(path)), columns_of((names,)))
    assert f"column {names!r} holds 'oops'" in block.census.invalid


def test_a_column_empty_at_the_beginning_is_numeric(tmp_path: Path) -> None:
    path = long_csv(tmp_path / "t.csv", "2.5,1", line=",0\n")
    assert [str(f.type) for f in open_path(str(path)).schema] == ["double", "int64"]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x1,label\n1,0\n\n2,1\n\n\n")
    assert frame_of(tmp_path / "t.csv").to_dict("list") == {"x1": [1, 2], "label": [0, 1]}


def test_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfx1,label\n1,0\n2,1\n")
    assert frame_of(tmp_path / "t.csv").to_dict("list") == {"x1": [1, 2], "label": [0, 1]}


def test_file_without_suffix(tmp_path: Path) -> None:
    given = problem(10).frame
    path = write_csv(tmp_path / "table", given)
    pd.testing.assert_frame_equal(frame_of(path, NAMES), given, check_dtype=False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n1,2\n3\n", "Expected 2 columns, got 1: 3"),
        ("a,b\n1,2\n3,4,5\n", "Expected 2 columns, got 3"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        frame_of(tmp_path / "t.csv")


def test_ragged_beyond_the_head(tmp_path: Path) -> None:
    path = long_csv(tmp_path / "t.csv", "1")
    ((_, block),) = leaves_of(open_path(str(path)), columns_of(("x1",)))
    assert "Expected 2 columns, got 1" in block.census.invalid


def test_header_alone_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x1,label\n")
    source = open_path(str(tmp_path / "t.csv"))
    assert list(source.read(source.handles(1), None, [])) == []


def test_names_may_repeat_where_nobody_uses_them(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,z,z,label\n1,2,3,0\n4,5,6,1\n")
    schema = open_path(str(tmp_path / "t.csv")).schema
    assert select(schema, features=("a",), label="label").columns == ("a",)
    with pytest.raises(InputError, match="two columns named 'z'"):
        select(schema, features=None, label="label")


@pytest.mark.parametrize("leaf", [16, 2**24])
def test_a_header_may_have_line_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf: int
) -> None:
    monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", leaf)
    (tmp_path / "t.csv").write_bytes(b'"x1","b\n[""mm""]","y"\r\n' + b"1,2,3\r\n" * 9)
    source = open_path(str(tmp_path / "t.csv"))
    assert source.schema.names == ["x1", 'b\n["mm"]', "y"]
    assert len(rows_of(source, tuple(source.schema.names))) == 9


@pytest.mark.parametrize("size", [2, LONG // 16])
def test_what_passes_through_is_the_text_that_was_there(tmp_path: Path, size: int) -> None:
    """The same in a long file, whose types are inferred from its beginning."""
    row = '007,02134,12345678901234567890123,NA,1.10,"",,0.10\n'
    (tmp_path / "t.csv").write_text("id,zip,account,note,price,e,n,x1\n" + row * size)
    source = open_path(str(tmp_path / "t.csv"))
    for features, rows in source.through(source.handles(1), ["x1"], True):
        assert features.column("x1")[size - 1].as_py() == 0.1
        assert list(rows.slice(size - 1).to_pylist()[0].values()) == [
            "007", "02134", "12345678901234567890123", "NA", "1.10", "", None, "0.10",
        ]  # fmt: skip


@pytest.mark.parametrize(("mark", "given"), [(";", ";"), ("\t", "\\t"), ("\t", "tab"), ("|", "|")])
def test_delimiters(tmp_path: Path, mark: str, given: str) -> None:
    frame = problem(5).frame
    path = write_csv(tmp_path / "t.csv", frame, sep=mark)
    with pytest.raises(InputError, match=r"has one column only, .* say so with delimiter"):
        open_path(str(path))
    source = open_path(str(path), Reading.checked(delimiter=given))
    pd.testing.assert_frame_equal(rows_of(source, NAMES), frame, check_dtype=False)


@pytest.mark.parametrize("given", ["", ",,", '"', "\n", "é"])
def test_what_is_no_delimiter(given: str) -> None:
    with pytest.raises(InputError, match="delimiter must be one ASCII character"):
        Reading.checked(delimiter=given)


def test_null_values(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x1,x2,label\n1,2,0\n?,3,1\n")
    path = str(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"not numeric \(text, as '\?' in row 2; null_values"):
        select(open_path(path).schema, features=None, label="label")
    source = open_path(path, Reading.checked(null_values=["?"]))
    ((_, block),) = leaves_of(source, columns_of(("x1", "x2")))
    assert block.census.defects == {("x1", "null"): 1}


def test_row_numbers_are_left_out_and_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problem(5).frame.to_csv(tmp_path / "t.csv")
    schema = open_path(str(tmp_path / "t.csv")).schema
    assert select(schema, features=None, label="label").columns == NAMES
    assert "column '' of the data is left out" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_other_encodings_are_one_line(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("x1,é\n1,2\n".encode(encoding))
    with pytest.raises(InputError) as caught:
        frame_of(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_text_beyond_the_head_says_its_row(tmp_path: Path) -> None:
    path = long_csv(tmp_path / "t.csv", "oops,1")
    ((_, block),) = leaves_of(open_path(str(path)), columns_of(("x1",)))
    assert f"in row {LONG // 4 + 11}" in block.census.invalid
