"""Batches cut anew have the rows they had, and ends that do not depend on who cut them before."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from w261reg.sources import Columns, array_source, batches
from w261reg.sources.base import leaf_rows
from w261reg.sources.batches import recut

ROWS = 1000
PLAIN = Columns(("a", "b"), ("a", "b"), label="y")
VECTOR = Columns(("features",), ("x1", "x2", "x3"), vector=True, label="label")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_ROWS", 64)
    monkeypatch.setattr(batches, "MOST_VALUES", 100)


def plain() -> pa.RecordBatch:
    y = np.arange(float(ROWS))
    return pa.record_batch({"a": y, "y": y, "b": -y})


def vectors(kind: str) -> pa.RecordBatch:
    """Rows of 0 to 3 numbers; of which every seventh is null."""
    rng = np.random.default_rng(5)
    values = [rng.normal(size=rng.integers(0, 4)).tolist() for _ in range(ROWS)]
    label = pa.array(np.arange(float(ROWS)))
    nulls: Any = np.arange(ROWS) % 7 == 3
    if kind == "fixed":
        features = pa.array([[1.0, 2.0, 3.0]] * ROWS, pa.list_(pa.float64(), 3))
    elif kind == "list":
        rows = [None if null else row for row, null in zip(values, nulls, strict=True)]
        features = pa.array(rows, pa.list_(pa.float64()))
    else:
        lists = [pa.array(values, pa.list_(pa.float64()))] * 2
        features = pa.StructArray.from_arrays(lists, ["indices", "values"], mask=pa.array(nulls))
    return pa.record_batch({"features": features, "label": label})


CASES = [
    pytest.param(plain(), PLAIN, id="plain"),
    *(pytest.param(vectors(kind), VECTOR, id=kind) for kind in ("fixed", "list", "struct")),
]


def cut(whole: pa.RecordBatch, ends: Sequence[int]) -> list[pa.RecordBatch]:
    edges = [0, *ends, whole.num_rows]
    return [whole.slice(a, b - a) for a, b in pairwise(edges)]


@pytest.mark.parametrize(("whole", "columns"), CASES)
def test_the_ends_depend_on_the_rows_alone(whole: pa.RecordBatch, columns: Columns) -> None:
    rng = np.random.default_rng(1)
    wanted = list(recut([whole], columns))
    assert pa.Table.from_batches(wanted).combine_chunks() == pa.table(whole)
    ways = [list(range(k, ROWS, k)) for k in (1, 3, 63, 64, 65, 999)]
    ways += [sorted(rng.integers(0, ROWS + 1, 40).tolist()) for _ in range(5)]  # some are empty
    for ends in ways:
        found = list(recut(cut(whole, ends), columns))
        assert [batch.num_rows for batch in found] == [batch.num_rows for batch in wanted]
        assert all(one.equals(other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("whole", "columns"), CASES)
def test_no_batch_is_larger_than_it_may_be(whole: pa.RecordBatch, columns: Columns) -> None:
    found = list(recut([whole], columns))
    assert len(found) > 10
    for batch in found[:-1]:
        stored = int(batches._stored(batch, columns)[-1])
        assert stored < batches.MOST_VALUES + 3
        assert batch.num_rows == 64 or stored >= batches.MOST_VALUES
        assert batch.num_rows <= 64


def test_wide_rows_are_cut_as_leaves_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_ROWS", 2**16)
    wide = Columns(("a",) * 2000, tuple(f"x{j}" for j in range(2000)), label="y")
    one = pa.record_batch({"y": np.arange(3000.0)})
    assert [b.num_rows for b in recut([one], wide)] == [leaf_rows(2000), leaf_rows(2000), 952]


def test_nothing_in_nothing_out() -> None:
    assert list(recut([], PLAIN)) == []
    assert list(recut([plain().slice(0, 0)], PLAIN)) == []


def test_a_row_of_more_than_all() -> None:
    source, _, _ = array_source(np.ones((5, 300)), np.arange(5.0), None)
    table: pa.Table = source.table
    (batch,) = table.to_batches()
    assert [own.num_rows for own in recut([batch], VECTOR)] == [1] * 5
