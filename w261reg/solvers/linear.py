"""Linear systems on the driver: symmetric, positive semidefinite, possibly singular."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.blas import one_blas_thread

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """x, and what the system was like.

    Attributes:
        x: the solution, of least norm where there are many.
        condition: estimated condition number of the system scaled to a unit diagonal.
        rank: of the system; less than its size where it is singular.
    """

    x: Array
    condition: float
    rank: int

    @property
    def singular(self) -> bool:
        """Whether the system has more than one solution, to working precision."""
        return self.rank < len(self.x)

    @property
    def note(self) -> str:
        """The sentence a user should read where it is singular."""
        if not self.singular:
            return ""
        return (
            f"the system is numerically singular (rank {self.rank} of {len(self.x)}): other "
            "answers may be better"
        )


def null_threshold(values: NDArray[np.floating[Any]]) -> float:
    """Eigenvalues up to here are rounding errors of 0."""
    size = max(len(values), 16)
    return 4 * size * np.finfo(float).eps * float(np.max(np.abs(values), initial=0.0))


def solve(h: Array, rhs: Array) -> Solution:
    """Solve H x = rhs for a symmetric positive semidefinite H (p, p).

    Cholesky with a condition estimate; where that fails, the pseudo-inverse.
    """
    if len(rhs) == 0:
        return Solution(np.zeros(0), 1.0, 0)
    with one_blas_thread():
        diagonal = np.diagonal(h)
        if (diagonal > 0).all() and np.isfinite(h).all():
            unit = 1 / np.sqrt(diagonal)
            scaled = h * unit[:, None] * unit
            try:
                factor = linalg.cholesky(scaled, lower=True)
            except linalg.LinAlgError:
                pass
            else:
                norm = float(np.abs(scaled).sum(axis=0).max())
                reciprocal, _ = linalg.lapack.dpocon(factor, norm, uplo="L")
                if reciprocal > 16 * len(rhs) * np.finfo(float).eps:
                    x = unit * linalg.cho_solve((factor, True), unit * rhs)
                    return Solution(x, 1 / reciprocal, len(rhs))
        values, vectors = np.linalg.eigh(h)
        seen = values > null_threshold(values)
        x = vectors[:, seen] @ ((vectors[:, seen].T @ rhs) / values[seen])
        return Solution(np.asarray(x), float("inf"), int(seen.sum()))
