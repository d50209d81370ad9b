"""What the Spark UI calls a job."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark import SparkContext

KEY = "spark.job.description"


@contextmanager
def described(context: "SparkContext", what: str) -> Iterator[None]:
    """Jobs started in this context are called `what`; a notebook's own description comes back."""
    before = context.getLocalProperty(KEY)
    context.setJobDescription(f"w261reg: {what}")
    try:
        yield
    finally:
        context.setLocalProperty(KEY, before)  # type: ignore[arg-type]
