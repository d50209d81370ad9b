"""The problems: a table, a label and the strengths of the canonical objective.

    F(w, b) = (1/m) sum l(y, x'w + b) + l1 sum d_j |w_j| + (l2/2) sum d_j^2 w_j^2

with m rows, and d_j = 1 or, standardized, the standard deviation of feature j over m.
"""

from dataclasses import dataclass
from typing import Any, Final

REAL, BINARY = "y", "y01"  # the labels of a table: a real number, and 0 or 1
VECTOR = "features"  # the column of a table whose features are one sparse vector


@dataclass(frozen=True)
class Problem:
    """A named problem.

    Attributes:
        name: what it is called on the command line.
        table: a name in tables.TABLES.
        loss: mse or bxe.
        l1, l2: canonical strengths.
        about: in a few words, what it stands for.
        standardization: penalise coefficients times standard deviations.
        fit_intercept: whether there is an intercept; it is never penalised.
    """

    name: str
    table: str
    loss: str
    l1: float
    l2: float
    about: str
    standardization: bool = True
    fit_intercept: bool = True

    @property
    def label(self) -> str:
        """The label's column."""
        return BINARY if self.loss == "bxe" else REAL


@dataclass(frozen=True)
class Posed:
    """A problem on its table: what an engine is given.

    Attributes:
        name, loss, l1, l2, standardization, fit_intercept, label: of the problem.
        path: the Parquet file.
        columns: the features' columns, or the one vector column.
        vector: whether it is one vector column.
        width: n, the number of features.
        rows: m.
        label_sd: standard deviation of the label over m.
        nnz: mean number of non-zero features of a row.
    """

    name: str
    loss: str
    l1: float
    l2: float
    standardization: bool
    fit_intercept: bool
    label: str
    path: str
    columns: tuple[str, ...]
    vector: bool
    width: int
    rows: int
    label_sd: float
    nnz: float

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Posed":
        """The inverse of dataclasses.asdict, after a way through JSON."""
        return cls(**{**document, "columns": tuple(document["columns"])})

    @property
    def quadratic(self) -> bool:
        """Whether the loss is the squared error."""
        return self.loss == "mse"

    @property
    def strength(self) -> float:
        """l1 + l2."""
        return self.l1 + self.l2

    @property
    def mix(self) -> float:
        """The share of L1: 0 is L2, 1 is L1."""
        return self.l1 / self.strength if self.strength > 0 else 0.0


_ALL: Final = (
    Problem("bxe-l2-dense", "dense", "bxe", 0.0, 1e-3, "logistic regression, many rows"),
    Problem("bxe-l1-dense", "dense", "bxe", 5e-3, 0.0, "the same with the lasso penalty"),
    Problem("bxe-l2-wide", "wide", "bxe", 0.0, 1e-3, "logistic regression, many columns"),
    Problem("bxe-l1-wide", "wide", "bxe", 5e-3, 0.0, "the same with the lasso penalty"),
    Problem("mse-ridge-wide", "wide", "mse", 0.0, 1e-2, "ridge regression, many columns"),
    Problem("mse-lasso-wide", "wide", "mse", 5e-2, 0.0, "lasso, many columns"),
    Problem("bxe-l2-sparse", "sparse", "bxe", 0.0, 1e-4, "logistic regression, sparse"),
    Problem("flights-ridge", "flights", "mse", 0.0, 1e-2, "delay at arrival, New York 2013"),
    Problem(
        "flights3m-ridge", "flights3m", "mse", 0.0, 1e-2, "delay of US flights, sparse dummies"
    ),
    Problem("a9a-l2", "a9a", "bxe", 0.0, 1e-3, "income of adults, sparse", standardization=False),
    Problem(
        "a9a-l1", "a9a", "bxe", 1e-3, 0.0, "the same with the lasso penalty", standardization=False
    ),
)
PROBLEMS: Final[dict[str, Problem]] = {problem.name: problem for problem in _ALL}
