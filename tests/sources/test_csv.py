"""CSV: spans, compression, quotes, types."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.sources.helpers import NAMES, frame_of, leaves_of, problem, rows_of, write_csv
from w261reg import train
from w261reg.errors import InputError
from w261reg.sources import Columns, open_path
from w261reg.sources import text as text_module

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


def test_columns_of_parts_are_found_by_their_names(tmp_path: Path) -> None:
    given = problem(20).frame
    write_csv(tmp_path / "a.csv", given[:10])
    other = given[10:][["x2", "x1", "x3", "x4", "label"]]
    write_csv(tmp_path / "b.csv", other.assign(more="text"))
    got = frame_of(tmp_path, NAMES)[list(given)]
    pd.testing.assert_frame_equal(got, given, check_dtype=False)


def test_a_column_missing_in_a_part_matters_where_it_is_used(tmp_path: Path) -> None:
    given = problem(20).frame
    write_csv(tmp_path / "a.csv", given[:10])
    write_csv(tmp_path / "b.csv", given[10:].drop(columns="x3"))
    fit = {"label": "label", "loss": "mse", "reg_param": 0.1}
    assert train(str(tmp_path), features=["x1", "x2"], **fit).rows == 20
    with pytest.raises(InputError, match=r"column 'x3' is not in .*b\.csv") as caught:
        train(str(tmp_path), features=["x1", "x3"], **fit)
    assert "\n" not in str(caught.value)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a,b,c\n1,2,3,4\n2,1,5,5\n4,3,1,7\n")
    fit = {"label": "c", "loss": "mse", "reg_param": 0.1}
    assert train(str(tmp_path / "t.csv"), features=["b"], **fit).rows == 3
    with pytest.raises(InputError, match="the data has two columns named 'a': rename one"):
        train(str(tmp_path / "t.csv"), features=["a"], **fit)


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
