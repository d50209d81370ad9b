"""Blocks beside the tasks: the same bits through every loss, and nothing left behind."""

import glob
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from pyspark import SparkContext
from scipy import sparse

from tests.jobs.submit import ROOT, environment
from tests.spark.helpers import bits, everything, fit_on, leaves_of, model_bits, settings_of, table
from w261reg.aggregators import Evaluate, Several
from w261reg.blocks.store.files import PREFIX, folders
from w261reg.config import Settings
from w261reg.datasets import LocalDataset, later
from w261reg.datasets.rdd import CLOSURE_BYTES, MAX_GENERATIONS, RddDataset
from w261reg.errors import ComputeError
from w261reg.fitting import fit
from w261reg.losses import get_loss
from w261reg.sources import Columns, TableSource, array_source, open_path
from w261reg.sources.packing import deal, frame_dataset, local_dataset, spark_dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
Array = NDArray[np.float64]
FORMS = ["dense", "csr"]
NAMES = tuple(f"x{j}" for j in range(5))
COLUMNS = Columns(("features",), NAMES, vector=True, label="label", classes=True)
GROUP = "blocks"
TASKS = 4


@pytest.fixture(autouse=True)
def _small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w261reg.sources.memory.leaf_rows", lambda width: 16)
    monkeypatch.setattr("w261reg.sources.parquet.leaf_rows", lambda width: 16)


@pytest.fixture
def make(spark: "SparkSession") -> Iterator[Callable[..., RddDataset]]:
    """Datasets on Spark, released at the end; their jobs are in one group."""
    context = spark.sparkContext
    made: list[RddDataset] = []

    def dataset(form: str = "dense", source: Any = None, **options: Any) -> RddDataset:
        if source is None:
            source = source_of(form)
        found = spark_dataset(context, source, COLUMNS, TASKS, **options)
        assert isinstance(found, RddDataset)
        made.append(found)
        return found

    context.setLocalProperty("spark.jobGroup.id", GROUP)
    yield dataset
    context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
    for one in made:
        one.release()


def source_of(form: str) -> TableSource:
    x, y, _ = table()
    return array_source(sparse.csr_array(x) if form == "csr" else x, y, None)[0]


def sums() -> Several:
    """What solvers ask for; scores, of megabytes a share, would be merged in tasks."""
    return Several(*everything(5).parts[:-1])


def wanted(form: str = "dense") -> Any:
    """The bits of one process."""
    return bits(local_dataset(source_of(form), COLUMNS).aggregate(sums()))


def found(dataset: Any) -> Any:
    return bits(dataset.aggregate(sums()))


def files(dataset: Any) -> list[str]:
    """The dataset's files in the executor's local directories, by partition."""
    places = dataset.context.parallelize([0], 1).map(lambda _: folders()).collect()[0]
    pattern = f"{PREFIX}{dataset.recipe.token}-*"
    paths = [p for place in places for p in glob.glob(os.path.join(glob.escape(place), pattern))]
    return sorted(paths, key=os.path.basename)


def persisted(dataset: Any) -> int:
    return int(dataset.context._jsc.getPersistentRDDs().size())


def jobs(dataset: Any) -> int:
    return len(dataset.context.statusTracker().getJobIdsForGroup(GROUP))


def again(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith("packing again what is lost: ")]


# --- what is kept, and until when ---------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_pass_is_one_job_and_gives_the_bits_of_one_process(make: Any, form: str) -> None:
    dataset, before = make(form), None
    for number in range(3):
        before = jobs(dataset)
        assert found(dataset) == wanted(form)
        assert jobs(dataset) == before + 1
        assert dataset.passes == number + 1
    assert len(files(dataset)) == TASKS
    assert dataset.collected is None


def test_a_pass_that_keeps_nothing_can_be_followed_by_others(make: Any) -> None:
    dataset = make()
    before = persisted(dataset)
    for _ in range(2):
        assert bits(dataset.aggregate(sums(), keep=False)) == wanted()
        assert (files(dataset), persisted(dataset)) == ([], before)
    assert found(dataset) == wanted()
    assert (len(files(dataset)), persisted(dataset)) == (TASKS, before + 1)


@pytest.mark.parametrize("form", FORMS)
def test_a_fit_of_one_pass_leaves_no_store(make: Any, form: str) -> None:
    dataset = make(form)
    before = persisted(dataset), jobs(dataset)
    settings = Settings(loss="mse", solver="gram", label="label", reg_param=0.1).checked()
    model = fit(settings, dataset, COLUMNS, None, 0.0).model
    assert (model.n_passes, dataset.passes) == (1, 1)
    assert (persisted(dataset), jobs(dataset)) == (before[0], before[1] + 1)
    assert files(dataset) == []


def test_release_leaves_nothing(make: Any) -> None:
    dataset, other = make(), make()
    before = persisted(dataset)
    found(dataset)
    found(other)
    dataset.release()
    assert files(dataset) == []
    assert len(files(other)) == TASKS
    assert persisted(dataset) == before + 1
    dataset.release()  # once more does no harm


def test_release_later_leaves_nothing(make: Any) -> None:
    dataset, other = make(), make()
    before, threads = persisted(dataset), threading.active_count()
    found(dataset)
    dataset.release_later()
    found(other)
    later.finish()
    assert files(dataset) == []
    assert len(files(other)) == TASKS
    assert persisted(dataset) == before + 1
    assert threading.active_count() == threads
    dataset.release_later()  # of nothing: no thread, no job
    assert threading.active_count() == threads


def test_the_caller_does_not_wait_for_a_release(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, run, go = make(), SparkContext.runJob, threading.Event()

    def held(*given: Any, **more: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            assert go.wait(60)
        return run(*given, **more)

    monkeypatch.setattr(SparkContext, "runJob", held)
    found(dataset)
    dataset.release_later()
    assert len(files(dataset)) == TASKS
    go.set()
    later.finish()
    assert files(dataset) == []


PACKED = """
import os, sys
import numpy as np
from pyspark.sql import SparkSession
import w261reg.sources.memory
from w261reg.aggregators.census import TakeCensus
from w261reg.session import session
from w261reg.sources import Columns, array_source
from w261reg.sources.packing import spark_dataset

w261reg.sources.memory.leaf_rows = lambda width: 4
place = os.environ["SPARK_LOCAL_DIRS"]
columns = Columns(("features",), ("x",), vector=True, label="label")
source = array_source(np.ones((8, 1)), np.arange(8.0), None)[0]

def packed(context):
    dataset = spark_dataset(context, source, columns, 2)
    dataset.aggregate(TakeCensus())
    return dataset

def left():
    return [n for _, _, names in os.walk(place) for n in names if n.startswith("w261reg-")]
"""
ENDS = """
with session("local[2]") as spark:
    ours, late = packed(spark.sparkContext), packed(spark.sparkContext)
    assert len(left()) == 4
    ours.release_later()
assert left() == []
late.release()  # of a Spark that is gone
theirs = SparkSession.builder.master("local[2]").getOrCreate()
for dataset in [packed(theirs.sparkContext) for _ in range(3)]:
    dataset.release_later()
theirs.stop()
assert left() == []
theirs = SparkSession.builder.master("local[2]").getOrCreate()
packed(theirs.sparkContext).release_later()
sys.exit(7)
"""
KILLED = """
theirs = SparkSession.builder.master("local[2]").getOrCreate()
dataset, spoiled = packed(theirs.sparkContext), packed(theirs.sparkContext)
spoiled.spoiled = True
theirs.sparkContext._gateway.proc.kill()
theirs.sparkContext._gateway.proc.wait()
dataset.release_later()
spoiled.release_later()
sys.exit(7)
"""


@pytest.mark.long
@pytest.mark.parametrize("end", [ENDS, KILLED], ids=["ends", "killed"])
def test_a_release_goes_with_its_session_or_process(tmp_path: Path, end: str) -> None:
    """Also with a Spark that is not ours, which deletes what it finds undone, or is killed."""
    place = tmp_path / "local"
    place.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", PACKED + end],
        env=environment(PYTHONPATH=str(ROOT), SPARK_LOCAL_DIRS=str(place)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 7, run.stderr
    assert "Exception in thread" not in run.stderr
    assert end == KILLED or list(place.rglob("w261reg-*")) == []


def test_sixty_passes_keep_files_persisted_rdds_and_broadcasts_flat(spark: "SparkSession") -> None:
    n = 10_000
    x = np.random.default_rng(1).normal(size=(8, n))
    names = tuple(f"x{j}" for j in range(n))
    columns = Columns(("features",), names, vector=True, label="label")
    source = array_source(x, np.arange(8.0), None)[0]
    dataset = spark_dataset(spark.sparkContext, source, columns, 2)
    w = np.ones((n, 1))
    evaluate = Evaluate(get_loss("mse"), w, np.zeros(1), np.zeros(n), 0)
    assert w.nbytes > CLOSURE_BYTES  # travels by broadcast

    def state() -> tuple[int, int, int]:
        broadcasts = os.listdir(spark.sparkContext._temp_dir)
        return len(files(dataset)), persisted(dataset), len(broadcasts)

    first = dataset.aggregate(evaluate).value
    start = state()
    for _ in range(60):
        assert dataset.aggregate(evaluate).value.tobytes() == first.tobytes()
    assert state() == start
    dataset.release()


# --- small tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_small_table_is_collected_and_runs_no_further_jobs(make: Any, form: str) -> None:
    dataset = make(form, collect_bytes=2**26)
    assert found(dataset) == wanted(form)
    assert isinstance(dataset.collected, LocalDataset)
    before = jobs(dataset)
    for _ in range(3):
        assert found(dataset) == wanted(form)
    assert jobs(dataset) == before
    assert dataset.passes == 4
    assert files(dataset) == []
    assert "collected from local" in dataset.parallelism


@pytest.mark.parametrize(("room", "collected"), [(1.01, True), (0.8, False), (0, False)])
def test_collected_is_what_has_room(make: Any, room: float, collected: bool) -> None:
    packed = local_dataset(source_of("dense"), COLUMNS)
    own = [block.nbytes for _, block in packed.leaves]
    shares = [sum(own[i] for i in run) for run in deal([1.0] * len(own), TASKS)]
    dataset = make(collect_bytes=int(room * TASKS * max(shares)))
    assert found(dataset) == wanted()
    assert (dataset.collected is not None) == collected
    assert len(files(dataset)) == sum(share > room * max(shares) for share in shares)
    assert found(dataset) == wanted()
    assert sum(told.nbytes for told in dataset.told.values()) == sum(shares)


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "sampled"])
def test_a_fit_is_the_same_collected_or_not(
    spark: "SparkSession", tmp_path: Path, solver: str
) -> None:
    x, y, _ = table()
    columns = {name: x[:, j] for j, name in enumerate(NAMES)}
    pq.write_table(pa.table({**columns, "label": y}), tmp_path / "t.parquet", row_group_size=120)
    settings, chosen = settings_of(
        tmp_path / "t.parquet", loss="bxe", solver=solver, reg_param=0.05
    )
    source = open_path(str(tmp_path / "t.parquet"))
    answers = [model_bits(fit_on(local_dataset(source, chosen), settings, chosen))]
    for room in (0, 2**26):
        dataset = spark_dataset(spark.sparkContext, source, chosen, 3, collect_bytes=room)
        answers.append(model_bits(fit_on(dataset, settings, chosen)))
    assert answers[0] == answers[1] == answers[2]


# --- losses -------------------------------------------------------------------------------------


def truncate(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def corrupt(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 255]))


DAMAGE = {"deleted": os.remove, "truncated": truncate, "corrupted": corrupt}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", sorted(DAMAGE))
@pytest.mark.parametrize("which", ["one", "all"])
def test_lost_blocks_are_packed_again(
    make: Any, form: str, how: str, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make(form)
    found(dataset)
    found(dataset)
    lost = files(dataset)[1:2] if which == "one" else files(dataset)
    for path in lost:
        DAMAGE[how](path)
    with caplog.at_level("INFO", logger="w261reg"):
        assert found(dataset) == wanted(form)
    assert len(again(caplog)) == 1
    assert any(os.path.basename(path) in again(caplog)[0] for path in lost)
    caplog.clear()
    with caplog.at_level("INFO", logger="w261reg"):
        assert found(dataset) == wanted(form)
    assert again(caplog) == []
    assert len(files(dataset)) == TASKS


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("which", ["one", "all"])
def test_one_loss_is_one_more_packing_at_any_depth(
    make: Any, depth: int, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make(aggregation_depth=depth)
    found(dataset)
    for path in files(dataset)[1:2] if which == "one" else files(dataset):
        os.remove(path)
    with caplog.at_level("INFO", logger="w261reg"):
        assert found(dataset) == wanted()
        assert found(dataset) == wanted()
    assert len(again(caplog)) == 1
    assert len(files(dataset)) == TASKS


def test_many_losses_in_a_row_do_not_pile_up(make: Any) -> None:
    dataset = make()
    found(dataset)
    before = persisted(dataset)
    for number in range(2 * MAX_GENERATIONS):
        os.remove(files(dataset)[number % TASKS])
        assert found(dataset) == wanted()
        assert len(files(dataset)) == TASKS
        assert persisted(dataset) <= before - 1 + MAX_GENERATIONS
    assert found(dataset) == wanted()


@pytest.mark.parametrize("depth", [1, 2])
def test_lost_blocks_of_a_frame(
    spark: "SparkSession", depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    x, y, _ = table()
    rows = [(*row, label) for row, label in zip(x.tolist(), y.tolist(), strict=True)]
    frame = spark.createDataFrame(rows, [*NAMES, "label"]).repartitionByRange(3, "x0")
    columns = Columns(NAMES, NAMES, label="label", classes=True)
    dataset = frame_dataset(frame, columns, aggregation_depth=depth)
    local = LocalDataset(leaves_of(dataset), 5)
    assert len({leaf for leaf, _ in local.leaves}) == 3
    assert found(dataset) == bits(local.aggregate(sums()))
    for path in files(dataset):
        os.remove(path)
    with caplog.at_level("INFO", logger="w261reg"):
        assert found(dataset) == bits(local.aggregate(sums()))
    assert again(caplog)
    dataset.release()
    assert files(dataset) == []


def test_data_that_changes_during_the_fit_is_refused(spark: "SparkSession", tmp_path: Path) -> None:
    x, y, _ = table()
    path = tmp_path / "t.parquet"

    def write(factor: float) -> None:
        columns = {name: factor * x[:, j] for j, name in enumerate(NAMES)}
        pq.write_table(pa.table({**columns, "label": y}), path)

    write(1.0)
    _, columns = settings_of(path, loss="bxe")
    dataset = spark_dataset(spark.sparkContext, open_path(str(path)), columns, TASKS)
    found(dataset)
    write(2.0)
    found(dataset)  # of its blocks: not of the file
    for lost in files(dataset):
        os.remove(lost)
    with pytest.raises(ComputeError, match=r"partition \d was read again and gave other rows"):
        found(dataset)
    dataset.release()
    assert files(dataset) == []


# --- a full disk --------------------------------------------------------------------------------


class Cramped(TableSource):
    """A table whose reader leaves no room for files of its process while a flag is there.

    A flag that says "some" is for the task of the first leaf alone.
    """

    flag = ""

    def read(self, handles: Any, columns: Any, numeric: Any) -> Any:
        import os
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        full = False
        if os.path.exists(self.flag):
            with open(self.flag) as file:
                full = file.read() == "all" or handles[0][0] == 0
        room = 500 if full else soft
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            yield from TableSource.read(self, handles, columns, numeric)
        finally:  # the last block is packed by then
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Cramped]:
    from pyspark import cloudpickle

    source = Cramped(source_of("dense").table)
    source.flag = str(tmp_path / "full")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield source
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize(("which", "count"), [("some", 1), ("all", 4)])
@pytest.mark.parametrize("depth", [1, 2])
def test_blocks_travel_where_the_disk_is_full(
    make: Any,
    cramped: Cramped,
    depth: int,
    which: str,
    count: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Path(cramped.flag).write_text(which)
    dataset = make(source=cramped, aggregation_depth=depth)
    with caplog.at_level("INFO", logger="w261reg"):
        for _ in range(3):
            assert found(dataset) == wanted()
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("no room for packed blocks (")
    assert "File too large" in warnings[0]
    travels = f"{count} of 4 partitions travel with every pass instead, which is slower"
    assert travels in warnings[0]
    assert again(caplog) == []
    assert len(files(dataset)) == TASKS - count


def test_a_disk_that_fills_later_costs_no_bits(make: Any, cramped: Cramped) -> None:
    """Blocks are lost when there is no room to pack them again."""
    dataset = make(source=cramped)
    found(dataset)
    assert len(files(dataset)) == TASKS
    Path(cramped.flag).write_text("all")
    os.remove(files(dataset)[2])
    assert found(dataset) == wanted()
    assert found(dataset) == wanted()
