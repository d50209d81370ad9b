"""Where Spark comes from: an existing session, spark-submit's, or one of our own."""

import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING

from w261reg.errors import ComputeError, InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# local[*] allows no retry of a failed task; the second number does
DEFAULT_MASTER = "local[*,4]"

# each with its reason in conf/spark-defaults.conf
_SETTINGS = {
    "spark.ui.showConsoleProgress": "false",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.python.unix.domain.socket.enabled": "true",
    "spark.python.unix.domain.socket.dir": tempfile.gettempdir(),
    "spark.executorEnv.OMP_NUM_THREADS": "1",
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    "spark.executorEnv.MKL_NUM_THREADS": "1",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
}
# what the JVM and its native libraries print by themselves and no setting silences
_NOISE = (b"jdk.incubator.vector", b"JNI_OnLoad: dlopen", b"netlib-")
SOCKET_PATH_LIMIT = 60
_stopping = threading.Event()


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


@contextmanager
def session(master: str | None = None, name: str = "w261reg") -> Iterator["SparkSession"]:
    """The running session, or one that is made here and stopped at the end.

    Args:
        master: of a session to be made; None is what spark-submit or the environment says, else
            DEFAULT_MASTER.
        name: of the application.

    Raises:
        InputError: a session with another master is running, or the master cannot be used.
        ComputeError: Spark did not start.
    """
    import_pyspark()
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None:
        have = running.sparkContext.master
        if master is not None and master != have:
            raise InputError(f"master is {master!r}, but a session with {have!r} is running")
        yield running
        return
    spark = _start(master, name)
    try:
        yield spark
    finally:
        _stopping.set()
        spark.stop()


def _start(master: str | None, name: str) -> "SparkSession":
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        # without this the workers run another Python than this one, which may lack numpy
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1" if _is_local(master) else "")
        if not os.environ["SPARK_LOCAL_IP"]:
            del os.environ["SPARK_LOCAL_IP"]
    builder = SparkSession.builder.appName(name)
    if not submitted:
        for key, value in _SETTINGS.items():
            if key.endswith("socket.enabled") and len(tempfile.gettempdir()) > SOCKET_PATH_LIMIT:
                value = "false"  # a socket's path is limited to 108 characters
            builder = builder.config(key, value)
        builder = builder.config("spark.driver.extraJavaOptions", _quiet_java())
        builder = builder.master(master or os.environ.get("MASTER") or DEFAULT_MASTER)
    elif master is not None:
        builder = builder.master(master)
    _stopping.clear()
    try:
        with _quiet_stderr():
            spark = builder.getOrCreate()
    except (Py4JError, PySparkException, RuntimeError, OSError) as error:
        raise _not_started(master, str(error)) from None
    if submitted and "spark.log.level" not in dict(spark.sparkContext.getConf().getAll()):
        spark.sparkContext.setLogLevel("ERROR")
    logging.getLogger("SQLQueryContextLogger").disabled = True
    return spark


def _is_local(master: str | None) -> bool:
    return (master or os.environ.get("MASTER") or DEFAULT_MASTER).startswith("local")


def _not_started(master: str | None, text: str) -> Exception:
    if "Could not parse Master URL" in text or "Master must either be" in text:
        return InputError(f"master must be local[N], spark://HOST:PORT or yarn, not {master!r}")
    if "JAVA_GATEWAY_EXITED" in text or "Java gateway process exited" in text:
        return ComputeError(
            "Spark needs Java 17 or newer and did not find it: install one (for example "
            "'apt-get install openjdk-17-jre-headless') or set JAVA_HOME"
        )
    reason = re.search(r": ((?:org|java)\.[\w.]+: .*)", text)
    first = reason.group(1) if reason else (text.strip().splitlines() or ["no reason given"])[0]
    return ComputeError(f"Spark did not start on {master or DEFAULT_MASTER}: {first[:300]}")


def _quiet_java() -> str:
    """Java options that point log4j to our configuration, where that is a file."""
    found = resources.files("w261reg") / "log4j2.properties"
    path = str(found)
    return f"-Dlog4j2.configurationFile=file:{path}" if os.path.exists(path) else ""


def _without_noise(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that are not in _NOISE, nor the trace of a worker whose task was cancelled."""
    trace: list[bytes] = []
    for line in lines:
        if trace or line.startswith(b"Traceback (most recent call last)"):
            trace.append(line)
            if not line.startswith((b" ", b"Traceback")):  # the error, which ends the trace
                cancelled = b"pyspark/daemon.py" in trace[1] and b"BrokenPipeError" in line
                yield from [] if cancelled else trace
                trace = []
        elif not any(noise in line for noise in _NOISE):
            yield line
    yield from trace


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drops the lines in _NOISE from this process's standard error, and passes on the rest."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no standard error to filter
        yield
        return
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)

    def pump() -> None:
        with os.fdopen(read, "rb") as lines:
            for line in _without_noise(lines):
                # a worker that is told to stop while it writes prints a trace
                if not _stopping.is_set():
                    os.write(saved, line)

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        # the JVM keeps its own copy of the pipe: the thread goes on filtering what it prints
