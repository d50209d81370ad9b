"""The elastic net."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from w261reg.penalties.base import Array, Penalty
from w261reg.penalties.l1 import L1
from w261reg.penalties.l2 import L2


@dataclass(frozen=True)
class ElasticNet(Penalty):
    """R(w) = l1 sum_j d_j |w_j| + l2/2 sum_j (d_j w_j)^2.

    Zou and Hastie (2005), *Regularization and Variable Selection via the Elastic Net*, there called
    naive: without the rescaling that glmnet and pyspark.ml leave out too.
    """

    l1: float
    l2: float
    scale: Array

    name = "elastic_net"
    kinked = True

    @classmethod
    def of(cls, strength: float, scale: Array) -> Self:
        return cls(strength / 2, strength / 2, scale)

    @property
    def _parts(self) -> tuple[L1, L2]:
        return L1(self.l1, self.scale), L2(self.l2, self.scale)

    def value(self, w: Array) -> float:
        return sum(part.value(w) for part in self._parts)

    def gradient(self, w: Array) -> Array:
        lasso, ridge = self._parts
        return lasso.gradient(w) + ridge.gradient(w)

    def hessian(self, w: Array) -> Array:
        return self._parts[1].hessian(w)

    def kink(self, w: Array) -> Array:
        return self._parts[0].kink(w)

    def prox(self, v: Array, step: float) -> Array:
        lasso, ridge = self._parts
        return np.asarray(ridge.prox(lasso.prox(v, step), step))
