"""Gradient descent with Nesterov's momentum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Trail
from w261reg.solvers.descent import Descent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Nesterov(Descent):
    """v' = mu v - eta g(psi), psi' = psi - mu v + (1 + mu) v', with psi = phi + mu v.

    The accelerated gradient of Nesterov (1983), *A Method of Solving a Convex Programming Problem
    with Convergence Rate O(1/k^2)*, with a constant mu, as Sutskever, Martens, Dahl and Hinton
    (2013) write it: v <- mu v - eta g(phi + mu v), phi <- phi + v. Points are those ahead, psi, at
    which gradients are taken, so that F is known where the model is.

    Attributes:
        momentum: mu.
    """

    momentum: float = 0.9

    name = "nesterov"
    about = "gradient descent with Nesterov's momentum 0.9"
    slots = 1

    def advance(self, trail: Trail, gradient: Array, eta: float) -> Trail:
        velocity = self.momentum * trail.memory[0] - eta * gradient
        point = trail.point - self.momentum * trail.memory[0] + (1 + self.momentum) * velocity
        return Trail(point, velocity[None], trail.steps + 1)

    def stretch(self) -> float:
        # with s = 1 - eta lambda, r^2 - (1 + mu) s r + mu s = 0 leaves the unit circle at r = -1
        return 2 * (1 + self.momentum) / (1 + 2 * self.momentum)
