"""What tests share: one Spark session, and a logger that is put back."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from w261reg.session import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator["SparkSession"]:
    """A session with the product's own settings; `w261reg` uses it wherever it needs one."""
    with session("local[2]", "tests") as running:
        yield running


@pytest.fixture(autouse=True)
def _logger_put_back() -> Iterator[None]:
    """The command line sends the log to this test's standard error: not to that of later tests."""
    logger = logging.getLogger("w261reg")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before
