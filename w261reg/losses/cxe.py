"""Cross entropy of K classes: softmax regression."""

import math
from itertools import combinations
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from w261reg.losses.base import Array, Loss


class CrossEntropy(Loss):
    """l = log sum_k e^z_k - z_y for y in 0 ... K - 1; p = softmax(z), dl/dz_k = p_k - 1{y = k}.

    The negative log likelihood of a multinomial logit (Hastie, Tibshirani, Friedman, *The Elements
    of Statistical Learning*, 4.4). Its second derivative diag(p) - p p' is that of a graph, the sum
    over pairs of classes of p_k p_j (e_k - e_j)(e_k - e_j)': no difference of large numbers, and
    nothing where all z move alike.

    Attributes:
        outputs: K >= 2.
    """

    name = "cxe"
    title = "cross entropy of several classes (softmax)"
    lowest = 0.0
    classification = True
    multiclass = True
    family: ClassVar[str | None] = "multinomial"
    may_separate = True
    self_concordant = True
    steepest = math.sqrt(2.0)
    most_curved = 0.5

    def __init__(self, outputs: int = 2) -> None:
        self.outputs = outputs

    def of_classes(self, count: int) -> "CrossEntropy":
        return CrossEntropy(count)

    @property
    def edges(self) -> Array:
        pairs = np.array(list(combinations(range(self.outputs), 2)))
        edges = np.zeros((len(pairs), self.outputs))
        edges[np.arange(len(pairs)), pairs[:, 0]] = 1.0
        edges[np.arange(len(pairs)), pairs[:, 1]] = -1.0
        return edges

    def value(self, y: Array, z: Array) -> Array:
        return self.first(y, z)[0]

    def derivative(self, y: Array, z: Array) -> Array:
        return self.first(y, z)[1]

    def curvature(self, y: Array, z: Array) -> Array:
        return self._pairs(self._shared(y, z)[2])

    def diagonal(self, y: Array, z: Array) -> Array:
        p = self._shared(y, z)[2]
        return (p * _others(p)).reshape(z.shape)

    def first(self, y: Array, z: Array) -> tuple[Array, Array]:
        value, derivative, _ = self._shared(y, z)
        return value, derivative

    def all(self, y: Array, z: Array) -> tuple[Array, Array, Array]:
        value, derivative, p = self._shared(y, z)
        return value, derivative, self._pairs(p)

    def _models(self, z: Array) -> Array:
        """z as (b, k, K)."""
        return z.reshape(len(z), -1, self.outputs)

    def _shared(self, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Value, derivative and p (b, k, K)."""
        models = self._models(z)
        own = y.astype(np.int64)[:, None, None]
        top = models.argmax(axis=2)[:, :, None]
        best = np.take_along_axis(models, top, axis=2)
        e = np.exp(models - best)
        # log(1 + the others) keeps the small values of rows that are fitted well
        np.put_along_axis(e, top, 0.0, axis=2)
        rest = e.sum(axis=2, keepdims=True)
        value = (np.log1p(rest) + (best - np.take_along_axis(models, own, axis=2)))[:, :, 0]
        np.put_along_axis(e, top, 1.0, axis=2)
        p = e / (1.0 + rest)
        derivative = p.copy()
        # p_y - 1 = -(sum of the others) keeps its digits, too
        others = np.take_along_axis(_others(p), own, axis=2)
        np.put_along_axis(derivative, own, -others, axis=2)
        return value, derivative.reshape(z.shape), p

    def _pairs(self, p: Array) -> Array:
        """p_k p_j for k < j, (b, k P)."""
        first, second = np.triu_indices(self.outputs, 1)
        return (p[:, :, first] * p[:, :, second]).reshape(len(p), -1)

    def mean(self, z: Array) -> Array:
        return np.asarray(softmax(self._models(z), axis=2).reshape(z.shape))

    def margin(self, y: Array, z: Array) -> Array:
        """The least lead of the own class over another, (b, k)."""
        models = self._models(z)
        own = y.astype(np.int64)[:, None, None]
        lead = np.take_along_axis(models, own, axis=2) - models
        np.put_along_axis(lead, own, np.inf, axis=2)
        return lead.min(axis=2)


def _others(p: Array) -> Array:
    """1 - p_k as a sum of the others, along the last axis."""
    total = np.zeros_like(p)
    total[..., 1:] += np.cumsum(p[..., :-1], axis=-1)
    total[..., :-1] += np.cumsum(p[..., :0:-1], axis=-1)[..., ::-1]
    return total
