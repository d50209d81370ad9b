"""What a strength means, each convention against the library or formula it is named after."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize
from sklearn import linear_model

from tests.problems import Problem, example, objective_of, summary_of, value_at
from w261reg import InputError, train
from w261reg.conventions import CONVENTIONS, SPARK_NORMAL_MAX_FEATURES, strengths
from w261reg.losses import get_loss
from w261reg.model import Model

Array = NDArray[np.float64]
WEIGHTED = [False, True]
INTERCEPT = [True, False]
BOTH = list(itertools.product(WEIGHTED, INTERCEPT))


def fitted(problem: Problem, convention: str, **settings: Any) -> Model:
    model = train(
        problem.x,
        problem.y,
        weight=problem.weight,
        loss=problem.loss,
        convention=convention,
        tol=1e-12,
        **settings,
    )
    assert model.status == "converged" or model.optimality_residual < 1e-10
    return model


def same(model: Model, w: Array, b: float, tolerance: float = 1e-7) -> None:
    np.testing.assert_allclose(model.weights, w, rtol=tolerance, atol=tolerance)
    assert model.intercept == pytest.approx(b, rel=tolerance, abs=tolerance)


def least(f: Any, n: int, intercept: bool) -> tuple[Array, float]:
    """The minimiser of a smooth f(w, b) by scipy, from differences of f alone to start with."""

    def g(t: Array) -> float:
        return float(f(t[:n], t[n] if intercept else 0.0))

    t = np.zeros(n + intercept)
    for _ in range(2):
        t = optimize.minimize(g, t, method="BFGS", options={"gtol": 1e-10}).x
        fine = {"xatol": 1e-11, "fatol": 1e-16}
        t = optimize.minimize(g, t, method="Nelder-Mead", options=fine).x  # type: ignore[call-overload]
    return t[:n], float(t[n]) if intercept else 0.0


# --- canonical ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
@pytest.mark.parametrize("mix", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_canonical_is_the_pair_itself(
    loss: str, mix: float, weighted: bool, intercept: bool
) -> None:
    problem = example(loss, weighted=weighted).but(fit_intercept=intercept)
    model = fitted(
        problem, "canonical", reg_param=0.3, elastic_net_param=mix, fit_intercept=intercept
    )
    assert model.l1 == pytest.approx(0.3 * mix, rel=1e-15)
    assert model.l2 == pytest.approx(0.3 * (1 - mix), rel=1e-15)
    assert model.standardization
    np.testing.assert_allclose(model.standard_deviations, problem.scale, rtol=1e-13)


# --- scikit-learn -------------------------------------------------------------------------------


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
def test_sklearn_ridge(weighted: bool, intercept: bool) -> None:
    problem = example("mse", weighted=weighted)
    theirs = linear_model.Ridge(alpha=3.0, fit_intercept=intercept, solver="cholesky")
    theirs.fit(problem.x, problem.y, sample_weight=problem.weight)
    model = fitted(problem, "sklearn", reg_param=3.0, fit_intercept=intercept)
    same(model, theirs.coef_, theirs.intercept_, 1e-10)
    assert model.l2 == pytest.approx(3.0 / problem.weight.sum(), rel=1e-14)


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
@pytest.mark.parametrize("mix", [1.0, 0.4])
def test_sklearn_lasso_and_elastic_net(mix: float, weighted: bool, intercept: bool) -> None:
    problem = example("mse", weighted=weighted)
    if mix == 1.0:
        theirs = linear_model.Lasso(alpha=0.1, fit_intercept=intercept, tol=1e-14)
    else:
        theirs = linear_model.ElasticNet(
            alpha=0.1, l1_ratio=mix, fit_intercept=intercept, tol=1e-14
        )
    theirs.fit(problem.x, problem.y, sample_weight=problem.weight)
    model = fitted(
        problem, "sklearn", reg_param=0.1, elastic_net_param=mix, fit_intercept=intercept
    )
    same(model, theirs.coef_, theirs.intercept_, 1e-8)
    np.testing.assert_array_equal(model.weights == 0, theirs.coef_ == 0)


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
def test_sklearn_logistic(weighted: bool, intercept: bool) -> None:
    problem = example("bxe", weighted=weighted)
    theirs = linear_model.LogisticRegression(
        C=0.5, fit_intercept=intercept, solver="newton-cholesky", tol=1e-13, max_iter=1000
    )
    theirs.fit(problem.x, problem.y, sample_weight=problem.weight)
    model = fitted(problem, "sklearn", reg_param=0.5, fit_intercept=intercept)
    same(model, theirs.coef_[0], float(np.ravel(theirs.intercept_)[0]), 1e-9)


@pytest.mark.parametrize("weighted", WEIGHTED)
@pytest.mark.parametrize("mix", [1.0, 0.5])
def test_sklearn_logistic_with_l1(mix: float, weighted: bool) -> None:
    problem = example("bxe", weighted=weighted)
    theirs = linear_model.LogisticRegression(
        C=0.3, l1_ratio=mix, solver="saga", tol=1e-10, max_iter=100_000, random_state=1
    )
    theirs.fit(problem.x, problem.y, sample_weight=problem.weight)
    model = fitted(problem, "sklearn", reg_param=0.3, elastic_net_param=mix)
    same(model, theirs.coef_[0], theirs.intercept_[0], 1e-5)


def test_sklearn_liblinear_without_intercept() -> None:
    problem = example("bxe")
    theirs = linear_model.LogisticRegression(
        C=0.3, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-12, max_iter=10_000
    )
    theirs.fit(problem.x, problem.y)
    model = fitted(problem, "sklearn", reg_param=0.3, elastic_net_param=1.0, fit_intercept=False)
    same(model, theirs.coef_[0], 0.0, 1e-5)


def test_sklearn_has_no_infinite_c() -> None:
    problem = example("bxe")
    with pytest.raises(InputError, match="C under convention sklearn and must be > 0, not 0"):
        fitted(problem, "sklearn", reg_param=0.0)


# --- glmnet and pyspark.ml: what R printed ------------------------------------------------------

# R's glmnet on A = [0 5; 1 7; 2 11; 3 13], b = (17, 19, 23, 29), w = (1, 2, 3, 4), as its output is
# quoted in Apache Spark's WeightedLeastSquaresSuite, which asserts the same of pyspark.ml:
# (intercept, lambda, standardize, alpha) -> intercept and coefficients
PRINTED: dict[tuple[bool, float, bool, float], tuple[float, float, float]] = {
    (False, 0.1, False, 0.1): (0.0, -3.292821, 2.921188),
    (False, 0.1, False, 0.5): (0.0, -3.230854, 2.908484),
    (False, 0.1, False, 1.0): (0.0, -3.145586, 2.891014),
    (False, 0.1, True, 0.1): (0.0, -2.919246, 2.841724),
    (False, 0.1, True, 0.5): (0.0, -2.938323, 2.846369),
    (False, 0.1, True, 1.0): (0.0, -2.965397, 2.852838),
    (False, 0.5, False, 0.1): (0.0, -2.137858, 2.684464),
    (False, 0.5, False, 1.0): (0.0, -0.8194631, 2.4151405),
    (False, 0.5, True, 0.5): (0.0, -0.6187922, 2.3634907),
    (False, 1.0, True, 1.0): (0.0, 0.0, 2.22861),
    (False, 0.1, False, 0.0): (0.0, -3.307532, 2.924206),
    (False, 1.0, True, 0.0): (0.0, 0.06984238, 2.20488344),
    (True, 0.1, False, 0.1): (13.5631592, 3.2811513, 0.3725517),
    (True, 0.1, False, 0.5): (13.6953934, 3.3336271, 0.3497454),
    (True, 0.1, False, 1.0): (13.9600276, 3.4600170, 0.2999941),
    (True, 0.1, True, 0.1): (14.2389889, 3.6589920, 0.2349065),
    (True, 0.1, True, 0.5): (15.2374080, 4.2119643, 0.0325638),
    (True, 0.1, True, 1.0): (15.4, 4.3, 0.0),
    (True, 0.5, False, 0.1): (10.442365, 1.246065, 1.063991),
    (True, 0.5, False, 0.5): (8.9580718, 0.1938471, 1.4090610),
    (True, 0.5, False, 1.0): (8.865672, 0.0, 1.455224),
    (True, 0.5, True, 0.1): (13.0430927, 2.4927151, 0.5741805),
    (True, 0.5, True, 0.5): (13.814429, 2.722027, 0.455915),
    (True, 0.5, True, 1.0): (16.2, 3.9, 0.0),
    (True, 1.0, False, 0.1): (9.8904768, 0.7574694, 1.2110177),
    (True, 1.0, False, 1.0): (9.512438, 0.0, 1.393035),
    (True, 1.0, True, 0.1): (13.3677796, 2.1721216, 0.6046132),
    (True, 1.0, True, 0.5): (14.2554457, 2.2285185, 0.5084151),
    (True, 1.0, True, 1.0): (17.2, 3.4, 0.0),
    (True, 0.1, False, 0.0): (13.5356178, 3.2714044, 0.3770744),
    (True, 0.1, True, 0.0): (14.064629, 3.565802, 0.269593),
    (True, 1.0, False, 0.0): (10.1238013, 0.9708569, 1.1475466),
    (True, 1.0, True, 0.0): (13.1860638, 2.1761382, 0.6213134),
}
FOUR_ROWS = Problem(
    np.array([[0.0, 5], [1, 7], [2, 11], [3, 13]]),
    np.array([17.0, 19, 23, 29]),
    np.array([1.0, 2, 3, 4]),
)


@pytest.mark.parametrize("convention", ["spark", "glmnet"])
@pytest.mark.parametrize("case", sorted(PRINTED))
def test_printed_by_r(case: tuple[bool, float, bool, float], convention: str) -> None:
    intercept, lam, standardize, alpha = case
    if convention == "glmnet" and not intercept:
        return  # that glmnet divided by sd(y) as pyspark.ml does; 4.1-6 by the root mean square
    model = fitted(
        FOUR_ROWS,
        convention,
        reg_param=lam,
        elastic_net_param=alpha,
        fit_intercept=intercept,
        standardization=standardize,
    )
    # coordinate descent left R's digits up to 2e-5 from the optimum, so no smaller tolerance
    found = (model.intercept, *model.weights)
    np.testing.assert_allclose(found, PRINTED[case], rtol=3e-5, atol=3e-5)
    total = model.l1 + model.l2
    problem = FOUR_ROWS.but(reg_param=total, mix=model.l1 / total, standardization=standardize)
    theirs = value_at(problem, np.array(PRINTED[case][1:]), PRINTED[case][0])
    assert model.objective <= theirs
    assert model.objective == pytest.approx(theirs, rel=1e-7)


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_glmnet_gaussian_standardizes_the_label(
    alpha: float, standardize: bool, weighted: bool, intercept: bool
) -> None:
    """glmnet's own objective, on y / sd(y) with lambda / sd(y); sd over S, or the rms of y."""
    problem = example("mse", weighted=weighted)
    s, lam = problem.weight / problem.weight.sum(), 0.2
    centre = s @ problem.y if intercept else 0.0
    sd_y = np.sqrt(s @ (problem.y - centre) ** 2)
    d = problem.scale if standardize else np.ones(4)
    net: Any = linear_model.ElasticNet(
        alpha=lam / sd_y, l1_ratio=alpha, fit_intercept=intercept, tol=1e-14, max_iter=100_000
    )
    if alpha == 0:
        net = linear_model.Ridge(
            alpha=lam / sd_y * problem.weight.sum(), fit_intercept=intercept, solver="cholesky"
        )
    net.fit(problem.x / d, problem.y / sd_y, sample_weight=problem.weight)
    model = fitted(
        problem, "glmnet", reg_param=lam, elastic_net_param=alpha, fit_intercept=intercept,
        standardization=standardize,
    )  # fmt: skip
    same(model, net.coef_ * sd_y / d, net.intercept_ * sd_y, 1e-8)


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
def test_glmnet_binomial_is_canonical(mix: float, weighted: bool, intercept: bool) -> None:
    problem = example("bxe", weighted=weighted)
    settings: dict[str, Any] = {
        "reg_param": 0.05, "elastic_net_param": mix, "fit_intercept": intercept,
    }  # fmt: skip
    glmnet, canonical = (fitted(problem, name, **settings) for name in ("glmnet", "canonical"))
    assert (glmnet.l1, glmnet.l2) == (canonical.l1, canonical.l2)
    np.testing.assert_array_equal(glmnet.weights, canonical.weights)


# --- pyspark.ml ---------------------------------------------------------------------------------


def _moments(problem: Problem) -> tuple[float, Array, Array]:
    """S - sum s^2/S, and the sds of (x, y) over S and over that."""
    s = problem.weight
    both = np.column_stack([problem.x, problem.y])
    squares = s @ (both - np.average(both, axis=0, weights=s)) ** 2
    divisor = s.sum() - s @ s / s.sum()
    return divisor, np.sqrt(squares / s.sum()), np.sqrt(squares / divisor)


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_spark_strengths_and_deviations(
    loss: str, standardize: bool, weighted: bool, intercept: bool
) -> None:
    problem = example(loss, weighted=weighted)
    divisor, over_s, sample = _moments(problem)
    if not weighted:
        assert divisor == len(problem.y) - 1
    for convention, sd in (("spark", over_s if loss == "mse" else sample), ("spark-lbfgs", sample)):
        found = strengths(
            convention, reg_param=0.4, elastic_net_param=0.25, loss=get_loss(loss),
            summary=summary_of(problem), fit_intercept=intercept, standardization=standardize,
        )  # fmt: skip
        assert found.l1 == pytest.approx(0.1, rel=1e-15)
        assert found.l2 == pytest.approx(0.3 / (sd[-1] if loss == "mse" else 1.0), rel=1e-13)
        np.testing.assert_allclose(found.sd, sd[:-1], rtol=1e-13)
        np.testing.assert_allclose(found.scale, sd[:-1] if standardize else 1.0, rtol=1e-13)
        assert found.step == 1.0


def test_spark_takes_its_other_solver_for_many_features() -> None:
    n = SPARK_NORMAL_MAX_FEATURES
    rng = np.random.default_rng(70)
    for width, over in ((n, 4.0), (n + 1, 3.0)):
        x = rng.normal(size=(4, width))
        found = strengths(
            "spark", reg_param=1.0, elastic_net_param=0.0, loss=get_loss("mse"),
            summary=summary_of(Problem(x, x[:, 0], np.ones(4), leaves=1), gram=False),
            fit_intercept=True, standardization=True,
        )  # fmt: skip
        np.testing.assert_allclose(found.sd, x.std(axis=0) * np.sqrt(4 / over), rtol=1e-12)


# --- the course and the homework ----------------------------------------------------------------


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
def test_course_ridge(weighted: bool, intercept: bool) -> None:
    """(1/m) sum (z - y)^2 + (lam/2) |w|^2, whose ridge gradient is lam w."""
    problem = example("mse", weighted=weighted)
    s = problem.weight / problem.weight.sum()
    w, b = least(
        lambda w, b: s @ (problem.x @ w + b - problem.y) ** 2 + 0.35 / 2 * (w @ w), 4, intercept
    )
    model = fitted(problem, "course", reg_param=0.35, fit_intercept=intercept)
    same(model, w, b, 2e-6)
    assert not model.standardization


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
def test_course_lasso(weighted: bool, intercept: bool) -> None:
    """(1/m) sum (z - y)^2 + lam |w|_1: twice scikit-learn's Lasso at alpha = lam/2."""
    problem = example("mse", weighted=weighted)
    theirs = linear_model.Lasso(alpha=0.15, fit_intercept=intercept, tol=1e-14)
    theirs.fit(problem.x, problem.y, sample_weight=problem.weight)
    model = fitted(problem, "course", reg_param=0.3, elastic_net_param=1.0, fit_intercept=intercept)
    same(model, theirs.coef_, theirs.intercept_, 1e-8)


@pytest.mark.parametrize("intercept", INTERCEPT)
def test_course_cross_entropy(intercept: bool) -> None:
    problem = example("bxe", weighted=True)
    s, signed = problem.weight / problem.weight.sum(), 2 * problem.y - 1
    w, b = least(
        lambda w, b: s @ np.logaddexp(0, -signed * (problem.x @ w + b)) + 0.2 / 2 * (w @ w),
        4,
        intercept,
    )
    same(fitted(problem, "course", reg_param=0.2, fit_intercept=intercept), w, b, 2e-6)


@pytest.mark.parametrize(("weighted", "intercept"), BOTH)
def test_homework(weighted: bool, intercept: bool) -> None:
    """Cross entropy summed over rows, + lam |w|^2."""
    problem = example("bxe", weighted=weighted)
    s, signed = problem.weight, 2 * problem.y - 1
    w, b = least(
        lambda w, b: s @ np.logaddexp(0, -signed * (problem.x @ w + b)) + 0.8 * (w @ w),
        4,
        intercept,
    )
    model = fitted(problem, "homework", reg_param=0.8, fit_intercept=intercept)
    same(model, w, b, 2e-6)
    assert model.l2 == pytest.approx(1.6 / problem.weight.sum(), rel=1e-14)


def test_homework_is_for_classification_and_l2_only() -> None:
    with pytest.raises(InputError, match="homework is for classification, not loss 'mse'"):
        fitted(example("mse"), "homework", reg_param=0.1)
    with pytest.raises(InputError, match=r"elastic_net_param must be 0, not 0\.5"):
        fitted(example("bxe"), "homework", reg_param=0.1, elastic_net_param=0.5)


# --- what holds for all -------------------------------------------------------------------------


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_steps(convention: str) -> None:
    loss = "bxe" if convention == "homework" else "mse"
    problem = example(loss, weighted=True)
    found = strengths(
        convention, reg_param=0.1, elastic_net_param=0.0, loss=get_loss(loss),
        summary=summary_of(problem), fit_intercept=True, standardization=False,
    )  # fmt: skip
    expected = {"course": 2.0, "homework": problem.weight.sum()}.get(convention, 1.0)
    assert found.step == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_habit_of_standardizing(convention: str) -> None:
    loss = "bxe" if convention == "homework" else "mse"
    problem = example(loss)
    habit = convention in ("spark", "spark-lbfgs", "canonical", "glmnet")
    model = fitted(problem, convention, reg_param=0.1)
    assert model.standardization is habit
    other = fitted(problem, convention, reg_param=0.1, standardization=not habit)
    assert other.standardization is not habit
    assert not np.allclose(model.weights, other.weights, rtol=1e-6)


@pytest.mark.parametrize("rows", [80, 1])
@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("convention", sorted(CONVENTIONS.keys() - {"homework"}))
def test_a_constant_label_is_the_intercept(convention: str, mix: float, rows: int) -> None:
    """As in pyspark.ml, by either solver: weights 0 fit it exactly, whatever the strength."""
    whole = example("mse")
    for value in (3.0, 0.0, -1e9):
        problem = whole.but(
            x=whole.x[:rows], y=np.full(rows, value), weight=whole.weight[:rows], leaves=1
        )
        model = fitted(problem, convention, reg_param=0.1, elastic_net_param=mix)
        assert not model.weights.any()
        assert model.intercept == value
        assert model.objective == 0
        assert model.suboptimality_bound is not None
        # the label's mean is a number to its own last digit
        # the rounding of a sum counts twice
        assert model.suboptimality_bound <= 2 * (np.finfo(float).eps * value) ** 2


@pytest.mark.parametrize("convention", ["spark", "spark-lbfgs"])
def test_a_constant_label_without_an_intercept(convention: str) -> None:
    problem = example("mse").but(y=np.full(80, 3.0))

    def without(problem: Problem, name: str, **settings: Any) -> Model:
        return fitted(problem, name, **settings, fit_intercept=False)

    with pytest.raises(InputError, match=r"the label is constant \(3\).*canonical"):
        without(problem, convention, reg_param=0.1)
    without(problem, convention, reg_param=0.0)  # nothing is divided
    without(problem, convention, reg_param=0.1, elastic_net_param=1.0)
    without(problem, "canonical", reg_param=0.1)
    assert not without(problem.but(y=np.zeros(80)), convention, reg_param=0.1).weights.any()


@pytest.mark.parametrize("rhs", [0, 1])
def test_a_constant_label_under_constraints(rhs: float) -> None:
    """Where they forbid weights of 0, the strength decides, and there is none."""
    problem = example("mse").but(y=np.full(80, 3.0))
    equations = [{"rhs": rhs, "coefficients": {"x1": 1, "x2": 1}}]
    given = {"label": problem.y, "loss": "mse", "reg_param": 0.1, "constraints": equations}
    if rhs == 0:
        assert not train(problem.x, **given).weights.any()
        return
    with pytest.raises(InputError, match=r"constant .* under constraints has no meaning"):
        train(problem.x, **given)
    assert train(problem.x, **given, convention="canonical").weights[:2].sum() == pytest.approx(1)


def test_glmnet_without_intercept_divides_by_the_root_mean_square() -> None:
    problem = example("mse").but(y=np.full(80, 3.0))
    model = fitted(problem, "glmnet", reg_param=0.6, fit_intercept=False)
    assert model.l2 == pytest.approx(0.2, rel=1e-14)


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_same_coefficients_from_the_effective_strengths(convention: str) -> None:
    """The result keeps l1 and l2 in canonical terms: they alone give the same answer again."""
    loss = "bxe" if convention == "homework" else "mse"
    problem = example(loss, weighted=True)
    mix = 0.0 if convention == "homework" else 0.3
    model = fitted(problem, convention, reg_param=0.2, elastic_net_param=mix, standardization=False)
    total = model.l1 + model.l2
    again = fitted(
        problem, "canonical", reg_param=total, elastic_net_param=model.l1 / total,
        standardization=False,
    )  # fmt: skip
    np.testing.assert_allclose(again.weights, model.weights, rtol=1e-9, atol=1e-12)
    assert again.objective == pytest.approx(model.objective, rel=1e-13)


# --- weights ------------------------------------------------------------------------------------

REPEATS = np.random.default_rng(71).integers(0, 4, 80)


@pytest.mark.parametrize("mix", [0.0, 0.4])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_weight_k_is_the_row_k_times(
    convention: str, loss: str, standardize: bool, mix: float
) -> None:
    if convention == "homework" and (loss == "mse" or mix):
        return
    problem = example(loss).but(weight=REPEATS * 1.0)
    repeated = problem.but(
        x=np.repeat(problem.x, REPEATS, axis=0),
        y=np.repeat(problem.y, REPEATS),
        weight=np.ones(REPEATS.sum()),
    )
    settings: dict[str, Any] = {
        "reg_param": 0.2, "elastic_net_param": mix, "standardization": standardize,
    }  # fmt: skip
    a, b = fitted(problem, convention, **settings), fitted(repeated, convention, **settings)
    difference = np.abs(a.weights - b.weights).max() / np.abs(b.weights).max()
    # pyspark.ml's L-BFGS divides by S - sum s^2/S, which is another number for repeated rows
    sample = convention == "spark-lbfgs" or (convention == "spark" and loss == "bxe")
    if sample and (standardize or (loss == "mse" and mix < 1)):
        assert 1e-5 < difference < 0.05
    else:
        assert difference < 1e-9
        assert a.objective == pytest.approx(b.objective, rel=1e-12)
        assert a.intercept == pytest.approx(b.intercept, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_rows_of_weight_zero_are_as_if_absent(convention: str) -> None:
    loss = "bxe" if convention == "homework" else "mse"
    problem = example(loss, weighted=True)
    used = problem.weight > 0
    less = problem.but(x=problem.x[used], y=problem.y[used], weight=problem.weight[used])
    a = fitted(problem, convention, reg_param=0.2)
    b = fitted(less, convention, reg_param=0.2)
    np.testing.assert_array_equal(a.weights, b.weights)
    assert a.rows == used.sum()


@pytest.mark.parametrize("mix", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_scale_of_weights_does_not_matter(loss: str, mix: float) -> None:
    problem = example(loss, weighted=True).but(reg_param=0.1, mix=mix)
    scaled = problem.but(weight=problem.weight * 1e6)
    a, b = objective_of(problem), objective_of(scaled)
    theta = np.random.default_rng(1).normal(size=a.p)
    one, other = a.evaluate(theta, 2), b.evaluate(theta, 2)
    assert one.objective == pytest.approx(other.objective, rel=1e-13)
    assert one.residual == pytest.approx(other.residual, rel=1e-10)
    np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-10, atol=1e-13)
