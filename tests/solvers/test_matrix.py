"""Every solver on every kind of problem, against scikit-learn, lstsq or scipy."""

import itertools

import numpy as np
import pytest

from tests.checks import DESCENTS, LONGER, check_solver
from tests.problems import (
    Problem,
    example,
    objective_of,
    reference_answer,
    reference_minimum,
    scipy_answer,
    value_at,
)
from w261reg.errors import InputError
from w261reg.penalties import PENALTIES
from w261reg.solvers import SOLVERS, Status, minimise

PENALTY = {"none": (0.0, 0.0), "l2": (0.05, 0.0), "l1": (0.12, 1.0), "en": (0.2, 0.6)}


def _problems() -> dict[str, Problem]:
    found = {}
    for loss, (
        kind,
        (strength, mix),
    ), intercept, standard, weighted, as_sparse in itertools.product(
        ("mse", "bxe", "squared_hinge"),
        PENALTY.items(),
        (True, False),
        (True, False),
        (False, True),
        (False, True),
    ):
        name = "-".join(
            [
                loss,
                kind,
                "intercept" if intercept else "origin",
                "standardized" if standard else "raw",
                "weights" if weighted else "rows",
                "sparse" if as_sparse else "dense",
            ]
        )
        found[name] = example(loss, weighted=weighted).but(
            reg_param=strength,
            mix=mix,
            fit_intercept=intercept,
            standardization=standard,
            sparse=as_sparse,
        )
    return found


PROBLEMS = _problems()
# gradient descent takes hundreds of passes and a subgradient no end: its own tests have the rest
SLOW = [name for name in PROBLEMS if name.endswith("rows-dense") and PROBLEMS[name].mix == 0]
CASES = [
    (solver, name)
    for solver, kind in sorted(SOLVERS.items())
    if solver not in DESCENTS or solver in LONGER
    for name in (SLOW if solver in DESCENTS else PROBLEMS)
]


@pytest.mark.parametrize(("solver", "name"), CASES)
def test_solver(solver: str, name: str) -> None:
    problem = PROBLEMS[name]
    result = check_solver(SOLVERS[solver], problem)
    if result is not None and problem.l1:
        best, _ = reference_answer(problem)
        np.testing.assert_array_equal(result.w == 0, np.abs(best) < 1e-9)


def test_most_problems_with_l1_have_zeros() -> None:
    kinked = [p for p in PROBLEMS.values() if p.l1]
    sparse = [p for p in kinked if (np.abs(reference_answer(p)[0]) < 1e-9).any()]
    assert len(sparse) > 0.6 * len(kinked)


@pytest.mark.parametrize("name", [n for n in PROBLEMS if n.endswith("rows-dense")])
def test_the_references_agree(name: str) -> None:
    """scikit-learn and lstsq against scipy: two ways to be wrong would have to agree."""
    problem = PROBLEMS[name]
    other = value_at(problem, *scipy_answer(problem))
    assert abs(other - reference_minimum(problem)) <= 1e-11 * abs(other)


@pytest.mark.parametrize(
    "name",
    [n for n, p in PROBLEMS.items() if "none" in n and p.loss != "squared_hinge"
     and n.endswith("rows-dense")],
)  # fmt: skip
def test_unpenalised_coefficients_are_statsmodels(name: str) -> None:
    import statsmodels.api as sm

    problem = PROBLEMS[name]
    design = problem.x
    if problem.fit_intercept:
        design = np.column_stack([design, np.ones(len(design))])
    family = sm.families.Gaussian() if problem.loss == "mse" else sm.families.Binomial()
    theirs = sm.GLM(problem.y, design, family=family).fit(tol=1e-14, maxiter=200).params
    solver = SOLVERS["gram" if problem.loss == "mse" else "newton"]()
    ours = minimise(solver, objective_of(problem))
    np.testing.assert_allclose(ours.w, theirs[:4], rtol=1e-9)
    if problem.fit_intercept:
        assert ours.intercept == pytest.approx(theirs[4], rel=1e-9)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("mix", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("solver", sorted(set(SOLVERS) - DESCENTS))
def test_more_features_than_rows(solver: str, mix: float, loss: str) -> None:
    problem = example(loss, seed=5, m=12, n=30).but(reg_param=0.05, mix=mix, leaves=2)
    check_solver(SOLVERS[solver], problem)


@pytest.mark.parametrize("solver", sorted(set(SOLVERS) - DESCENTS))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_one_feature(solver: str, loss: str, mix: float) -> None:
    check_solver(SOLVERS[solver], example(loss, n=1).but(reg_param=0.02, mix=mix))


@pytest.mark.parametrize("solver", sorted(set(SOLVERS) - DESCENTS))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("mix", [0.0, 0.7])
def test_start_does_not_matter(solver: str, loss: str, mix: float) -> None:
    problem = example(loss).but(reg_param=0.05, mix=mix)
    kind = SOLVERS[solver]
    objective = objective_of(problem)
    try:
        kind().check(objective.loss, not objective.smooth)
    except InputError:
        return
    cold = minimise(kind(), objective)
    far = np.random.default_rng(50).normal(size=objective.p) * 3
    warm = minimise(kind(), objective, far)
    assert warm.status is Status.CONVERGED
    np.testing.assert_allclose(warm.w, cold.w, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(warm.w == 0, cold.w == 0)
    again = minimise(kind(), objective, objective.coordinates.theta(cold.w, cold.intercept))
    if kind.name != "gram":  # which has no use for a start
        assert again.n_iter == 0


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_the_same_bits_twice(solver: str) -> None:
    problem = example("hinge" if SOLVERS[solver].kinked_only else "mse").but(reg_param=0.05)
    a, b = (minimise(SOLVERS[solver](), objective_of(problem)) for _ in range(2))
    assert a.w.tobytes() == b.w.tobytes()
    assert [i.objective for i in a.history] == [i.objective for i in b.history]


# --- where L1 is so strong that nothing is left -------------------------------------------------

EXACT = sorted(
    name
    for name, kind in SOLVERS.items()
    if not (kind.smooth_only or kind.kinked_only) and name not in DESCENTS
)


@pytest.mark.parametrize("standard", [True, False])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("penalty", sorted(n for n, kind in PENALTIES.items() if kind.kinked))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("solver", EXACT)
def test_largest_useful_strength(
    solver: str, loss: str, penalty: str, intercept: bool, standard: bool
) -> None:
    """At the strength whose kink equals the null gradient all weights are 0; just below, one is."""
    kind = SOLVERS[solver]
    problem = example(loss, weighted=True).but(fit_intercept=intercept)
    bare = objective_of(problem)
    if kind.quadratic_only and not bare.loss.quadratic:
        return
    scale = problem.scale if standard else np.ones(4)
    unit = PENALTIES[penalty].of(1.0, scale).kink(np.zeros(4))
    largest = float(np.max(np.abs(bare.null.gradient()) / unit))
    for factor, all_zero in ((1.0, True), (1 + 1e-7, True), (3.0, True), (0.99, False)):
        extra = PENALTIES[penalty].of(factor * largest, scale)
        for start in (None, np.full(bare.p, 0.5)):
            if start is not None and factor == 1.0:
                continue  # on the very edge the last rounding decides
            result = minimise(kind(), objective_of(problem, extra=(extra,)), start)
            assert result.status is Status.CONVERGED
            assert (not result.w.any()) == all_zero


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("standard", [True, False])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_max_l1_is_that_strength(loss: str, intercept: bool, standard: bool, l2: float) -> None:
    problem = example(loss, weighted=True).but(fit_intercept=intercept, standardization=standard)
    largest = objective_of(problem).max_l1()
    # by hand: |sum s l'_i x_ij| / (S d_j) at the fitted null model
    share = problem.weight / problem.weight.sum()
    mean = share @ problem.y if intercept else {"mse": 0.0, "bxe": 0.5}[loss]
    gradient = np.abs(problem.x.T @ (share * (mean - problem.y))) / problem.scale
    assert largest == pytest.approx(gradient.max(), rel=1e-12)
    for factor, left in ((1.0, 0), (0.99, 1)):
        l1 = factor * largest
        strong = problem.but(reg_param=l1 + l2, mix=l1 / (l1 + l2))
        objective = objective_of(strong)
        result = minimise(SOLVERS["proximal"](), objective)
        assert np.count_nonzero(result.w) == left
