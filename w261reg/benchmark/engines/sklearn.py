"""scikit-learn in one process, on all cores its BLAS takes."""

from typing import Any, ClassVar

import numpy as np

from w261reg.benchmark.engines.base import MAX_ITER, Answer, Engine
from w261reg.benchmark.problems import Posed
from w261reg.benchmark.reading import read_matrix, standard_deviations

# a Hessian or Gram matrix above it is not worth its memory
MOST_SQUARE = 5000


class Sklearn(Engine):
    """LogisticRegression, Ridge or Lasso on columns that are divided by their deviations.

    Its solver for the cross entropy is `newton-cholesky`, or `lbfgs` where a Hessian is too large,
    and `saga` under L1; for squared error Ridge by Cholesky and Lasso by coordinate descent with
    the Gram matrix. `liblinear` is left out: it penalises the intercept, which is another problem.
    """

    name = "sklearn"
    title = "scikit-learn"
    variants = ("lbfgs", "newton-cholesky", "saga")
    packages = ("sklearn",)
    tolerances: ClassVar = (1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)

    def supports(self, problem: Posed) -> str:
        if not self.variant:
            return ""
        if problem.quadratic:
            return f"{self.variant} is a solver for the cross entropy"
        if problem.l1 and self.variant != "saga":
            return f"{self.variant} has no L1 part"
        if self.variant == "newton-cholesky" and problem.width > MOST_SQUARE:
            return f"a Hessian of {problem.width:,} features is too large"
        return ""

    def start(self) -> None:
        import warnings

        import sklearn.linear_model

        # an answer that falls short is seen by its gap
        warnings.filterwarnings("ignore", category=sklearn.exceptions.ConvergenceWarning)

    def fit(self, problem: Posed, tol: float) -> Answer:
        coordinate_descent = problem.quadratic and problem.l1 > 0
        x, y = read_matrix(problem, "F" if coordinate_descent else "C")
        sd, mean = np.ones(problem.width), np.zeros(problem.width)
        if problem.standardization:
            mean, sd = standard_deviations(x)
            if problem.vector:
                mean = np.zeros(problem.width)  # centred columns would not be sparse
                x.data /= sd[x.indices]
            else:
                if problem.fit_intercept:
                    x -= mean
                else:
                    mean = np.zeros(problem.width)
                x /= sd
        estimator = self._estimator(problem, len(y), tol)
        estimator.fit(x, y)
        w = np.ravel(estimator.coef_) / sd
        b = float(np.ravel(estimator.intercept_)[0]) if problem.fit_intercept else 0.0
        iterations = getattr(estimator, "n_iter_", None)
        count = None if iterations is None else int(np.max(iterations))
        return Answer(w, b - float(mean @ w), count)

    def _estimator(self, problem: Posed, rows: int, tol: float) -> Any:
        from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

        common = {"fit_intercept": problem.fit_intercept, "tol": tol, "max_iter": MAX_ITER}
        if problem.quadratic and problem.l1:
            small = not problem.vector and problem.width <= MOST_SQUARE
            return ElasticNet(
                alpha=problem.strength,
                l1_ratio=problem.mix,
                precompute=small,
                copy_X=False,
                selection="cyclic",
                **common,
            )
        if problem.quadratic:
            solver = "auto" if problem.vector else "cholesky"
            return Ridge(alpha=problem.l2 * rows, copy_X=False, solver=solver, **common)
        options: dict[str, Any] = {"C": 1 / (problem.strength * rows), "l1_ratio": problem.mix}
        smooth = "newton-cholesky" if problem.width <= MOST_SQUARE else "lbfgs"
        solver = self.variant or ("saga" if problem.l1 else smooth)
        return LogisticRegression(solver=solver, random_state=0, **options, **common)

    def versions(self) -> dict[str, str]:
        import sklearn

        return {"scikit-learn": sklearn.__version__, "numpy": np.__version__}
