"""How many directions there are in which the data or the penalty varies."""

import numpy as np
from numpy.typing import NDArray

from w261reg.basis import doubtful
from w261reg.constrained import Constrained
from w261reg.objective import Objective
from w261reg.regularizer import Regularizer

Array = NDArray[np.float64]


def rank(objective: Objective) -> int:
    """Rank of F's Hessian as far as the data decides it, or -1 where it is not known: at no pass.

    That of the rows (x, 1), for each output but one; that one is the sum of all, which has the
    gauge. With a penalty beside L1 and L2, the directions in which neither the data nor the penalty
    varies are those that are left. Under constraints only directions that keep to them count as
    left. Second moments square the condition of the rows: they tell a full rank where they are well
    conditioned, and else nothing; a basis of the rows tells the rest.
    """
    to = objective.coordinates
    if objective.basis is not None:
        if objective.basis.flat.shape[1] and objective.varied is not False:
            return -1
        one = to.single.p - objective.basis.flat.shape[1]
    elif objective.summary.gram and not doubtful(_moments(objective)):
        one = to.single.p
    else:
        return -1
    return one if to.outputs == 1 else (to.outputs - 1) * one + to.single.p


def _moments(objective: Objective) -> Array:
    """Those of the rows, and of the penalty in units of its size; as constraints change them."""
    to = objective.coordinates
    moments = objective.null.second_moments()
    if objective.extra:
        one = Regularizer(objective.penalty, to.single, objective.null.spread())
        moments = _in_own_units(moments) + _in_own_units(one.hessian(np.zeros(to.n_features)))
    return objective.restricted(moments) if isinstance(objective, Constrained) else moments


def _in_own_units(matrix: Array) -> Array:
    size = float(np.max(np.abs(matrix), initial=0.0))
    return matrix / size if size > 0 else matrix
