"""pyspark.ml with the BLAS it brings (netlib's F2J, or Java's vector instructions)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from w261reg.benchmark.engines.base import MAX_ITER, Answer, SparkEngine
from w261reg.benchmark.problems import Posed
from w261reg.conventions import SPARK_NORMAL_MAX_FEATURES


class PySpark(SparkEngine):
    """LinearRegression or LogisticRegression on a cached DataFrame.

    Variants: `normal` and `l-bfgs` are LinearRegression's solvers, of which the first is its own
    choice up to 4,096 features; `uncached` leaves the caching to the estimator.
    """

    name = "pyspark"
    title = "pyspark.ml"
    variants: ClassVar[Sequence[str]] = ("l-bfgs", "normal", "uncached")
    usual = ("", "l-bfgs")
    tolerances: ClassVar = tuple(10.0**-k for k in (3, 4, 5, 6, 7, 8, 10, 12, 14))

    def supports(self, problem: Posed) -> str:
        if self.variant in ("l-bfgs", "normal") and not problem.quadratic:
            return f"{self.variant} is a solver for squared error"
        if self.variant == "normal" and problem.width > SPARK_NORMAL_MAX_FEATURES:
            return f"the normal equation has {SPARK_NORMAL_MAX_FEATURES:,} features at most"
        if self.variant == "l-bfgs" and problem.width > SPARK_NORMAL_MAX_FEATURES:
            return "the same as without a variant"
        return ""

    def start(self) -> None:
        import pyspark.ml  # noqa: F401 - its import is not timed

        super().start()

    def fit(self, problem: Posed, tol: float) -> Answer:
        from pyspark.ml.feature import VectorAssembler

        table = self.spark_session.read.parquet(problem.path)
        features = problem.columns[0]
        if not problem.vector:
            features = "__features"
            assembler = VectorAssembler(inputCols=list(problem.columns), outputCol=features)
            table = assembler.transform(table)
        table = table.select(features, problem.label)
        if self.variant != "uncached":
            table = table.cache()
        fitted = self._estimator(problem, features, tol).fit(table)
        if self.variant != "uncached":
            table.unpersist()
        w = np.array(fitted.coefficients.toArray())
        return Answer(w, float(fitted.intercept), int(fitted.summary.totalIterations))

    def _estimator(self, problem: Posed, features: str, tol: float) -> Any:
        """The estimator with the canonical problem in its terms.

        Its standard deviations divide by m - 1 but for the normal equation: d' = c d, so
        l1' = l1 / c and l2' = l2 / c^2. Linear regression divides l2 by the label's deviation.
        """
        from pyspark.ml.classification import LogisticRegression
        from pyspark.ml.regression import LinearRegression

        normal = problem.quadratic and problem.width <= SPARK_NORMAL_MAX_FEATURES
        normal = normal and self.variant != "l-bfgs"
        sample = (problem.rows / (problem.rows - 1)) ** 0.5
        c = 1.0 if normal or not problem.standardization else sample
        l1, l2 = problem.l1 / c, problem.l2 / c**2
        options: dict[str, Any] = {}
        if problem.quadratic:
            l2 *= problem.label_sd * (1.0 if normal else sample)
            options["solver"] = "normal" if normal else "l-bfgs"
        total = l1 + l2
        kind = LinearRegression if problem.quadratic else LogisticRegression
        return kind(
            featuresCol=features,
            labelCol=problem.label,
            regParam=total,
            elasticNetParam=l1 / total if total > 0 else 0.0,
            standardization=problem.standardization,
            fitIntercept=problem.fit_intercept,
            maxIter=MAX_ITER,
            tol=tol,
            **options,
        )

    def versions(self) -> dict[str, str]:
        jvm: Any = self.spark_session.sparkContext._jvm
        java = str(jvm.System.getProperty("java.version"))
        return {"pyspark": self.spark_session.version, "java": java, "blas": self.blas(jvm)}

    def blas(self, jvm: Any) -> str:
        """The class that does the JVM's linear algebra."""
        return str(jvm.dev.ludovic.netlib.blas.JavaBLAS.getInstance().getClass().getSimpleName())
