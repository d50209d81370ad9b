"""Gradient descent with momentum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Trail
from w261reg.solvers.descent import Descent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Momentum(Descent):
    """v <- mu v - eta g(phi), phi <- phi + v: the heavy ball.

    Polyak (1964), *Some Methods of Speeding up the Convergence of Iteration Methods*, as Sutskever,
    Martens, Dahl and Hinton (2013) write it, *On the Importance of Initialization and Momentum in
    Deep Learning*, (1) and (2).

    Attributes:
        momentum: mu.
    """

    momentum: float = 0.9

    name = "momentum"
    about = "gradient descent with heavy-ball momentum 0.9"
    slots = 1

    def advance(self, trail: Trail, gradient: Array, eta: float) -> Trail:
        velocity = self.momentum * trail.memory[0] - eta * gradient
        return Trail(trail.point + velocity, velocity[None], trail.steps + 1)

    def stretch(self) -> float:
        # the roots r of r^2 - (1 + mu - eta lambda) r + mu = 0 leave the unit circle at r = -1
        return 2 * (1 + self.momentum)
