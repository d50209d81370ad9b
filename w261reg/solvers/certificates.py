"""What can be proven about an answer without knowing the optimum."""

import enum
import math

import numpy as np
from numpy.typing import NDArray

from w261reg.constrained import directions, restricted
from w261reg.objective import Evaluation, Objective, rounding_of, shortest_subgradient
from w261reg.solvers.linear import null_threshold

Array = NDArray[np.float64]


class Existence(enum.Enum):
    """Whether an unpenalised classifier has an optimum."""

    ATTAINED = "attained"
    SEPARATED = "separated"
    UNKNOWN = "unknown"


def suboptimality_bound(objective: Objective, evaluation: Evaluation) -> float | None:
    """The smallest proven bound of F - F* that costs no pass; None where none is known."""
    bounds = [
        bound
        for bound in (
            _gap(objective, evaluation),
            _quadratic(objective, evaluation),
            _self_concordant(objective, evaluation),
            evaluation.gap,
            0.0 if evaluation.objective == 0.0 else None,  # no loss or penalty is negative
        )
        if bound is not None and math.isfinite(bound)
    ]
    # F itself is known to rounding only: no bound below that is honest
    rounding = max(rounding_of(evaluation.objective), evaluation.rounding)
    return max(min(bounds), rounding) if bounds else None


def storage_bound(objective: Objective, evaluation: Evaluation) -> float | None:
    """How far at most rounding the stored features moved F at this theta; None without rounding.

    A row's z moves by delta'w. With e = sum_j |w_j| rms(delta_j) >= rms(delta'w) (Minkowski) and
    |l'| <= c, the mean loss moves by c e at most. With 0 <= l and l'' <= c, |l'| <= sqrt(2 c l) and
    |l(z + d) - l(z)| <= |l'| |d| + c d^2/2, whose mean is at most sqrt(2 c mean l) e + c e^2/2
    (Cauchy and Schwarz). A standardized penalty moves with the standard deviations d_j, each by
    rms(delta_j) at most.
    """
    rounding = objective.summary.census.rounding
    if rounding is None or objective.extra:
        return None
    w = np.abs(objective.coordinates.weights(evaluation.theta))
    rms = np.sqrt(rounding / objective.summary.weight)
    e = float(w @ rms)
    steepest, curved = objective.loss.steepest, objective.loss.most_curved
    if math.isfinite(steepest):
        moved = steepest * e
    elif math.isfinite(curved):
        moved = math.sqrt(2 * curved * max(evaluation.loss, 0.0)) * e + curved * e**2 / 2
    else:
        return None
    strengths, sd = objective.strengths, objective.summary.sd()[:-1]
    active = objective.coordinates.active
    if not (strengths.scale[active] == 1.0).all():
        # a convention's deviations are those over S times a factor
        d, u = strengths.scale[active], w[active]
        change = rms[active] * d / sd[active]
        moved += strengths.l1 * float(u @ change)
        moved += strengths.l2 / 2 * float(u**2 @ (2 * d * change + change**2))
    return moved


def _gap(objective: Objective, evaluation: Evaluation) -> float | None:
    """The duality gap for any convex loss, where l2 > 0 and sum s l' = 0.

    With u_j = d_j w_j and v_j = sum s l' x_j / (S d_j),
    F - F* <= sum_j [ v_j u_j + l1 |u_j| + l2 u_j^2/2 + ((|v_j| - l1)+)^2 / (2 l2) ].
    A further penalty counts as loss, for it lies above its tangents, too, where it has no kink.
    """
    l1, l2 = objective.strengths.l1, objective.strengths.l2
    w = objective.coordinates.weights(evaluation.theta)
    kinked = any(term.kink(w).any() for term in objective.extra)
    if not l2 > 0 or kinked or objective.loss.numerical:
        return None
    active = objective.coordinates.active
    n = len(active)
    gradient = evaluation.loss_gradient
    if objective.fit_intercept and abs(gradient[n]) > 1e-12 * objective.rho:
        return None  # sum s l' is not 0
    d = objective.strengths.scale[active]
    u = d * w[active]
    raw = gradient[:n] / objective.coordinates.unit
    for term in objective.extra:
        raw = raw + term.gradient(w)[active]
    v = raw / d
    excess = np.maximum(np.abs(v) - l1, 0.0)
    terms = v * u + l1 * np.abs(u) + l2 * u**2 / 2 + excess**2 / (2 * l2)
    return max(0.0, float(terms.sum()))


def _quadratic(objective: Objective, evaluation: Evaluation) -> float | None:
    """For squared error F - F* <= g'H^-1 g / 2 with any subgradient g: F is a parabola + L1."""
    if not objective.loss.quadratic or evaluation.hessian is None or not _parabolic(objective):
        return None
    g = shortest_subgradient(evaluation, objective.kink)
    values, vectors = np.linalg.eigh(evaluation.hessian)
    along = vectors.T @ g
    seen = values > null_threshold(values)
    flat_data = objective.unpenalised or (
        bool(objective.extra) and objective.smooth and int(seen.sum()) == _rank(objective)
    )
    if not (seen.all() or flat_data):
        return None
    return 0.5 * float(np.sum(along[seen] ** 2 / values[seen]))


def _self_concordant(objective: Objective, evaluation: Evaluation) -> float | None:
    """The bound for logistic loss, whose third derivative its second bounds.

    With delta^2 = g'H^-1 g, R^2 >= max_i x_i'H^-1 x_i and rho = R delta < 1,
    F - F* <= (rho + (1 - rho) log(1 - rho)) / R^2, and the optimum exists (Bach 2010,
    *Self-concordant analysis for logistic regression*). R comes from the features' ranges. Under L1
    g is the shortest subgradient: the penalty lies above its tangents, so the proof still holds.
    A quadratic penalty adds to H and nothing to the third derivative.
    """
    if not objective.loss.self_concordant or not _parabolic(objective):
        return None
    if objective.p == 0:
        return 0.0  # nothing to choose
    if evaluation.hessian is None:
        return None
    values, vectors = np.linalg.eigh(evaluation.hessian)
    seen = values > null_threshold(values)
    if not seen.all() and not (objective.smooth and int(seen.sum()) == _rank(objective)):
        return None  # flat in a direction in which the data, or the penalty, is not
    inverse = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T
    g = shortest_subgradient(evaluation, objective.kink)
    delta2 = float(g @ inverse @ g)
    size = _largest_row(objective)
    radius2 = float(size @ np.abs(inverse) @ size)
    rho = math.sqrt(max(delta2 * radius2, 0.0))
    # on data that separates rho is at least 1, and for 0/1 features tends to exactly 1: an
    # unpenalised proof leaves room for rounding
    if not rho < (1.0 if objective.coercive else 0.1):
        return None
    if rho < 1e-3:  # the series, where the formula would cancel
        return delta2 * (1 / 2 + rho / 6 + rho**2 / 12 + rho**3 / 10)
    return (rho + (1 - rho) * math.log1p(-rho)) / radius2


def _largest_row(objective: Objective) -> Array:
    """The largest |coordinate| of any row of (x - centre, 1) in theta's units, (p,)."""
    coordinates, summary = objective.coordinates, objective.summary
    active = coordinates.active
    low, high = summary.low[active], summary.high[active]
    centre = coordinates.centre[active]
    size = np.maximum(high - centre, centre - low)
    size = size * coordinates.unit
    return np.append(size, 1.0) if objective.fit_intercept else size


def _parabolic(objective: Objective) -> bool:
    """Whether the penalties beside L1 and L2, if there are any, are w'Pw/2."""
    return all(term.quadratic for term in objective.extra)


def _rank(objective: Objective) -> int:
    """Rank of the second moments of the rows of (x, 1), or -1 where it is not known.

    With a penalty beside L1 and L2, of their sum with its Hessian, both in units of their size: the
    directions in which neither the data nor the penalty varies are those that are left. Under
    constraints only directions that keep to them count as left.
    """
    if not objective.summary.gram:
        return -1
    moments = objective.null.scaled_moments()[0]
    if objective.extra:
        n = len(moments)
        bend = objective.penalty_hessian(np.zeros(objective.dataset.n_features))[:n, :n]
        moments = _in_own_units(moments) + _in_own_units(bend)
    values = np.linalg.eigvalsh(restricted(objective, objective.null.with_intercept(moments)))
    return int((values > null_threshold(values)).sum())


def _in_own_units(matrix: Array) -> Array:
    size = float(np.max(np.abs(matrix), initial=0.0))
    return matrix / size if size > 0 else matrix


def _unpenalised_directions(objective: Objective) -> Array:
    """An orthonormal basis (p, k) of the directions that a quadratic penalty does not see, and in
    which constraints, if there are any, leave theta free."""
    if objective.unpenalised:
        return directions(objective, np.eye(objective.p))
    # on raw weights: the units of theta would blur what the penalty sees
    active, n = objective.coordinates.active, len(objective.coordinates.active)
    bend = objective.penalty.hessian(np.zeros(objective.dataset.n_features))[np.ix_(active, active)]
    values, vectors = np.linalg.eigh(bend)
    unseen = vectors[:, values <= null_threshold(values)]
    free = np.zeros((objective.p, unseen.shape[1] + objective.p - n))
    free[:n, : unseen.shape[1]] = unseen / objective.coordinates.unit[:, None]
    free[n:, unseen.shape[1] :] = 1.0
    return directions(objective, np.linalg.qr(free)[0])


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
    vectors = free @ np.linalg.eigh(free.T @ hessian @ free)[1]  # by ascending curvature
    rank = _rank(objective)
    flat = objective.p - rank if rank >= 0 else 0  # directions in which no row varies at all
    directions = np.column_stack([vectors[:, flat : flat + 3], free @ (free.T @ evaluation.theta)])
    both = np.hstack([directions, -directions])
    margins = objective.margins(both, "does a direction separate")
    k = directions.shape[1]
    for low, high in zip(margins, np.roll(-margins, k), strict=True):
        # low and high: the smallest and the largest margin of any row along one direction
        if high > 0 and low >= -1e-7 * high and high > 1e-6:
            return Existence.SEPARATED
    return Existence.UNKNOWN
