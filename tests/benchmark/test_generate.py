"""Generated data: the seed and the row's number decide, nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from w261reg.benchmark.generate import UNIT_ROWS, Dense, Sparse, bands
from w261reg.benchmark.tables.base import write_parquet
from w261reg.benchmark.tables.generated import dense_batches, sparse_batches


def whole(data: Any) -> tuple[Any, Any, Any]:
    units = list(data.units())
    stack = sparse.vstack if sparse.issparse(units[0].x) else np.vstack
    x: Any = stack([u.x for u in units])
    return x, np.concatenate([u.y for u in units]), np.concatenate([u.y01 for u in units])


def dense_of(x: Any) -> Any:
    return x if isinstance(x, np.ndarray) else x.toarray()


MAKERS = {
    "dense": lambda rows, seed: Dense(rows, 4, seed),
    "sparse": lambda rows, seed: Sparse(rows, 40, 6, seed),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_rows_do_not_depend_on_how_many_there_are(kind: str) -> None:
    few = whole(MAKERS[kind](UNIT_ROWS + 7, 1))
    many = whole(MAKERS[kind](2 * UNIT_ROWS, 1))
    for short, long in zip(few, many, strict=True):
        np.testing.assert_array_equal(dense_of(short), dense_of(long)[: UNIT_ROWS + 7])


@pytest.mark.parametrize("kind", MAKERS)
def test_another_seed_gives_other_rows(kind: str) -> None:
    one, other = whole(MAKERS[kind](50, 1)), whole(MAKERS[kind](50, 2))
    assert not np.array_equal(dense_of(one[0]), dense_of(other[0]))
    assert not np.array_equal(one[1], other[1])


@pytest.mark.parametrize("kind", MAKERS)
def test_row_groups_do_not_change_values(kind: str, tmp_path: Path) -> None:
    tables = []
    for rows in (300, 4096, 100_000):
        batches: Any = dense_batches if kind == "dense" else sparse_batches
        path = tmp_path / f"{rows}.parquet"
        write_parquet(path, batches(MAKERS[kind](5000, 1)), rows)
        sizes = pq.ParquetFile(path).metadata
        counts = [sizes.row_group(g).num_rows for g in range(sizes.num_row_groups)]
        assert counts[:-1] == [rows] * (len(counts) - 1)
        assert sum(counts) == 5000
        tables.append(pq.read_table(path).combine_chunks())
    assert isinstance(tables[0], pa.Table)
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_dense_features_differ_in_scale_and_are_correlated() -> None:
    x, _, y01 = whole(Dense(20_000, 20, 0))
    sd = x.std(axis=0)
    assert sd.max() > 10 * sd.min()
    correlation = np.corrcoef(x.T)[np.triu_indices(20, 1)]
    assert 0.02 < np.abs(correlation).mean() < 0.6
    assert 0.1 < y01.mean() < 0.9


def test_sparse_rows_hold_as_many_and_few_columns_are_popular() -> None:
    x, _, y01 = whole(Sparse(8192, 1000, 10, 0))
    assert set(np.diff(x.indptr)) == {10}
    assert x.has_canonical_format
    counts = np.sort(np.bincount(x.indices, minlength=1000))[::-1]
    assert counts[:10].sum() > 3 * counts[500:].mean() * 10
    assert 0.1 < y01.mean() < 0.9


@pytest.mark.parametrize(("features", "count"), [(1, 1), (7, 7), (30, 5), (100_000, 40), (12, 11)])
def test_bands_cover_all_columns(features: int, count: int) -> None:
    edges = bands(features, count)
    assert (edges[0], edges[-1]) == (0, features)
    assert (np.diff(edges) > 0).all()
