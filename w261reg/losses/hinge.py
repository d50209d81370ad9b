"""Hinge loss."""

import numpy as np

from w261reg.losses.base import Array, Loss


class Hinge(Loss):
    """l = max(0, 1 - t z) with t = 2y - 1 for y in {0, 1}; l' = -t where t z < 1, else 0.

    The support vector machine's loss (Cortes and Vapnik 1995, *Support-Vector Networks*). It has a
    kink at t z = 1 and no curvature beside it.
    """

    name = "hinge"
    title = "hinge loss, of the linear support vector machine"
    lowest = 0.0
    metric = "hinge_loss"
    classification = True
    probabilistic = False
    kinked = True
    steepest = 1.0

    def value(self, y: Array, z: Array) -> Array:
        return np.maximum(1.0 - (2.0 * y[:, None] - 1.0) * z, 0.0)

    def derivative(self, y: Array, z: Array) -> Array:
        sign = 2.0 * y[:, None] - 1.0
        return np.where(sign * z < 1.0, -sign, 0.0)

    def curvature(self, y: Array, z: Array) -> Array:
        return np.zeros_like(z)

    def mean(self, z: Array) -> Array:
        return np.asarray(z > 0.0, dtype=float)

    def null_predictor(self, y_mean: float) -> float:
        return float(np.sign(y_mean - 0.5))

    def null_of_classes(self, negative: float, positive: float) -> float:
        return float(np.sign(positive - negative))
