"""A whole Parquet file as one matrix, for the engines of one process."""

from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from w261reg.benchmark.problems import Posed
from w261reg.benchmark.scoring import features, sparse_squares

Array = NDArray[np.float64]
ROWS = 8192


def read_matrix(problem: Posed, order: Literal["C", "F"] = "C") -> tuple[Any, Array]:
    """(x, y): x (m, n) dense in this order, or CSR; y (m,)."""
    table = pq.read_table(problem.path, columns=[*problem.columns, problem.label])
    y = table.column(problem.label).to_numpy()
    if problem.vector:
        parts = [features(batch, problem.columns) for batch in table.to_batches()]
        return sparse.csr_array(sparse.vstack(parts, format="csr")), y
    x = np.empty((table.num_rows, len(problem.columns)), order=order)
    if order == "F":
        for j, name in enumerate(problem.columns):
            x[:, j] = table.column(name).to_numpy()
        return x, y
    start = 0
    for batch in table.to_batches(max_chunksize=ROWS):  # a few rows of all columns fit the cache
        x[start : start + batch.num_rows] = features(batch, problem.columns, "F")
        start += batch.num_rows
    return x, y


def standard_deviations(x: Any) -> tuple[Array, Array]:
    """Means and standard deviations (n,) over m; 1 where there is no spread, as a divisor."""
    rows = x.shape[0]
    mean = np.asarray(x.mean(axis=0)).ravel()
    if sparse.issparse(x):
        squares = sparse_squares(x, mean)
    else:
        squares = np.zeros(x.shape[1])
        for start in range(0, rows, ROWS):
            squares += ((x[start : start + ROWS] - mean) ** 2).sum(axis=0)
    sd = np.sqrt(squares / rows)
    return mean, np.where(sd > 0, sd, 1.0)
