"""What may befall a fit, done to fits on executors that are processes of their own.

Run as a process: `python ordeal.py FOLDER`. The last line that it prints is JSON: what came of
each trial. The tests are in test_ordeal.py.
"""

import gc
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import w261reg.sources.parquet
from tests.cluster.processes import (
    EXECUTOR,
    PYTHON_WORKER,
    block_files,
    children,
    executor_of,
    kill,
    resident,
)
from tests.spark.helpers import model_bits, settings_of
from w261reg.aggregators import Evaluate
from w261reg.aggregators.base import Aggregator
from w261reg.aggregators.census import TakeCensus
from w261reg.blocks import Block
from w261reg.datasets import Dataset
from w261reg.errors import ComputeError
from w261reg.fitting import fit
from w261reg.losses import get_loss
from w261reg.session import session
from w261reg.sources import open_path
from w261reg.sources.packing import local_dataset, spark_dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TASKS, LEAVES, LEAF_ROWS, FEATURES = 4, 24, 100, 7
MASTER = "local-cluster[2,1,1024]"
# the block of a task at which it is disturbed: in the middle of its six
MIDDLE = 3
PATIENCE = 60.0


# --- aggregators that something happens to ------------------------------------------------------


class Around(Aggregator[Any]):
    """The aggregator inside, and `happen` before the middle block of each task."""

    def __init__(self, inner: Aggregator[Any]) -> None:
        self.inner, self.name, self.blocks = inner, inner.name, 0

    def zero(self) -> Any:
        return self.inner.zero()

    def add(self, state: Any, block: Block) -> Any:
        self.blocks += 1
        if self.blocks == MIDDLE:
            self.happen(block)
        return self.inner.add(state, block)

    def merge(self, left: Any, right: Any) -> Any:
        return self.inner.merge(left, right)

    def nbytes(self) -> int:
        return self.inner.nbytes()

    def happen(self, block: Block) -> None:
        raise NotImplementedError


class Once(Around):
    """Something happens in the first task that comes to it, and never again."""

    def __init__(self, inner: Aggregator[Any], folder: str) -> None:
        super().__init__(inner)
        self.folder = folder

    def happen(self, block: Block) -> None:
        try:
            marker = os.open(f"{self.folder}/here", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return
        os.write(marker, str(os.getpid()).encode())
        os.close(marker)
        self.act()

    def act(self) -> None:
        raise NotImplementedError


class Held(Once):
    """One task stops until it is let go on."""

    def act(self) -> None:
        end = time.monotonic() + PATIENCE
        while not os.path.exists(f"{self.folder}/on") and time.monotonic() < end:
            time.sleep(0.01)


class Leaves(Once):
    """One Python worker exits."""

    def act(self) -> None:
        os._exit(3)


class Fails(Around):
    """The task of one partition fails, whatever is tried."""

    def __init__(self, inner: Aggregator[Any], leaf_label: float, how: str) -> None:
        super().__init__(inner)
        self.leaf_label, self.how = leaf_label, how

    def happen(self, block: Block) -> None:
        if float(block.y[0]) != self.leaf_label:
            return
        if self.how == "raises":
            raise ValueError("this partition cannot be computed")
        if self.how == "exits":
            os._exit(3)
        if self.how == "kills":
            # of the worker's daemon, which goes with the JVM: there are files to delete yet
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            kill(executor_of(os.getpid()))
        for path in open_block_files(os.getpid()):
            os.truncate(path, 10)


class Workers(Aggregator[frozenset[int]]):
    """The Python workers that serve."""

    name = "workers"

    def zero(self) -> frozenset[int]:
        return frozenset()

    def add(self, state: frozenset[int], block: Block) -> frozenset[int]:
        return state | {os.getpid()}

    def merge(self, left: frozenset[int], right: frozenset[int]) -> frozenset[int]:
        return left | right


# --- deeds --------------------------------------------------------------------------------------

# done to the Python worker that stands in the middle of its task, or, between passes, to any
Deed = Callable[[int | None], None]


def open_block_files(worker: int) -> list[Path]:
    targets = []
    for entry in Path(f"/proc/{worker}/fd").iterdir():
        with suppress(OSError):  # the listing's own is gone
            targets.append(entry.readlink())
    return [target for target in targets if target.name.startswith("w261reg-")]


def one_file(worker: int | None) -> Path:
    found = block_files(local()) if worker is None else open_block_files(worker)
    return found[0]


def local() -> Path:
    return Path(os.environ["SPARK_LOCAL_DIRS"])


def kill_one(worker: int | None) -> None:
    kill(children(EXECUTOR)[0] if worker is None else executor_of(worker))


def kill_all(_: int | None) -> None:
    for executor in children(EXECUTOR):
        kill(executor)


def delete(worker: int | None) -> None:
    one_file(worker).unlink()


def delete_all(_: int | None) -> None:
    for path in block_files(local()):
        path.unlink()


def truncate(worker: int | None) -> None:
    path = one_file(worker)
    os.truncate(path, path.stat().st_size // 2)


def corrupt(worker: int | None) -> None:
    """Another exponent in the last number: of a block that the task has not come to."""
    path = one_file(worker)
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-2, os.SEEK_END)
        file.write(bytes([byte ^ 0x10]))


def corrupt_unseen(worker: int | None) -> None:
    """What a failing disk does: the file's times stay."""
    path = one_file(worker)
    before = path.stat()
    corrupt(worker)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def wait(_: int | None) -> None:
    """Longer than Spark waits for the executor that holds a partition (spark.locality.wait)."""
    time.sleep(5)


@dataclass(frozen=True)
class Trial:
    """Something done to a fit.

    Attributes:
        name: of the trial.
        passes: the passes before (or during) which it is done.
        deed: what is done; None is the exit of a Python worker.
        during: whether it is done while the pass runs.
        depth: aggregation_depth.
        repacks: whether the driver must ask for partitions to be packed again. Spark itself does
            it for those that went with an executor; and a task on a busy machine may find itself
            on the executor that does not have its file.
    """

    name: str
    passes: tuple[int, ...]
    deed: Deed | None
    during: bool
    depth: int | None = None
    repacks: bool = False


class Watched(Dataset):
    """A dataset whose passes are disturbed."""

    def __init__(self, inner: Dataset, trial: Trial | None, folder: Path) -> None:
        super().__init__(inner.n_features)
        self.inner, self.trial, self.folder = inner, trial, folder
        self.cores, self.rows = inner.cores, inner.rows
        self.entries, self.overhead = inner.entries, inner.overhead
        self.done = 0

    def _run(self, aggregator: Aggregator[Any], keep: bool) -> Any:
        trial = self.trial
        if trial is None or self.passes + 1 not in trial.passes:
            return self.inner.aggregate(aggregator, keep)
        if not trial.during:
            assert trial.deed is not None
            trial.deed(None)
            self.done += 1
            return self.inner.aggregate(aggregator, keep)
        meeting = self.folder / f"pass-{self.passes + 1}"
        meeting.mkdir(parents=True)
        if trial.deed is None:
            state = self.inner.aggregate(Leaves(aggregator, str(meeting)), keep)
            self.done += (meeting / "here").exists()
            return state
        helper = threading.Thread(target=self._meet, args=(meeting, trial.deed))
        helper.start()
        try:
            return self.inner.aggregate(Held(aggregator, str(meeting)), keep)
        finally:
            helper.join()

    def _meet(self, meeting: Path, deed: Deed) -> None:
        """Do it while a task waits for it to be done."""
        end = time.monotonic() + PATIENCE
        while not (said := _text(meeting / "here")) and time.monotonic() < end:
            time.sleep(0.01)
        try:
            deed(int(said))
            self.done += 1
        finally:
            (meeting / "on").touch()

    @property
    def parallelism(self) -> str:
        return self.inner.parallelism

    def release(self) -> None:
        self.inner.release()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


TRIALS = [
    Trial("undisturbed", (), None, False),
    Trial("undisturbed, merged in tasks", (), None, False, depth=2),
    Trial("an executor is killed between passes", (3,), kill_one, False),
    Trial("all executors are killed between passes", (3,), kill_all, False),
    Trial("an executor is killed during a pass", (3,), kill_one, True),
    Trial("an executor is killed during packing", (1,), kill_one, True),
    Trial("an executor is killed during a pass merged in tasks", (3,), kill_one, True, depth=2),
    Trial("a file is deleted between passes", (3,), delete, False, repacks=True),
    Trial("all files are deleted between passes", (3,), delete_all, False, repacks=True),
    Trial("a file is truncated between passes", (3,), truncate, False, repacks=True),
    Trial("a byte is changed between passes", (3,), corrupt, False, repacks=True),
    Trial("a byte of a file that was never read is changed unseen", (2,), corrupt_unseen, False,
          repacks=True),
    Trial("a file is deleted while it is read", (3,), delete, True, repacks=True),
    Trial("all files are deleted while they are read", (3,), delete_all, True, repacks=True),
    Trial("a file is truncated while it is read", (3,), truncate, True, repacks=True),
    Trial("a byte is changed while it is read", (3,), corrupt, True, repacks=True),
    Trial("a byte is changed while it is read, merged in tasks", (3,), corrupt, True, depth=2,
          repacks=True),
    Trial("a file is lost in every pass", (2, 3, 4, 5, 6), truncate, True, repacks=True),
    Trial("a worker exits in a pass", (3,), None, True),
    Trial("a worker exits while it packs", (1,), None, True),
    Trial("an executor is slow, and the other one takes its task", (3,), wait, True),
    Trial("an executor is slow, merged in tasks", (3,), wait, True, depth=2),
]  # fmt: skip

# of the second solver's passes: one trial of each kind
PROXIMAL = (
    "undisturbed",
    "an executor is killed between passes",
    "an executor is killed during a pass",
    "a byte is changed between passes",
    "a worker exits in a pass",
)


def trials_of(kind: str) -> list[Trial]:
    """The trials of a solver's fit."""
    return [trial for trial in TRIALS if kind == "newton" or trial.name in PROXIMAL]


# --- the trials ---------------------------------------------------------------------------------


class Said(logging.Handler):
    """Keeps what the package logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Ordeal:
    """One cluster, and what is done to it.

    Args:
        spark: the session.
        folder: for files.
    """

    def __init__(self, spark: "SparkSession", folder: Path) -> None:
        self.spark, self.folder = spark, folder
        self.context = spark.sparkContext
        self.results: dict[str, Any] = {}
        generator = np.random.default_rng(5)
        scale = 10.0 ** np.arange(-3, 4)
        self.x = generator.normal(size=(LEAVES * LEAF_ROWS, FEATURES)) * scale
        z = self.x @ (generator.normal(size=FEATURES) / scale)
        y = (generator.random(len(z)) < 1 / (1 + np.exp(-z))).astype(float)
        self.path = self._write("table", y)

    def _write(self, name: str, y: Any, group: int = 6 * LEAF_ROWS) -> Path:
        """A table of as many rows as labels."""
        path = self.folder / f"{name}.parquet"
        columns = {f"x{j}": self.x[: len(y), j] for j in range(FEATURES)}
        pq.write_table(pa.table({**columns, "label": y}), path, row_group_size=group)
        return path

    @contextmanager
    def trial(self, name: str) -> Iterator[dict[str, Any]]:
        """A result; an error is one, too. The cluster is whole again afterwards."""
        result: dict[str, Any] = {}
        self.results[name] = result
        before = time.monotonic()
        try:
            yield result
        except Exception:
            result["error"] = traceback.format_exc()
        result["seconds"] = round(time.monotonic() - before, 2)
        print(name, result, file=sys.stderr, flush=True)
        end = time.monotonic() + PATIENCE
        while self.executors() < 2 and time.monotonic() < end:
            time.sleep(0.05)

    def executors(self) -> int:
        """How many have registered and live."""
        if len(children(EXECUTOR)) < 2:
            return 0
        jsc: Any = self.context._jsc
        return len(jsc.sc().statusTracker().getExecutorInfos()) - 1

    def persisted(self) -> int:
        jsc: Any = self.context._jsc
        return int(jsc.getPersistentRDDs().size())

    # --- fits -----------------------------------------------------------------------------------

    def fits(self) -> None:
        """Newton and proximal Newton, disturbed in each way."""
        for mix, kind in ((0.0, "newton"), (0.7, "proximal")):
            settings, columns = settings_of(
                self.path, loss="bxe", reg_param=0.01, elastic_net_param=mix, solver=kind
            )
            source = open_path(str(self.path))
            local_one = local_dataset(source, columns)
            assert len(local_one.leaves) == LEAVES
            wanted = model_bits(fit(settings, local_one, columns, None, 0.0).model)
            for trial in trials_of(kind):
                with self.trial(f"{kind}: {trial.name}") as result, listening() as said:
                    dataset: Any = spark_dataset(
                        self.context, source, columns, TASKS, aggregation_depth=trial.depth
                    )
                    # by the clock, for no two of a kind may share a folder
                    watched = Watched(dataset, trial, self.folder / str(time.monotonic_ns()))
                    try:
                        model = fit(settings, watched, columns, None, 0.0).model
                        result["status"] = model.status
                        result["passes"] = model.n_passes
                        result["same"] = model_bits(model) == wanted
                        result["done"] = watched.done
                        result["files"] = len(block_files(local()))
                        result["persisted"] = self.persisted()
                        result["collected"] = dataset.collected is not None
                    finally:
                        watched.release()
                        result["repacked"] = sum("packing again" in line for line in said.lines)
                        result["left_files"] = [path.name for path in block_files(local())]
                        result["left_persisted"] = self.persisted()
                for path in block_files(local()):
                    path.unlink(missing_ok=True)

    # --- many passes ----------------------------------------------------------------------------

    def passes(self) -> None:
        """500 gradients; every other one's coefficients are large enough to be broadcast."""
        small = self._write("small", np.arange(20.0) % 2, group=10)
        _, columns = settings_of(small, loss="bxe")
        dataset: Any = spark_dataset(self.context, open_path(str(small)), columns, 2)
        loss, centre = get_loss("bxe"), np.zeros(FEATURES)
        generator = np.random.default_rng(1)
        widths = (1, 1300)  # 1300 x 7 coefficients are 73 kB: more than travels in a closure
        times = []
        with self.trial("passes") as result:
            for number in range(1, 501):
                k = widths[number % 2]
                w = generator.normal(size=(FEATURES, k))
                began = time.monotonic()
                dataset.aggregate(Evaluate(loss, w, np.zeros(k), centre, 1))
                times.append(time.monotonic() - began)
                if number in (100, 300, 500):
                    serving = dataset.aggregate(Workers())
                    result[str(number)] = {**self.inventory(), "serving": sorted(serving)}
            result["times"] = [float(np.median(times[50:100])), float(np.median(times[450:500]))]
            dataset.release()
            result["left_files"] = [path.name for path in block_files(local())]
            result["left_persisted"] = self.persisted()

    def inventory(self) -> dict[str, Any]:
        """What a leak would be seen in."""
        gc.collect()
        jvm: Any = self.context._jvm
        for _ in range(3):  # the first finds what the cleaner then lets go of
            jvm.java.lang.System.gc()
            time.sleep(0.5)
        beans = jvm.java.lang.management.ManagementFactory
        every = [path for path in local().rglob("*") if path.is_file()]
        temporary = [path for path in Path(os.environ["TMPDIR"]).rglob("*") if not path.is_dir()]
        return {
            "block_files": len(block_files(local())),
            "broadcast_files": sum("broadcast" in path.name for path in every + temporary),
            "local_files": len(every),
            "temporary_files": len(temporary),
            "persisted": self.persisted(),
            "workers": len(children(PYTHON_WORKER)),
            "python_bytes": resident(),
            "jvm_bytes": int(beans.getMemoryMXBean().getHeapMemoryUsage().getUsed()),
        }

    # --- failures -------------------------------------------------------------------------------

    def failures(self) -> None:
        """A task that fails whenever it is tried, in the second pass and in the first."""
        path = self._write("numbered", np.arange(len(self.x)) // LEAF_ROWS + 0.0)
        _, columns = settings_of(path, loss="mse")
        source = open_path(str(path))
        at = 2 * LEAVES // TASKS + MIDDLE - 1.0  # the middle block of partition 2
        for how in ("raises", "exits", "truncates", "kills"):
            for when in ("in a later pass", "in the first pass", "once it is packed again"):
                if when != "in a later pass" and how not in ("raises", "exits"):
                    continue
                name = f"{how} {when}"
                with self.trial(name) as result:
                    persisted = self.persisted()
                    dataset: Any = spark_dataset(self.context, source, columns, TASKS)
                    if when != "in the first pass":
                        dataset.aggregate(TakeCensus())
                    if when == "once it is packed again":
                        next(p for p in block_files(local()) if "-2-" in p.name).unlink()
                    began = time.monotonic()
                    failing = Fails(TakeCensus(), at, how)
                    result["said"] = _outcome(partial(dataset.aggregate, failing))
                    result["ended_after"] = time.monotonic() - began
                    after = _outcome(partial(dataset.aggregate, TakeCensus()))
                    result["rows_after"] = getattr(after, "rows", after)
                    result["release"] = _outcome(dataset.release)
                    result["left_files"] = [path.name for path in block_files(local())]
                    result["left_persisted"] = self.persisted() - persisted
                for path in block_files(local()):
                    path.unlink(missing_ok=True)


def _outcome(do: Callable[[], Any]) -> Any:
    """What came of it, or what the error says."""
    try:
        return do()
    except ComputeError as error:
        return str(error)


@contextmanager
def listening() -> Iterator[Said]:
    logger, said = logging.getLogger("w261reg"), Said()
    logger.setLevel(logging.INFO)
    logger.addHandler(said)
    try:
        yield said
    finally:
        logger.removeHandler(said)


def main(folder: Path, *parts: str) -> None:
    """Everything, or some of passes, fits and failures."""
    w261reg.sources.parquet.leaf_rows = lambda width: LEAF_ROWS
    with session(MASTER) as spark:
        ordeal = Ordeal(spark, folder)
        for part in parts or ("passes", "fits", "failures"):
            getattr(ordeal, part)()
    print(json.dumps(ordeal.results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
