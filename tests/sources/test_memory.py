"""Tables and arrays of this process."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from tests.sources.helpers import leaves_of, matrix_of, problem, rows_of
from w261reg.blocks import SparseBlock
from w261reg.errors import InputError
from w261reg.sources import Columns, TableSource, array_source
from w261reg.sources import memory as memory_module

VECTOR = Columns(("features",), ("x1", "x2", "x3", "x4"), vector=True, label="label")


def test_leaves_depend_on_the_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(100).frame
    monkeypatch.setattr(memory_module, "leaf_rows", lambda width: 16)
    whole = pa.Table.from_pandas(given, preserve_index=False)
    chunked = pa.concat_tables([whole[:7], whole[7:50], whole[50:]])
    for table in (given, whole, chunked):
        source = TableSource(table)
        read = source.read(source.handles(4), None, [])
        assert [batch.num_rows for _, batch in read] == [16] * 6 + [4]
        pd.testing.assert_frame_equal(rows_of(source), given)


def test_names_of_pandas_columns_become_text() -> None:
    frame = pd.DataFrame({0: [1.0, 2.0], 1: [3.0, 4.0]}, index=[5, 9])
    assert TableSource(frame).schema.names == ["0", "1"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8, bool])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dense_matrix(dtype: type, order: str) -> None:
    given = problem(30)
    x = np.asarray(np.round(given.x), dtype=dtype, order=order)  # type: ignore[call-overload]
    source, label, weight = array_source(x, given.y, None)
    assert (label, weight) == ("label", None)
    leaves = leaves_of(source, VECTOR)
    np.testing.assert_array_equal(matrix_of(leaves), x.astype(float))


def test_a_view_of_a_matrix_is_read_as_it_looks() -> None:
    given = problem(30)
    source, _, _ = array_source(given.x[::-3, ::-1], given.y[::-3], None)
    np.testing.assert_array_equal(matrix_of(leaves_of(source, VECTOR)), given.x[::-3, ::-1])


def test_the_callers_matrix_is_not_changed() -> None:
    given = problem(30)
    x = given.x + 100.0  # of one sign and narrow: blocks take an origin off
    before = x.copy()
    (_, block) = leaves_of(array_source(x, given.y, None)[0], VECTOR)[0]
    np.testing.assert_array_equal(block.dot(np.eye(4), np.zeros(4)), before)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix])
def test_sparse_matrix(form: str, make: type) -> None:
    given = problem(30)
    source, _, _ = array_source(make(given.x).asformat(form), given.y, None)
    leaves = leaves_of(source, VECTOR)
    assert all(isinstance(block, SparseBlock) for _, block in leaves)
    np.testing.assert_array_equal(matrix_of(leaves), given.x)


def test_sparse_matrix_with_duplicates_and_unsorted_indices() -> None:
    x = sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([3, 0, 3]), np.array([0, 3])))
    before = x.indices.copy()
    leaves = leaves_of(array_source(x, np.array([1.0]), None)[0], VECTOR)
    np.testing.assert_array_equal(matrix_of(leaves), [[2.0, 0.0, 0.0, 5.0]])
    np.testing.assert_array_equal(x.indices, before)


@pytest.mark.parametrize(
    ("x", "label", "weight", "says"),
    [
        (np.zeros(3), np.zeros(3), None, r"shape \(3,\)"),
        (np.zeros((2, 2, 2)), np.zeros(2), None, "must be a matrix"),
        ([["a", "b"]], np.zeros(1), None, "matrix of numbers"),
        ([[1.0], [1.0, 2.0]], np.zeros(2), None, "matrix of numbers"),
        (np.zeros((3, 2)), np.zeros(2), None, r"label must have one value a row \(3\)"),
        (np.zeros((3, 2)), np.zeros((3, 1)), None, "label must have one value a row"),
        (np.zeros((3, 2)), np.zeros(3), np.ones(4), "weight must have one value a row"),
    ],
)
def test_shapes_that_do_not_fit(x: object, label: object, weight: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        array_source(x, label, weight)
