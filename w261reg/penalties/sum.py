"""Several penalties at once."""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from w261reg.penalties.base import Array, Penalty, subdifferential_distance


@dataclass(frozen=True)
class PenaltySum:
    """R(w) = sum of the terms; what an objective holds, so that any set of penalties combines.

    It offers value, gradient, hessian, diagonal, kink and residual; a prox of a sum is not the sum
    of the proxes, so the solvers with an L1 part work from `kink` and a quadratic model instead.
    """

    terms: tuple[Penalty, ...]

    def value(self, w: Array) -> float:
        """R(w)."""
        return sum((term.value(w) for term in self.terms), 0.0)

    def gradient(self, w: Array) -> Array:
        """The gradient (n,), with sign(0) = 0."""
        return sum((term.gradient(w) for term in self.terms), np.zeros_like(w))

    def kink(self, w: Array) -> Array:
        """Half the jump of the derivative at 0, (n,)."""
        return sum((term.kink(w) for term in self.terms), np.zeros_like(w))

    def hessian(self, w: Array) -> Array:
        """The second derivative away from kinks, (n,) if all terms are diagonal, else (n, n)."""
        parts = [term.hessian(w) for term in self.terms]
        if any(part.ndim == 2 for part in parts):
            parts = [part if part.ndim == 2 else np.diag(part) for part in parts]
        return reduce(np.add, parts, np.zeros_like(w))

    def diagonal(self, w: Array) -> Array:
        """The diagonal of `hessian` (n,)."""
        return sum((term.diagonal(w) for term in self.terms), np.zeros_like(w))

    def residual(self, w: Array, g: Array) -> Array:
        """Distance of -g from the subdifferential of R at w, one a feature (n,)."""
        return subdifferential_distance(w, g + self.gradient(w), self.kink(w))
