"""Tiny tables and problems of the benchmark."""

from pathlib import Path
from typing import Any

from w261reg.benchmark.generate import Dense, Sparse
from w261reg.benchmark.problems import Posed, Problem
from w261reg.benchmark.scoring import Moments, posed
from w261reg.benchmark.tables.base import write_parquet
from w261reg.benchmark.tables.generated import dense_batches, sparse_batches

ROWS, GROUP = 1500, 400


def dense_file(folder: Path) -> Path:
    path = folder / "dense.parquet"
    write_parquet(path, dense_batches(Dense(ROWS, 6, 3)), GROUP)
    return path


def sparse_file(folder: Path) -> Path:
    path = folder / "sparse.parquet"
    write_parquet(path, sparse_batches(Sparse(ROWS, 30, 5, 3)), GROUP)
    return path


def problem(loss: str, l1: float, l2: float, **more: Any) -> Problem:
    return Problem(f"{loss}-{l1:g}-{l2:g}", "dense", loss, l1, l2, "a trial", **more)


def tiny(path: Path, loss: str, l1: float, l2: float, **more: Any) -> tuple[Posed, Moments]:
    return posed(problem(loss, l1, l2, **more), path)
