"""Parquet: row groups, folders, types, and the leaves cut out of them."""

import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.helpers import (
    frame_of,
    leaves_of,
    matrix_of,
    problem,
    rows_of,
    write_parquet,
)
from w261reg.errors import InputError
from w261reg.output import from_bytes, to_bytes
from w261reg.sources import Columns, TableSource, open_path
from w261reg.sources import parquet as parquet_module
from w261reg.sources.packing import local_dataset
from w261reg.sources.select import select


def test_leaves_are_slices_of_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(100).frame
    path = write_parquet(tmp_path / "t.parquet", given, row_group_size=30)
    monkeypatch.setattr(parquet_module, "leaf_rows", lambda width: 8)
    source = open_path(str(path))
    handles = source.handles(4)
    sizes = {position: batch.num_rows for position, batch in source.read(handles, None, [])}
    assert list(sizes.values()) == [8, 8, 8, 6, 8, 8, 8, 6, 8, 8, 8, 6, 8, 2]
    assert list(sizes) == list(range(len(handles)))
    pd.testing.assert_frame_equal(rows_of(source), given)


def test_each_task_gets_its_own_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(100).frame
    path = write_parquet(tmp_path / "t.parquet", given, row_group_size=30)
    monkeypatch.setattr(parquet_module, "leaf_rows", lambda width: 8)
    source = open_path(str(path))
    handles = source.handles(4)
    for start in range(len(handles)):
        for stop in range(start + 1, len(handles) + 1):
            some = [
                b.column("x1").to_pylist() for _, b in source.read(handles[start:stop], None, [])
            ]
            alone = [
                b.column("x1").to_pylist()
                for handle in handles[start:stop]
                for _, b in source.read([handle], ["x1"], [])
            ]
            assert some == alone


def test_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    given = problem(60).frame
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.parquet.crc").write_bytes(b"not Parquet")
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "part-9.parquet").write_bytes(b"not Parquet")
    write_parquet(folder / "part-2.parquet", given[40:])
    write_parquet(folder / "part-1.parquet", given[:40])
    pd.testing.assert_frame_equal(frame_of(folder), given)


def test_columns_may_stand_in_another_order_in_each_file(tmp_path: Path) -> None:
    given = problem(20).frame
    write_parquet(tmp_path / "a.parquet", given[:10])
    write_parquet(tmp_path / "b.parquet", given[10:][["label", "x4", "x3", "x2", "x1"]])
    pd.testing.assert_frame_equal(frame_of(tmp_path), given)


def test_partition_folders_are_columns(tmp_path: Path) -> None:
    given = problem(40).frame
    for value in (0.0, 1.0):
        folder = tmp_path / f"label={value:g}"
        folder.mkdir()
        part = given[given.label == value].drop(columns="label")
        write_parquet(folder / "part.parquet", part)
    columns = select(
        open_path(str(tmp_path)).schema, features=None, label="label", classification=True
    )
    leaves = leaves_of(open_path(str(tmp_path)), columns)
    y = np.concatenate([block.y for _, block in leaves])
    order = np.argsort(given.label.to_numpy(), kind="stable")
    np.testing.assert_array_equal(y, given.label.to_numpy()[order])
    np.testing.assert_array_equal(matrix_of(leaves), problem(40).x[order])


def test_a_folder_above_the_table_is_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "year=2024"
    folder.mkdir()
    write_parquet(folder / "t.parquet", problem(10).frame)
    assert open_path(str(folder / "t.parquet")).schema.names == list(problem(10).frame)
    assert open_path(str(folder)).schema.names == list(problem(10).frame)


def test_any_number_is_a_feature(tmp_path: Path) -> None:
    x = np.array([1.0, 0.0, 3.0, 1.0])
    table = pa.table(
        {
            "decimal": pa.array([decimal.Decimal(f"{v:.2f}") for v in x], pa.decimal128(9, 2)),
            "bool": pa.array([bool(v) for v in x]),
            "int8": pa.array(x.astype(int), pa.int8()),
            "uint64": pa.array(x.astype(int), pa.uint64()),
            "float": pa.array(x, pa.float32()),
            "half": pa.array(x.astype(np.float16)),
            "label": pa.array(x),
        }
    )
    source = open_path(str(write_parquet(tmp_path / "t.parquet", table)))
    columns = select(source.schema, features=None, label="label")
    got = matrix_of(leaves_of(source, columns))
    wanted = np.column_stack([x, x != 0, x, x, x, x])
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", ["table", "table.dat"])
def test_a_file_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    given = problem(10).frame
    pd.testing.assert_frame_equal(frame_of(write_parquet(tmp_path / name, given)), given)


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda t: pa.list_(t, 4)])
def test_lists_are_vectors(tmp_path: Path, kind: object) -> None:
    given = problem(30)
    table = pa.table(
        {
            "v": pa.array(given.x.tolist(), kind(pa.float64())),  # type: ignore[operator]
            "label": given.y,
        }
    )
    source = open_path(str(write_parquet(tmp_path / "t.parquet", table)))
    assert source.vector_width("v") == 4
    columns = Columns(("v",), ("a", "b", "c", "d"), vector=True, label="label")
    np.testing.assert_array_equal(matrix_of(leaves_of(source, columns)), given.x)


def test_a_list_of_another_length_is_refused(tmp_path: Path) -> None:
    table = pa.table({"v": [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]], "label": [0.0, 1.0, 2.0]})
    source = open_path(str(write_parquet(tmp_path / "t.parquet", table)))
    columns = Columns(("v",), ("a", "b"), vector=True, label="label")
    ((_, block),) = leaves_of(source, columns)
    assert block.rows == 0
    assert "'v' must hold lists of 2 numbers" in block.census.invalid


def test_files_may_have_columns_of_their_own_that_nobody_uses(tmp_path: Path) -> None:
    given = problem(10).frame
    write_parquet(tmp_path / "a.parquet", given.assign(r="t", d=pd.Categorical(["p"] * 10)))
    write_parquet(tmp_path / "b.parquet", given.drop(columns="x3").assign(r=1, d="q", more=1.0))
    source = open_path(str(tmp_path))
    columns = select(source.schema, features=("x2", "x1"), label="label", classification=True)
    assert len(matrix_of(leaves_of(source, columns))) == 20
    with pytest.raises(InputError, match=r"'x3' is not in .*b\.parquet"):
        select(source.schema, features=("x3",), label="label")
    with pytest.raises(InputError, match=r"'r' is string in .*a\.parquet and int64 in .*b\.parq"):
        select(source.schema, features=("x1",), label="r")
    rows = rows_of(source)
    assert list(rows["r"]) == ["t"] * 10 + ["1"] * 10
    assert list(rows["d"]) == ["p"] * 10 + ["q"] * 10
    assert rows["x3"].isna().tolist() == [False] * 10 + [True] * 10


def test_no_digit_is_lost_where_files_differ_in_a_type(tmp_path: Path) -> None:
    given = problem(10).frame
    write_parquet(tmp_path / "a.parquet", given.assign(c=2**53 + 1))
    write_parquet(tmp_path / "b.parquet", given.assign(c=0.5))
    with pytest.raises(
        InputError, match=r"'c' is int64 in one file .* only double has room: Integ"
    ):
        rows_of(open_path(str(tmp_path)))
    write_parquet(tmp_path / "a.parquet", given.assign(c=2**53))
    assert list(rows_of(open_path(str(tmp_path)))["c"]) == [2.0**53] * 10 + [0.5] * 10


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2"], "int32"),
        (["01", "x"], "string"),
        (["1", "2.5"], "double"),
        (["true", "false"], "string"),
        (["__HIVE_DEFAULT_PARTITION__", "3"], "int32"),
        (["3000000000", "1"], "int64"),
        (["3000000000", "2.5"], "string"),
        (["99999999999999999999", "1"], "decimal128(38, 0)"),
        (["nan", "1"], "string"),
        (["1_0"], "string"),
        (["1d"], "double"),
        (["2020-01-01"], "date32[day]"),
        (["2020-01-01", "2020-01-01 01:02:03"], "timestamp[us]"),
        (["2020-13-01"], "string"),
    ],
)
def test_partitions_have_the_types_that_spark_infers(
    tmp_path: Path, values: list[str], kind: str
) -> None:
    for value in values:
        (tmp_path / f"p={value}").mkdir()
        write_parquet(tmp_path / f"p={value}" / "t.parquet", problem(3).frame)
    source = open_path(str(tmp_path))
    assert str(source.schema.field("p").type) == kind
    got = {row for _, batch in source.read(source.handles(1), ["p"], [])
           for row in batch.column("p").to_pylist()}  # fmt: skip
    assert (None in got) == ("__HIVE_DEFAULT_PARTITION__" in values)
    if kind == "string":
        assert got == set(values)


def outcome(path: Path) -> str:
    """What reading and predicting on a file ends as: "" or one line."""
    try:
        source = open_path(str(path))
        columns = select(source.schema, features=("x1", "x2"), label="label", classification=True)
        found = [block.census.invalid for _, block in leaves_of(source, columns)]
        for _, rows in source.through(source.handles(2), ["x1"], False):
            from_bytes(to_bytes(rows))
        return max(found, default="")
    except InputError as error:
        return str(error)


@pytest.mark.parametrize(
    "seeds", [range(60), pytest.param(range(60, 1500), marks=pytest.mark.long)]
)
def test_a_damaged_file_ends_as_one_line(tmp_path: Path, seeds: range) -> None:
    given = problem(200).frame
    given["s"] = np.where(given.x1 > 0, "u", "v")
    given["d"] = pd.Categorical(given.s)
    # nested ones, too, whose statistics pyarrow does not survive where they are damaged
    given = given.assign(
        v=pd.Series([list(range(i % 5)) for i in range(len(given))]),
        n=pd.Series([{"a": i, "b": [{"c": str(i)}] * (i % 2)} for i in range(len(given))]),
    )
    whole = {
        k: write_parquet(tmp_path / f"{k}.parquet", given, compression=k, row_group_size=70)
        for k in ("none", "snappy", "zstd", "gzip")
    }
    refused = 0
    for seed in seeds:
        generator = np.random.default_rng(seed)
        data = bytearray(whole[list(whole)[seed % 4]].read_bytes())
        if seed % 5 == 0:
            data = data[: generator.integers(len(data))]
        else:
            start = len(data) - 8 - int.from_bytes(data[-8:-4], "little") if seed % 2 else 0
            for at in generator.integers(start, len(data), size=1 + seed % 7):
                data[at] = generator.integers(256)
        (tmp_path / "x.parquet").write_bytes(data)
        line = outcome(tmp_path / "x.parquet")
        assert "\n" not in line
        assert len(line) < 600
        refused += line != ""
    assert refused > len(seeds) // 4


def test_a_footer_of_more_rows_than_there_are(tmp_path: Path) -> None:
    """None of what is read would ever end, or fit."""
    whole = write_parquet(tmp_path / "t.parquet", problem(70).frame).read_bytes()
    rows = bytes([0x16, 2 * 70 & 127 | 128, 2 * 70 >> 7])  # a field of 64 bits, zigzag
    many = bytes([0x16, *[0xFE] + [0xFF] * 8, 0x01])
    footer = whole[-8 - int.from_bytes(whole[-8:-4], "little") : -8]
    pieces = footer.split(rows)
    says = set()
    for chosen in range(1, 2 ** (len(pieces) - 1), 2 ** max(0, len(pieces) - 8)):
        made = pieces[0]
        for j, piece in enumerate(pieces[1:]):
            made += (many if chosen >> j & 1 else rows) + piece
        made += len(made).to_bytes(4, "little") + b"PAR1"
        (tmp_path / "t.parquet").write_bytes(whole[: -8 - len(footer)] + made)
        says.add(outcome(tmp_path / "t.parquet"))
    (tmp_path / "t.parquet").write_bytes(whole[: -8 - len(footer)] + (
        made := many.join(pieces)) + len(made).to_bytes(4, "little") + b"PAR1")  # fmt: skip
    says.add(outcome(tmp_path / "t.parquet"))
    assert any("its numbers of rows do not agree" in line for line in says)
    assert any("a row group of more than 2,147,483,647 rows" in line for line in says)


@pytest.mark.parametrize("metadata", ["_delta_log", "metadata"])
def test_table_formats_go_to_spark(tmp_path: Path, metadata: str) -> None:
    write_parquet(tmp_path / "a.parquet", problem(10).frame)
    (tmp_path / metadata).mkdir()
    (tmp_path / metadata / "1.metadata.json").write_text("{}")
    with pytest.raises(InputError, match="no longer in it"):
        open_path(str(tmp_path))


def test_no_rows_are_no_leaves(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", problem(10).frame[:0])
    assert open_path(str(path)).handles(4) == []


def test_a_file_without_rows_among_others_changes_nothing(tmp_path: Path) -> None:
    given = problem(20).frame
    for name, part in (("a", given[:10]), ("b", given[:0]), ("c", given[10:])):
        write_parquet(tmp_path / f"{name}.parquet", part)
    pd.testing.assert_frame_equal(frame_of(tmp_path), given)


def test_leaves_do_not_depend_on_the_pages(tmp_path: Path) -> None:
    given = problem(5000).frame
    paths = [
        write_parquet(tmp_path / f"{size}.parquet", given, data_page_size=size)
        for size in (64, 2**20)
    ]
    pages = [
        pq.ParquetFile(path).metadata.row_group(0).column(0).total_compressed_size for path in paths
    ]
    assert pages[0] != pages[1]
    sizes = []
    for path in paths:
        source = open_path(str(path))
        sizes.append([b.num_rows for _, b in source.read(source.handles(2**14), None, [])])
    assert sizes[0] == sizes[1]
    assert len(sizes[0]) == 5


# --- what leaves are cut and dealt by -----------------------------------------------------------


def sparse_vectors(rows: int, width: int, entries: int) -> pa.Table:
    """Vectors as pyspark.ml writes them, of so many entries each."""
    vector = {
        "type": 0,
        "size": width,
        "indices": [j * width // entries for j in range(entries)],
        "values": [float(j + 1) for j in range(entries)],
    }
    kind = pa.struct(
        [
            ("type", pa.int8()),
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )
    return pa.table({"v": pa.array([vector] * rows, kind), "label": np.arange(rows) % 2.0})


def vector_columns(width: int) -> Columns:
    names = tuple(f"x{j}" for j in range(width))
    return Columns(("v",), names, vector=True, label="label")


@pytest.mark.parametrize("entries", [1, 3, 40])
def test_leaves_of_sparse_vectors_are_cut_by_what_is_stored(tmp_path: Path, entries: int) -> None:
    rows, width = 5000, 1000
    table = sparse_vectors(rows, width, entries)
    source = open_path(str(write_parquet(tmp_path / "t.parquet", table)))
    columns = vector_columns(width)
    assert source.values_per_row(columns) == entries
    assert len(source.handles(width)) == 3  # of 2,048 rows, were they dense
    dataset = local_dataset(source, columns)
    assert [block.rows for _, block in dataset.leaves] == [rows]
    assert (dataset.entries, dataset.n_features, dataset.rows) == (entries, width, rows)
    # the same leaves where the vectors are in memory
    again = local_dataset(TableSource(table), columns)
    assert [(leaf, block.rows) for leaf, block in again.leaves] == [(0, rows)]
    assert again.entries == entries


def test_leaves_of_dense_vectors_are_cut_by_their_width(tmp_path: Path) -> None:
    width = 1000
    table = pa.table({"v": [[1.0] * width] * 3000, "label": np.arange(3000) % 2.0})
    source = open_path(str(write_parquet(tmp_path / "t.parquet", table)))
    assert source.values_per_row(vector_columns(width)) == width
    assert [b.rows for _, b in local_dataset(source, vector_columns(width)).leaves] == [2048, 952]


def test_columns_are_stored_as_many_as_they_are(tmp_path: Path) -> None:
    source = open_path(str(write_parquet(tmp_path / "t.parquet", problem(10).frame)))
    columns = select(source.schema, features=("x1", "x3"), label="label", classification=True)
    assert source.values_per_row(columns) == 2


def test_entries_of_vectors_in_several_files_are_counted_together(tmp_path: Path) -> None:
    for number, (rows, entries) in enumerate([(100, 2), (300, 6), (0, 1)]):
        write_parquet(tmp_path / f"{number}.parquet", sparse_vectors(rows, 50, entries))
    source = open_path(str(tmp_path))
    assert source.rows == 400
    assert source.values_per_row(vector_columns(50)) == 5


def test_a_leaf_weighs_its_share_of_its_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem(100).frame
    path = write_parquet(tmp_path / "t.parquet", given, row_group_size=30)
    monkeypatch.setattr(parquet_module, "leaf_rows", lambda width: 8)
    source = open_path(str(path))
    handles = source.handles(4)
    weights = [source.weigh(handle) for handle in handles]
    footer = pq.ParquetFile(path).metadata
    sizes = [footer.row_group(g).total_byte_size for g in range(footer.num_row_groups)]
    rows = [8, 8, 8, 6] * 3 + [8, 2]
    wanted = [sizes[i // 4] * r / (30 if i < 12 else 10) for i, r in enumerate(rows)]
    np.testing.assert_allclose(weights, wanted, rtol=1e-12)
