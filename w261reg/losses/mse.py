"""Squared error."""

import numpy as np

from w261reg.losses.base import Array, Loss


class SquaredError(Loss):
    """l = (z - y)^2 / 2 for real y; l' = z - y, l'' = 1.

    Half the square is trained, so that the Hessian is X'X/S; reports give the mean square itself.
    The Gaussian negative log likelihood up to constants (Hastie, Tibshirani, Friedman,
    *The Elements of Statistical Learning*, 3.2).
    """

    name = "mse"
    title = "mean squared error"
    lowest = 0.0
    quadratic = True
    canonical = True
    family = "gaussian"
    most_curved = 1.0

    def value(self, y: Array, z: Array) -> Array:
        return 0.5 * (z - y[:, None]) ** 2

    def derivative(self, y: Array, z: Array) -> Array:
        return z - y[:, None]

    def curvature(self, y: Array, z: Array) -> Array:
        return np.ones_like(z)

    def mean(self, z: Array) -> Array:
        return z

    def null_predictor(self, y_mean: float) -> float:
        return y_mean
