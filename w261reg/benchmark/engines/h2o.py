"""H2O's generalized linear model on a server of its own on this machine."""

from typing import Any, ClassVar

import numpy as np

from w261reg.benchmark.engines.base import Answer, Engine
from w261reg.benchmark.problems import Posed

MAX_ITER = 10_000


class H2O(Engine):
    """H2OGeneralizedLinearEstimator; its standard deviations divide by m - 1."""

    name = "h2o"
    title = "H2O"
    packages = ("h2o",)
    tolerances: ClassVar = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
    fits = 2

    def supports(self, problem: Posed) -> str:
        if problem.vector:
            return "H2O does not read pyspark.ml's vector column"
        return ""

    def start(self) -> None:
        import h2o

        h2o.init(verbose=False, nthreads=-1, min_mem_size="1G")
        h2o.no_progress()

    def fit(self, problem: Posed, tol: float) -> Answer:
        import h2o
        from h2o.estimators import H2OGeneralizedLinearEstimator

        frame = h2o.import_file(problem.path)
        if not problem.quadratic:
            frame[problem.label] = frame[problem.label].asfactor()
        c = 1.0
        if problem.standardization:
            c = (problem.rows / (problem.rows - 1)) ** 0.5
        l1, l2 = problem.l1 / c, problem.l2 / c**2
        options: dict[str, Any] = {"family": "gaussian" if problem.quadratic else "binomial"}
        estimator = H2OGeneralizedLinearEstimator(
            alpha=l1 / (l1 + l2) if l1 + l2 > 0 else 0.0,
            lambda_=l1 + l2,
            standardize=problem.standardization,
            intercept=problem.fit_intercept,
            objective_epsilon=tol,
            gradient_epsilon=tol,
            beta_epsilon=tol,
            max_iterations=MAX_ITER,
            **options,
        )
        estimator.train(x=list(problem.columns), y=problem.label, training_frame=frame)
        found = estimator.coef()
        h2o.remove(frame)
        w = np.array([found.get(name, 0.0) for name in problem.columns])
        return Answer(w, float(found["Intercept"]))

    def stop(self) -> None:
        import h2o

        h2o.cluster().shutdown()

    def versions(self) -> dict[str, str]:
        import h2o

        return {"h2o": h2o.__version__}
