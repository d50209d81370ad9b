"""What every loss, every penalty and every solver must keep: one check for all registered ones."""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from tests.problems import Problem, objective_of, reference_minimum, value_at
from w261reg.errors import InputError
from w261reg.evaluation import Evaluation
from w261reg.losses import LOSSES, Loss
from w261reg.objective import Objective
from w261reg.penalties import Penalty
from w261reg.solvers import SOLVERS, FitResult, Solver, Status, minimise
from w261reg.solvers.certificates import (
    _gap,
    _quadratic,
    _self_concordant,
    suboptimality_bound,
)

Array = NDArray[np.float64]
STEP = float(np.finfo(float).eps ** (1 / 3))
# the margin (2y - 1) z at which a loss has a kink, or its second derivative a jump
CORNERS = {"hinge": 1.0, "squared_hinge": 1.0}


# losses of one output; those of several classes have checks of their own
SINGLE = sorted(name for name, kind in LOSSES.items() if not kind.multiclass)

# --- losses -------------------------------------------------------------------------------------


def labels_and_predictors(loss: Loss, k: int = 3) -> tuple[Array, Array]:
    """y (b,) in the loss's domain and z (b, k) from -1000 to 1000."""
    rng = np.random.default_rng(7)
    z = np.concatenate(
        [np.linspace(-30, 30, 41), [-1e3, -700.5, -100, 100, 700.5, 1e3], 3 * rng.normal(size=53)]
    )
    z = np.column_stack([z] + [rng.permutation(z) for _ in range(k - 1)])
    y = rng.integers(0, 2, len(z)).astype(float) if loss.classification else rng.normal(size=len(z))
    return y, z


def check_loss(loss: Loss) -> None:
    """Derivatives, shapes and range of a loss. numpy's warnings must be errors here."""
    y, z = labels_and_predictors(loss)
    value, derivative, curvature = (
        loss.value(y, z),
        loss.derivative(y, z),
        loss.curvature(y, z),
    )
    for part, together in zip((value, derivative, curvature), loss.all(y, z), strict=True):
        assert part.shape == together.shape == z.shape
        assert part.dtype == together.dtype == np.float64
        assert np.isfinite(part).all()
        np.testing.assert_allclose(together, part, rtol=1e-14, atol=0)
    for j in range(z.shape[1]):  # each column is a model of its own
        np.testing.assert_allclose(loss.value(y, z[:, [j]])[:, 0], value[:, j], rtol=1e-14)
        np.testing.assert_allclose(loss.derivative(y, z[:, [j]])[:, 0], derivative[:, j], 1e-14)

    assert (value >= 0).all()
    assert (curvature >= 0).all()
    if loss.quadratic:
        assert (curvature == 1).all()
    assert (np.abs(derivative) <= loss.steepest).all()
    assert (curvature <= loss.most_curved).all()
    if loss.kinked:
        assert not curvature.any()
    h = STEP * np.maximum(1.0, np.abs(z))
    away = np.abs((2 * y[:, None] - 1) * z - CORNERS.get(loss.name, np.inf)) > h
    assert away.mean() > 0.9
    slope = (loss.value(y, z + h) - loss.value(y, z - h)) / (2 * h)
    np.testing.assert_allclose(slope[away], derivative[away], rtol=1e-8, atol=1e-8)
    bend = (loss.derivative(y, z + h) - loss.derivative(y, z - h)) / (2 * h)
    np.testing.assert_allclose(bend[away], curvature[away], rtol=1e-7, atol=1e-8)
    _check_corner(loss)

    _check_predictions(loss, y, z, derivative)
    _check_null(loss)
    _check_margin(loss, y, z)


def _check_corner(loss: Loss) -> None:
    """Exactly at the margin where l'' jumps: a subderivative, and within what either side has."""
    if loss.name not in CORNERS:
        assert not loss.kinked
        return
    y, h = np.array([0.0, 1.0]), 1e-7
    z = (2 * y[:, None] - 1) * CORNERS[loss.name]
    right = (loss.value(y, z + h) - loss.value(y, z)) / h
    left = (loss.value(y, z) - loss.value(y, z - h)) / h
    for derivative in (loss.derivative(y, z), loss.first(y, z)[1]):
        assert (left - 1e-6 <= derivative).all()
        assert (derivative <= right + 1e-6).all()
    assert bool((right - left > 0.5).all()) == loss.kinked
    low, high = loss.curvature(y, z - h), loss.curvature(y, z + h)
    assert (np.minimum(low, high) <= loss.curvature(y, z)).all()
    assert (loss.curvature(y, z) <= np.maximum(low, high)).all()
    assert bool((low != high).all()) != loss.kinked


def _check_predictions(loss: Loss, y: Array, z: Array, derivative: Array) -> None:
    mean = loss.mean(z)
    assert mean.shape == z.shape
    assert loss.mean(z[:, 0]).shape == (len(z),)
    order = np.argsort(z[:, 0])
    assert (np.diff(mean[order, 0]) >= 0).all()
    if loss.classification:
        assert ((mean >= 0) & (mean <= 1)).all()
    if loss.canonical:
        np.testing.assert_allclose(derivative, mean - y[:, None], rtol=1e-9, atol=1e-14)
    perfect = (40.0 * (2 * y - 1) if loss.classification else y)[:, None]
    assert np.abs(loss.derivative(y, perfect)).max() < 1e-15
    assert loss.value(y, perfect).max() < 1e-15
    np.testing.assert_allclose(loss.mean(perfect)[:, 0], y, atol=1e-15)


def _check_null(loss: Loss) -> None:
    rng = np.random.default_rng(8)
    for share in (0.001, 0.2, 0.5, 0.97):
        y = np.array([0.0, 1.0]) if loss.classification else rng.normal(size=50) + share
        weight = np.array([1 - share, share]) if loss.classification else np.full(50, 1 / 50)

        def mean_loss(z: float, y: Array = y, weight: Array = weight) -> float:
            return float(weight @ loss.value(y, np.full((len(y), 1), z))[:, 0])

        z0 = loss.null_predictor(float(weight @ y))
        assert isinstance(z0, float)
        best = optimize.minimize_scalar(mean_loss, bracket=(z0 - 1, z0 + 1.5), tol=1e-10)
        assert mean_loss(z0) <= best.fun * (1 + 1e-14)
        if loss.canonical:
            slope = weight @ loss.derivative(y, np.full((len(y), 1), z0))[:, 0]
            assert abs(slope) < 1e-15


def _check_margin(loss: Loss, y: Array, z: Array) -> None:
    if not loss.may_separate:
        return
    margin = loss.margin(y, z)
    assert margin.shape == z.shape
    right = (z > 0) == (y[:, None] > 0.5)
    assert ((margin > 0) == (right & (z != 0))).all()
    np.testing.assert_array_equal(loss.margin(y, 2 * z), 2 * margin)
    grows = loss.value(y, 1.5 * z) - loss.value(y, z)
    assert (grows[margin > 0] <= 0).all()
    assert (grows[margin < 0] > 0).all()


# --- penalties ----------------------------------------------------------------------------------


def check_penalty(kind: type[Penalty]) -> None:
    """Derivatives, kinks, prox and residual of a penalty, with scale 1 and another."""
    rng = np.random.default_rng(9)
    for scale in (np.ones(6), np.array([1.0, 3.0, 0.02, 50.0, 1.0, 0.7])):
        penalty = kind.of(0.7, scale)
        _check_values(kind, penalty, rng)
        _check_kinks(kind, penalty, rng)
        _check_prox(penalty, rng)
        _check_residual(penalty, rng)


def _points(rng: np.random.Generator) -> Array:
    """Weights away from 0."""
    return rng.choice([-1.0, 1.0], 6) * rng.uniform(0.3, 2.0, 6)


def _matrix(hessian: Array) -> Array:
    return hessian if hessian.ndim == 2 else np.diag(hessian)


def _check_values(kind: type[Penalty], penalty: Penalty, rng: np.random.Generator) -> None:
    zero = np.zeros(6)
    assert penalty.value(zero) == 0.0
    assert isinstance(penalty.value(zero), float)
    np.testing.assert_array_equal(penalty.gradient(zero), zero)
    h = STEP
    for _ in range(10):
        w, other = _points(rng), _points(rng)
        assert penalty.value(w) > 0 or penalty.value(other) > 0
        middle = penalty.value((w + other) / 2)
        assert middle <= (penalty.value(w) + penalty.value(other)) / 2 * (1 + 1e-14)
        gradient, hessian = penalty.gradient(w), _matrix(penalty.hessian(w))
        steps = h * np.eye(6)
        slope = [(penalty.value(w + e) - penalty.value(w - e)) / (2 * h) for e in steps]
        size = 1 + np.abs(gradient).max()
        np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-7 * size)
        bend = [(penalty.gradient(w + e) - penalty.gradient(w - e)) / (2 * h) for e in steps]
        np.testing.assert_allclose(hessian, bend, rtol=1e-7, atol=1e-7 * size)
        np.testing.assert_array_equal(hessian, hessian.T)
        # strength 0 is no penalty, and twice the strength is twice the penalty
        off, twice = kind.of(0.0, np.ones(6)), kind.of(1.4, np.ones(6))
        assert off.value(w) == 0.0
        np.testing.assert_allclose(twice.value(w), 2 * kind.of(0.7, np.ones(6)).value(w))


def _check_kinks(kind: type[Penalty], penalty: Penalty, rng: np.random.Generator) -> None:
    h = 1e-7
    kink = penalty.kink(np.zeros(6))
    assert (kink >= 0).all()
    assert bool(kink.any()) == kind.kinked
    for j in range(6):
        w = _points(rng)
        w[j] = 0.0
        e = h * np.eye(6)[j]
        here = penalty.value(w)
        right, left = (penalty.value(w + e) - here) / h, (here - penalty.value(w - e)) / h
        size = 1 + abs(right) + abs(left) + penalty.value(w)
        assert abs((right - left) / 2 - penalty.kink(w)[j]) < 1e-4 * size
        assert abs((right + left) / 2 - penalty.gradient(w)[j]) < 1e-4 * size


def _check_prox(penalty: Penalty, rng: np.random.Generator) -> None:
    kink = penalty.kink(np.zeros(6))
    for step in (1e-3, 0.4, 30.0):
        v = 2 * _points(rng)
        v[0] = 0.0

        def total(w: Array, v: Array = v, step: float = step) -> float:
            return float((w - v) @ (w - v)) / (2 * step) + penalty.value(w)

        w = penalty.prox(v, step)
        assert w.shape == v.shape
        best = total(w)
        for size in (1e-6, 1e-3, 0.1, 1.0):
            for _ in range(40):
                assert best <= total(w + size * rng.normal(size=6)) + 1e-14 * abs(best)
        # -(w - v)/step is a subgradient
        optimal = penalty.residual(w, (w - v) / step)
        assert (optimal <= 1e-12 * (np.abs(v) / step + kink + 1)).all()
        if kink.all():
            small = penalty.prox(0.99 * step * kink * rng.choice([-1.0, 1.0], 6), step)
            np.testing.assert_array_equal(small, np.zeros(6))
            assert (penalty.prox(1.01 * step * kink, step) > 0).all()


def _check_residual(penalty: Penalty, rng: np.random.Generator) -> None:
    w = _points(rng)
    w[[1, 4]] = 0.0
    kink = penalty.kink(w)
    inside = -penalty.gradient(w) + np.where(w == 0, rng.uniform(-1, 1, 6) * kink, 0.0)
    np.testing.assert_array_equal(penalty.residual(w, -penalty.gradient(w)), np.zeros(6))
    assert (penalty.residual(w, inside) <= 1e-15 * (1 + np.abs(inside))).all()
    outside = -penalty.gradient(w) + np.where(w == 0, kink, 0.0) + 0.25
    np.testing.assert_allclose(penalty.residual(w, outside), 0.25, rtol=1e-12)


# --- solvers ------------------------------------------------------------------------------------

# those whose answer is judged by their steps and their rate rather than by a tolerance
DESCENTS = {name for name, kind in SOLVERS.items() if kind.takes_step_size}
# what the defaults are too short for
LONGER: dict[str, dict[str, float]] = {
    "gd": {"max_iter": 20_000},
    "momentum": {"max_iter": 20_000},
    "nesterov": {"max_iter": 20_000},
    "lbfgs": {"max_iter": 500},
}


def check_solver(kind: type[Solver], problem: Problem) -> FitResult | None:
    """The solver's answer against an independent one, or its refusal before the first pass."""
    solver = kind(**LONGER.get(kind.name, {}))  # type: ignore[arg-type]
    objective = objective_of(problem, kind.first_pass)
    refused = (
        (kind.smooth_only and not objective.smooth)
        or (kind.quadratic_only and not objective.loss.quadratic)
        or (kind.kinked_only and not objective.loss.kinked)
        or (objective.loss.kinked and not kind.subgradients)
    )
    if refused:
        try:
            minimise(solver, objective)
        except InputError as error:
            assert kind.name in str(error)
            assert objective.dataset.passes == 1
            return None
        raise AssertionError(f"{kind.name} took a problem it cannot solve")
    result = minimise(solver, objective)
    assert result.status is Status.CONVERGED, result.message
    assert result.evaluation.residual <= solver.tol
    found = value_at(problem, result.w, result.intercept)
    assert abs(found - result.evaluation.objective) <= 1e-12 * max(abs(found), 1)
    best = reference_minimum(problem)
    assert abs(found - best) <= 1e-10 * abs(best)
    bound = result.suboptimality_bound
    assert bound is None or found - best <= bound + 1e-13 * abs(best)
    if not problem.fit_intercept:
        assert result.intercept == 0.0
    return result


# --- proofs -------------------------------------------------------------------------------------

PROOFS = {
    "gap": _gap,
    "quadratic": _quadratic,
    "self_concordant": _self_concordant,
    "any": suboptimality_bound,
}


def check_bounds(
    objective: Objective, points: list[Evaluation], best: float | None, proven: dict[str, int]
) -> None:
    """That each bound is above the true gap; counts them by the kind of proof.

    Args:
        objective: whose evaluations `points` are.
        points: not optimal.
        best: the least objective; None where there is none.
        proven: counts, changed.
    """
    for at in points:
        for name, bound_of in PROOFS.items():
            bound = bound_of(objective, at)
            if bound is None or not np.isfinite(bound):
                continue
            assert best is not None, f"{name} proves an optimum that does not exist"
            proven[name] += 1
            rounding = 1e-13 * (abs(best) + abs(at.objective))
            assert at.objective - best <= bound + rounding, (name, bound)
