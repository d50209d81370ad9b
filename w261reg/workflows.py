"""What the command line and notebooks do, as plain functions."""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from w261reg import comparison
from w261reg.config import Settings
from w261reg.datasets.describe import described
from w261reg.datasets.failure import spark_failures
from w261reg.errors import InputError
from w261reg.files import check_other, filled, local_form, reserved
from w261reg.fitting import Fit, fit, warm_start
from w261reg.gradient_check import GradientCheck, check_dataset
from w261reg.losses import get_loss
from w261reg.model import Model, dumps, plain
from w261reg.opening import open_training, read_frame
from w261reg.output import check_csv, from_bytes, table_writer, to_bytes
from w261reg.own import name_loss, name_penalty, ship_by_value
from w261reg.saved import load
from w261reg.scoring import evaluate_dataset
from w261reg.session import session
from w261reg.sources import Columns, Reading, open_path
from w261reg.sources.memory import as_text
from w261reg.sources.packing import spark_dataset
from w261reg.sources.select import select

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("w261reg")


def train(
    data: Any,
    label: Any = None,
    *,
    weight: Any = None,
    sigma: Any = None,
    noise_group: Any = None,
    **settings: Any,
) -> Model:
    """Fit a regularized linear model.

    Args:
        data: a path (Parquet, CSV with header, LIBSVM), a Spark or pandas DataFrame, an Arrow
            table, or a matrix (m, n), dense or sparse. Paths and Spark DataFrames are trained on
            Spark (the running session, or one made for the call); the others in this process.
        label: name of the label column; for a matrix, the labels (m,).
        weight: name of the column of row weights; for a matrix, the weights (m,).
        sigma: name of the column of each row's standard deviation of the noise, or its values.
        noise_group: name of the column of the groups of equal noise, or its values.
        settings: those of the command line, by the same names: loss (a name, path.py:Name, or a
            class or object of w261reg.losses.Loss), penalty (also a class), reg_param,
            elastic_net_param, fit_intercept, convention, standardization, solver, step_size,
            step_rule, batch_rows, seed, max_iter, tol, positive, features, warm_start, master,
            aggregation_depth, smooth_param, smooth_order, smoothing, constraints (a path, a pandas
            DataFrame with a column a coefficient and rhs, or tables of rhs and coefficients).

    Returns:
        The model, whatever its status.

    Raises:
        InputError: the data or a setting cannot be used.
        ComputeError: Spark failed.
    """
    began = time.perf_counter()
    label, weight = as_text(data, label), as_text(data, weight)
    beside = {"sigma": as_text(data, sigma), "noise_group": as_text(data, noise_group)}
    chosen = _settings(data, label, weight, {**settings, **_named(beside)})
    with open_training(data, label, weight, chosen, **beside) as opened:
        return fit(chosen, opened.dataset, opened.columns, opened.spark, began).model


def check_gradient(
    data: Any,
    label: Any = None,
    *,
    weight: Any = None,
    sigma: Any = None,
    at: str | os.PathLike[str] | None = None,
    seed: int = 0,
    **settings: Any,
) -> GradientCheck:
    """Compare a problem's gradient and Hessian with central differences.

    Args:
        data, label, weight, sigma, settings: as for `train`.
        at: a model at whose coefficients to compare; None is a random point.
        seed: of the random point, >= 0.

    Returns:
        How far both agree, and `ok`.

    Raises:
        InputError: the data or a setting cannot be used.
        ComputeError: Spark failed.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed must be an integer >= 0, not {seed!r}")
    if settings.get("noise_group") is not None:
        raise InputError("noise_group has no gradient to check: it is solved in closed form")
    label, weight, sigma = (as_text(data, name) for name in (label, weight, sigma))
    chosen = _settings(data, label, weight, {**settings, **_named({"sigma": sigma})})
    if chosen.constraints is not None:
        raise InputError("constraints change no derivative: leave them out of check_gradient")
    if get_loss(chosen.loss).counted:
        raise InputError(f"loss {chosen.loss} is not minimised, so it has no gradient to check")
    with open_training(data, label, weight, chosen, sigma=sigma) as opened:
        path = None if at is None else os.fspath(at)
        point = warm_start(path, opened.columns, "at")
        return check_dataset(chosen, opened.dataset, opened.columns, point, seed)


def _named(beside: dict[str, Any]) -> dict[str, str]:
    """Names of further columns; values beside a matrix are a column of the argument's name."""
    given = {name: value for name, value in beside.items() if value is not None}
    return {name: value if isinstance(value, str) else name for name, value in given.items()}


def _settings(data: Any, label: Any, weight: Any, settings: dict[str, Any]) -> Settings:
    """Those of a call, checked."""
    path = os.fspath(data) if isinstance(data, str | os.PathLike) else ""
    names = {
        "data": path,
        "label": label if isinstance(label, str) else None,
        "weight": weight if isinstance(weight, str) else None,
    }
    own = {
        "loss": name_loss(settings.get("loss")),
        "penalty": name_penalty(settings.get("penalty")),
    }
    given = {key: name for key, name in own.items() if name is not None}
    if "features" in settings:
        given["features"] = as_text(data, settings["features"])
    return Settings.of({**names, **settings, **given}).checked()


# --- the command line's -------------------------------------------------------------------------


def train_to(settings: Settings, out: str, overwrite: bool = False) -> Model:
    """Train on `settings.data` and write the result folder `out`, whole or not at all."""
    began = time.perf_counter()
    settings = settings.checked()
    out = local_form(out, "out")
    with reserved(out, overwrite) as place:
        with open_training(settings.data, settings.label, settings.weight, settings) as opened:
            model = fit(settings, opened.dataset, opened.columns, opened.spark, began).model
        with filled(place) as partial:
            model.write_result(partial)
    return model


def compare_to(
    settings: Settings, out: str, overwrite: bool = False, standard_scaler: bool = False
) -> tuple[Model, dict[str, Any]]:
    """Train with both engines and write the result folder with comparison.json in it."""
    settings = settings.checked()
    comparison.check_comparable(settings, standard_scaler)
    out = local_form(out, "out")
    with reserved(out, overwrite) as place:
        with session(settings.master) as spark:
            began = time.perf_counter()
            with open_training(settings.data, settings.label, settings.weight, settings) as opened:
                ours = fit(settings, opened.dataset, opened.columns, opened.spark, began)
                result = _compare(spark, ours, settings, opened.columns, standard_scaler)
        with filled(place) as partial:
            (partial / "comparison.json").write_text(dumps(plain(result)), encoding="utf-8")
            ours.model.write_result(partial)
    return ours.model, result


def _compare(
    spark: "SparkSession", ours: Fit, settings: Settings, columns: Columns, standard_scaler: bool
) -> dict[str, Any]:
    model = ours.model
    if not (model.ok and np.isfinite(model.weights).all()):
        log.warning("the w261reg answer is %s; compared as it is", model.status)
    problem = comparison.translate(
        ours.objective, settings.convention, bool(settings.standardization), standard_scaler
    )
    log.info(
        "pyspark.ml: regParam %.12g, elasticNetParam %.12g",
        problem.reg_param,
        problem.elastic_net_param,
    )
    theirs = comparison.fit_pyspark(
        read_frame(spark, settings.data, columns, Reading.of(settings)),
        columns,
        problem,
        ours.objective,
        max_iter=settings.max_iter,
        tol=settings.tol,
    )
    return comparison.compare_answers(ours, theirs, spark.version)


def evaluate(
    model: Model,
    data: str,
    label: str,
    weight: str | None = None,
    master: str | None = None,
    sigma: str | None = None,
    ignore_unknown: bool = False,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Metrics of a model on a table: one pass.

    Args:
        model: what is evaluated.
        data: path of the table.
        label, weight, sigma: columns, as for `train`.
        master: Spark's master.
        ignore_unknown: leave out features of LIBSVM that the model does not know.
        reading: what was said of the file.
    """
    model.check_finite()
    if sigma is not None and model.loss != "mse":
        raise InputError(f"sigma is for loss mse, not {model.loss}: {sigma!r}")
    source = open_path(data, reading).for_model(len(model.feature_names), ignore_unknown)
    loss = model.loss_object
    where = model.columns_in(source)
    positive = None
    several = model.classes if loss.multiclass else None
    if several is None and model.classes is not None and tuple(model.classes) != (0, 1):
        positive = model.classes[1]
    columns = select(
        source.schema,
        features=where.columns,
        label=label,
        weight=weight,
        sigma=sigma,
        classification=loss.classification,
        positive=positive,
        levels=several,
        names=model.feature_names,
    )
    columns = replace(columns, positions=where.positions, stored=where.stored)
    with session(master) as spark:
        dataset = spark_dataset(spark.sparkContext, source, columns)
        try:
            return evaluate_dataset(model, dataset, columns)
        finally:
            dataset.release()


def predict_to(
    model: Model,
    data: str,
    out: str,
    overwrite: bool = False,
    master: str | None = None,
    prediction_column: str | None = None,
    ignore_unknown: bool = False,
    reading: Reading | None = None,
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
        prediction_column: name of the column of predictions, and how others then begin.
        ignore_unknown: leave out features of LIBSVM that the model does not know.
        reading: what was said of the file.

    Raises:
        InputError: a feature is missing or not usable, or `out` cannot be written.
    """
    out = local_form(out, "out")
    if not out.endswith((".csv", ".parquet")):
        raise InputError(f"out must end in .csv or .parquet, not {out!r}")
    check_other(out, data)
    source = open_path(data, reading).for_model(len(model.feature_names), ignore_unknown)
    columns, text = model.columns_in(source), out.endswith(".csv")
    predictor = model.predictor.named(prediction_column, source.schema.names, columns.columns)
    if text:
        check_csv(source.schema)
    ship_by_value()
    handles = source.handles(max(model.weights.shape))
    if not handles:
        raise InputError(f"{source.description} has no rows")

    def predicted(handle: Any) -> Iterator[bytes | str]:
        try:
            for features, rows in source.through([handle], columns.columns, text):
                yield to_bytes(predictor.append(features, columns, rows))
        except InputError as error:
            yield str(error)  # a value: Spark would retry an exception, and print its trace

    with (
        reserved(out, overwrite, folder=False) as place,
        filled(place) as partial,
        session(master) as spark,
        described(spark.sparkContext, "predict"),
        spark_failures("the prediction"),
        table_writer(partial, csv=text) as writer,
    ):
        leaves = spark.sparkContext.parallelize(handles, len(handles))
        for result in leaves.flatMap(predicted).toLocalIterator(prefetchPartitions=True):
            if isinstance(result, str):
                raise InputError(result)
            writer.write(from_bytes(result))
        if writer.rows == 0:
            raise InputError(f"{source.description} has no rows")
    return writer.rows


__all__ = ["check_gradient", "compare_to", "evaluate", "load", "predict_to", "train", "train_to"]
