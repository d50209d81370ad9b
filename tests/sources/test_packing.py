"""Packing: leaves dealt to tasks, defects counted, errors carried as values."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.helpers import leaves_of, problem
from w261reg.datasets.tree import count_nodes
from w261reg.errors import InputError
from w261reg.sources import Columns, Source, TableSource
from w261reg.sources import base as base_module
from w261reg.sources.base import LEAF_BYTES, leaf_rows
from w261reg.sources.columns import to_block
from w261reg.sources.packing import deal, local_dataset, pack
from w261reg.sources.select import select


@pytest.mark.parametrize("leaves", [0, 1, 2, 3, 7, 64, 100])
@pytest.mark.parametrize("tasks", [1, 2, 3, 7, 200])
def test_deal_covers_all_leaves_evenly(leaves: int, tasks: int) -> None:
    runs = deal([2.5] * leaves, tasks)
    assert [leaf for run in runs for leaf in run] == list(range(leaves))
    sizes = [len(run) for run in runs]
    share = leaves / len(runs) if runs else 0
    assert max(abs(size - share) for size in sizes) <= max(1, share / 8)
    assert len(runs) == max(1, min(leaves, tasks))


def test_runs_of_many_leaves_begin_at_whole_subtrees() -> None:
    """98 leaves of 8 MB shares in two tasks: 5 shares go to the driver, not 9."""
    runs = deal([1.0] * 98, 2)
    assert [run.start for run in runs] == [0, 48]
    assert sum(count_nodes(run) for run in runs) == 5


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.integers(1, 70))
@settings(derandomize=True, deadline=None, max_examples=400)
def test_deal_balances_weights(weights: list[float], tasks: int) -> None:
    """No run is heavier than an equal share and one leaf; none is empty; all leaves in order."""
    runs = deal(weights, tasks)
    assert [leaf for run in runs for leaf in run] == list(range(len(weights)))
    assert len(runs) == min(tasks, len(weights))
    assert all(len(run) for run in runs)
    share, most = sum(weights) / len(runs), max(weights)
    for run in runs:
        assert sum(weights[i] for i in run) <= (share + most) * (1 + 1e-8)


def test_deal_goes_by_weight_and_not_by_number() -> None:
    assert deal([1, 1, 1, 1, 1, 1, 6], 2) == [range(6), range(6, 7)]
    assert deal([6, 1, 1, 1, 1, 1, 1], 2) == [range(1), range(1, 7)]
    assert deal([9, 1, 1, 1, 9, 3, 3, 3], 3) == [range(2), range(2, 5), range(5, 8)]


@pytest.mark.parametrize("width", [1, 2, 7, 50, 1000, 10**5, 10**7])
def test_leaf_rows_is_a_power_of_two_near_its_bytes(width: int) -> None:
    rows = leaf_rows(width)
    assert rows & (rows - 1) == 0
    assert 2**10 <= rows <= 2**18
    if 2**10 < rows < 2**18:
        assert LEAF_BYTES / 2 < 8 * width * rows <= LEAF_BYTES


def test_leaf_rows_follow_leaf_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_module, "LEAF_BYTES", 2**17)
    assert leaf_rows(4) == 2**12


class Broken(Source):
    """Three leaves of one row, and then an error."""

    schema = pa.schema([("x", pa.float64()), ("label", pa.float64())])
    description = "table T"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def handles(self, width: int) -> list[int]:
        return [0, 1, 2, 3, 4]

    def read(
        self, handles: Sequence[int], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        for position in range(3):
            yield position, pa.record_batch({"x": [1.0], "label": [float(position % 2)]})
        raise self.error


@pytest.mark.parametrize("error", [InputError("line one"), OSError("line one\nline two")])
def test_an_error_becomes_a_leaf_that_says_why(error: Exception) -> None:
    source = Broken(error)
    packed = list(pack(source, source.handles(1), 10, Columns(("x",), ("x",), label="label")))
    assert [leaf for leaf, _ in packed] == [10, 11, 12, 12]
    assert [block.rows for _, block in packed] == [1, 1, 1, 0]
    assert "line one" in packed[-1][1].census.invalid
    assert "line two" not in packed[-1][1].census.invalid


def test_other_errors_are_failures() -> None:
    source = Broken(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        list(pack(source, source.handles(1), 0, Columns(("x",), ("x",), label="label")))


def test_a_batch_with_defects_is_counted_and_dropped() -> None:
    batch = pa.record_batch(
        {
            "a": pa.array([1.0, None, float("nan"), float("inf")]),
            "b": pa.array([None, None, 3, 4], pa.int64()),
            "w": [1.0, -1.0, -2.0, 0.0],
            "label": pa.array([1.0, None, 0.0, 1.0]),
        }
    )
    block = to_block(batch, Columns(("a", "b"), ("a", "b"), label="label", weight="w"))
    assert block.rows == 0
    assert block.census.rows == 4
    assert block.census.defects == {
        ("a", "null"): 1,
        ("a", "NaN"): 1,
        ("a", "infinite"): 1,
        ("b", "null"): 2,
        ("w", "negative"): 2,
        ("label", "null"): 1,
    }


def test_vectors_with_defects() -> None:
    for vectors in (
        pa.array([[1.0, float("nan")], None, [float("inf"), float("nan")]]),
        pa.StructArray.from_arrays(
            [
                pa.array([[0, 1], None, [0, 1]], pa.list_(pa.int32())),
                pa.array([[1.0, float("nan")], None, [float("inf"), float("nan")]]),
            ],
            ["indices", "values"],
            mask=pa.array([False, True, False]),
        ),
    ):
        batch = pa.record_batch({"v": vectors, "label": [0.0, 1.0, 2.0]})
        block = to_block(batch, Columns(("v",), ("a", "b"), vector=True, label="label"))
        assert block.census.defects == {("v", "NaN"): 2, ("v", "infinite"): 1, ("v", "null"): 1}


def test_an_element_of_a_vector_may_not_be_null() -> None:
    batch = pa.record_batch({"v": [[1.0, None], [2.0, 3.0]], "label": [0.0, 1.0]})
    block = to_block(batch, Columns(("v",), ("a", "b"), vector=True, label="label"))
    assert block.rows == 0
    assert sum(block.census.defects.values()) == 1


def test_rows_of_weight_0_are_left_out_but_counted() -> None:
    given = problem(50)
    weight = np.arange(50) % 3.0
    frame = given.frame.assign(w=weight)
    columns = select(
        TableSource(frame).schema, features=None, label="label", weight="w", classification=True
    )
    ((_, block),) = leaves_of(TableSource(frame), columns)
    assert block.rows == int((weight > 0).sum())
    assert block.census.rows == 50
    kept = given.y[weight > 0]
    assert block.census.labels == {0.0: (kept == 0).sum(), 1.0: (kept == 1).sum()}
    np.testing.assert_array_equal(block.dot(np.eye(4), np.zeros(4)), given.x[weight > 0])


def test_labels_by_positive() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "text": ["g", "b", "g"], "number": [-1, 1, -1]})
    for label, positive in (("text", "g"), ("number", "-1"), ("number", -1.0)):
        columns = Columns(("x",), ("x",), label=label, classes=True, positive=positive)
        ((_, block),) = leaves_of(TableSource(frame), columns)
        np.testing.assert_array_equal(block.y, [1.0, 0.0, 1.0])
    categories = frame.assign(text=frame.text.astype("category"))
    columns = Columns(("x",), ("x",), label="text", classes=True, positive="g")
    ((_, block),) = leaves_of(TableSource(categories), columns)
    np.testing.assert_array_equal(block.y, [1.0, 0.0, 1.0])
    assert block.census.labels == {"b": 1, "g": 2}


def test_local_dataset_numbers_leaves_by_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    from w261reg.sources import memory

    monkeypatch.setattr(memory, "leaf_rows", lambda width: 16)
    source = TableSource(problem(100).frame)
    columns = select(source.schema, features=None, label="label", classification=True)
    dataset = local_dataset(source, columns)
    assert [(leaf, block.rows) for leaf, block in dataset.leaves] == [
        *[(leaf, 16) for leaf in range(6)],
        (6, 4),
    ]
