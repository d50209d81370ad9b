"""From record batches to blocks: values bit for bit, defects counted, rows of weight 0 dropped."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from w261reg.blocks import DenseBlock, SparseBlock
from w261reg.errors import InputError
from w261reg.sources.columns import Columns, to_block

NAN, INF = float("nan"), float("inf")


def batch(**columns: Any) -> pa.RecordBatch:
    arrays = [c if isinstance(c, pa.Array) else pa.array(c) for c in columns.values()]
    return pa.record_batch(arrays, names=list(columns))


def raw(block: Any) -> Any:
    """The features (b, n)."""
    return block.design(np.ones(block.rows), np.zeros(block.n_features), np.ones(block.n_features))


def test_all_types_become_float64() -> None:
    columns = Columns(("a", "b", "c", "d", "e"), ("a", "b", "c", "d", "e"), label="y", weight="s")
    data = batch(
        a=[1, 2, 3],
        b=pa.array([0.1, 0.2, 0.3], pa.float32()),
        c=[True, False, True],
        d=[Decimal("1.25"), Decimal("-3.50"), Decimal("0.00")],
        e=[1e300, -1e-300, 0.1],
        y=[1.5, 2.5, -1.0],
        s=[1, 2, 3],
    )
    block = to_block(data, columns)
    expected = [
        [1.0, float(np.float32(0.1)), 1.0, 1.25, 1e300],
        [2.0, float(np.float32(0.2)), 0.0, -3.5, -1e-300],
        [3.0, float(np.float32(0.3)), 1.0, 0.0, 0.1],
    ]
    assert raw(block).tolist() == expected
    assert block.y.tolist() == [1.5, 2.5, -1.0]
    assert block.weight.tolist() == [1.0, 2.0, 3.0]
    assert block.census.rows == 3
    assert not block.census.defects


@pytest.mark.parametrize("as_sparse", [False, True])
def test_rows_of_weight_zero_are_dropped(as_sparse: bool) -> None:
    vector = pa.array([[1.0, 0.0], [5.0, 6.0], [0.0, 4.0]])
    if as_sparse:
        vector = pa.array(
            [
                {"size": 2, "indices": [0], "values": [1.0]},
                {"size": 2, "indices": [0, 1], "values": [5.0, 6.0]},
                {"size": 2, "indices": [1], "values": [4.0]},
            ],
            pa.struct(
                [
                    ("size", pa.int32()),
                    ("indices", pa.list_(pa.int32())),
                    ("values", pa.list_(pa.float64())),
                ]
            ),
        )
    columns = Columns(
        ("x",), ("x1", "x2"), vector=True, label="y", weight="s", classes=True, positive=None
    )
    block = to_block(batch(x=vector, y=[0.0, 7.0, 1.0], s=[1.0, 0.0, 2.0]), columns)
    assert isinstance(block, SparseBlock if as_sparse else DenseBlock)
    assert raw(block).tolist() == [[1.0, 0.0], [0.0, 4.0]]
    assert block.y.tolist() == [0.0, 1.0]
    assert block.weight.tolist() == [1.0, 2.0]
    assert block.census.rows == 3
    assert block.census.labels == {0.0: 1, 1.0: 1}  # the 7 has weight 0


def test_sparse_and_dense_rows_mix() -> None:
    kind = pa.struct(
        [
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )
    vector = pa.array(
        [
            {"size": None, "indices": None, "values": [1.0, 2.0, 3.0]},
            {"size": 3, "indices": [2], "values": [9.0]},
            {"size": 3, "indices": [], "values": []},
        ],
        kind,
    )
    block = to_block(batch(x=vector), Columns(("x",), ("a", "b", "c"), vector=True))
    assert raw(block).tolist() == [[1.0, 2.0, 3.0], [0.0, 0.0, 9.0], [0.0, 0.0, 0.0]]


def test_defects_are_counted_by_column_and_kind() -> None:
    columns = Columns(("a", "b"), ("a", "b"), label="y", weight="s")
    data = batch(
        a=[None, NAN, NAN, 1.0, INF],
        b=[1, None, None, 2, 3],
        y=[0.0, INF, -INF, NAN, None],
        s=[-1.0, -2.0, None, 1.0, NAN],
    )
    block = to_block(data, columns)
    assert block.rows == 0
    assert block.n_features == 2
    assert block.census.rows == 5
    assert block.census.defects == {
        ("a", "null"): 1,
        ("a", "NaN"): 2,
        ("a", "infinite"): 1,
        ("b", "null"): 2,
        ("y", "infinite"): 2,
        ("y", "NaN"): 1,
        ("y", "null"): 1,
        ("s", "negative"): 2,
        ("s", "null"): 1,
        ("s", "NaN"): 1,
    }


def test_defects_of_vectors() -> None:
    columns = Columns(("x",), ("a", "b"), vector=True)
    block = to_block(batch(x=[[1.0, NAN], [INF, 2.0], [NAN, NAN], None]), columns)
    assert block.rows == 0
    assert block.census.rows == 4
    assert block.census.defects == {("x", "NaN"): 3, ("x", "infinite"): 1, ("x", "null"): 1}


def test_text_labels_are_counted_and_compared() -> None:
    columns = Columns(("a",), ("a",), label="y", classes=True, positive="spam")
    block = to_block(batch(a=[1.0, 2.0, 3.0], y=["spam", "ham", "spam"]), columns)
    assert block.y.tolist() == [1.0, 0.0, 1.0]
    assert block.census.labels == {"ham": 1, "spam": 2}


def test_numeric_labels_compared_with_positive() -> None:
    columns = Columns(("a",), ("a",), label="y", classes=True, positive="2")
    block = to_block(batch(a=[1.0, 2.0, 3.0], y=[2, 1, 1]), columns)
    assert block.y.tolist() == [1.0, 0.0, 0.0]
    assert block.census.labels == {1.0: 2, 2.0: 1}


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match="'x' must hold lists of 2 numbers"):
        to_block(batch(x=[[1.0, 2.0], [1.0]]), Columns(("x",), ("a", "b"), vector=True))
    with pytest.raises(InputError, match="'x' must hold lists of 2 numbers"):
        # the right number of values in all, but not in each
        to_block(batch(x=[[1.0, 2.0, 3.0], [1.0]]), Columns(("x",), ("a", "b"), vector=True))


def test_no_rows() -> None:
    columns = Columns(("a",), ("a",), label="y", weight="s", classes=True)
    block = to_block(batch(a=pa.array([], pa.float64()), y=[], s=pa.array([], pa.int64())), columns)
    assert (block.rows, block.n_features) == (0, 1)
    assert not block.census.defects
