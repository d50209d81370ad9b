"""From what a user gives as data to a dataset."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.datasets.describe import described
from w261reg.datasets.failure import spark_failures
from w261reg.errors import InputError, Unreachable
from w261reg.heteroscedastic import check_groups
from w261reg.losses import get_loss
from w261reg.session import session
from w261reg.sources import Columns, Source, array_source, open_path, source_of
from w261reg.sources.columns import is_vector
from w261reg.sources.frame import frame_schema, is_spark_frame, vector_names
from w261reg.sources.levels import Levels, frame_levels, levels
from w261reg.sources.libsvm import LibsvmSource
from w261reg.sources.packing import frame_dataset, local_dataset, spark_dataset
from w261reg.sources.paths import find, reachable
from w261reg.sources.select import select

log = logging.getLogger("w261reg")

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Opened:
    """A dataset, the columns it has, and the running Spark's version if it is on Spark."""

    dataset: Dataset
    columns: Columns
    spark: str | None


@contextmanager
def open_training(
    data: Any, label: Any, weight: Any, settings: Settings, **beside: Any
) -> Iterator[Opened]:
    """The dataset of a training problem; released at the end.

    Args:
        data, label, weight: as given to `train`.
        settings: checked.
        beside: sigma and noise_group, as given to `train`.
    """
    with _opened(data, label, weight, settings, beside) as opened:
        try:
            yield opened
        finally:
            opened.dataset.release()


@contextmanager
def _opened(
    data: Any, label: Any, weight: Any, settings: Settings, beside: dict[str, Any]
) -> Iterator[Opened]:
    if is_spark_frame(data):
        _check_names(label, weight, **beside)
        yield _of_frame(data, settings)
        return
    try:
        source, label, weight = _source(data, label, weight, **beside)
    except Unreachable as error:
        if not _is_parquet(settings.data):
            raise
        with session(settings.master) as spark:
            yield _of_frame(_by_spark(spark, settings.data, str(error)), settings)
        return
    columns = _chosen(source, replace(settings, label=label, weight=weight))
    if not settings.data:
        columns = _grouped(_named(source, columns), partial(levels, source))
        dataset: Dataset = local_dataset(source, columns, settings.storage)
        yield Opened(_counted(dataset, source, columns), columns, None)
        return
    with session(settings.master) as spark:
        if why := _out_of_reach(spark.sparkContext, settings.data):
            yield _of_frame(_by_spark(spark, settings.data, why), settings)
            return
        context = spark.sparkContext
        columns = _named(source, columns, _mapper(context, "find the number of features"))
        look = _mapper(context, "find the groups of rows")
        tasks = context.defaultParallelism
        columns = _grouped(columns, partial(levels, source, run=look, tasks=tasks))
        dataset = spark_dataset(context, source, columns, None, **_options(settings))
        yield Opened(_counted(dataset, source, columns), columns, spark.version)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "storage": settings.storage,
        "aggregation_depth": settings.aggregation_depth,
        "collect_bytes": settings.collect_bytes,
    }


def _of_frame(frame: "DataFrame", settings: Settings) -> Opened:
    context = frame.sparkSession.sparkContext

    def look(*given: Any) -> Levels:
        with described(context, "find the groups of rows"), spark_failures("reading the DataFrame"):
            return frame_levels(frame, *given)

    columns = _grouped(_frame_columns(frame, settings), look)
    dataset = frame_dataset(frame, columns, **_options(settings))
    dataset.passes += columns.group is not None
    return Opened(dataset, columns, frame.sparkSession.version)


def _grouped(columns: Columns, look: Callable[..., Levels]) -> Columns:
    """The columns with the groups of rows, where there are any: a look at their column."""
    if columns.group is None:
        return columns
    found = look(columns.group, "noise_group", columns.weight)
    if not found:
        raise InputError("the data has no rows")
    check_groups(columns.group, len(found), columns.n_features)
    return replace(columns, levels=tuple(found))


def _is_parquet(path: str) -> bool:
    """Whether a path that cannot be looked at may be Parquet."""
    return not re.search(r"\.(csv|libsvm|svm|svmlight)(\.\w+)?$", path)


def _out_of_reach(context: "SparkContext", path: str) -> str:
    """Why the executors cannot open a table that the driver can; "" where they can.

    Local paths are not tried: where the executors do not have them, Spark's reader has not either.
    """
    scheme = path.partition("://")[0] if "://" in path else "file"
    if scheme == "file" or (context.master or "").startswith("local") or not _is_parquet(path):
        return ""
    files, tasks = find(path), context.defaultParallelism
    with described(context, "reach the data"), spark_failures("reaching the data"):
        found = context.parallelize(range(tasks), tasks).map(lambda _: reachable(files)).collect()
    why = next((answer for answer in found if answer), "")
    return f"the executors cannot open {path}: {why}" if why else ""


def _by_spark(spark: "SparkSession", path: str, why: str) -> "DataFrame":
    """A Parquet table on a file system that pyarrow cannot reach, by Spark's own reader."""
    log.info("%s; reading it with Spark", why)
    with spark_failures(f"reading {path}"):
        return spark.read.parquet(path)


def _counted(dataset: Dataset, source: Source, columns: Columns) -> Dataset:
    dataset.passes += source.width_costs_a_pass + (columns.group is not None)
    return dataset


def _mapper(
    context: "SparkContext", what: str
) -> Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]:
    """`map`, by Spark tasks that the Spark UI calls `what`."""

    def run(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        listed = list(items)
        with described(context, what), spark_failures(what):
            return context.parallelize(listed, len(listed)).map(function).collect()

    return run


def _check_names(label: Any, weight: Any, **beside: Any) -> None:
    for name, value in {"label": label, "weight": weight, **beside}.items():
        if value is not None and not isinstance(value, str):
            raise InputError(f"{name} must be a column's name where data is a table")


def _source(
    data: Any, label: Any, weight: Any, **beside: Any
) -> tuple[Source, str | None, str | None]:
    if isinstance(data, np.ndarray | list) or sparse.issparse(data):
        if label is None or isinstance(label, str):
            raise InputError("label must be the labels (rows,) where data is a matrix")
        for name, value in beside.items():
            if isinstance(value, str):
                raise InputError(f"{name} must be its values (rows,) where data is a matrix")
        return array_source(data, label, weight, **beside)
    _check_names(label, weight, **beside)
    return source_of(data), label, weight


def source_columns(source: Source, settings: Settings) -> Columns:
    """The columns of a training problem in a source. Raises InputError if they do not fit."""
    return _named(source, _chosen(source, settings))


def _chosen(source: Source, settings: Settings) -> Columns:
    """The columns, checked; the elements of a vector column do not have names yet."""
    if settings.label is None:
        raise InputError("label is required: the column to predict")
    return select(
        source.schema,
        features=settings.features,
        label=settings.label,
        weight=settings.weight,
        sigma=settings.sigma,
        group=settings.noise_group,
        classification=get_loss(settings.loss).classification,
        positive=settings.positive,
    )


def _named(source: Source, columns: Columns, run: Any = map) -> Columns:
    """The columns with a name for each feature; those of a vector are numbered from 1, as LIBSVM
    does and as the columns of a CSV would be."""
    if not columns.vector:
        return columns
    width = source.vector_width(columns.columns[0], run)
    return replace(columns, names=tuple(f"x{j}" for j in range(1, width + 1)))


def _frame_columns(frame: "DataFrame", settings: Settings) -> Columns:
    schema = frame_schema(frame)
    if settings.label is None:
        raise InputError("label is required: the column to predict")
    chosen = settings.features or tuple(
        name
        for name in schema.names
        if name not in (settings.label, settings.weight, settings.sigma, settings.noise_group)
    )
    vectors = [n for n in chosen if n in schema.names and is_vector(schema.field(n).type)]
    return select(
        schema,
        features=settings.features,
        label=settings.label,
        weight=settings.weight,
        sigma=settings.sigma,
        group=settings.noise_group,
        classification=get_loss(settings.loss).classification,
        positive=settings.positive,
        vector_names={name: vector_names(frame, name) for name in vectors[:1]},
    )


def read_frame(spark: "SparkSession", path: str, width: int) -> "DataFrame":
    """The table as Spark's own readers see it."""
    source = open_path(path)
    where = path if "://" in path else f"file://{os.path.abspath(path)}"
    if source.description.startswith("Parquet"):
        return spark.read.parquet(where)
    if isinstance(source, LibsvmSource):
        return spark.read.format("libsvm").option("numFeatures", width).load(where)
    return spark.read.csv(where, header=True, inferSchema=True)
