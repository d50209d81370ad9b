"""The same regParam gives pyspark.ml's coefficients; the same problem, its objective."""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse

from tests.spark.helpers import fit_on
from w261reg import comparison, train
from w261reg.config import Settings
from w261reg.conventions import CONVENTIONS
from w261reg.errors import InputError
from w261reg.fitting import fit
from w261reg.losses import get_loss
from w261reg.opening import source_columns
from w261reg.sources import TableSource, array_source
from w261reg.sources.packing import local_dataset

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark
Array = NDArray[np.float64]
NAMES = ("x1", "x2", "x3", "x4")
MIX = {"none": (0.0, 0.0), "ridge": (0.08, 0.0), "lasso": (0.08, 1.0), "elastic net": (0.08, 0.4)}
ESTIMATORS = {  # loss, pyspark.ml's solver, our convention for it
    "normal": ("mse", "normal", "spark"),
    "l-bfgs": ("mse", "l-bfgs", "spark-lbfgs"),
    "logistic": ("bxe", None, "spark"),
}
# half of all combinations of intercept, standardization, weights and sparse: each pair of values
# of any two of them comes with every estimator and every penalty
CASES = [
    (intercept, standardization, weights, intercept ^ standardization ^ weights)
    for intercept, standardization, weights in product((True, False), repeat=3)
]


def _tables() -> tuple[Array, Array, Array, Array]:
    """Features (m, 4) of several scales, labels in {0, 1}, a response, weights >= 0."""
    generator = np.random.default_rng(11)
    m = 160
    x = generator.normal(size=(m, 4)) * [1.0, 20.0, 0.1, 3.0] + [0.5, -30.0, 0.0, 2.0]
    x[:, 2:][generator.random((m, 2)) < 0.5] = 0.0
    z = (x - x.mean(axis=0)) / x.std(axis=0) @ np.array([1.0, -0.8, 0.3, 0.02])
    y = (z + generator.logistic(size=m) > 0.2).astype(float)
    weight = np.round(generator.gamma(2.0, size=m), 3) * (np.arange(m) % 11 > 0)
    return x, y, 5 * z + 7 + generator.normal(size=m), weight


X, Y, RESPONSE, WEIGHT = _tables()


@pytest.fixture(scope="module")
def vectors(spark: "SparkSession") -> Iterator[dict[bool, "DataFrame"]]:
    """pyspark.ml's own form of the table: dense vectors, and sparse ones."""
    from pyspark.ml.linalg import Vectors

    frames = {}
    for is_sparse in (False, True):
        rows = []
        for row, y, response, weight in zip(X, Y, RESPONSE, WEIGHT, strict=True):
            at = np.flatnonzero(row)
            vector = (
                Vectors.sparse(4, at.tolist(), row[at].tolist())
                if is_sparse
                else Vectors.dense(row.tolist())
            )
            rows.append((vector, float(y), float(response), float(weight)))
        frame = spark.createDataFrame(rows, ["features", "bxe", "mse", "weight"])
        frames[is_sparse] = frame.coalesce(1).cache()
        frames[is_sparse].count()
    yield frames
    for frame in frames.values():
        frame.unpersist()


def direct(
    frame: "DataFrame", loss: str, solver: str | None, mix: tuple[float, float], **options: Any
) -> tuple[Array, float]:
    """pyspark.ml called as a user calls it."""
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.regression import LinearRegression

    kind = LogisticRegression if loss == "bxe" else LinearRegression
    if solver is not None:
        options["solver"] = solver
    model = kind(
        featuresCol="features",
        labelCol=loss,
        regParam=mix[0],
        elasticNetParam=mix[1],
        tol=1e-10,
        maxIter=1000,
        **options,
    ).fit(frame)
    return np.array(model.coefficients.toArray()), float(model.intercept)


def assert_close(got: tuple[Array, float], wanted: tuple[Array, float]) -> None:
    """To 1e-6 of the largest coefficient; the intercept to 1e-6 of the largest term of z."""
    w, b = got
    np.testing.assert_allclose(w, wanted[0], rtol=0, atol=1e-6 * np.abs(wanted[0]).max())
    size = max(abs(wanted[1]), float(np.max(np.abs(wanted[0] * X.mean(axis=0)))))
    np.testing.assert_allclose(b, wanted[1], rtol=0, atol=1e-6 * size)


@pytest.mark.parametrize(("intercept", "standardization", "weights", "is_sparse"), CASES)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_coefficients(
    vectors: dict[bool, "DataFrame"],
    estimator: str,
    intercept: bool,
    standardization: bool,
    weights: bool,
    is_sparse: bool,
) -> None:
    loss, solver, convention = ESTIMATORS[estimator]
    options: dict[str, Any] = {"fitIntercept": intercept, "standardization": standardization}
    frame = vectors[is_sparse]
    if weights:
        options["weightCol"] = "weight"
        frame = frame.where("weight > 0")
    # two penalties a case, so that each goes with half of the cases
    even = (intercept + 2 * standardization + weights) % 2 == 0
    for penalty in ("ridge", "lasso") if even else ("none", "elastic net"):
        theirs = direct(frame, loss, solver, MIX[penalty], **options)
        ours = train(
            sparse.csr_array(X) if is_sparse else X,
            Y if loss == "bxe" else RESPONSE,
            weight=WEIGHT if weights else None,
            loss=loss,
            reg_param=MIX[penalty][0],
            elastic_net_param=MIX[penalty][1],
            fit_intercept=intercept,
            standardization=standardization,
            convention=convention,
        )
        assert ours.status == "converged", penalty
        assert_close((ours.weights, ours.intercept), theirs)
        if not intercept:
            assert ours.intercept == 0.0


def test_the_two_linear_solvers_differ(vectors: dict[bool, "DataFrame"]) -> None:
    """So that a test above would fail if one convention stood for both."""
    answers = [
        direct(vectors[False], "mse", solver, MIX["ridge"])[0] for solver in ("normal", "l-bfgs")
    ]
    assert np.max(np.abs(answers[0] - answers[1])) > 1e-5 * np.max(np.abs(answers[0]))


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_a_constant_feature(spark: "SparkSession", loss: str) -> None:
    from pyspark.ml.feature import VectorAssembler

    frame = pd.DataFrame(X, columns=list(NAMES)).assign(c=3.0, mse=RESPONSE, bxe=Y)
    table = VectorAssembler(inputCols=[*NAMES, "c"], outputCol="features").transform(
        spark.createDataFrame(frame).coalesce(1)
    )
    w, b = direct(table, loss, None, MIX["ridge"])
    ours = train(frame[[*NAMES, "c", loss]], label=loss, loss=loss, reg_param=MIX["ridge"][0])
    assert ours.weights[4] == w[4] == 0.0
    assert ours.constant_features == ("c",)
    assert_close((ours.weights[:4], ours.intercept), (w[:4], b))


def test_on_spark_as_in_this_process(vectors: dict[bool, "DataFrame"]) -> None:
    for is_sparse, frame in vectors.items():
        model = train(
            frame.select("features", "bxe", "weight"), label="bxe", weight="weight", loss="bxe",
            reg_param=0.08, elastic_net_param=0.4, collect_bytes=0,
        )  # fmt: skip
        theirs = direct(
            frame.where("weight > 0"), "bxe", None, MIX["elastic net"], weightCol="weight"
        )
        assert_close((model.weights, model.intercept), theirs)
        assert model.rows == int((WEIGHT > 0).sum()), is_sparse


# --- comparison.translate -----------------------------------------------------------------------

FRAME = pd.DataFrame(X, columns=list(NAMES)).assign(mse=RESPONSE, bxe=Y, weight=WEIGHT)


@pytest.fixture(scope="module")
def columns_frame(spark: "SparkSession") -> Iterator["DataFrame"]:
    frame = spark.createDataFrame(FRAME).coalesce(1).cache()
    yield frame
    frame.unpersist()


def problems() -> Iterator[tuple[str, str, float, bool | None]]:
    """Every convention with every loss it knows; (convention, loss, mix, standardization)."""
    for convention, loss in product(CONVENTIONS, ("mse", "bxe")):
        if convention == "homework" and loss == "mse":
            continue
        yield convention, loss, 0.0 if convention in ("homework", "sklearn") else 0.4, None
    yield "canonical", "bxe", 1.0, False
    yield "sklearn", "mse", 0.4, True


@pytest.mark.parametrize(("convention", "loss", "mix", "standardization"), list(problems()))
def test_translated_problem_has_the_same_optimum(
    columns_frame: "DataFrame", convention: str, loss: str, mix: float, standardization: bool | None
) -> None:
    # divided by the sum of weights there, or scikit-learn's alpha
    strong = convention == "homework" or (convention, loss, mix) == ("sklearn", "mse", 0.0)
    settings = Settings(
        label=loss, loss=loss, convention=convention, elastic_net_param=mix,
        reg_param=5.0 if strong else 0.1, standardization=standardization, weight="weight",
    ).checked()  # fmt: skip
    source = TableSource(FRAME[[*NAMES, loss, "weight"]])
    columns = source_columns(source, settings)
    ours = fit(settings, local_dataset(source, columns), columns, None, 0.0)
    assert ours.model.l1 + ours.model.l2 > 1e-3
    problem = comparison.translate(ours.objective, convention, bool(settings.standardization))
    theirs = comparison.fit_pyspark(
        columns_frame, columns, problem, ours.objective, max_iter=1000, tol=1e-10
    )
    theta = ours.objective.coordinates.theta(theirs.w, theirs.intercept)
    at = float(ours.objective.values(theta[:, None])[0])
    # within 1e-8 of the optimum, and never below it
    assert -1e-13 < at / ours.model.objective - 1 < 1e-8
    # which a strength that is 5 % off would not be
    off = comparison.SparkProblem(
        problem.reg_param * 1.05, problem.elastic_net_param, problem.standardization, problem.solver
    )
    if convention in ("canonical", "spark-lbfgs"):
        wrong = comparison.fit_pyspark(
            columns_frame, columns, off, ours.objective, max_iter=1000, tol=1e-10
        )
        theta = ours.objective.coordinates.theta(wrong.w, wrong.intercept)
        assert float(ours.objective.values(theta[:, None])[0]) / ours.model.objective - 1 > 1e-8


def test_standard_scaler_in_front_is_the_same_problem(columns_frame: "DataFrame") -> None:
    for loss in ("mse", "bxe"):
        settings = Settings(label=loss, loss=loss, reg_param=0.1, elastic_net_param=0.4).checked()
        source = TableSource(FRAME[[*NAMES, loss]])
        columns = source_columns(source, settings)
        ours = fit(settings, local_dataset(source, columns), columns, None, 0.0)
        problem = comparison.translate(ours.objective, "spark", True, standard_scaler=True)
        theirs = comparison.fit_pyspark(
            columns_frame, columns, problem, ours.objective, max_iter=1000, tol=1e-10
        )
        assert_close((theirs.w, theirs.intercept), (ours.model.weights, ours.model.intercept))
        comparison.check_comparable(settings, standard_scaler=True)


@pytest.mark.parametrize(
    "given", [{"standardization": False}, {"weight": "weight"}, {"fit_intercept": False}]
)
def test_standard_scaler_where_it_would_differ(given: dict[str, Any]) -> None:
    settings = Settings(label="mse", loss="mse", reg_param=0.1, **given).checked()
    with pytest.raises(InputError, match="standard_scaler"):
        comparison.check_comparable(settings, standard_scaler=True)


def test_ours_is_never_above_pyspark_at_its_defaults(vectors: dict[bool, "DataFrame"]) -> None:
    """An elastic net where pyspark.ml stops early: one-sided."""
    from pyspark.ml.classification import LogisticRegression

    loss = get_loss("bxe")
    model = LogisticRegression(
        featuresCol="features", labelCol="bxe", regParam=0.01, elasticNetParam=0.5
    ).fit(vectors[False])
    settings = Settings(label="label", loss=loss.name, reg_param=0.01, elastic_net_param=0.5)
    source, _, _ = array_source(X, Y, None)
    columns = source_columns(source, settings.checked())
    ours = fit(settings.checked(), local_dataset(source, columns), columns, None, 0.0)
    theta = ours.objective.coordinates.theta(model.coefficients.toArray(), model.intercept)
    assert ours.model.objective <= float(ours.objective.values(theta[:, None])[0])
    assert fit_on(local_dataset(source, columns), settings.checked(), columns).status == "converged"
