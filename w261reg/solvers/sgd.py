"""Stochastic gradient descent."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Trail
from w261reg.solvers.descent import Descent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stochastic(Descent):
    """phi <- phi - eta g, with g the gradient of F on a few rows: local SGD, averaged after a pass.

    Robbins and Monro (1951), *A Stochastic Approximation Method*; the average of the leaves by
    Zinkevich, Weimer, Smola and Li (2010), *Parallelized Stochastic Gradient Descent*, and
    McDonald, Hall and Mann (2010), *Distributed Training Strategies for the Structured
    Perceptron*. With one row a step it is stochastic gradient descent proper, which takes a minute
    a million rows. A constant step ends in a neighbourhood of the optimum as wide as the step;
    inverse and inverse_sqrt shrink it.
    """

    batch_rows: int | None = 32

    name = "sgd"
    about = "stochastic gradients of --batch-rows rows (32), local to leaves, averaged each pass"
    needs_batches = True

    def advance(self, trail: Trail, gradient: Array, eta: float) -> Trail:
        return replace(trail, point=trail.point - eta * gradient, steps=trail.steps + 1)
