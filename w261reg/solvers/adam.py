"""Adam."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Trail
from w261reg.solvers.descent import Descent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Adam(Descent):
    """m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, coordinate by coordinate, then

        phi <- phi - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).

    Kingma and Ba (2015), *Adam: A Method for Stochastic Optimization*, algorithm 1, with its
    constants. A factor of F changes nothing but for epsilon, so that the step size has the unit of
    the coefficients.

    Attributes:
        decay, decay_squares: b1 and b2.
        epsilon: keeps the division from 0 by 0.
    """

    decay: float = 0.9
    decay_squares: float = 0.999
    epsilon: float = 1e-8

    name = "adam"
    about = "Adam: momentum and a step size for each coefficient, 0.001 at most"
    unitless_steps = True
    habit = 0.001
    slots = 2

    def advance(self, trail: Trail, gradient: Array, eta: float) -> Trail:
        t = trail.steps + 1
        mean = self.decay * trail.memory[0] + (1 - self.decay) * gradient
        square = self.decay_squares * trail.memory[1] + (1 - self.decay_squares) * gradient**2
        size = np.sqrt(square / (1 - self.decay_squares**t)) + self.epsilon
        point = trail.point - eta * (mean / (1 - self.decay**t)) / size
        return Trail(point, np.stack([mean, square]), t)

    def stretch(self) -> float:
        return float("inf")  # a step is no longer than eta, whatever the curvature
