"""Spark's failures, said in one line."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from w261reg.errors import ComputeError, InputError

# where Spark keeps its own, by java.io.tmpdir or spark.local.dir, and what of it is missing
_LOCAL = r"/\S*/(?:blockmgr|spark)-[^\s/'\":]*"
_GONE = re.compile(rf"(?:NoSuchFile|FileNotFound|Errno 2\b).*?({_LOCAL})")


@contextmanager
def spark_failures(what: str, asked: Sequence[int] = ()) -> Iterator[None]:
    """Turns an error out of Spark into one line that names the cause.

    Args:
        what: was done.
        asked: the partition of each of the job's tasks, where they are not numbered alike.

    Raises:
        ComputeError: instead of the Py4J error with its Java and Python traces.
        InputError: where the cause is one.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException, OSError) as error:
        if isinstance(error, OSError) and not _is_sparks(error):
            raise
        text = str(error)
        if (found := re.findall(r"w261reg\.errors\.InputError: (.*)", text)) != []:
            raise InputError(found[-1]) from None
        raise ComputeError(f"{what} failed on Spark: {_cause(text, asked)}") from None


def _is_sparks(error: OSError) -> bool:
    """Whether its JVM is gone, or a disk on which pyspark writes what it sends there."""
    where = str(error.filename or "")
    return isinstance(error, ConnectionError) or re.match(_LOCAL, where) is not None


def lacks_disk(error: Exception) -> bool:
    """Whether a job failed for want of a disk: full, gone, or the data that a stage left on it."""
    signs = r"No space left|quota exceeded|FetchFailed|local dir|\bjava\.(io|nio)\.[\w.]*Exception"
    return re.search(signs, str(error)) is not None


def _cause(text: str, asked: Sequence[int] = ()) -> str:
    if missing := re.search(r"No module named '([\w.]+)'", text):
        return (
            f"the executors' Python has no module {missing.group(1)!r}: ship it with --py-files "
            "or a packed environment (see README)"
        )
    if gone := _GONE.search(text):
        return (
            f"no such file or folder in {gone.group(1)}, where Spark keeps its own: let it have a "
            "place that nobody empties (spark.local.dir)"
        )
    if "maxResultSize" in text:
        return "the results exceed spark.driver.maxResultSize; raise it"
    python = re.findall(r"^\s*([A-Za-z_][\w.]*(?:Error|Exception|Interrupt)): (.*)$", text, re.M)
    own = [f"{name}: {message}" for name, message in python if not name.startswith("org.")]
    partition = re.search(r"(w261reg: partition|Task) (\d+)", text)
    where = ""
    if partition:
        number = int(partition.group(2))
        if partition.group(1) == "Task" and number < len(asked):
            number = asked[number]
        where = f" (partition {number})"
    if own:
        return own[0][:300] + where
    if "Python worker exited unexpectedly" in text:
        return f"the Python worker exited unexpectedly (killed for want of memory?){where}"
    reason = re.search(r"(?:Reason|reason|Caused by): (.*)", text)
    first = reason.group(1) if reason else text.strip().splitlines()[0]
    return first[:300] + where
