"""Tables of random data: dense, wide and sparse."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from w261reg.benchmark.generate import Dense, Sparse
from w261reg.benchmark.problems import BINARY, REAL
from w261reg.benchmark.tables.base import Making, Table, vector_batch, write_parquet


def dense_batches(data: Dense) -> Iterator[pa.RecordBatch]:
    """Columns x1..xn, y and y01."""
    names = [f"x{j + 1}" for j in range(data.features)] + [REAL, BINARY]
    for unit in data.units():
        columns = np.asarray(unit.x).T.copy()
        yield pa.record_batch([*map(pa.array, columns), unit.y, unit.y01], names=names)


def sparse_batches(data: Sparse) -> Iterator[pa.RecordBatch]:
    """A vector column, y and y01."""
    for unit in data.units():
        yield vector_batch(unit.x, {REAL: unit.y, BINARY: unit.y01})


class DenseTable(Table):
    """A million rows of fifty features."""

    name = "dense"
    about = "1,000,000 rows x 50 features, generated"
    size: ClassVar[tuple[int, int]] = (1_000_000, 50)

    def file_name(self, making: Making) -> str:
        rows, features = self.size
        stem = f"{self.name}-{making.rows(rows)}x{features}"
        return f"{stem}-seed{making.seed}-groups{making.row_group_rows}.parquet"

    def write(self, path: Path, making: Making) -> None:
        rows, features = self.size
        data = Dense(making.rows(rows), features, making.seed)
        write_parquet(path, dense_batches(data), making.row_group_rows)


class WideTable(DenseTable):
    """A thousand features."""

    name = "wide"
    about = "200,000 rows x 1,000 features, generated"
    size = (200_000, 1000)


class SparseTable(Table):
    """A hundred thousand features, forty of them non-zero in a row."""

    name = "sparse"
    about = "1,000,000 rows x 100,000 features, 40 non-zeros a row, generated"
    size: ClassVar[tuple[int, int, int]] = (1_000_000, 100_000, 40)

    def file_name(self, making: Making) -> str:
        rows, features, nonzeros = self.size
        stem = f"{self.name}-{making.rows(rows)}x{features}x{nonzeros}"
        return f"{stem}-seed{making.seed}-groups{making.row_group_rows}.parquet"

    def write(self, path: Path, making: Making) -> None:
        rows, features, nonzeros = self.size
        data = Sparse(making.rows(rows), features, nonzeros, making.seed)
        write_parquet(path, sparse_batches(data), making.row_group_rows)
