"""What the command line and notebooks do, as plain functions."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from scipy import sparse

from w261reg import comparison
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.datasets.failure import spark_failures
from w261reg.errors import InputError
from w261reg.files import check_out, replace_file, replace_folder
from w261reg.fitting import Fit, evaluate_dataset, fit
from w261reg.losses import get_loss
from w261reg.model import Model, dumps, load, plain
from w261reg.prediction import check_free
from w261reg.session import session
from w261reg.sources import Columns, Source, TableSource, array_source, open_path
from w261reg.sources.columns import is_vector
from w261reg.sources.frame import frame_schema, is_spark_frame, vector_names
from w261reg.sources.libsvm import LibsvmSource
from w261reg.sources.packing import deal, frame_dataset, local_dataset, spark_dataset
from w261reg.sources.select import select

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger("w261reg")


@dataclass(frozen=True)
class Opened:
    """A dataset, the columns it has, and the running Spark's version if it is on Spark."""

    dataset: Dataset
    columns: Columns
    spark: str | None


def train(data: Any, label: Any = None, *, weight: Any = None, **settings: Any) -> Model:
    """Fit a regularized linear model.

    Args:
        data: a path (Parquet, CSV with header, LIBSVM), a Spark or pandas DataFrame, an Arrow
            table, or a matrix (m, n), dense or sparse. Paths and Spark DataFrames are trained on
            Spark (the running session, or one made for the call); the others in this process.
        label: name of the label column; for a matrix, the labels (m,).
        weight: name of the column of row weights; for a matrix, the weights (m,).
        settings: those of the command line, by the same names: loss, reg_param,
            elastic_net_param, fit_intercept, convention, standardization, solver, step_size,
            max_iter, tol, positive, features, warm_start, master, aggregation_depth.

    Returns:
        The model, whatever its status.

    Raises:
        InputError: the data or a setting cannot be used.
        ComputeError: Spark failed.
    """
    began = time.perf_counter()
    path = os.fspath(data) if isinstance(data, str | os.PathLike) else ""
    names = {
        "data": path,
        "label": label if isinstance(label, str) else None,
        "weight": weight if isinstance(weight, str) else None,
    }
    chosen = Settings.of({**names, **settings}).checked()
    with open_training(data, label, weight, chosen) as opened:
        return fit(chosen, opened.dataset, opened.columns, opened.spark, began).model


@contextmanager
def open_training(data: Any, label: Any, weight: Any, settings: Settings) -> Iterator[Opened]:
    """The dataset of a training problem; released at the end."""
    with _opened(data, label, weight, settings) as opened:
        try:
            yield opened
        finally:
            opened.dataset.release()


@contextmanager
def _opened(data: Any, label: Any, weight: Any, settings: Settings) -> Iterator[Opened]:
    depth = settings.aggregation_depth
    if is_spark_frame(data):
        columns = _frame_columns(data, settings)
        yield Opened(frame_dataset(data, columns, depth), columns, data.sparkSession.version)
        return
    source, label, weight = _source(data, label, weight)
    columns = source_columns(source, replace(settings, label=label, weight=weight))
    if not settings.data:
        yield Opened(local_dataset(source, columns), columns, None)
        return
    with session(settings.master) as spark:
        dataset = spark_dataset(spark.sparkContext, source, columns, None, depth)
        yield Opened(dataset, columns, spark.version)


def _source(data: Any, label: Any, weight: Any) -> tuple[Source, str | None, str | None]:
    if isinstance(data, str | os.PathLike):
        return open_path(os.fspath(data)), label, weight
    if isinstance(data, pd.DataFrame | pa.Table):
        return TableSource(data), label, weight
    if isinstance(data, np.ndarray | list) or sparse.issparse(data):
        if label is None or isinstance(label, str):
            raise InputError("label must be the labels (rows,) where data is a matrix")
        return array_source(data, label, weight)
    raise InputError(
        "data must be a path, a Spark or pandas DataFrame, an Arrow table or a matrix, not "
        f"{type(data).__name__}"
    )


def source_columns(source: Source, settings: Settings) -> Columns:
    """The columns of a training problem in a source. Raises InputError if they do not fit."""
    if settings.label is None:
        raise InputError("label is required: the column to predict")
    columns = select(
        source.schema,
        features=settings.features,
        label=settings.label,
        weight=settings.weight,
        classification=get_loss(settings.loss).classification,
        positive=settings.positive,
    )
    if columns.vector:
        name = columns.columns[0]
        width = source.vector_width(name)
        # LIBSVM counts from 1, and so do arrays here, as the columns of a CSV would be numbered
        columns = replace(columns, names=tuple(f"x{j}" for j in range(1, width + 1)))
    return columns


def _frame_columns(frame: "DataFrame", settings: Settings) -> Columns:
    schema = frame_schema(frame)
    if settings.label is None:
        raise InputError("label is required: the column to predict")
    chosen = settings.features or tuple(
        name for name in schema.names if name not in (settings.label, settings.weight)
    )
    vectors = [n for n in chosen if n in schema.names and is_vector(schema.field(n).type)]
    return select(
        schema,
        features=settings.features,
        label=settings.label,
        weight=settings.weight,
        classification=get_loss(settings.loss).classification,
        positive=settings.positive,
        vector_names={name: vector_names(frame, name) for name in vectors[:1]},
    )


# --- the command line's -------------------------------------------------------------------------


def train_to(settings: Settings, out: str, overwrite: bool = False) -> Model:
    """Train on `settings.data` and write the result folder `out`, whole or not at all."""
    began = time.perf_counter()
    settings = settings.checked()
    check_out(out, overwrite)
    with open_training(settings.data, settings.label, settings.weight, settings) as opened:
        model = fit(settings, opened.dataset, opened.columns, opened.spark, began).model
    model.save(out, overwrite)
    return model


def compare_to(
    settings: Settings, out: str, overwrite: bool = False, standard_scaler: bool = False
) -> tuple[Model, dict[str, Any]]:
    """Train with both engines and write the result folder with comparison.json in it."""
    from w261reg.report import write_report

    settings = settings.checked()
    check_out(out, overwrite)
    with session(settings.master) as spark:
        began = time.perf_counter()
        with open_training(settings.data, settings.label, settings.weight, settings) as opened:
            ours = fit(settings, opened.dataset, opened.columns, opened.spark, began)
            result = _compare(spark, ours, settings, opened.columns, standard_scaler)
    with replace_folder(out, overwrite) as partial:
        ours.model.write(partial)
        (partial / "comparison.json").write_text(dumps(plain(result)))
        write_report(partial)
    return ours.model, result


def _compare(
    spark: "SparkSession", ours: Fit, settings: Settings, columns: Columns, standard_scaler: bool
) -> dict[str, Any]:
    if settings.penalties:
        raise InputError(
            f"pyspark.ml has no {', '.join(settings.penalties)}: compare needs L1 and L2 only"
        )
    if standard_scaler:
        comparison.check_standard_scaler(ours)
    model = ours.model
    if not (model.ok and np.isfinite(model.weights).all()):
        log.warning("the w261reg answer is %s; compared as it is", model.status)
    problem = comparison.translate(
        ours.objective, settings.convention, bool(settings.standardization)
    )
    log.info(
        "pyspark.ml: regParam %.12g, elasticNetParam %.12g",
        problem.reg_param,
        problem.elastic_net_param,
    )
    theirs = comparison.fit_pyspark(
        _read_frame(spark, settings.data, len(columns.names)),
        columns,
        problem,
        ours.objective,
        max_iter=settings.max_iter,
        tol=settings.tol,
        standard_scaler=standard_scaler,
    )
    return comparison.compare_answers(ours, theirs, spark.version)


def _read_frame(spark: "SparkSession", path: str, width: int) -> "DataFrame":
    """The table as Spark's own readers see it."""
    source = open_path(path)
    where = path if "://" in path else f"file://{os.path.abspath(path)}"
    if source.description.startswith("Parquet"):
        return spark.read.parquet(where)
    if isinstance(source, LibsvmSource):
        return spark.read.format("libsvm").option("numFeatures", width).load(where)
    return spark.read.csv(where, header=True, inferSchema=True)


def evaluate(
    model: Model, data: str, label: str, weight: str | None = None, master: str | None = None
) -> dict[str, float]:
    """Metrics of a model on a table: one pass."""
    model.check_finite()
    source = open_path(data)
    loss = get_loss(model.loss)
    where = model.columns_in(source.schema)
    positive = None
    if model.classes is not None and tuple(model.classes) != (0, 1):
        positive = model.classes[1]
    columns = select(
        source.schema,
        features=where.columns,
        label=label,
        weight=weight,
        classification=loss.classification,
        positive=positive,
        names=model.feature_names,
    )
    with session(master) as spark:
        dataset = spark_dataset(spark.sparkContext, source, columns)
        try:
            return evaluate_dataset(model, dataset, columns)
        finally:
            dataset.release()


def predict_to(
    model: Model, data: str, out: str, overwrite: bool = False, master: str | None = None
) -> int:
    """Append predictions to a table and write it, in its rows' order; returns the rows written.

    The tasks predict leaf by leaf and the driver writes them as they come, so neither ever holds
    the whole table.

    Args:
        model: what predicts.
        data: path of the table.
        out: .csv, else .parquet.
        overwrite: replace `out`.
        master: Spark's master.

    Raises:
        InputError: a feature is missing or not usable, or `out` cannot be written.
    """
    if not out.endswith((".csv", ".parquet")):
        raise InputError(f"out must end in .csv or .parquet, not {out!r}")
    check_out(out, overwrite, folder=False)
    source = open_path(data)
    check_free(source.schema)
    columns = model.columns_in(source.schema)
    predictor = model.predictor
    handles = source.handles(len(columns.names))
    numeric = columns.columns

    def predicted(part: tuple[int, list[Any]]) -> Iterator[bytes | str]:
        try:
            for _, batch in source.read(part[1], None, numeric):
                yield _ipc(predictor.append(batch, columns))
        except InputError as error:
            yield str(error)  # a value: Spark would retry an exception, and print its trace

    rows = 0
    with replace_file(out, overwrite) as partial, session(master) as spark:
        context = spark.sparkContext
        runs = deal(len(handles), max(len(handles), 1)) if handles else []
        parts = [(run.start, [handles[i] for i in run]) for run in runs]
        before = context.getLocalProperty("spark.job.description")
        context.setJobDescription("w261reg: predict")
        results = (
            context.parallelize(parts, len(parts)).flatMap(predicted).toLocalIterator(True)
            if parts
            else iter(())
        )
        writer: Any = None
        try:
            with spark_failures("the prediction"):
                for result in results:
                    if isinstance(result, str):
                        raise InputError(result)
                    batch = pa.ipc.open_stream(result).read_next_batch()
                    if out.endswith(".csv"):
                        batch = _for_csv(batch)
                    if writer is None:
                        writer = _writer(partial, batch.schema, out)
                    writer.write_batch(batch)
                    rows += batch.num_rows
            if writer is None:
                raise InputError(f"{source.description} has no rows")
        finally:
            context.setLocalProperty("spark.job.description", before)  # type: ignore[arg-type]
            if writer is not None:
                writer.close()
    return rows


def _ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def _writer(path: Path, schema: pa.Schema, out: str) -> Any:
    if out.endswith(".csv"):
        return pacsv.CSVWriter(
            path, schema, write_options=pacsv.WriteOptions(quoting_style="needed")
        )
    return pq.ParquetWriter(path, schema)


def _for_csv(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Vectors as text, `index:value ...` from 1: CSV has no other place for them."""
    arrays = [
        pa.array(map(_vector_text, column.to_pylist()), pa.string())
        if is_vector(column.type)
        else column
        for column in batch.columns
    ]
    return pa.record_batch(arrays, names=batch.schema.names)


def _vector_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        indices = value["indices"]
        pairs = list(
            zip(
                indices if indices is not None else range(len(value["values"])),
                value["values"],
                strict=True,
            )
        )
    return " ".join(f"{index + 1}:{number!r}" for index, number in pairs)


__all__ = ["compare_to", "evaluate", "load", "predict_to", "train", "train_to"]
