"""Whether an unpenalised classifier has an optimum."""

import enum

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.constrained import directions
from w261reg.evaluation import Evaluation
from w261reg.objective import Objective
from w261reg.solvers.certificates import _rank, _self_concordant
from w261reg.solvers.linear import null_threshold

Array = NDArray[np.float64]

# curvature below this share of the largest is that of directions in which weights tend to infinity
NEARLY_FLAT = 1e-6


class Existence(enum.Enum):
    """Whether an unpenalised classifier has an optimum."""

    ATTAINED = "attained"
    SEPARATED = "separated"
    UNKNOWN = "unknown"


def _unpenalised_directions(objective: Objective) -> Array:
    """An orthonormal basis (p, k) of the directions that a quadratic penalty does not see, and in
    which constraints, if there are any, leave theta free.

    Of several outputs, without those in which all move alike, which F does not see either.
    """
    to = objective.coordinates
    one = _unpenalised_of_output(objective)
    if to.outputs == 1:
        return directions(objective, one)
    contrasts = linalg.null_space(np.ones((1, to.outputs)))
    free = np.zeros((to.p, contrasts.shape[1] * one.shape[1]))
    for k, contrast in enumerate(contrasts):
        free[to.of_output(k)] = np.kron(contrast, one)
    return free


def _unpenalised_of_output(objective: Objective) -> Array:
    to = objective.coordinates.single
    if objective.unpenalised:
        return np.eye(to.p)
    # on raw weights: the units of theta would blur what the penalty sees
    active, n = to.active, len(to.active)
    bend = objective.penalty.hessian(np.zeros(to.n_features))[np.ix_(active, active)]
    values, vectors = np.linalg.eigh(bend)
    unseen = vectors[:, values <= null_threshold(values)]
    free = np.zeros((to.p, unseen.shape[1] + to.p - n))
    free[:n, : unseen.shape[1]] = unseen / to.unit[:, None]
    free[n:, unseen.shape[1] :] = 1.0
    return np.linalg.qr(free)[0]


def existence(objective: Objective, evaluation: Evaluation) -> Existence:
    """Whether an unpenalised classifier has an optimum: proven, disproven, or neither.

    Attained: the bound above holds. Separated: a direction along which no row gets worse and some
    get better; near infinity the loss is flat along it, so it is sought among the directions of
    least curvature, and checked on every row in one pass. A penalty that does not see every
    direction leaves those that it does not, and constraints those that keep to them.
    """
    hessian = evaluation.hessian
    assert hessian is not None
    values = np.linalg.eigvalsh(hessian)
    if not objective.summary.gram and not (values > null_threshold(values)).all():
        # flat because of the data, or because the weights tend to infinity? The moments tell
        objective.take_gram("does the optimum exist")
    if _self_concordant(objective, evaluation) is not None:
        return Existence.ATTAINED
    free = _unpenalised_directions(objective)
    curvature, within = np.linalg.eigh(free.T @ hessian @ free)
    vectors = free @ within  # by ascending curvature
    rank = _rank(objective)
    flat = objective.p - rank if rank >= 0 else 0  # directions in which no row varies at all
    # where several are as good as flat, what theta has grown to among them is the one
    low = vectors[:, curvature <= NEARLY_FLAT * np.max(curvature, initial=0.0)]
    theta = evaluation.theta
    directions = np.column_stack(
        [vectors[:, flat : flat + 3], free @ (free.T @ theta), low @ (low.T @ theta)]
    )
    both = np.hstack([directions, -directions])
    margins = objective.margins(both, "does a direction separate")
    k = directions.shape[1]
    for low, high in zip(margins, np.roll(-margins, k), strict=True):
        # low and high: the smallest and the largest margin of any row along one direction
        if high > 0 and low >= -1e-7 * high and high > 1e-6:
            return Existence.SEPARATED
    return Existence.UNKNOWN
