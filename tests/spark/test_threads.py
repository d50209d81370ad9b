"""Fits in threads that share one Spark session: the bits of each alone, and jobs by their names."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark import TaskContext

from tests.spark.helpers import model_bits, table, write_dense, write_sparse
from w261reg import session as session_module
from w261reg import train
from w261reg.datasets import later
from w261reg.datasets.describe import KEY, described
from w261reg.model import Model
from w261reg.session import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
THREADS = 3


def at_once(work: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [future.result() for future in [pool.submit(own) for own in work]]


def test_fits_of_different_problems(spark: "SparkSession", tmp_path: Path) -> None:
    """From files and frames, packed on the executors; their files are gone afterwards."""
    dense, sparse = write_dense(tmp_path, True), write_sparse(tmp_path, True)
    x, y, _ = table(rows=90, n=3)
    rows = np.column_stack([x, y]).tolist()
    frame = spark.createDataFrame(rows, ["a", "b", "c", "label"]).coalesce(2)

    def fitted(data: Any, **settings: Any) -> Callable[[], Model]:
        return lambda: train(data, "label", collect_bytes=0, **settings)

    work = [
        fitted(str(dense), loss="bxe", reg_param=0.01),
        fitted(str(sparse), loss="bxe", reg_param=0.1, elastic_net_param=0.5),
        fitted(frame, loss="squared_hinge", reg_param=0.1),
        fitted(str(dense), loss="mse"),
        fitted(frame, loss="bxe", reg_param=0.2, aggregation_depth=2),
    ]
    later.finish()
    held = set(spark.sparkContext._jsc.getPersistentRDDs())  # by whoever used the session before
    alone = [model_bits(own()) for own in work]
    assert [model_bits(model) for model in at_once(work)] == alone
    later.finish()
    assert set(spark.sparkContext._jsc.getPersistentRDDs()) <= held


def test_jobs_have_the_names_of_their_own_thread(spark: "SparkSession") -> None:
    context, together = spark.sparkContext, threading.Barrier(THREADS)

    def named(number: int) -> list[str | None]:
        mine = f"a notebook's {number}"
        context.setLocalProperty(KEY, mine)
        with described(context, f"fit {number}"):
            together.wait()

            def seen(_: int) -> Any:
                task = TaskContext.get()
                return None if task is None else task.getLocalProperty("spark.job.description")

            found = context.parallelize(range(2), 2).map(seen).collect()
            together.wait()
        return [*found, context.getLocalProperty(KEY)]

    found = at_once([lambda k=k: named(k) for k in range(THREADS)])  # type: ignore[misc]
    for number, names in enumerate(found):
        assert names == [f"w261reg: fit {number}"] * 2 + [f"a notebook's {number}"]


class Context:
    master = "local[1]"


class Made:
    """A session that is not Spark's."""

    def __init__(self) -> None:
        self.sparkContext = Context()
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True
        Running.now = None


class Running:
    """The session of the process."""

    now: Made | None = None

    @classmethod
    def getActiveSession(cls) -> Made | None:
        return cls.now


def test_the_last_user_of_a_session_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyspark
    import pyspark.sql

    made: list[Made] = []

    def start(master: str | None, name: str) -> Made:
        Running.now = Made()
        made.append(Running.now)
        return Running.now

    monkeypatch.setattr(session_module, "_start", start)
    monkeypatch.setattr(session_module, "stopping", threading.Event())
    monkeypatch.setattr(pyspark.SparkContext, "_active_spark_context", None)
    monkeypatch.setattr(pyspark.sql, "SparkSession", Running)
    monkeypatch.setattr(session_module._Ours, "started", None)
    first, second, third = session(), session(), session()
    assert first.__enter__() is second.__enter__()
    first.__exit__(None, None, None)
    assert not made[0].stopped  # whoever made it is not the last
    assert third.__enter__() is made[0]
    second.__exit__(None, None, None)
    assert not made[0].stopped
    third.__exit__(None, None, None)
    assert made[0].stopped
    with session():
        assert len(made) == 2
    assert made[1].stopped
    # one of the user's own is left alone
    Running.now = own = Made()
    with session(), session():
        assert len(made) == 2
    assert not own.stopped
    # in threads: one at a time starts or stops, and nobody works in one that is stopped
    Running.now = None

    def work() -> bool:
        good = True
        for _ in range(30):
            with session() as mine:
                good = good and not mine.stopped
        return good

    assert all(at_once([work] * THREADS))
    assert all(old.stopped for old in made)
