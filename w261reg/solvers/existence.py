"""Whether an unpenalised classifier has an optimum."""

import enum

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.constrained import directions
from w261reg.evaluation import Evaluation
from w261reg.objective import Objective
from w261reg.solvers.certificates import _self_concordant
from w261reg.solvers.linear import null_threshold
from w261reg.solvers.rank import rank
from w261reg.solvers.separation import Separation

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

    Attained: the bound of `certificates` holds, so there is an optimum, and this is near it.
    Separated: see `Separation`; a proof on every row, free of rounding. Where the Hessian is
    singular, both are asked, for a bound knows a direction only as far as the Hessian sees it.
    Unknown is also an answer that is not near an optimum that there is.

    A penalty that does not see every direction leaves those that it does not, and constraints those
    that keep to them.
    """
    hessian = evaluation.hessian
    near = evaluation.theta[:, None]
    attained = False
    if hessian is not None:
        if evaluation.curved is not None:  # a basis sees every direction that it does not leave out
            regular = not evaluation.curved.basis.flat.shape[1]
        else:
            values = np.linalg.eigvalsh(hessian)
            regular = bool((values > null_threshold(values)).all())
        if not (objective.summary.gram or objective.basis is not None or regular):
            # flat because of the data, or because the weights tend to infinity? The moments tell
            objective.take_gram("does the optimum exist")
        attained = _self_concordant(objective, evaluation) is not None
        if attained and regular:
            return Existence.ATTAINED
        near = _suspects(objective, evaluation.theta, hessian)
    if separation(objective, near).separated:
        return Existence.SEPARATED
    return Existence.ATTAINED if attained else Existence.UNKNOWN


def separation(objective: Objective, near: Array) -> Separation:
    """What is known of whether the data separates, after a search from some directions (p, k) on.

    What has been found out about an objective is not searched for again.
    """
    if objective.separation is None:
        objective.separation = Separation(objective)
    found: Separation = objective.separation
    found.search(near)
    return found


def _suspects(objective: Objective, theta: Array, hessian: Array) -> Array:
    """Directions (p, k) that may separate: near infinity the loss is flat along them."""
    free = _unpenalised_directions(objective)
    curvature, within = np.linalg.eigh(free.T @ hessian @ free)
    vectors = free @ within  # by ascending curvature
    known = rank(objective)
    flat = objective.p - known if known >= 0 else 0  # directions in which no row varies at all
    # where several are as good as flat, what theta has grown to among them is the one
    low = vectors[:, curvature <= NEARLY_FLAT * np.max(curvature, initial=0.0)]
    return np.column_stack(
        [vectors[:, flat : flat + 3], free @ (free.T @ theta), low @ (low.T @ theta)]
    )


def separates_every_row(objective: Objective, at: Evaluation) -> bool:
    """Whether the model at hand has no row on the wrong side, whatever rounding does to margins.

    Takes a pass where they are so small that the data's ranges leave that open.
    """
    if not (at.margin > 0 and np.isfinite(at.margin)):
        return False
    to, summary = objective.coordinates, objective.summary
    w, b0 = to.weights(at.theta), to.centred_intercept(at.theta)
    reach = np.maximum(summary.high[:-1] - to.centre, to.centre - summary.low[:-1])[to.active]
    size = float(np.max(reach @ np.abs(w[to.active]) + np.abs(b0)))
    if at.margin > 4 * (to.n_features + 8) * np.finfo(float).eps * size:
        return True
    return bool(separation(objective, at.theta[:, None]).separated)
