"""What can be proven about an answer without knowing the optimum."""

import enum
import math

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.constrained import directions
from w261reg.evaluation import Evaluation, rounding_of, shortest_subgradient
from w261reg.objective import Objective
from w261reg.solvers.basis_bounds import decrement, radius2
from w261reg.solvers.linear import null_threshold
from w261reg.solvers.rank import rank as _rank

Array = NDArray[np.float64]


# curvature below this share of the largest is that of directions in which weights tend to infinity
NEARLY_FLAT = 1e-6


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
    w = np.abs(objective.coordinates.weights(evaluation.theta)).reshape(len(rounding), -1)
    rms = np.sqrt(rounding / objective.summary.weight)
    # of several outputs, the lengths of l' and of the moves of z
    e = float(np.linalg.norm(rms @ w))
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
        moved += strengths.l1 * float(np.sum(change @ u))
        moved += strengths.l2 / 2 * float(np.sum((2 * d * change + change**2) @ u**2))
    return moved


def _gap(objective: Objective, evaluation: Evaluation) -> float | None:
    """The duality gap for any convex loss, where l2 > 0 and sum s l' = 0.

    With u_j = d_j w_j and v_j = sum s l' x_j / (S d_j),
    F - F* <= sum_j [ v_j u_j + l1 |u_j| + l2 u_j^2/2 + ((|v_j| - l1)+)^2 / (2 l2) ].
    A further penalty counts as loss, for it lies above its tangents, too, where it has no kink.
    """
    l1, l2 = objective.strengths.l1, objective.strengths.l2
    w = objective.coordinates.weights(evaluation.theta)
    kinked = any(
        term.kink(column).any() for term in objective.extra for column in np.atleast_2d(w.T)
    )
    if not l2 > 0 or kinked or objective.loss.numerical:
        return None
    to, gradient = objective.coordinates, evaluation.loss_gradient
    if (np.abs(gradient[to.slopes :]) > 1e-12 * objective.rho).any():
        return None  # sum s l' is not 0
    raw = gradient[: to.slopes] / to.line(to.unit)
    for term in objective.extra:
        own = [term.gradient(column)[to.active] for column in np.atleast_2d(w.T)]
        raw = raw + np.concatenate(own)
    d = to.line(objective.strengths.scale[to.active])
    u, v = d * to.line(w[to.active]), raw / d
    excess = np.maximum(np.abs(v) - l1, 0.0)
    terms = v * u + l1 * np.abs(u) + l2 * u**2 / 2 + excess**2 / (2 * l2)
    return max(0.0, float(terms.sum()))


def _quadratic(objective: Objective, evaluation: Evaluation) -> float | None:
    """For squared error F - F* <= g'H^-1 g / 2 with any subgradient g: F is a parabola + L1."""
    if not objective.loss.quadratic or evaluation.hessian is None or not _parabolic(objective):
        return None
    if evaluation.curved is not None:
        squared = decrement(objective, evaluation, evaluation.curved)
        return None if squared is None else 0.5 * squared
    values, vectors = _scaled_eigen(evaluation.hessian)
    if not (values > _uncertain(values)).all():
        return None  # what seems flat may not be
    along = vectors.T @ shortest_subgradient(evaluation, objective.kink)
    return 0.5 * float(np.sum(along**2 / values))


def _scaled_eigen(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues (p,) of the matrix scaled to a unit diagonal, and V (p, p) with V'HV diagonal and
    of these values: H^-1 = V diag(1/values) V'."""
    diagonal = np.diagonal(matrix)
    unit = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(matrix * unit[:, None] * unit)
    return values, unit[:, None] * vectors


def _uncertain(values: Array) -> float:
    """Eigenvalues up to here are not known to three digits."""
    return 1e3 * null_threshold(values)


def _self_concordant(objective: Objective, evaluation: Evaluation) -> float | None:
    """The bound for logistic loss, whose third derivative its second bounds.

    With delta^2 = g'H^-1 g, R^2 >= max_i x_i'H^-1 x_i and rho = R delta < 1,
    F - F* <= (rho + (1 - rho) log(1 - rho)) / R^2, and the optimum exists (Bach 2010,
    *Self-concordant analysis for logistic regression*). R comes from the features' ranges. Under L1
    g is the shortest subgradient: the penalty lies above its tangents, so the proof still holds.
    A quadratic penalty adds to H and nothing to the third derivative.

    For softmax x_i is x_i times a_e, for every pair of classes e. F does not see the directions in
    which all classes move alike; there, g has no part, and neither has any x_i a_e, so the gauge in
    H is as good as none. Under L1 alone it does see them, without curvature: g is then the shortest
    of the subgradients that have no part there.
    """
    if not objective.loss.self_concordant or not _parabolic(objective):
        return None
    if objective.p == 0:
        return 0.0  # nothing to choose
    if evaluation.hessian is None:
        return None
    if evaluation.curved is not None:
        squared = decrement(objective, evaluation, evaluation.curved)
        reach2 = radius2(objective, evaluation.curved)
        if squared is None or reach2 is None:
            return None
        return _bach(squared, reach2, objective.coercive)
    values, vectors = _scaled_eigen(evaluation.hessian)
    seen = values > _uncertain(values)
    g = shortest_subgradient(evaluation, objective.kink)
    if seen.all():
        pass
    elif objective.kink.any() and int(seen.sum()) == objective.p - _unseen(objective):
        balanced = _balanced_subgradient(objective, evaluation)
        if balanced is None:
            return None
        g = balanced
    else:
        return None
    inverse = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T
    delta2 = float(g @ inverse @ g)
    return _bach(delta2, _largest_radius2(objective, np.abs(inverse)), objective.coercive)


def _bach(delta2: float, radius2: float, coercive: bool) -> float | None:
    """The bound out of delta^2 and R^2; None where it does not hold."""
    rho = math.sqrt(max(delta2 * radius2, 0.0))
    # on data that separates rho is at least 1, and for 0/1 features tends to exactly 1: an
    # unpenalised proof leaves room for rounding
    if not rho < (1.0 if coercive else 0.1):
        return None
    if rho < 1e-3:  # the series, where the formula would cancel
        return delta2 * (1 / 2 + rho / 6 + rho**2 / 12 + rho**3 / 10)
    return (rho + (1 - rho) * math.log1p(-rho)) / radius2


def _unseen(objective: Objective) -> int:
    """Directions in which all outputs' weights move alike, if there are several and no gauge."""
    to = objective.coordinates
    return len(to.active) if to.outputs > 1 and not objective.regularizer.free else 0


def _balanced_subgradient(objective: Objective, evaluation: Evaluation) -> Array | None:
    """The shortest subgradient (p,) whose parts for one feature sum to 0 over the outputs.

    None where there is none: a feature's weights have no median of 0. Its parts at a kink are as
    near as they come to one number, the root of a sum that rises with it: found by bisection.
    """
    to = objective.coordinates
    gradient = to.columns(evaluation.gradient[: to.slopes])
    at_kink = to.columns(((evaluation.theta == 0) & (objective.kink > 0))[: to.slopes])
    slack = np.where(at_kink, to.columns(objective.kink[: to.slopes]), 0.0)

    def parts(level: Array) -> Array:
        return gradient + np.clip(level[:, None] - gradient, -slack, slack)

    high = np.max(np.abs(gradient) + slack, axis=1, initial=0.0)
    low = -high
    for _ in range(100):
        middle = (low + high) / 2
        above = parts(middle).sum(axis=1) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    found = parts((low + high) / 2)
    size = np.sum(np.abs(gradient) + slack, axis=1) + objective.rho
    if (np.abs(found.sum(axis=1)) > 64 * np.finfo(float).eps * size).any():
        return None
    return np.append(to.line(found), evaluation.gradient[to.slopes :])


def _largest_radius2(objective: Objective, size: Array) -> float:
    """A bound of x'H^-1 x over all rows (and pairs of classes) from |H^-1|, (p, p)."""
    to, row = objective.coordinates, _largest_row(objective)
    if to.outputs == 1:
        return float(row @ size @ row)
    places = [to.of_output(k) for k in range(to.outputs)]
    blocks = np.array([[row @ size[np.ix_(i, j)] @ row for j in places] for i in places])
    edges = np.abs(objective.loss.edges)
    return float(np.einsum("ek,kj,ej->e", edges, blocks, edges).max())


def _largest_row(objective: Objective) -> Array:
    """The largest |coordinate| of any row of (x - centre, 1) in theta's units, (p / K,)."""
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
    known = objective.summary.gram or objective.basis is not None
    if not known and not (values > null_threshold(values)).all():
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
