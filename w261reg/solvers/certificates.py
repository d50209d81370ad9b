"""What can be proven about an answer without knowing the optimum."""

import math

import numpy as np
from numpy.typing import NDArray

from w261reg.evaluation import Evaluation, rounding_of, shortest_subgradient
from w261reg.objective import Objective
from w261reg.rounding import EPS
from w261reg.solvers.basis_bounds import decrement, radius2
from w261reg.solvers.linear import null_threshold

Array = NDArray[np.float64]


# the best of this many mixtures is sought where a gap is more than this share of the loss
MIXTURES, SMALL_GAP = 40, 1e-9


def suboptimality_bound(objective: Objective, evaluation: Evaluation) -> float | None:
    """The smallest proven bound of F - F* that costs no pass; None where none is known."""
    bounds = [
        bound
        for bound in (
            _gap(objective, evaluation),
            _quadratic(objective, evaluation),
            _self_concordant(objective, evaluation),
            evaluation.gap,
        )
        if bound is not None and math.isfinite(bound)
    ]
    least, stored = _least(objective), _stored(objective, evaluation)
    if evaluation.objective == least:
        bounds.append(0.0)
    if not bounds or stored is None:
        return None
    # F itself, and so a bound of it, is known to rounding only
    rounding = max(rounding_of(evaluation.objective), evaluation.rounding)
    return min(*bounds, evaluation.objective - least) + rounding + stored


def _least(objective: Objective) -> float:
    """What F is never below; -inf where that is not known. L1, L2 and w'Pw/2 are never negative."""
    return objective.loss.lowest if _parabolic(objective) else -math.inf


def _stored(objective: Objective, evaluation: Evaluation) -> float | None:
    """How much larger F may be at the coefficients as they are stored; None where nothing tells.

    The intercept of raw features is one number, which may leave out digits of the centred one.
    """
    moved = objective.coordinates.unstored(evaluation.theta)
    length = float(np.linalg.norm(moved))
    curved, steepest = objective.loss.most_curved, objective.loss.steepest
    if length == 0.0:
        return 0.0
    rise = steepest * length
    if math.isfinite(curved) and evaluation.blur is not None:
        slopes = objective.coordinates.slopes
        slope, blur = evaluation.loss_gradient[slopes:], evaluation.blur[slopes:]
        first = max(0.0, float(slope @ moved)) + float(blur @ np.abs(moved))
        rise = min(rise, first + curved * length**2 / 2)
    if math.isfinite(rise):
        return rise
    # where nothing bounds l', what is below the rounding of z itself is below that of F
    theta, size = np.abs(evaluation.theta), objective.rounding.size
    known = [EPS * float(size[own] @ theta[own]) for own in _outputs(objective)]
    return 0.0 if (np.abs(moved) <= np.array(known)).all() else None


def _outputs(objective: Objective) -> list[NDArray[np.int64]]:
    """Where theta of each output lies."""
    to = objective.coordinates
    return [to.of_output(k) for k in range(to.outputs)]


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
    """The duality gap for any convex loss, where there is a penalty and sum s l' = 0.

    With u_j = d_j w_j, v_j = sum s l' x_j / (S d_j), L the mean loss, m what it is never below and
    R the penalty, for any t between 0 and 1

        F - F* <= (1 - t) (L - m) + R + sum_j [ t v_j u_j + ((t |v_j| - l1)+)^2 / (2 l2) ],

    since L is above t times its tangent + (1 - t) m; with l2 = 0 where no t |v_j| is above l1. For
    squared error (1 - t)^2 takes the place of 1 - t: its dual at t l' is known. A further penalty
    counts as loss, for it lies above its tangents, too, where it has no kink.
    """
    l1, l2 = objective.strengths.l1, objective.strengths.l2
    w = objective.coordinates.weights(evaluation.theta)
    kinked = any(
        term.kink(column).any() for term in objective.extra for column in np.atleast_2d(w.T)
    )
    if not (l1 > 0 or l2 > 0) or kinked or objective.loss.numerical or evaluation.blur is None:
        return None
    to, gradient = objective.coordinates, evaluation.loss_gradient
    if (np.abs(gradient[to.slopes :]) > 1e-12 * objective.rho).any():
        return None  # sum s l' is not 0
    raw = gradient[: to.slopes] / to.line(to.unit)
    height = evaluation.loss
    for term in objective.extra:
        columns = np.atleast_2d(w.T)
        raw = raw + np.concatenate([term.gradient(column)[to.active] for column in columns])
        height += sum(term.value(column) for column in columns)
    d = to.line(objective.strengths.scale[to.active])
    u, v = d * to.line(w[to.active]), raw / d
    blur = evaluation.blur[: to.slopes] / to.line(to.unit) / d
    with np.errstate(over="ignore", invalid="ignore"):
        height -= _least(objective)
        square = objective.loss.quadratic and not objective.extra
        return _best_mixture(u, v, blur, height, l1, l2, square)


def _best_mixture(
    u: Array, v: Array, blur: Array, height: float, l1: float, l2: float, square: bool
) -> float:
    """The least of `_gap` over t, which is convex in t; infinite where there is none.

    Args:
        u, v: as there, (p,).
        blur: rounding of v (p,).
        height: L - m; infinite where m is not known, and then t = 1.
        l1, l2: strengths, not both 0.
        square: whether the loss is squared error alone.
    """
    size, sign, flat = np.abs(u), np.sign(u), l1 * np.abs(u) + l2 * u**2 / 2

    def terms(v: Array) -> Array:
        within = size * (l1 + v * sign) + l2 * u**2 / 2
        if not l2 > 0:
            return np.where(np.abs(v) <= l1, within, math.inf)
        # against the sign of u the sum is a square, of what cancels
        against = (v + l1 * sign + l2 * u) ** 2 / (2 * l2)
        along = v * u + flat + (np.abs(v) - l1) ** 2 / (2 * l2)
        return np.where(np.abs(v) <= l1, within, np.where(v * sign < 0, against, along))

    def gap(t: float) -> float:
        short = (1 - t) ** 2 if square else 1 - t
        # each is convex in v, so largest at an end of what v may be
        most = np.maximum(terms(t * (v - blur)), terms(t * (v + blur)))
        return (short * height if short > 0 else 0.0) + float(np.sum(most))

    largest = float(np.max(np.abs(v) + blur, initial=0.0))
    high = 1.0 if l2 > 0 or largest <= l1 else l1 / largest * (1 - 4 * EPS)
    least, low = gap(high), 0.0
    if math.isfinite(height) and not least <= SMALL_GAP * height:
        for _ in range(MIXTURES):
            one, other = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, other) if gap(one) <= gap(other) else (one, high)
        least = min(least, gap((low + high) / 2))
    return 0.0 if least < 0 else least  # what is no number stays so, and proves nothing


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
