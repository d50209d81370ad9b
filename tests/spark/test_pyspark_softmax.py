"""Softmax against pyspark.ml's multinomial family: the same regParam, coefficients and form."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from tests.problems import value_at
from tests.softmax import classes_example
from w261reg import train

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark
Array = NDArray[np.float64]
MIX = {"none": (0.0, 0.0), "ridge": (0.05, 0.0), "lasso": (0.02, 1.0), "elastic net": (0.04, 0.4)}
# half of all combinations: each pair of values comes together
CASES = [
    (penalty, intercept, bool(number % 2) ^ intercept)
    for number, penalty in enumerate(MIX)
    for intercept in (True, False)
]
PROBLEM = classes_example(3, m=200)


@pytest.fixture(scope="module")
def vectors(spark: "SparkSession") -> Iterator["DataFrame"]:
    from pyspark.ml.linalg import Vectors

    together = zip(PROBLEM.x, PROBLEM.y, PROBLEM.weight, strict=True)
    rows = [(Vectors.dense(x.tolist()), float(y), float(s)) for x, y, s in together]
    frame = spark.createDataFrame(rows, ["features", "label", "weight"]).coalesce(1).cache()
    frame.count()
    yield frame
    frame.unpersist()


def direct(frame: "DataFrame", mix: tuple[float, float], **options: Any) -> tuple[Array, Array]:
    """(w, b) by pyspark.ml as a user calls it."""
    from pyspark.ml.classification import LogisticRegression

    model = LogisticRegression(
        family="multinomial",
        weightCol="weight",
        regParam=mix[0],
        elasticNetParam=mix[1],
        tol=1e-13,
        maxIter=500,
        **options,
    ).fit(frame)
    return model.coefficientMatrix.toArray().T, model.interceptVector.toArray()


@pytest.mark.parametrize(("penalty", "intercept", "standardization"), CASES)
def test_coefficients(
    vectors: "DataFrame", penalty: str, intercept: bool, standardization: bool
) -> None:
    w, b = direct(vectors, MIX[penalty], fitIntercept=intercept, standardization=standardization)
    strength, mix = MIX[penalty]
    ours = train(
        PROBLEM.x,
        PROBLEM.y,
        weight=PROBLEM.weight,
        loss="cxe",
        reg_param=strength,
        elastic_net_param=mix,
        fit_intercept=intercept,
        standardization=standardization,
        convention="spark",
        tol=1e-11,
    )
    assert ours.ok
    # their deviations are over S - sum s^2 / S
    divisor = PROBLEM.weight.sum() - (PROBLEM.weight**2).sum() / PROBLEM.weight.sum()
    mean = np.average(PROBLEM.x, axis=0, weights=PROBLEM.weight)
    d = np.sqrt((PROBLEM.weight @ (PROBLEM.x - mean) ** 2) / divisor)
    d = d if standardization else np.ones(4)

    def objective(w: Array, b: Array) -> float:
        plain = value_at(PROBLEM.but(reg_param=0.0), w, b)
        u = w * d[:, None]
        l1, l2 = strength * mix, strength * (1 - mix)
        return float(plain + l1 * np.abs(u).sum() + l2 / 2 * (u**2).sum())

    assert ours.objective == pytest.approx(objective(ours.weights, ours.intercept), rel=1e-12)
    assert objective(w, b) >= ours.objective - 1e-12
    assert objective(w, b) <= ours.objective + 1e-7
    if penalty != "lasso":  # within the medians of an even or odd number of classes
        np.testing.assert_allclose(ours.weights, w, rtol=0, atol=2e-5 * np.abs(w).max())
        np.testing.assert_allclose(ours.intercept, b, rtol=0, atol=2e-5 * (1 + np.abs(b).max()))
    np.testing.assert_allclose(
        ours.weights - w,
        (ours.weights - w).mean(axis=1, keepdims=True) * np.ones(3),
        rtol=0,
        atol=1e-4 * np.abs(w).max(),
    )
    shares = special.softmax(PROBLEM.x @ w + b, axis=1)
    np.testing.assert_allclose(ours.probability(PROBLEM.x), shares, rtol=0, atol=1e-4)
