"""The same problem through pyspark.ml, both answers scored by our objective."""

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Expected, Several
from w261reg.config import Settings
from w261reg.conventions import SPARK_NORMAL_MAX_FEATURES, Strengths
from w261reg.datasets.failure import spark_failures
from w261reg.errors import InputError
from w261reg.fitting import Fit
from w261reg.model import Model
from w261reg.objective import Objective
from w261reg.scoring import scored, scorer
from w261reg.sources import Columns

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Array = NDArray[np.float64]
log = logging.getLogger("w261reg")
OURS, THEIRS = "w261reg", "pyspark.ml"


@dataclass(frozen=True)
class SparkAnswer:
    """What pyspark.ml found: weights on the raw scale, intercept, iterations, seconds.

    Of K classes, weights (n, K) and an intercept (K,); else (n,) and a number.
    """

    w: Array
    intercept: Any
    n_iter: int
    seconds: float
    about: str


@dataclass(frozen=True)
class SparkProblem:
    """A problem in pyspark.ml's terms: regParam, elasticNetParam, and who standardizes.

    With `standard_scaler`, StandardScaler(withMean=True) does, in front of an estimator that then
    does not; the coefficients are brought back to the raw scale.
    """

    reg_param: float
    elastic_net_param: float
    standardization: bool
    solver: str
    standard_scaler: bool = False


def translate(
    objective: Objective, convention: str, standardization: bool, standard_scaler: bool = False
) -> SparkProblem:
    """The canonical l1, l2 and d in pyspark.ml's terms: the inverse of the convention `spark`.

    pyspark.ml's standard deviations differ from the problem's by one factor c for all features
    (the divisor, m - 1 for StandardScaler), d' = c d, so l1' = l1 / c and l2' = l2 / c^2; its
    linear regression further divides its L2 strength by its sd(y).
    """
    strengths: Strengths = objective.strengths
    summary, loss = objective.summary, objective.loss
    n = len(strengths.sd)
    lbfgs = convention == "spark-lbfgs" or n > SPARK_NORMAL_MAX_FEATURES
    normal = loss.quadratic and not lbfgs
    weight = summary.weight
    sample = weight - summary.weight_squares / weight
    divisor = weight if normal else sample
    c = 1.0
    if standardization:
        theirs = summary.sd(sample if standard_scaler else divisor)[:-1]
        usable = objective.coordinates.active
        c = float(theirs[usable[0]] / strengths.scale[usable[0]]) if len(usable) else 1.0
    l1, l2 = strengths.l1 / c, strengths.l2 / c**2
    if loss.quadratic:
        l2 *= float(summary.sd(divisor)[-1]) or 1.0  # as the convention takes a constant label
    total = l1 + l2
    solver = ("normal" if normal else "l-bfgs") if loss.quadratic else "auto"
    mix = l1 / total if total > 0 else 0.0
    return SparkProblem(total, mix, standardization, solver, standard_scaler)


def fit_pyspark(
    frame: "DataFrame",
    columns: Columns,
    problem: SparkProblem,
    objective: Objective,
    *,
    max_iter: int,
    tol: float,
) -> SparkAnswer:
    """Fit with VectorAssembler and LinearRegression, LogisticRegression or LinearSVC.

    Args:
        frame: the table.
        columns: what its columns are.
        problem: the strengths in pyspark.ml's terms.
        objective: for the loss and the intercept.
        max_iter, tol: pyspark.ml's own maxIter and tol.
    """
    from pyspark.ml.classification import LinearSVC, LogisticRegression
    from pyspark.ml.feature import StandardScaler, VectorAssembler
    from pyspark.ml.regression import LinearRegression
    from pyspark.sql import functions as F

    began = time.perf_counter()
    assert columns.label is not None
    label = F.col(_quoted(columns.label))
    if columns.levels is not None:
        label = _code(label, columns.levels)
    elif columns.positive is not None:
        label = (label == F.lit(columns.positive)).cast("double")
    table = frame.withColumn("__label", label.cast("double"))
    options: dict[str, Any] = {}
    if columns.weight is not None or columns.sigma is not None:
        weight = F.lit(1.0)
        if columns.weight is not None:
            weight = F.col(_quoted(columns.weight)).cast("double")
        if columns.sigma is not None:
            sigma = F.col(_quoted(columns.sigma)).cast("double")
            weight = weight / sigma / sigma
        table = table.withColumn("__weight", weight).where("__weight > 0")
        options["weightCol"] = "__weight"
    with spark_failures("pyspark.ml"):
        if columns.vector:
            table = _as_vectors(table, columns.columns[0])
        else:
            plain = {name: f"__x{j}" for j, name in enumerate(columns.columns)}  # dots in names
            table = table.select(
                *[F.col(_quoted(n)).cast("double").alias(p) for n, p in plain.items()],
                *[c for c in ("__label", "__weight") if c in table.columns],
            )
            assembler = VectorAssembler(inputCols=list(plain.values()), outputCol="__features")
            table = assembler.transform(table)
        scaler = None
        features = "__features"
        if problem.standard_scaler:
            scaler = StandardScaler(
                inputCol=features, outputCol="__scaled", withMean=True, withStd=True
            ).fit(table)
            table, features = scaler.transform(table), "__scaled"
        table = table.cache()
        kinds = {"mse": LinearRegression, "hinge": LinearSVC}
        kind = kinds.get(objective.loss.name, LogisticRegression)
        if objective.loss.multiclass:
            options["family"] = "multinomial"
        if objective.loss.quadratic:
            options["solver"] = problem.solver
        if kind is not LinearSVC:
            options["elasticNetParam"] = problem.elastic_net_param
        estimator = kind(
            featuresCol=features,
            labelCol="__label",
            regParam=problem.reg_param,
            standardization=problem.standardization and not problem.standard_scaler,
            fitIntercept=objective.fit_intercept,
            maxIter=max_iter,
            tol=tol,
            **options,
        )
        fitted = estimator.fit(table)
        seconds = time.perf_counter() - began
        # of LinearSVC's model, summary is a method
        summary = fitted.summary() if kind is LinearSVC else fitted.summary
        iterations = int(summary.totalIterations)
        table.unpersist()
    w: Array
    b: Any
    if objective.loss.multiclass:
        w = np.array(fitted.coefficientMatrix.toArray()).T
        b = np.array(fitted.interceptVector.toArray())
    else:
        w, b = np.array(fitted.coefficients.toArray()), float(fitted.intercept)
    about = kind.__name__ + (f'(solver="{problem.solver}")' if "solver" in options else "")
    about += '(family="multinomial")' if "family" in options else ""
    if scaler is not None:
        std = np.array(scaler.std.toArray())
        divisor = std[:, None] if w.ndim == 2 else std
        w = np.divide(w, divisor, out=np.zeros_like(w), where=divisor > 0)
        b -= np.array(scaler.mean.toArray()) @ w if objective.fit_intercept else 0.0
        about = f"StandardScaler(withMean=True), {about}"
    return SparkAnswer(w, b, iterations, seconds, about)


def _as_vectors(table: "DataFrame", column: str) -> "DataFrame":
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions as F

    value = F.col(_quoted(column))
    if table.schema[column].dataType.typeName() == "array":
        value = array_to_vector(value)
    return table.withColumn("__features", value)


def _quoted(name: str) -> str:
    escaped = name.replace("`", "``")
    return f"`{escaped}`"


def check_comparable(settings: Settings, standard_scaler: bool) -> None:
    """Raise InputError where pyspark.ml, or StandardScaler, would not solve the same problem."""
    if ".py:" in settings.loss:
        raise InputError(f"compare needs a loss that pyspark.ml has, not {settings.loss}")
    if settings.noise_group is not None:
        raise InputError(
            f"compare has no noise_group, which pyspark.ml has not: {settings.noise_group!r}"
        )
    if settings.penalties or settings.penalty:
        names = ", ".join([*settings.penalties, *filter(None, [settings.penalty])])
        raise InputError(f"compare needs L1 and L2 only: pyspark.ml has no {names}")
    if settings.constraints is not None:
        raise InputError("compare takes no constraints: pyspark.ml has no linear equality ones")
    if settings.loss not in ("mse", "bxe", "cxe", "hinge"):
        raise InputError(f"compare needs loss mse, bxe, cxe or hinge, not {settings.loss}")
    if settings.loss == "hinge" and settings.elastic_net_param > 0:
        raise InputError(
            "compare needs elastic_net_param 0 for loss hinge, not "
            f"{settings.elastic_net_param:g}: pyspark.ml's LinearSVC has an L2 penalty only"
        )
    if not standard_scaler:
        return
    if not settings.standardization:
        raise InputError("standard_scaler needs standardization, or the problems differ")
    if settings.weight is not None or settings.sigma is not None:
        raise InputError("standard_scaler ignores weights, so the problems would differ")
    if not settings.fit_intercept:
        raise InputError("standard_scaler subtracts means, which needs an intercept")


def compare_answers(fit: Fit, theirs: SparkAnswer, version: str) -> dict[str, Any]:
    """comparison.json: both answers, both scored by our objective in one pass."""
    ours, objective = fit.model, fit.objective
    theta = objective.coordinates.theta
    at = np.column_stack([theta(ours.weights, ours.intercept), theta(theirs.w, theirs.intercept)])
    expected = Expected.of(objective.summary)
    parts = [
        scorer(objective.loss, ours.weights, ours.intercept, expected),
        scorer(objective.loss, theirs.w, theirs.intercept, expected),
    ]
    objectives = objective.values(at, "both answers")
    states = objective.dataset.aggregate(Several(*parts))
    metrics = [
        scored(part, state, objective.dataset) for part, state in zip(parts, states, strict=True)
    ]
    largest = max(float(np.max(np.abs(ours.weights), initial=0.0)), np.finfo(float).tiny)
    return {
        "problem": _problem(ours),
        "engines": {
            OURS: {
                "objective": float(objectives[0]),
                "metrics": metrics[0],
                "intercept": ours.intercept,
                "n_iter": ours.n_iter,
                "n_passes": ours.n_passes,
                "seconds": round(ours.seconds, 3),
                "status": ours.status,
                "about": f"solver {ours.solver}",
                "version": ours.library_versions["w261reg"],
            },
            THEIRS: {
                "objective": float(objectives[1]),
                "metrics": metrics[1],
                "intercept": theirs.intercept,
                "n_iter": theirs.n_iter,
                "n_passes": None,
                "seconds": round(theirs.seconds, 3),
                "status": None,
                "about": theirs.about,
                "version": version,
            },
        },
        "coefficients": _side_by_side(ours, theirs),
        "objective_difference": float(objectives[1] - objectives[0]),
        "max_coefficient_difference": float(
            np.max(np.abs(theirs.w - ours.weights), initial=0.0) / largest
        ),
        "note": "Each engine ran once, w261reg first, with its session's start: not a benchmark.",
    }


def _code(label: "Column", levels: tuple[Any, ...]) -> "Column":
    """The positions of a label's values in the levels: pyspark.ml's classes are 0 to K - 1."""
    from pyspark.sql import functions as F

    if isinstance(levels[0], str | bool):
        values = F.array(*[F.lit(value) for value in levels])
    else:
        label, values = label.cast("double"), F.array(*[F.lit(float(value)) for value in levels])
    return F.array_position(values, label) - 1


def _side_by_side(ours: Model, theirs: SparkAnswer) -> list[dict[str, Any]]:
    """One entry a coefficient; of several classes, feature by feature."""
    classes: list[dict[str, Any]] = [{}]
    if ours.weights.ndim == 2:
        classes = [{"class": value} for value in ours.classes or ()]
    names = [(name, own) for name in ours.feature_names for own in classes]
    return [
        {"feature": name, **own, OURS: float(a), THEIRS: float(b)}
        for (name, own), a, b in zip(names, ours.weights.ravel(), theirs.w.ravel(), strict=True)
    ]


def _problem(model: Model) -> dict[str, Any]:
    return {
        "loss": model.loss,
        "l1": model.l1,
        "l2": model.l2,
        "fit_intercept": model.fit_intercept,
        "standardization": model.standardization,
        "rows": model.rows,
        "features": len(model.feature_names),
    }
