"""A failure on Spark is one line that names its cause."""

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from py4j.protocol import Py4JError

from tests.jobs.submit import ROOT, environment
from tests.spark.repeated import FAILING, TRIALS
from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block
from w261reg.blocks.store import folders
from w261reg.datasets.failure import spark_failures
from w261reg.errors import ComputeError, InputError
from w261reg.sources import Columns, array_source
from w261reg.sources import memory as memory_module
from w261reg.sources.packing import spark_dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


class Failing(Aggregator[int]):
    """Counts rows; fails at the block whose first label is 24, which is in the fourth task."""

    name = "a count"

    def __init__(self, how: str) -> None:
        self.how = how

    def zero(self) -> int:
        return 0

    def add(self, state: int, block: Block) -> int:
        if block.y[0] == 24.0:
            if self.how == "module":
                import a_module_that_nobody_has  # type: ignore[import-not-found]

                return int(a_module_that_nobody_has.zero)
            if self.how == "input":
                raise InputError("the data is not what it seems")
            if self.how == "large":
                return bytes(2**20)  # type: ignore[return-value]
            raise ValueError(f"cannot {self.how}\nsecond line")
        return state + block.rows

    def merge(self, left: int, right: int) -> int:
        return left + right


@pytest.fixture
def dataset(spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> Any:
    """48 rows in six leaves and six tasks."""
    from pyspark import cloudpickle

    monkeypatch.setattr(memory_module, "leaf_rows", lambda width: 8)
    source, _, _ = array_source(np.ones((48, 1)), np.arange(48.0), None)
    columns = Columns(("features",), ("x",), vector=True, label="label")
    made = spark_dataset(spark.sparkContext, source, columns, tasks=6, aggregation_depth=1)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield made
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    made.release()


def failure(dataset: Any, how: str) -> str:
    with pytest.raises(ComputeError) as caught:
        dataset.aggregate(Failing(how))
    assert caught.value.__suppress_context__
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 400
    for noise in ("py4j", "Traceback", "org.apache", 'File "'):
        assert noise not in said
    return said


def test_the_error_of_a_task(dataset: Any) -> None:
    said = failure(dataset, "count")
    assert said == ("the pass for a count failed on Spark: ValueError: cannot count (partition 3)")
    assert dataset.passes == 0


def test_a_module_that_the_executors_lack(dataset: Any) -> None:
    said = failure(dataset, "module")
    assert "the executors' Python has no module 'a_module_that_nobody_has'" in said
    assert "--py-files" in said


def test_an_input_error_in_a_task_stays_one(dataset: Any) -> None:
    with pytest.raises(InputError) as caught:
        dataset.aggregate(Failing("input"))
    assert str(caught.value) == "the data is not what it seems"


def test_the_dataset_survives_a_failure(dataset: Any) -> None:
    failure(dataset, "count")

    class Never(Failing):
        def add(self, state: int, block: Block) -> int:
            return state + block.rows

    good = Failing("count")
    good.__class__ = Never
    from w261reg.aggregators.census import TakeCensus

    assert dataset.aggregate(TakeCensus()).rows == 48
    assert dataset.context.getLocalProperty("spark.job.description") in (None, "")


def test_a_failed_first_pass_leaves_nothing_behind(dataset: Any) -> None:
    context = dataset.context
    before = context._jsc.getPersistentRDDs().size()
    failure(dataset, "count")
    dataset.release()  # and does not fail once more
    assert context._jsc.getPersistentRDDs().size() == before
    places = context.parallelize([0], 1).map(lambda _: folders()).collect()[0]
    names = [name for place in places for name in os.listdir(place)]
    assert not [name for name in names if dataset.recipe.token in name]


def test_a_failing_frame(spark: "SparkSession") -> None:
    from pyspark.sql import functions as F

    from w261reg import train

    rows = spark.range(20).select(F.col("id").cast("double").alias("x"))
    broken = rows.withColumn("y", F.raise_error(F.lit("the reader gave up")).cast("double"))
    with pytest.raises(ComputeError, match="the reader gave up") as caught:
        train(broken, label="y", loss="mse")
    assert "\n" not in str(caught.value)
    assert "org.apache" not in str(caught.value)


def test_errors_of_sparks_analysis_too(spark: "SparkSession") -> None:
    with pytest.raises(ComputeError, match="no_such_column") as caught, spark_failures("a look"):
        spark.range(3).select("no_such_column").collect()
    assert "\n" not in str(caught.value)


def test_a_jvm_that_is_gone() -> None:
    with (
        pytest.raises(ComputeError, match=r"a pass failed on Spark: .*refused"),
        spark_failures("a pass"),
    ):
        raise ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize(
    "error",
    [
        Py4JError("Task 0 failed: java.nio.file.NoSuchFileException: /a/blockmgr-1/3f\n\tat org.x"),
        Py4JError("o\njava.io.FileNotFoundException: /a/spark-2/executor-3/blockmgr-1/0c/x (No s"),
        FileNotFoundError(2, "No such file or directory", "/a/spark-2/pyspark-4/tmp5"),
    ],
)
def test_a_local_folder_that_is_gone(error: Exception) -> None:
    """Also where it is the driver's own, into which pyspark writes what it sends to tasks."""
    says = r"no such file or folder in /a/(spark-2/executor-3/)?(blockmgr-1|spark-2), where Spark"
    with pytest.raises(ComputeError, match=says) as caught, spark_failures("a pass"):
        raise error
    assert "\n" not in str(caught.value)


def test_a_disk_of_the_driver_that_is_full() -> None:
    with pytest.raises(ComputeError, match="No space left"), spark_failures("a pass"):
        raise OSError(28, "No space left on device", "/a/spark-2/pyspark-4/tmp5")


@pytest.mark.parametrize("name", [None, "/a/results/.p.csv.partial-1/p.csv", "t.csv"])
def test_other_disks_are_not_sparks(name: str | None) -> None:
    """What is written meanwhile by the driver is another's to tell of."""
    with pytest.raises(OSError, match="No space left"), spark_failures("the prediction"):
        raise OSError(28, "No space left on device", name)


@pytest.mark.parametrize(
    ("text", "asked", "named"),
    [
        ("Task 0 in stage 3.0 failed 4 times: Python worker exited unexpectedly", [2], 2),
        ("Task 1 in stage 3.0 failed 4 times: Python worker exited unexpectedly", [0, 5], 5),
        ("Task 3 in stage 3.0 failed 4 times: Python worker exited unexpectedly", [], 3),
        ("ValueError: no\nw261reg: partition 7", [2], 7),
    ],
)
def test_a_partition_has_its_own_number(text: str, asked: list[int], named: int) -> None:
    """A job on some of the partitions numbers its tasks from 0."""
    with (
        pytest.raises(ComputeError, match=rf"\(partition {named}\)"),
        spark_failures("a pass", asked),
    ):
        raise Py4JError(text)


# --- tasks that are started once more -----------------------------------------------------------


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of tasks that fail and find their blocks lost when they are started once more."""
    run = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tests" / "spark" / "repeated.py"),
            str(tmp_path_factory.mktemp("repeated")),
        ],
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


CAUSES = {
    "raises": "ValueError: this partition cannot be computed",
    "exits": "the Python worker exited unexpectedly (killed for want of memory?)",
}


@pytest.mark.long
@pytest.mark.parametrize(("how", "depth"), TRIALS)
def test_a_repeated_task_does_not_hide_the_cause(
    repeated: dict[str, Any], how: str, depth: int
) -> None:
    result = repeated[f"{how}, {depth}"]
    assert result["same after"]
    if how not in CAUSES:
        assert result["same"]
        return
    where = f"(partition {FAILING})"
    assert result["said"] == f"the pass for a trace failed on Spark: {CAUSES[how]} {where}"
    assert result["tries"] == 5  # of blocks once, and of the source four times
