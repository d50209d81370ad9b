"""LIBSVM text."""

from pathlib import Path

import numpy as np
import pytest

from tests.sources.helpers import leaves_of, matrix_of, problem, write_libsvm
from w261reg import opening
from w261reg.blocks import SparseBlock
from w261reg.config import Settings
from w261reg.errors import InputError
from w261reg.sources import Columns, open_path
from w261reg.sources import text as text_module

COLUMNS = Columns(("features",), ("x1", "x2", "x3", "x4"), vector=True, label="label")


def test_rows_are_sparse_and_features_may_be_missing(tmp_path: Path) -> None:
    given = problem(50)
    source = open_path(str(write_libsvm(tmp_path / "t.libsvm", given)))
    leaves = leaves_of(source, COLUMNS)
    ((_, block),) = leaves
    assert isinstance(block, SparseBlock)
    assert block.x.nnz == np.count_nonzero(given.x)
    np.testing.assert_array_equal(matrix_of(leaves), given.x)
    np.testing.assert_array_equal(block.y, given.y)
    assert source.vector_width("features") == 4


@pytest.mark.parametrize("leaf", [5, 40, 200, 2**24])
def test_many_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf: int) -> None:
    given = problem(50)
    path = write_libsvm(tmp_path / "t.libsvm", given)
    monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", leaf)
    source = open_path(str(path))
    assert len(source.handles(4)) == -(-path.stat().st_size // leaf)
    leaves = leaves_of(source, COLUMNS)
    np.testing.assert_array_equal(matrix_of(leaves), given.x)
    assert source.vector_width("features") == 4


def test_folder(tmp_path: Path) -> None:
    given = problem(50)
    lines = write_libsvm(tmp_path / "t", given).read_text().splitlines(keepends=True)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "part-1.libsvm").write_text("".join(lines[30:]))
    (folder / "part-0.libsvm").write_text("".join(lines[:30]))
    np.testing.assert_array_equal(matrix_of(leaves_of(open_path(str(folder)), COLUMNS)), given.x)


def test_comments_blank_lines_and_signs(tmp_path: Path) -> None:
    text = "# a table: of two\n+1 1:2 3:-0.5 # first 9:9\n\n  0\t2:1e-3\n1\n"
    (tmp_path / "t.svm").write_text(text)
    leaves = leaves_of(open_path(str(tmp_path / "t.svm")), COLUMNS)
    np.testing.assert_array_equal(
        matrix_of(leaves), [[2, 0, -0.5, 0], [0, 1e-3, 0, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(leaves[0][1].y, [1, 0, 1])


@pytest.mark.parametrize("name", ["table", "table.txt"])
def test_known_by_its_first_line(tmp_path: Path, name: str) -> None:
    given = problem(10)
    source = open_path(str(write_libsvm(tmp_path / name, given)))
    assert source.description.startswith("LIBSVM")


@pytest.mark.parametrize(
    "line", ["1 0:2", "1 1:2 x", "1 1.5:2", "1 -1:2", "a 1:2", "1 1:", "1 1:two", "1 1:2:3"]
)
def test_other_lines_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.libsvm").write_text(f"1 1:2\n{line}\n")
    ((_, block),) = leaves_of(open_path(str(tmp_path / "t.libsvm")), COLUMNS)
    assert block.rows == 0
    assert "is not LIBSVM" in block.census.invalid
    assert repr(line) in block.census.invalid


def test_an_index_beyond_the_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.libsvm").write_text("1 1:2\n0 5:1\n")
    ((_, block),) = leaves_of(open_path(str(tmp_path / "t.libsvm")), COLUMNS)
    assert "indices below 4, not 4" in block.census.invalid


def test_repeated_indices_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.libsvm").write_text("1 4:1 1:2\n# c\n1 3:1 1:2 3:4\n")
    ((_, block),) = leaves_of(open_path(str(tmp_path / "t.libsvm")), COLUMNS)
    assert "line 3 has the feature index 3 twice" in block.census.invalid


def test_qid_is_no_feature(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("# made by x\n1 qid:7 1:2 3:1 # qid:3\n0 qid:2\n")
    source = open_path(str(tmp_path / "t.txt"))
    assert source.description.startswith("LIBSVM")
    np.testing.assert_array_equal(matrix_of(leaves_of(source, COLUMNS)), [[2, 0, 1, 0], [0] * 4])


def test_an_index_unknown_to_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", 6)
    (tmp_path / "t.libsvm").write_text("1 1:2\n\n0 5:1 2:3\n")
    source = open_path(str(tmp_path / "t.libsvm"))
    blocks = [b for _, b in leaves_of(source.for_model(4, False), COLUMNS)]
    assert "line 3 has the feature index 5, and the model has 4" in blocks[-1].census.invalid
    kept = leaves_of(source.for_model(4, True), COLUMNS)
    np.testing.assert_array_equal(matrix_of(kept), [[2, 0, 0, 0], [0, 3, 0, 0]])


@pytest.mark.parametrize("index", [10**8, 2**31 - 1])
def test_a_stray_index_is_refused_with_the_arithmetic(tmp_path: Path, index: int) -> None:
    (tmp_path / "t.libsvm").write_text(f"1 1:2\n0 2:1 {index}:1\n")
    with pytest.raises(InputError, match=f"line 2: the feature index {index} makes .* than 3 can"):
        open_path(str(tmp_path / "t.libsvm")).vector_width("features")


def test_more_features_than_memory_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before there are names, and at the very feature that is one too many."""
    settings = Settings(label="label", loss="bxe")
    path = tmp_path / "t.libsvm"
    monkeypatch.setattr(opening, "memory", lambda: 1000 * opening.FEATURE_BYTES)
    path.write_text("1 1:2\n0 2:1 1000:1\n")
    assert opening.source_columns(open_path(str(path)), settings).n_features == 1000
    path.write_text("1 1:2\n0 2:1 1001:1\n")
    with pytest.raises(
        InputError, match=r"the data has 1,001 features: .* this machine has 0\.0 GiB"
    ):
        opening.source_columns(open_path(str(path)), settings)


def test_this_machine_has_memory() -> None:
    assert opening.memory() > 2**27


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "t.libsvm").write_text("")
    assert leaves_of(open_path(str(tmp_path / "t.libsvm")), COLUMNS) == []


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        open_path(str(tmp_path / "t.libsvm"))
