"""Rates of the kernels that a fit is made of, on the machine that runs the benchmark."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg.blas import dsyrk

from w261reg.aggregators import Evaluate, Summarise
from w261reg.benchmark.generate import Dense
from w261reg.benchmark.machine import cores
from w261reg.benchmark.problems import BINARY
from w261reg.benchmark.tables.base import write_parquet
from w261reg.benchmark.tables.generated import dense_batches
from w261reg.blas import one_blas_thread
from w261reg.errors import ComputeError
from w261reg.losses import get_loss
from w261reg.session import session
from w261reg.sources import open_path
from w261reg.sources.packing import spark_dataset
from w261reg.sources.select import select

Rate = dict[str, Any]


def rates(
    master: str | None = None,
    size: int = 1000,
    rows: int = 1_000_000,
    features: int = 50,
    repeats: int = 5,
    folder: str | None = None,
) -> Iterator[Rate]:
    """One dict a kernel: kernel, value, unit, about.

    Args:
        master: Spark's.
        size: n of the n x n product.
        rows, features: of the data of a gradient: 400 MB as they are.
        repeats: of each, of which the median counts.
        folder: where the tables go, as those of the problems; None is a temporary one.
    """
    yield syrk_rate(size, repeats)
    yield numpy_gradient_rate(rows, features, repeats, cores())
    yield from spark_rates(master, size, rows, features, repeats, folder)


def syrk_rate(size: int, repeats: int) -> Rate:
    """A'A of a (4 size, size) matrix by dsyrk on one thread."""
    a = np.asfortranarray(np.random.default_rng(0).normal(size=(4 * size, size)))
    with one_blas_thread():
        seconds = _median(lambda: dsyrk(1.0, a, trans=1), repeats)
    return _rate("dsyrk", 4 * size * size * size / seconds / 1e9, "GFlop/s",
                 f"one thread, n = {size:,}")  # fmt: skip


def numpy_gradient_rate(rows: int, features: int, repeats: int, processes: int) -> Rate:
    """Loss gradients by numpy, each process on its own share, at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.SimpleQueue()
    share = -(-rows // processes)
    started = [
        context.Process(target=_gradients, args=(share, features, repeats, barrier, answers))
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        raise ComputeError("a process of the numpy gradient failed")
    slowest = max(answers.get() for _ in started)
    about = f"{processes} processes, {rows:,} x {features}"
    return _rate("numpy gradient", 8 * share * processes * features / slowest / 1e9, "GB/s", about)


def _gradients(rows: int, features: int, repeats: int, barrier: Any, answers: Any) -> None:
    x = np.random.default_rng(0).normal(size=(rows, features))
    y = (x[:, 0] > 0).astype(float)
    w = np.zeros(features)

    def gradient() -> None:
        for start in range(0, rows, 2048):  # such a block stays in the cache between its two uses
            block = x[start : start + 2048]
            block.T @ (1 / (1 + np.exp(-(block @ w))) - y[start : start + 2048])

    with one_blas_thread():
        barrier.wait(60)  # one that failed to start would be waited for without end
        answers.put(_median(gradient, repeats))


def spark_rates(
    master: str | None, size: int, rows: int, features: int, repeats: int, place: str | None
) -> Iterator[Rate]:
    """An empty job of one task a core; a gradient and a Gram matrix of w261reg on packed data."""
    with tempfile.TemporaryDirectory(dir=place) as folder, session(master, "benchmark") as spark:
        context = spark.sparkContext
        tasks = context.defaultParallelism
        empty = context.parallelize(range(tasks), tasks)
        seconds = _median(lambda: empty.foreach(_nothing), repeats)
        yield _rate("empty Spark job", seconds * 1e3, "ms",
                    f"{tasks} Python tasks on {context.master}")  # fmt: skip
        zero = np.zeros((features, 1))
        evaluate = Evaluate(get_loss("bxe"), zero, np.zeros(1), np.zeros(features), 1)
        seconds = _pass_seconds(context, folder, rows, features, evaluate, repeats)
        yield _rate("w261reg gradient", 8 * rows * features / seconds / 1e9, "GB/s",
                    f"one pass over packed data, {rows:,} x {features}")  # fmt: skip
        fewer = 200 * size
        gram = Summarise(size, gram=True)
        seconds = _pass_seconds(context, folder, fewer, size, gram, repeats)
        yield _rate("w261reg Gram", fewer * size * size / seconds / 1e9, "GFlop/s",
                    f"one pass over packed data, {fewer:,} x {size:,}")  # fmt: skip


def _pass_seconds(
    context: Any, folder: str, rows: int, features: int, aggregator: Any, repeats: int
) -> float:
    """Median of passes over packed data."""
    path = Path(folder) / f"{rows}x{features}.parquet"
    write_parquet(path, dense_batches(Dense(rows, features, 0)), max(1, rows // 8))
    source = open_path(str(path))
    names = [f"x{j + 1}" for j in range(features)]
    columns = select(source.schema, features=names, label=BINARY, classification=True)
    dataset = spark_dataset(context, source, columns)
    try:
        dataset.aggregate(aggregator)  # reads and packs
        return _median(lambda: dataset.aggregate(aggregator), repeats)
    finally:
        dataset.release()


def _nothing(_: int) -> None:
    pass


def _median(run: Callable[[], Any], repeats: int) -> float:
    """Seconds, after one run that does not count."""
    run()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def _rate(kernel: str, value: float, unit: str, about: str) -> Rate:
    return {"kernel": kernel, "value": f"{value:.4g}", "unit": unit, "about": about}
