"""The canonical objective of any coefficients, by numpy over the Parquet file alone.

No engine scores itself, and nothing of the engines' own arithmetic is used. The file is streamed by
record batches, so memory does not grow with the table. Sums over batches are exact (math.fsum).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from w261reg.benchmark.problems import VECTOR, Posed, Problem
from w261reg.benchmark.tables.base import LABELS

Array = NDArray[np.float64]
BATCH_VALUES = 2**22  # 32 MiB of float64


@dataclass(frozen=True)
class Moments:
    """Of a table and one label.

    Attributes:
        rows: m.
        sd: standard deviations of the features over m, (n,).
        label_sd: that of the label.
        nnz: mean number of non-zero features of a row.
    """

    rows: int
    sd: Array
    label_sd: float
    nnz: float


def posed(problem: Problem, path: Path) -> tuple[Posed, Moments]:
    """The problem on its table: two streams through the file, for means and for deviations."""
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    vector = VECTOR in names
    columns = (VECTOR,) if vector else tuple(name for name in names if name not in LABELS)
    found = moments(path, columns, problem.label)
    about = Posed(
        name=problem.name,
        loss=problem.loss,
        l1=problem.l1,
        l2=problem.l2,
        standardization=problem.standardization,
        fit_intercept=problem.fit_intercept,
        label=problem.label,
        path=str(path),
        columns=columns,
        vector=vector,
        width=len(found.sd),
        rows=found.rows,
        label_sd=found.label_sd,
        nnz=found.nnz,
    )
    return about, found


def moments(path: Path, columns: tuple[str, ...], label: str) -> Moments:
    """Means in one stream, then sums of squares about them in a second: no cancellation."""
    rows, nonzeros = 0, 0
    sums: list[Array] = []
    labels: list[float] = []
    for x, y in stream(path, columns, label):
        rows += len(y)
        stored = x if isinstance(x, np.ndarray) else x.data
        nonzeros += int(np.count_nonzero(stored))
        sums.append(np.asarray(x.sum(axis=0), dtype=float).ravel())
        labels.append(float(y.sum()))
    mean = np.sum(sums, axis=0) / rows
    label_mean = math.fsum(labels) / rows
    squares = np.zeros_like(mean)
    label_squares = []
    for x, y in stream(path, columns, label):
        squares += _squares(x, mean)
        label_squares.append(float(((y - label_mean) ** 2).sum()))
    return Moments(
        rows, np.sqrt(squares / rows), math.sqrt(math.fsum(label_squares) / rows), nonzeros / rows
    )


def _squares(x: Any, mean: Array) -> Array:
    """Column sums of (x - mean)^2."""
    if not sparse.issparse(x):
        return np.asarray(((x - mean) ** 2).sum(axis=0))
    return sparse_squares(x, mean)


def sparse_squares(x: Any, mean: Array) -> Array:
    """Column sums of (x - mean)^2 of CSR rows; what is not stored is 0, `mean` away from it."""
    stored = np.bincount(x.indices, minlength=len(mean))
    about = (x.data - mean[x.indices]) ** 2
    total = np.bincount(x.indices, about, minlength=len(mean))
    return np.asarray(total + (x.shape[0] - stored) * mean**2)


def objective(problem: Posed, sd: Array, w: Array, intercept: float) -> float:
    """F(w, b).

    Args:
        problem: loss, strengths and file.
        sd: of the features over m, (n,).
        w, intercept: on the raw scale, (n,).

    Returns:
        F, infinite where a coefficient is not finite.
    """
    if not (np.isfinite(w).all() and math.isfinite(intercept)):
        return math.inf
    pointwise = _squared if problem.quadratic else _cross_entropy
    total = math.fsum(
        math.fsum(pointwise(y, np.asarray(x @ w).ravel() + intercept))
        for x, y in stream(Path(problem.path), problem.columns, problem.label)
    )
    u = w * sd if problem.standardization else w
    penalty = problem.l1 * math.fsum(np.abs(u)) + problem.l2 / 2 * math.fsum(u * u)
    return total / problem.rows + penalty


def _squared(y: Array, z: Array) -> Array:
    return (y - z) ** 2 / 2


def _cross_entropy(y: Array, z: Array) -> Array:
    return np.logaddexp(0.0, z) - y * z


# --- reading ------------------------------------------------------------------------------------


def stream(path: Path, columns: tuple[str, ...], label: str) -> Iterator[tuple[Any, Array]]:
    """(x, y) batch by batch: x (b, n) dense or CSR, y (b,)."""
    with pq.ParquetFile(path) as file:
        size = max(256, BATCH_VALUES // max(len(columns), 64))
        for batch in file.iter_batches(batch_size=size, columns=[*columns, label]):
            yield features(batch, columns), batch.column(label).to_numpy(zero_copy_only=False)


def features(batch: pa.RecordBatch, columns: tuple[str, ...], order: Any = "C") -> Any:
    """The features of a batch: (b, n) dense, or CSR out of the vector column."""
    if columns != (VECTOR,):
        dense = np.empty((batch.num_rows, len(columns)), order=order)
        for j, name in enumerate(columns):
            dense[:, j] = batch.column(name).to_numpy(zero_copy_only=False)
        return dense
    _, sizes, indices, values = batch.column(VECTOR).flatten()
    starts = np.concatenate([[0], np.cumsum(indices.value_lengths().to_numpy())])
    shape = (batch.num_rows, sizes[0].as_py())
    # of 32 bits, as the stored indices are: some solvers take no others
    parts = (values.flatten().to_numpy(), indices.flatten().to_numpy(), starts.astype(np.int32))
    return sparse.csr_array(parts, shape=shape)
