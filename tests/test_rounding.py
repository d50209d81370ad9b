"""What rounding may have done to a pass, and to the coefficients that are stored, is known."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from tests.problems import Problem, objective_of, summary_of
from w261reg import train
from w261reg.evaluation import rounding_of
from w261reg.scaling import exact_products
from w261reg.solvers import SOLVERS, Status, minimise

Array = NDArray[np.float64]


def exact(values: Array) -> list[Fraction]:
    return [Fraction(float(value)) for value in np.ravel(values)]


def exact_loss(loss: str, y: float, z: Fraction) -> Fraction:
    label = Fraction(float(y))
    if loss == "mse":
        return (z - label) ** 2 / 2
    short = max(Fraction(0), 1 - (2 * label - 1) * z)
    return short if loss == "hinge" else short**2


def table(seed: int, offset: float, spread: float = 1.0) -> tuple[Array, Array]:
    """Features at an offset, the second one nearly the first."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 3))
    x[:, 1] = x[:, 0] + spread * x[:, 1]
    return x + offset, (x[:, 0] + rng.logistic(size=40) > 0).astype(float)


@pytest.mark.parametrize("loss", ["mse", "squared_hinge", "hinge"])
@pytest.mark.parametrize("offset", [0.0, 1e6, 1e12])
@pytest.mark.parametrize("size", [1.0, 1e5])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_rounding_of_a_pass_is_bounded(
    loss: str, offset: float, size: float, intercept: bool
) -> None:
    for seed in range(5):
        x, y = table(seed, offset, 1e-3)
        objective = objective_of(Problem(x, y, np.ones(40), loss, fit_intercept=intercept))
        theta = size * np.random.default_rng(seed).normal(size=objective.p)
        at, to = objective.evaluate(theta, 1), objective.coordinates
        w, b0 = exact(to.weights(theta)), Fraction(float(to.centred_intercept(theta)))
        centre = exact(to.centre)
        total = sum(
            exact_loss(
                loss,
                label,
                b0 + sum((a - c) * v for a, c, v in zip(exact(row), centre, w, strict=True)),
            )
            for row, label in zip(x, y, strict=True)
        )
        error = abs(float(total / 40 - Fraction(at.loss)))
        assert error <= at.rounding + 4 * np.finfo(float).eps * at.loss
        if size == 1.0 and offset == 0.0:
            assert at.rounding <= rounding_of(at.objective)


@pytest.mark.parametrize("offset", [0.0, 1e9, 1.7e12])
def test_the_stored_intercept_is_the_nearest_number_and_what_it_leaves_out_is_known(
    offset: float,
) -> None:
    for seed in range(5):
        x, y = table(seed, offset)
        objective = objective_of(Problem(x, y, np.ones(40), "bxe"))
        to, theta = objective.coordinates, np.random.default_rng(seed).normal(size=4)
        true = Fraction(float(theta[-1])) - sum(
            c * w for c, w in zip(exact(to.centre), exact(to.weights(theta)), strict=True)
        )
        stored = to.intercept(theta)
        assert stored == float(true)
        assert to.unstored(theta)[0] == float(Fraction(stored) - true)


def test_products_are_exact_over_the_whole_range() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=30) * 10.0 ** rng.uniform(-150, 300, 30), rng.normal(size=30)
    b *= 10.0 ** rng.uniform(-150, 0, 30)
    total = sum((v for v in exact(exact_products(a, b))), Fraction(0))
    assert total == sum((v * w for v, w in zip(exact(a), exact(b), strict=True)), Fraction(0))


@pytest.mark.parametrize("y_offset", [0.0, 1e9, 1e12])
@pytest.mark.parametrize("x_offset", [0.0, 1e9, 1e12])
def test_a_bound_holds_for_the_coefficients_as_they_are_stored(
    x_offset: float, y_offset: float
) -> None:
    """Ridge of one feature, whose optimum is a fraction."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=30)
    y = x + rng.normal(size=30) + y_offset
    x = x + x_offset
    model = train(x[:, None], y, loss="mse", reg_param=0.1, standardization=False)
    xs, ys = exact(x), exact(y)
    x_mean, y_mean = sum(xs, Fraction(0)) / 30, sum(ys, Fraction(0)) / 30
    xx = sum(((a - x_mean) ** 2 for a in xs), Fraction(0)) / 30
    xy = sum(((a - x_mean) * (b - y_mean) for a, b in zip(xs, ys, strict=True)), Fraction(0)) / 30
    l2 = Fraction(model.l2)

    def objective(w: Fraction, b: Fraction) -> Fraction:
        rows = ((a * w + b - c) ** 2 for a, c in zip(xs, ys, strict=True))
        return sum(rows, Fraction(0)) / 60 + l2 * w * w / 2

    best = xy / (xx + l2)
    least = objective(best, y_mean - best * x_mean)
    stored = objective(Fraction(float(model.weights[0])), Fraction(model.intercept))
    assert model.status == "converged"
    assert model.suboptimality_bound is not None
    assert stored - least <= Fraction(model.suboptimality_bound)
    assert abs(stored - Fraction(model.objective)) <= Fraction(model.suboptimality_bound)
    if max(x_offset, y_offset) == 0:
        assert model.suboptimality_bound < 1e-13


@pytest.mark.parametrize("gram", [True, False])
def test_standard_deviations_far_from_zero_have_all_their_digits(gram: bool) -> None:
    """The mean is a number to 1e-4 there; squares about it are no variance."""
    x = 2.0**40 + np.random.default_rng(3).integers(-3, 4, (35, 4)).astype(float)
    problem = Problem(x, np.arange(35.0), np.ones(35), "mse", leaves=3)
    found = summary_of(problem, gram).sd()[:-1]
    np.testing.assert_allclose(found, (x - 2.0**40).std(axis=0), rtol=1e-14)


def test_steps_that_values_cannot_judge_are_judged_by_the_gradient() -> None:
    """Nearly collinear features: weights of 1e6, and F is known to 1e-11 only."""
    rng = np.random.default_rng(11)
    z, d = rng.normal(size=50), rng.normal(size=50)
    y = (z + d + rng.logistic(size=50) > 0).astype(float)
    x = np.column_stack([z, z + 1e-6 * d])
    objective = objective_of(Problem(x, y, np.ones(50), "bxe"))
    result = minimise(SOLVERS["newton"](), objective)
    assert result.status is Status.CONVERGED
    assert objective.dataset.passes <= 15


def test_one_outlier_does_not_hide_that_others_are_not_solved() -> None:
    """Its feature's deviation is the outlier's own, by which a violation of all others is small."""
    rng = np.random.default_rng(13)
    x = rng.normal(size=(40, 2))
    y = (x[:, 0] + rng.logistic(size=40) > 0).astype(float)
    x[0, 0], y[0] = 1e11, 1.0
    problem = Problem(x, y, np.ones(40), "bxe", 0.02, 0.5, standardization=False)
    objective = objective_of(problem)
    result = minimise(SOLVERS["proximal"](), objective)
    theta = result.evaluation.theta.copy()
    at = objective.evaluate(theta + np.array([0.0, 0.3, 0.0]), 2)
    worse = objective.evaluate(np.zeros(objective.p), 2)
    assert at.residual > 1e-3
    assert worse.residual > 1e-3


def test_strengths_below_the_tolerance_are_solved_or_not_called_converged() -> None:
    rng = np.random.default_rng(17)
    x = rng.normal(size=(6, 10))
    y = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    for solver in ("sampled", "proximal"):
        model = train(x, y, loss="bxe", reg_param=1e-12, elastic_net_param=1.0, solver=solver)
        longer = train(
            x,
            y,
            loss="bxe",
            reg_param=1e-12,
            elastic_net_param=1.0,
            solver="proximal",
            tol=1e-13,
            max_iter=500,
        )
        near = model.objective <= longer.objective * (1 + 1e-6)
        assert near or model.status != "converged"


def test_sparse_moments_are_known_to_what_was_subtracted() -> None:
    """Sparse rows are centred as sums: one row of nearly all the weight, far from 0 beside its
    distance from the mean, leaves few digits, and a proof must say so."""
    for seed in [*range(40), 220, 610, 831]:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(16, 1))
        y = 0.1 * x[:, 0] + rng.normal(size=16)
        weight = 10.0 ** rng.uniform(-12, 12, 16)
        least = least_squares_exactly(x[:, 0], y, weight)
        for rows in (x, sparse.csr_array(x)):
            model = train(rows, y, weight=weight, loss="mse", convention="canonical")
            assert model.suboptimality_bound is not None
            gap = abs(float(Fraction(model.objective) - least))
            assert gap <= model.suboptimality_bound


def least_squares_exactly(x: Array, y: Array, weight: Array) -> Fraction:
    """Half of the least mean square of y - w x - b."""
    a, c, s = (list(map(Fraction, values.tolist())) for values in (x, y, weight))
    total = sum(s, Fraction(0))

    def mean(values: list[Fraction]) -> Fraction:
        return sum((u * v for u, v in zip(s, values, strict=True)), Fraction(0)) / total

    x_mean, y_mean = mean(a), mean(c)
    along, own = [v - x_mean for v in a], [v - y_mean for v in c]
    covariance = mean([u * v for u, v in zip(along, own, strict=True)])
    return (mean([v * v for v in own]) - covariance**2 / mean([v * v for v in along])) / 2


@pytest.mark.parametrize("offset", [1e6, 1e8])
@pytest.mark.parametrize("penalty", [0.0, 1e-4])
def test_where_rounding_of_the_rows_ends_a_fit_it_has_converged(
    offset: float, penalty: float
) -> None:
    """Far from 0 without an intercept: no step is seen to descend, and that is proven of all."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(40, 2))
        y = (x @ rng.normal(size=2) + rng.logistic(size=40) > 0).astype(float)
        x += offset
        for loss in ("mse", "bxe"):
            given = {"loss": loss, "reg_param": penalty, "standardization": False}
            model = train(x, y, fit_intercept=False, convention="canonical", **given)
            assert model.status == "converged"
            bound = model.suboptimality_bound
            assert bound is not None and bound <= 1e-6 * model.objective
            if loss == "mse":
                gap = Fraction(model.objective) - ridge_exactly(x, y, penalty)
                assert abs(float(gap)) <= bound


def ridge_exactly(x: Array, y: Array, l2: float) -> Fraction:
    """The least mean of (y - x'w)^2/2 + l2 |w|^2/2 of two features, in fractions."""
    (a, b), c, m = (exact(x[:, 0]), exact(x[:, 1])), exact(y), len(y)

    def mean(u: list[Fraction], v: list[Fraction]) -> Fraction:
        return sum((p * q for p, q in zip(u, v, strict=True)), Fraction(0)) / m

    aa, ab, bb = mean(a, a) + Fraction(l2), mean(a, b), mean(b, b) + Fraction(l2)
    ay, by = mean(a, c), mean(b, c)
    explained = (ay * ay * bb - 2 * ay * by * ab + by * by * aa) / (aa * bb - ab * ab)
    return (mean(c, c) - explained) / 2
