"""What is proven of F - F* where the Hessian is known in a basis of the rows."""

import math

import numpy as np
from numpy.typing import NDArray

from w261reg.basis import Curved
from w261reg.evaluation import Evaluation, shortest_subgradient
from w261reg.objective import Objective

Array = NDArray[np.float64]


def decrement(objective: Objective, evaluation: Evaluation, curved: Curved) -> float | None:
    """g'H^-1 g for the gradient g, or the shortest subgradient: with whatever rounding hides of it.

    None where F is not flat along the directions that the basis leaves out, so that nothing is
    known of them, and where the Hessian in the basis is singular.
    """
    if not sees(objective, curved):
        return None
    inverse = _inverse(curved)
    if inverse is None:
        return None
    g = curved.basis.gradient(shortest_subgradient(evaluation, objective.kink))
    delta = math.sqrt(max(float(g @ inverse @ g), 0.0))
    hidden = math.sqrt(max(float(curved.rounding @ np.abs(inverse) @ curved.rounding), 0.0))
    return (delta + hidden + curved.blur) ** 2


def sees(objective: Objective, curved: Curved) -> bool:
    """Whether a gradient in the basis tells of all of F: it is flat along what the basis leaves
    out, for all that is known."""
    return curved.level and not (curved.basis.flat.shape[1] and not objective.smooth)


def _inverse(curved: Curved) -> Array | None:
    values, vectors = np.linalg.eigh(curved.hessian)
    if not len(values):
        return np.zeros((0, 0))
    # entries of the Hessian are known to eps times the condition of the rows
    known = 4 * np.finfo(float).eps * math.sqrt(curved.basis.condition) * values[-1]
    if not values[0] > known:
        return None
    return np.asarray((vectors / (values - known)) @ vectors.T)


def radius2(objective: Objective, curved: Curved) -> float | None:
    """A bound of x'H^-1 x over all rows (and pairs of classes); None where no pass saw the rows."""
    inverse = _inverse(curved)
    if curved.reach is None or inverse is None:
        return None
    r, outputs = curved.basis.rank, curved.basis.outputs
    size = np.abs(inverse).reshape(outputs, r, outputs, r)
    blocks = np.einsum("i,kijl,l->kj", curved.reach, size, curved.reach)
    edges = np.abs(objective.loss.edges)
    return float(np.einsum("ek,kj,ej->e", edges, blocks, edges).max())
