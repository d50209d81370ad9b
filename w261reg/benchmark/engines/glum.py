"""glum in one process."""

from typing import Any, ClassVar

import numpy as np

from w261reg.benchmark.engines.base import MAX_ITER, Answer, Engine
from w261reg.benchmark.problems import Posed
from w261reg.benchmark.reading import read_matrix

MOST_FEATURES = 5000


class Glum(Engine):
    """GeneralizedLinearRegressor, which scales the columns itself; its deviance is twice our loss,
    and halved in its objective, so strengths are ours."""

    name = "glum"
    title = "glum"
    packages = ("glum",)
    tolerances: ClassVar = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)

    def supports(self, problem: Posed) -> str:
        if problem.width > MOST_FEATURES:
            return f"its solver's Hessian of {problem.width:,} features is too large"
        return ""

    def start(self) -> None:
        import warnings

        import glum  # noqa: F401 - its import is not timed

        # an answer that falls short is seen by its gap
        warnings.filterwarnings("ignore", module="glum")

    def fit(self, problem: Posed, tol: float) -> Answer:
        from glum import GeneralizedLinearRegressor

        x, y = read_matrix(problem, "F")
        x = x.tocsc() if problem.vector else x
        options: dict[str, Any] = {"family": "normal" if problem.quadratic else "binomial"}
        estimator = GeneralizedLinearRegressor(
            alpha=problem.strength,
            l1_ratio=problem.mix,
            fit_intercept=problem.fit_intercept,
            scale_predictors=problem.standardization,
            gradient_tol=tol,
            max_iter=MAX_ITER,
            copy_X=False,
            **options,
        )
        estimator.fit(x, y)
        iterations = getattr(estimator, "n_iter_", None)
        count = None if iterations is None else int(iterations)
        return Answer(np.asarray(estimator.coef_), float(estimator.intercept_), count)

    def versions(self) -> dict[str, str]:
        import glum
        import tabmat

        return {"glum": glum.__version__, "tabmat": tabmat.__version__, "numpy": np.__version__}
