"""Where Spark comes from: an existing session, spark-submit's, or one of our own."""

import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING

from w261reg import signals
from w261reg.datasets import later
from w261reg.datasets.describe import described
from w261reg.errors import ComputeError, InputError
from w261reg.noise import quiet_start, stopping

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

# local[*] allows no retry of a failed task; the second number does
DEFAULT_MASTER = "local[*,4]"

# their reasons are in conf/spark-defaults.conf; the progress bar would break our own live line
_SETTINGS = {
    "spark.ui.showConsoleProgress": "false",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.python.unix.domain.socket.enabled": "true",
    "spark.executorEnv.OMP_NUM_THREADS": "1",
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    "spark.executorEnv.MKL_NUM_THREADS": "1",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
}
_SOCKETS = "spark.python.unix.domain.socket.dir"
SOCKET_PATH_LIMIT = 60


def import_pyspark() -> None:
    """Make `import pyspark` work: also where only SPARK_HOME says where it is.

    Raises:
        InputError: there is no pyspark.
    """
    try:
        import pyspark  # noqa: F401
    except ModuleNotFoundError:
        if os.environ.get("SPARK_HOME"):
            try:
                import findspark
            except ModuleNotFoundError:
                raise InputError(
                    "SPARK_HOME is set but Python cannot import pyspark: pip install findspark"
                ) from None
            findspark.init()
        else:
            raise InputError(
                "pyspark is not installed: pip install 'w261reg[spark]', or set SPARK_HOME"
            ) from None


class _Started:
    """A session that was made here, and how many use it."""

    def __init__(self, spark: "SparkSession") -> None:
        self.spark, self.users = spark, 0


class _Ours:
    """The last session that was made here; the lock is held while one starts or stops."""

    lock = threading.Lock()
    started: _Started | None = None


@contextmanager
def session(master: str | None = None, name: str = "w261reg") -> Iterator["SparkSession"]:
    """The running session, or one that is made here and stopped when its last user leaves.

    Calls in several threads share the one that the first of them made.

    Args:
        master: of a session to be made; None is what spark-submit or the environment says, else
            DEFAULT_MASTER.
        name: of the application.

    Raises:
        InputError: a session with another master is running, or the master cannot be used.
        ComputeError: Spark did not start.
    """
    import_pyspark()
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    with _Ours.lock:
        # the active session is one of this thread; a context is one of this process
        running = SparkSession.getActiveSession()
        if running is None and SparkContext._active_spark_context is not None:
            running = SparkSession.builder.getOrCreate()
        if running is not None:
            have = running.sparkContext.master
            if master is not None and master != have:
                raise InputError(f"master is {master!r}, but a session with {have!r} is running")
        else:
            running = _start(master, name)
            _Ours.started = _Started(running)
        ours = _Ours.started
        # a user may have stopped ours and made another
        if ours is not None and ours.spark.sparkContext is running.sparkContext:
            ours.users += 1
        else:
            ours = None
    try:
        yield running
    finally:
        if ours is not None:
            with _Ours.lock:
                ours.users -= 1
                if ours.users == 0:
                    _stop(running)


def _stop(spark: "SparkSession") -> None:
    from py4j.protocol import Py4JError

    _Ours.started = None
    if signals.came() is not None:
        return  # the JVM is ending by itself, and calls that were cut short get no answer
    try:
        later.finish()
    finally:
        stopping.set()
        with suppress(Py4JError):  # interrupted in the middle of a call, it may not answer
            spark.stop()


def _start(master: str | None, name: str) -> "SparkSession":
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        # without this the workers run another Python than this one, which may lack numpy
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        if _is_local(master):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName(name)
    if not submitted:
        for key, value in {**_SETTINGS, _SOCKETS: tempfile.gettempdir()}.items():
            if key.endswith("socket.enabled") and len(tempfile.gettempdir()) > SOCKET_PATH_LIMIT:
                value = "false"  # a socket's path is limited to 108 characters
            builder = builder.config(key, value)
        builder = builder.config("spark.driver.extraJavaOptions", _java_options())
        builder = builder.master(master or os.environ.get("MASTER") or DEFAULT_MASTER)
    elif master is not None:
        builder = builder.master(master)
    with quiet_start() as noise, signals.kept():
        try:
            spark = builder.getOrCreate()
        except (Py4JError, PySparkException, RuntimeError, OSError) as error:
            time.sleep(0.2)  # what the JVM printed may still be on its way
            raise _not_started(master, f"{noise.text()}\n{error}") from None
    if submitted and "spark.log.level" not in dict(spark.sparkContext.getConf().getAll()):
        spark.sparkContext.setLogLevel("ERROR")
    logging.getLogger("SQLQueryContextLogger").disabled = True
    if not submitted and (spark.sparkContext.master or "").startswith("local"):
        threading.Thread(target=wake_workers, args=(spark.sparkContext,), daemon=True).start()
    return spark


def wake_workers(context: "SparkContext") -> None:
    """Start the Python workers and their imports; the driver may look at its input meanwhile."""

    def wake(_: int) -> None:
        import importlib

        for name in ("pyarrow.parquet", "w261reg.sources.packing", "w261reg.datasets.recipe"):
            importlib.import_module(name)

    # whatever is wrong is said by the first job that matters, and nothing is where the session has
    # been stopped meanwhile
    with suppress(Exception), described(context, "start the Python workers"):
        tasks = context.defaultParallelism
        context.parallelize(range(tasks), tasks).foreach(wake)


def _is_local(master: str | None) -> bool:
    return (master or os.environ.get("MASTER") or DEFAULT_MASTER).startswith("local")


def _not_started(master: str | None, text: str) -> Exception:
    """One line out of what the JVM and pyspark said."""
    if "Could not parse Master URL" in text or "Master must either be" in text:
        return InputError(f"master must be local[N], spark://HOST:PORT or yarn, not {master!r}")
    where = f"Spark did not start on {master or DEFAULT_MASTER}"
    if "masters are unresponsive" in text:
        return ComputeError(f"{where}: no master answers there")
    no_java = ("JAVA_HOME is not set", "UnsupportedClassVersionError", "java: command not found")
    if any(sign in text for sign in no_java) or "java: No such file" in text:
        return ComputeError(
            "Spark needs Java 17 or newer and did not find it: install one (for example "
            "'apt-get install openjdk-17-jre-headless') or set JAVA_HOME"
        )
    reason = re.search(r"((?:org|java)\.[\w.]+(?:Exception|Error): .*)", text)
    first = reason.group(1) if reason else (text.strip().splitlines() or ["no reason given"])[0]
    return ComputeError(f"{where}: {first[:300]}")


def _java_options() -> str:
    """Options that point log4j to our configuration, where that is a file, and what is temporary
    to the folder of the run, where there is one."""
    found = str(resources.files("w261reg") / "log4j2.properties")
    options = [f"-Dlog4j2.configurationFile=file:{found}"] if os.path.exists(found) else []
    if (folder := signals.folder()) is not None:
        options.append(f"-Djava.io.tmpdir={folder}")
    return " ".join(options)
