"""Binary cross entropy."""

import math

import numpy as np
from scipy.special import expit

from w261reg.losses.base import Array, Loss


class BinaryCrossEntropy(Loss):
    """l = log(1 + e^z) - y z for y in {0, 1}; with p = 1/(1 + e^-z), l' = p - y, l'' = p (1 - p).

    The negative log likelihood of a Bernoulli label with log odds z (Hastie, Tibshirani, Friedman,
    *The Elements of Statistical Learning*, 4.4.1). Written with e^-|z|, it neither overflows nor
    loses the small values of rows that are fitted well.
    """

    name = "bxe"
    title = "binary cross entropy"
    lowest = 0.0
    classification = True
    canonical = True
    family = "bernoulli"
    may_separate = True
    self_concordant = True
    steepest = 1.0
    most_curved = 0.25

    def value(self, y: Array, z: Array) -> Array:
        return np.maximum(z, 0.0) - y[:, None] * z + np.log1p(np.exp(-np.abs(z)))

    def derivative(self, y: Array, z: Array) -> Array:
        # p - y = -(2y - 1) p(-(2y - 1) z) keeps its digits for rows that are fitted well
        sign = 2.0 * y[:, None] - 1.0
        return -sign * expit(-sign * z)

    def curvature(self, y: Array, z: Array) -> Array:
        e = np.exp(-np.abs(z))
        return e / (1.0 + e) ** 2

    def first(self, y: Array, z: Array) -> tuple[Array, Array]:
        value, derivative, _, _ = self._shared(y, z)
        return value, derivative

    def all(self, y: Array, z: Array) -> tuple[Array, Array, Array]:
        value, derivative, small, q = self._shared(y, z)
        return value, derivative, small * q

    @staticmethod
    def _shared(y: Array, z: Array) -> tuple[Array, Array, Array, Array]:
        """value, derivative, and the smaller and the larger of p and 1 - p: one exponential."""
        e = np.exp(-np.abs(z))
        q = 1.0 / (1.0 + e)
        small = e * q
        label = y[:, None]
        # l = log(1 + e^-|z|) + (max(z, 0) - y z)
        value = np.log1p(e) + (np.maximum(z, 0.0) - label * z)
        agrees = (z >= 0.0) == (label > 0.5)
        derivative = np.where(agrees, small, q) * (1.0 - 2.0 * label)
        return value, derivative, small, q

    def mean(self, z: Array) -> Array:
        return np.asarray(expit(z))

    def null_predictor(self, y_mean: float) -> float:
        return math.log(y_mean) - math.log1p(-y_mean)

    def null_of_classes(self, negative: float, positive: float) -> float:
        return math.log(positive) - math.log(negative)
