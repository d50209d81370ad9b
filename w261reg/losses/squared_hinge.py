"""Squared hinge loss."""

import numpy as np

from w261reg.losses.base import Array, Loss


class SquaredHinge(Loss):
    """l = max(0, 1 - t z)^2 with t = 2y - 1 for y in {0, 1}; l' = -2 t max(0, 1 - t z).

    No half, as in scikit-learn's LinearSVC (Fan et al. 2008, *LIBLINEAR*). l'' = 2 where t z < 1,
    else 0: the generalised second derivative, with which Newton's method converges still
    (Mangasarian 2002, *A Finite Newton Method for Classification*).
    """

    name = "squared_hinge"
    title = "squared hinge loss, of the linear support vector machine"
    lowest = 0.0
    metric = "squared_hinge_loss"
    classification = True
    probabilistic = False
    most_curved = 2.0

    def value(self, y: Array, z: Array) -> Array:
        return np.square(_shortfall(y, z))

    def derivative(self, y: Array, z: Array) -> Array:
        return (2.0 - 4.0 * y[:, None]) * _shortfall(y, z)

    def curvature(self, y: Array, z: Array) -> Array:
        return np.where(_shortfall(y, z) > 0.0, 2.0, 0.0)

    def mean(self, z: Array) -> Array:
        return np.asarray(z > 0.0, dtype=float)

    def null_predictor(self, y_mean: float) -> float:
        return 2.0 * y_mean - 1.0

    def null_of_classes(self, negative: float, positive: float) -> float:
        return positive - negative


def _shortfall(y: Array, z: Array) -> Array:
    """max(0, 1 - t z), (b, k)."""
    return np.maximum(1.0 - (2.0 * y[:, None] - 1.0) * z, 0.0)
