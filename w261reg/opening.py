"""From what a user gives as data to a dataset."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from w261reg.aggregators.census import TakeCensus
from w261reg.checks import classes_in, groups_in
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.datasets.describe import described
from w261reg.datasets.failure import spark_failures
from w261reg.errors import InputError, Unreachable
from w261reg.files import local_form
from w261reg.heteroscedastic import check_groups
from w261reg.losses import get_loss
from w261reg.session import session
from w261reg.sources import Columns, Reading, Source, array_source, open_path, source_of
from w261reg.sources.columns import is_vector
from w261reg.sources.frame import (
    frame_schema,
    is_spark_frame,
    source_frame,
    vector_names,
    without_globs,
)
from w261reg.sources.packing import frame_dataset, local_dataset, spark_dataset
from w261reg.sources.parquet import ParquetSource
from w261reg.sources.paths import find, reachable
from w261reg.sources.select import select

log = logging.getLogger("w261reg")
# what a feature costs the driver at least: its name, six vectors of a solver, its line in the files
FEATURE_BYTES = 256

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
            opened.dataset.release_later()


@contextmanager
def _opened(
    data: Any, label: Any, weight: Any, settings: Settings, beside: dict[str, Any]
) -> Iterator[Opened]:
    if is_spark_frame(data):
        _check_names(label, weight, **beside)
        yield _of_frame(data, settings)
        return
    try:
        source, label, weight = _source(data, label, weight, Reading.of(settings), **beside)
    except Unreachable as error:
        if not _is_parquet(settings.data, settings.format):
            raise
        with session(settings.master) as spark:
            yield _of_frame(_by_spark(spark, settings.data, str(error)), settings)
        return
    columns = _chosen(source, replace(settings, label=label, weight=weight))
    if not settings.data:
        columns = _named(source, columns)
        dataset, columns = _with_values(
            columns, settings, lambda own: local_dataset(source, own, settings.storage)
        )
        yield Opened(_counted(dataset, source), columns, None)
        return
    with session(settings.master) as spark:
        if why := _out_of_reach(spark.sparkContext, settings.data):
            yield _of_frame(_by_spark(spark, settings.data, why), settings)
            return
        columns = _named(source, columns, _mapper(spark.sparkContext))
        context, options = spark.sparkContext, _options(settings)
        dataset, columns = _with_values(
            columns, settings, lambda own: spark_dataset(context, source, own, None, **options)
        )
        yield Opened(_counted(dataset, source), columns, spark.version)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "storage": settings.storage,
        "aggregation_depth": settings.aggregation_depth,
        "collect_bytes": settings.collect_bytes,
    }


def _of_frame(frame: "DataFrame", settings: Settings) -> Opened:
    columns, options = _frame_columns(frame, settings), _options(settings)
    dataset, columns = _with_values(
        columns, settings, lambda own: frame_dataset(frame, own, **options)
    )
    return Opened(dataset, columns, frame.sparkSession.version)


def _with_values(
    columns: Columns, settings: Settings, dataset_of: Callable[[Columns], Dataset]
) -> tuple[Dataset, Columns]:
    """The dataset; a pass over one column alone finds the classes, or groups of rows, first."""
    loss = get_loss(settings.loss)
    column = columns.label if loss.multiclass else columns.group
    if column is None:
        return dataset_of(columns), columns
    alone = dataset_of(columns.values_of(column))
    try:
        census = alone.aggregate(TakeCensus(), keep=False)
    finally:
        alone.release()
    if loss.multiclass:
        columns = replace(columns, levels=classes_in(census, columns, loss))
    else:
        columns = replace(columns, groups=groups_in(census, columns))
        check_groups(column, len(columns.groups), columns.n_features)
    dataset = dataset_of(columns)
    dataset.passes += alone.passes
    return dataset, columns


def _is_parquet(path: str, format: str | None = None) -> bool:
    """Whether a path that cannot be looked at may be Parquet."""
    if format is not None:
        return format == "parquet"
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
        return spark.read.parquet(without_globs(path))


def _counted(dataset: Dataset, source: Source) -> Dataset:
    dataset.passes += source.width_costs_a_pass
    return dataset


def _mapper(
    context: "SparkContext",
) -> Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]:
    """`map`, by Spark tasks."""

    def run(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        listed = list(items)
        what = "find the number of features"
        with described(context, what), spark_failures(what):
            return context.parallelize(listed, len(listed)).map(function).collect()

    return run


def _check_names(label: Any, weight: Any, **beside: Any) -> None:
    for name, value in {"label": label, "weight": weight, **beside}.items():
        if value is not None and not isinstance(value, str):
            raise InputError(f"{name} must be a column's name where data is a table")


def _source(
    data: Any, label: Any, weight: Any, reading: Reading, **beside: Any
) -> tuple[Source, str | None, str | None]:
    if isinstance(data, np.ndarray | list) or sparse.issparse(data):
        if label is None or isinstance(label, str):
            raise InputError("label must be the labels (rows,) where data is a matrix")
        for name, value in beside.items():
            if isinstance(value, str):
                raise InputError(f"{name} must be its values (rows,) where data is a matrix")
        return array_source(data, label, weight, **beside)
    _check_names(label, weight, **beside)
    return source_of(data, reading), label, weight


def source_columns(source: Source, settings: Settings) -> Columns:
    """The columns of a training problem in a source. Raises InputError if they do not fit."""
    return _named(source, _chosen(source, settings))


def _chosen(source: Source, settings: Settings) -> Columns:
    """The columns, checked; the elements of a vector column do not have names yet."""
    return _select(source.schema, settings)


def _select(
    schema: pa.Schema, settings: Settings, vector_names: dict[str, list[str]] | None = None
) -> Columns:
    if settings.label is None:
        raise InputError("label is required: the column to predict")
    loss = get_loss(settings.loss)
    return select(
        schema,
        features=settings.features,
        label=settings.label,
        weight=settings.weight,
        sigma=settings.sigma,
        group=settings.noise_group,
        classification=loss.classification,
        positive=settings.positive,
        levels=() if loss.multiclass else None,
        vector_names=vector_names,
    )


def _named(source: Source, columns: Columns, run: Any = map) -> Columns:
    """The columns with a name for each feature; those of a vector are numbered from 1, as LIBSVM
    does and as the columns of a CSV would be."""
    if not columns.vector:
        return columns
    if (names := source.vector_names(columns.columns[0])) is not None:
        return replace(columns, names=tuple(names))
    width = source.vector_width(columns.columns[0], run)
    check_width(width)
    return replace(columns, names=tuple(f"x{j}" for j in range(1, width + 1)))


def _frame_columns(frame: "DataFrame", settings: Settings) -> Columns:
    schema = frame_schema(frame)
    roles = (settings.label, settings.weight, settings.sigma, settings.noise_group)
    chosen = settings.features or tuple(name for name in schema.names if name not in roles)
    vectors = [field.name for field in schema if field.name in chosen and is_vector(field.type)]
    return _select(schema, settings, {name: vector_names(frame, name) for name in vectors[:1]})


def check_width(width: int) -> None:
    """Raise InputError where a model of so many features is more than this machine's memory."""
    need, have = width * FEATURE_BYTES, memory()
    if need > have:
        raise InputError(
            f"the data has {width:,} features: names, coefficients and what a solver keeps of each "
            f"take some {FEATURE_BYTES} bytes a feature, {need / 2**30:,.1f} GiB, and this machine "
            f"has {have / 2**30:,.1f} GiB"
        )


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def read_frame(spark: "SparkSession", path: str, columns: Columns, reading: Reading) -> "DataFrame":
    """The rows of a table as a Spark DataFrame.

    Parquet as Spark's own reader sees it, where it can tell the columns' names apart; text by the
    readers of this package, so that both engines see the same rows whatever its dialect.
    """
    source = open_path(path, reading)
    folded = {name.lower() for name in source.schema.names}
    if not isinstance(source, ParquetSource) or len(folded) < len(source.schema.names):
        return source_frame(spark, source, columns)
    local = local_form(path)
    where = local if "://" in local else f"file://{os.path.abspath(local)}"
    return spark.read.parquet(without_globs(where))
