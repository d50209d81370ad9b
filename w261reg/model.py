"""A fitted model: what it is, how good it is, predict, save and load."""

import base64
import html
import json
import math
import os
import tempfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import tomli_w
from numpy.typing import NDArray
from scipy import sparse

from w261reg.errors import InputError, one_line, printable
from w261reg.files import local_form, replace_folder
from w261reg.likelihood import count_nonzero
from w261reg.losses import Loss, get_loss
from w261reg.own import check_loss_name, loss_of, name_loss, ship_by_value, sources
from w261reg.prediction import Predictor, feature_columns
from w261reg.results import FORMAT_VERSION
from w261reg.solvers import Iteration, Status
from w261reg.sources import Columns, Reading, Source, source_of
from w261reg.sources.batches import recut
from w261reg.sources.frame import (
    by_position,
    check_arrow,
    folds_case,
    frame_schema,
    is_spark_frame,
    known_names,
)
from w261reg.sources.memory import beside, is_pandas_frame, to_pandas

Array = NDArray[np.float64]
# written beside model.json, not into it
BESIDE = ("history", "metrics", "config", "trusted")


@dataclass(frozen=True, repr=False)
class Model:
    """A linear model and the account of its fit; the fields are those of model.json.

    Attributes:
        loss: name of the loss, path.py:Name for a user's own.
        feature_names: (n,).
        weights: coefficients on the raw scale, (n,) in the features' order; of K classes (n, K).
        intercept: b, a float, 0 without one; of K classes (K,).
        classes: [the value that counts as 0, that which counts as 1], or the values of several
            classes in the order of the coefficients' columns; None for a regression.
        label, vector_column: the columns it was trained on; vector_column is None for plain ones.
        reg_param, elastic_net_param, convention, fit_intercept, standardization, tol: as asked.
        penalty_params: strengths of further penalties and, where it was given, the order of the
            features that they go by; by their options' names.
        l1, l2: the effective canonical strengths.
        objective: canonical F at the coefficients; with `noise_group` the mean negative log
            likelihood and the penalty.
        status: converged, max_iter, diverged or separated; message is the sentence.
        optimality_residual: scale-free; `tol` bounds it. Of pegasos the relative duality gap.
        suboptimality_bound: objective - optimum is proven to be at most this; None without proof.
        n_iter, n_passes: iterations, and passes over the data with that which packs it.
        solver, why_solver: which solver, and why that one.
        solver_estimates: passes and seconds that each candidate of `auto` was expected to take.
        rows, sum_of_weights: rows of positive weight, and S: with `sigma` that of s/sigma^2.
        standard_errors: of the coefficients (n,), where `sigma`, `noise_group` or `constraints` was
            given and there is no penalty, under which they would leave out the bias; else None.
        covariance: of the coefficients on the raw scale, in the features' order, the intercept
            last: (X' diag(s/sigma^2) X)^-1; under constraints that of the estimates that keep to
            them, with 0 for what they fix. None where there are no standard errors, and beyond 512
            features; null for a feature without spread.
        noise_groups: group, rows, sum_of_weights and sigma of each group of `noise_group`.
        multipliers: one a constraint, in their order: its text, rhs, whether it follows from others
            (redundant, its multiplier 0), and the multiplier lambda of F + lambda'(A (w, b) - c):
            -dF/drhs. That of the sum of squares is 2 S lambda, of the negative log likelihood of
            bxe S lambda. None without constraints.
        condition_number: of the last linear system, scaled; None where none was solved.
        standard_deviations: of the features (n,), by the convention's divisor.
        constant_features: names of those without spread, whose coefficient is 0.
        library_versions: what made it, by name.
        storage: type of the packed features, float64 or float32.
        storage_bound: rounding to float32 moved the objective at these coefficients by at most so
            much; None where nothing was rounded.
        own_sources: sha256 of the text of each term of the user's own, by its path.py:Name.
        lambda_max: largest curvature of the objective (for bxe a bound of it) in the coordinates of
            gradient steps; longer fixed steps than 2/lambda_max oscillate. None where unknown.
        seconds: wall time of the fit, with reading and, where it was started, Spark.
        history: one entry an iteration.
        metrics: how well it predicts, by data set: {"train": {...}}.
        config: the effective configuration.
        trusted: whether a loss of the user's own may be executed out of the file that it names.
    """

    loss: str
    feature_names: tuple[str, ...]
    weights: Array
    intercept: Any
    classes: tuple[Any, ...] | None
    label: str | None
    vector_column: str | None
    reg_param: float
    elastic_net_param: float
    convention: str
    l1: float
    l2: float
    penalty_params: dict[str, Any]
    fit_intercept: bool
    standardization: bool
    objective: float
    status: str
    message: str
    optimality_residual: float
    tol: float
    suboptimality_bound: float | None
    standard_errors: list[float] | None
    condition_number: float | None
    n_iter: int
    n_passes: int
    solver: str
    why_solver: str
    rows: int
    sum_of_weights: float
    standard_deviations: tuple[float, ...]
    constant_features: tuple[str, ...]
    library_versions: dict[str, str]
    solver_estimates: dict[str, dict[str, float]] = field(default_factory=dict)
    storage: str = "float64"
    storage_bound: float | None = None
    own_sources: dict[str, str] = field(default_factory=dict)
    lambda_max: float | None = None
    covariance: list[list[float]] | None = None
    noise_groups: list[dict[str, Any]] | None = None
    multipliers: list[dict[str, Any]] | None = None
    seconds: float = 0.0
    history: tuple[Iteration, ...] = ()
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    trusted: bool = True

    # --- what a notebook shows ------------------------------------------------------------------

    @property
    def coefficients(self) -> pd.DataFrame:
        """A row a feature, by name: the coefficient, and times the feature's sd.

        Of several classes, a column a class: the coefficients.
        """
        index = pd.Index(self.feature_names, name="feature")
        if self.weights.ndim == 2:
            columns = pd.Index(self.classes or (), name="class")
            return pd.DataFrame(self.weights, index=index, columns=columns)
        sd = np.array([np.nan if s is None else s for s in self.standard_deviations])
        return pd.DataFrame(
            {"coefficient": self.weights, "standardized": self.weights * sd},
            index=index,
        )

    @property
    def parameters(self) -> int:
        """Coefficients that the data chose, the intercept not counted: those other than 0; under
        constraints all of features with spread, less one a constraint."""
        if self.multipliers is None:
            return count_nonzero(self.weights)
        independent = sum(not entry["redundant"] for entry in self.multipliers)
        return len(self.weights) - len(self.constant_features) - independent

    def summary(self) -> str:
        """A few lines: the problem, how it ended, how good it is."""
        from w261reg.report import summary_rows

        rows = summary_rows(self.to_dict())
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {one_line(value)}" for name, value in rows)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from w261reg.report import figures_of, summary_rows

        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(printable(value))}</td></tr>"
            for name, value in summary_rows(self.to_dict())
        )
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder))
            figures = figures_of(Path(folder))
        images = "".join(
            f"<img alt='{html.escape(name)}' style='max-width:100%' "
            f"src='data:image/png;base64,{base64.b64encode(png).decode()}'>"
            for name, png in figures.items()
        )
        return f"<table>{rows}</table>{images}"

    # --- predict --------------------------------------------------------------------------------

    @property
    def predictor(self) -> Predictor:
        """The part that tasks need."""
        self.check_finite()
        return Predictor(self.weights, self.intercept, self.loss_object, self.classes)

    @property
    def loss_object(self) -> Loss:
        """The loss; a user's own is read from its file, whose text must be that of the training.

        Raises:
            InputError: the file is not there, has changed, or is not to be executed.
        """
        loss = loss_of(self.loss, self.own_sources.get(self.loss), self.trusted)
        return loss.of_classes(len(self.classes)) if self.classes else loss

    def check_loss(self) -> None:
        """Raise InputError where there is no `loss_object`."""
        _ = self.loss_object

    def with_loss(self, loss: Any) -> "Model":
        """The model with its loss given anew: path.py:Name, a class or an object of Loss."""
        name = check_loss_name(name_loss(loss))
        new = get_loss(name)
        several = self.weights.ndim == 2
        if new.classification != (self.classes is not None) or new.multiclass != several:
            raise InputError(f"loss {name} does not go with the classes of the model")
        own = {k: v for k, v in self.own_sources.items() if k != self.loss}
        return replace(self, loss=name, own_sources={**own, **sources(name)}, trusted=True)

    def check_finite(self) -> None:
        """Raise InputError where the coefficients are no numbers: a diverged model's may not be."""
        if not (np.isfinite(self.weights).all() and np.isfinite(self.intercept).all()):
            raise InputError(
                f"the model's coefficients are not finite: its status is {self.status}"
            )

    def columns_in(self, source: Source) -> Columns:
        """Where the features are in a table. Raises InputError if one is missing."""
        return feature_columns(
            source.schema,
            self.feature_names,
            self.vector_column,
            source.positional,
            source.vector_names,
        )

    def predict(
        self,
        data: Any,
        *,
        prediction_column: str | None = None,
        ignore_unknown: bool = False,
        **reading: Any,
    ) -> Any:
        """Predictions for a path, a table or an array.

        Args:
            data: a matrix (m, n), dense or sparse; a pandas DataFrame, an Arrow table or a path; or
                a Spark DataFrame.
            prediction_column: name of the column of predictions, and how those of probabilities
                then begin; None is `prediction`.
            ignore_unknown: leave out features of a LIBSVM file that the model does not know.
            reading: format, delimiter and null_values of a path, as for `train`.

        Returns:
            For a matrix, the predictions (m,). For a Spark DataFrame, it with the columns
            `prediction` and, for classes of a loss that gives it, `probability` (of the second
            class; of several classes `probability_<class>` of each) appended; for any other table,
            the same as a pandas DataFrame. A pandas DataFrame keeps its index and all that it has.

        Raises:
            InputError: a feature is missing, or has values that are not usable.
        """
        if is_spark_frame(data):
            return self._predict_frame(data, prediction_column)
        source = self._source(data, ignore_unknown, reading)
        columns = self.columns_in(source)
        if isinstance(data, np.ndarray | list) or sparse.issparse(data):
            return self._outputs(source, columns).column(0).to_numpy()
        predictor = self.predictor.named(prediction_column, source.schema.names, columns.columns)
        if is_pandas_frame(data):
            found = self._outputs(source, columns, predictor)
            return beside(data, found)
        batches = [
            predictor.append(features, columns, rows)
            for features, rows in source.through(self._handles(source), columns.columns, False)
        ]
        if not batches:
            raise InputError(f"{source.description} has no rows")
        return to_pandas(pa.Table.from_batches(batches))

    def probability(self, data: Any, *, ignore_unknown: bool = False, **reading: Any) -> Array:
        """P(second class) for each row of a matrix, table or path: (m,); of K classes (m, K).

        The arguments are those of `predict`.
        """
        if self.classes is None:
            raise InputError(f"probability is for classification, not for loss {self.loss!r}")
        if not self.loss_object.probabilistic:
            raise InputError(f"a model of loss {self.loss!r} gives classes, no probability")
        if is_spark_frame(data):
            raise InputError("probability is a column of what predict gives for a Spark DataFrame")
        source = self._source(data, ignore_unknown, reading)
        found = self._outputs(source, self.columns_in(source))
        matrix = np.column_stack([column.to_numpy() for column in found.columns[1:]])
        return matrix if self.weights.ndim == 2 else matrix[:, 0]

    def _source(self, data: Any, ignore_unknown: bool, reading: dict[str, Any]) -> Source:
        source = source_of(data, Reading.checked(**reading))
        return source.for_model(len(self.feature_names), ignore_unknown)

    def _handles(self, source: Source) -> list[Any]:
        return source.handles(max(self.weights.shape))

    def _outputs(
        self, source: Source, columns: Columns, predictor: Predictor | None = None
    ) -> pa.Table:
        """The columns of the predictions alone."""
        predictor = predictor or self.predictor
        read = source.read(self._handles(source), columns.columns, columns.columns)
        batches = [predictor.predict(features, columns) for _, features in read]
        if not batches:
            raise InputError(f"{source.description} has no rows")
        return pa.Table.from_batches(batches)

    def _predict_frame(self, frame: Any, name: str | None) -> Any:
        """Predictions as a Spark column expression would give them: one mapInArrow, no shuffle."""
        from pyspark.sql.types import (
            BooleanType,
            DoubleType,
            LongType,
            StringType,
            StructField,
            StructType,
        )

        schema = frame_schema(frame)
        columns = feature_columns(
            schema,
            self.feature_names,
            self.vector_column,
            stored=lambda column: known_names(column, frame.schema[column].metadata),
        )
        predictor = self.predictor.named(name, schema.names, columns.columns, folds_case(frame))
        ship_by_value()
        kinds = {
            "string": StringType(),
            "int64": LongType(),
            "double": DoubleType(),
            "bool": BooleanType(),
        }
        plain = by_position(frame)
        given = [
            StructField(own, field.dataType, field.nullable, field.metadata)
            for own, field in zip(plain.columns, frame.schema.fields, strict=True)
        ]
        check_arrow(frame)
        types = predictor.types()
        new = [StructField(f"p{j}", kinds[str(kind)]) for j, kind in enumerate(types.values())]
        out = StructType([*given, *new])
        positions = [schema.names.index(own) for own in columns.columns]
        by_place = replace(columns, columns=tuple(plain.columns[j] for j in positions))

        def predict(batches: Any) -> Any:
            for batch in recut(batches, by_place):
                arrays = [batch.column(position) for position in positions]
                features = pa.record_batch(arrays, names=list(columns.columns))
                found = predictor.predict(features, columns)
                yield pa.record_batch([*batch.columns, *found.columns], names=out.names)

        return plain.mapInArrow(predict, out).toDF(*schema.names, *types)

    # --- files ----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """model.json: plain values, non-finite numbers as None."""
        document: dict[str, Any] = {"format_version": FORMAT_VERSION}
        for entry in fields(self):
            if entry.name in BESIDE:
                continue
            name = "coefficients" if entry.name == "weights" else entry.name
            document[name] = plain(getattr(self, entry.name))
        return document

    @property
    def ok(self) -> bool:
        """Whether the coefficients are a solution, or on the way to one."""
        return self.status in (Status.CONVERGED, Status.MAX_ITER)

    def save(self, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the result folder: model, history, metrics, configuration, report and figures.

        The folder, a path or a URI, appears whole or not at all.

        Raises:
            InputError: it exists already and `overwrite` is False, or cannot be written.
        """
        with replace_folder(local_form(os.fspath(folder), "out"), overwrite) as partial:
            self.write_result(partial)

    def write_result(self, folder: Path) -> None:
        """Write all of a result folder into a folder of its own."""
        from w261reg.report import write_report

        self.write(folder)
        write_report(folder)

    def write(self, folder: Path) -> None:
        """Write model.json, metrics.json, config.toml and history.csv into a folder."""
        (folder / "model.json").write_text(dumps(self.to_dict()), encoding="utf-8")
        (folder / "metrics.json").write_text(dumps(plain(self.metrics)), encoding="utf-8")
        (folder / "config.toml").write_text(tomli_w.dumps(self.config), encoding="utf-8")
        names = [entry.name for entry in fields(Iteration)]
        table = pd.DataFrame([[getattr(i, n) for n in names] for i in self.history], columns=names)
        table.to_csv(folder / "history.csv", index=False)


def dumps(document: Any) -> str:
    """JSON that any reader accepts: no NaN, no infinity."""
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Python's own types; numbers that are not finite become None."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value
