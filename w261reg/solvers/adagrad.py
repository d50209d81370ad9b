"""AdaGrad."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Trail
from w261reg.solvers.descent import Descent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AdaGrad(Descent):
    """G <- G + g^2, phi <- phi - eta g / (sqrt(G) + epsilon), coordinate by coordinate.

    Duchi, Hazan and Singer (2011), *Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization*, with diagonal matrices. A factor of F changes nothing but for epsilon, so that
    the step size has the unit of the coefficients.

    Attributes:
        epsilon: keeps the first division from 0 by 0.
    """

    epsilon: float = 1e-10

    name = "adagrad"
    about = "AdaGrad: a step size for each coefficient, 0.1 at first"
    unitless_steps = True
    habit = 0.1
    slots = 1

    def advance(self, trail: Trail, gradient: Array, eta: float) -> Trail:
        total = trail.memory + gradient**2
        point = trail.point - eta * gradient / (np.sqrt(total[0]) + self.epsilon)
        return Trail(point, total, trail.steps + 1)

    def stretch(self) -> float:
        return float("inf")  # its steps shrink until they are short enough
