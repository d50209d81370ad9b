"""This project, on Spark; with a variant, one of its solvers instead of the one it chooses."""

from typing import ClassVar

from w261reg.benchmark.engines.base import MAX_ITER, Answer, SparkEngine
from w261reg.benchmark.problems import Posed
from w261reg.solvers import SOLVERS
from w261reg.versions import library_versions
from w261reg.workflows import train


class W261reg(SparkEngine):
    """`w261reg.train` on the file, as a user calls it."""

    name = "w261reg"
    title = "w261reg"
    variants = tuple(sorted(SOLVERS))
    tolerances: ClassVar = tuple(10.0**-k for k in range(3, 13))

    def supports(self, problem: Posed) -> str:
        if not self.variant:
            return ""
        solver = SOLVERS[self.variant]
        if solver.smooth_only and problem.l1:
            return f"solver {self.variant} has no L1 part"
        if solver.quadratic_only and not problem.quadratic:
            return f"solver {self.variant} is for squared error"
        if solver.kinked_only:  # no problem here has such a loss
            return f"solver {self.variant} is for hinge loss"
        return ""

    def fit(self, problem: Posed, tol: float) -> Answer:
        model = train(
            problem.path,
            problem.label,
            features=problem.columns,
            loss=problem.loss,
            reg_param=problem.strength,
            elastic_net_param=problem.mix,
            convention="canonical",
            standardization=problem.standardization,
            fit_intercept=problem.fit_intercept,
            solver=self.variant or "auto",
            max_iter=MAX_ITER,
            tol=tol,
        )
        about = f"{model.status}, solver {model.solver}"
        return Answer(model.weights, model.intercept, model.n_iter, model.n_passes, about)

    def versions(self) -> dict[str, str]:
        return library_versions(self.spark_session.version)
