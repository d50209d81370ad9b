"""One small problem, written in every form a source can read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w261reg.blocks import Block
from w261reg.sources import Columns, Source, open_path
from w261reg.sources.packing import pack

Array = NDArray[np.float64]
NAMES = ("x1", "x2", "x3", "x4")
# the strengths at which all forms of one problem are compared
L2 = {"loss": "bxe", "reg_param": 0.02}


@dataclass(frozen=True)
class Problem:
    """Features x (m, 4), about a third of them 0, and labels y (m,) in {0, 1}."""

    x: Array
    y: Array

    @property
    def frame(self) -> pd.DataFrame:
        """A column a feature, then the label."""
        return pd.DataFrame(self.x, columns=list(NAMES)).assign(label=self.y)


def problem(rows: int = 120, seed: int = 7) -> Problem:
    """Numbers of few decimals, so that text holds them exactly."""
    generator = np.random.default_rng(seed)
    x = np.round(generator.normal(size=(rows, len(NAMES))), 3)
    x[generator.random(x.shape) < 0.35] = 0.0
    z = x @ np.array([1.0, -2.0, 0.5, 0.0]) + 0.3 + generator.logistic(size=rows)
    return Problem(x, (z > 0).astype(float))


def libsvm_line(label: float, row: Array) -> str:
    """`label index:value ...` of the features that are not 0."""
    pairs = " ".join(f"{j + 1}:{value!r}" for j, value in enumerate(row.tolist()) if value != 0)
    return f"{label:g} {pairs}".rstrip()


def write_libsvm(path: Path, given: Problem) -> Path:
    lines = [libsvm_line(label, row) for label, row in zip(given.y, given.x, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_csv(path: Path, frame: pd.DataFrame, **options: Any) -> Path:
    frame.to_csv(path, index=False, **options)
    return path


def write_parquet(path: Path, table: Any, **options: Any) -> Path:
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(table, path, **options)
    return path


def frame_of(path: Path | str, numeric: tuple[str, ...] = ()) -> pd.DataFrame:
    """All rows of a path in the order of its leaves."""
    return rows_of(open_path(str(path)), numeric)


def rows_of(source: Source, numeric: tuple[str, ...] = ()) -> pd.DataFrame:
    batches = [batch for _, batch in source.read(source.handles(4), None, numeric)]
    frame: pd.DataFrame = pa.Table.from_batches(batches, batches[0].schema).to_pandas()
    return frame


def leaves_of(source: Source, columns: Columns) -> list[tuple[int, Block]]:
    """The packed leaves, all of them in one task."""
    return list(pack(source, source.handles(len(columns.names)), 0, columns))


def matrix_of(leaves: list[tuple[int, Block]]) -> Array:
    """X of packed leaves, dense (m, n)."""
    parts = []
    for _, block in leaves:
        one, zero = np.ones(block.n_features), np.zeros(block.n_features)
        parts.append(block.design(np.ones(block.rows), zero, one))
    return np.vstack(parts)
