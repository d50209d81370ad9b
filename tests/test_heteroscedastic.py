"""Noise of different variance, against statsmodels, scipy and formulas written out."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import optimize, sparse, stats

from tests.problems import leaves_of
from w261reg import InputError, load, train
from w261reg.aggregators import GroupFactors, Summarise, SummariseGroups
from w261reg.config import Settings
from w261reg.factored import Factored
from w261reg.heteroscedastic import check_groups
from w261reg.joint import Joint
from w261reg.model import Model

Array = NDArray[np.float64]
SIGMAS = np.array([0.2, 1.0, 3.0, 0.6])


def table(m: int = 240, seed: int = 1) -> tuple[Array, Array, NDArray[np.int64], Array]:
    """Features (m, 3) of different means and scales, labels, groups 0 to 3 and counts 0 to 3."""
    rng = np.random.default_rng(seed)
    x = rng.normal([1.0, -20.0, 0.0], size=(m, 3)) * [1.0, 0.1, 7.0]
    group = rng.integers(0, 4, m)
    y = x @ [1.0, -3.0, 0.2] + 0.7 + SIGMAS[group] * rng.normal(size=m)
    return x, y, group, rng.integers(0, 4, m).astype(float)


def design(x: Array, intercept: bool) -> Array:
    return np.column_stack([x, np.ones(len(x))]) if intercept else x


def answer(model: Model) -> Array:
    b = [model.intercept] if model.fit_intercept else []
    return np.append(model.weights, b)


def covariance(model: Model) -> Array:
    assert model.covariance is not None
    return np.array(model.covariance)


def joint(
    theta: Array, x: Array, y: Array, code: NDArray[np.int64], s: Array, intercept: bool, p: Any = 0
) -> float:
    """Mean negative log likelihood at (w, b, log sigma), by scipy's normal density, and w'Pw/2."""
    k = x.shape[1] + intercept
    mean, sigma = design(x, intercept) @ theta[:k], np.exp(theta[k:])[code]
    w = theta[: x.shape[1]]
    log_density = stats.norm.logpdf(y, mean, sigma)
    return float(
        -(s @ log_density) / s.sum() + 0.5 * w @ (p * np.eye(len(w)) if np.ndim(p) == 0 else p) @ w
    )


def best_of(x: Array, y: Array, code: Any, s: Array, intercept: bool, p: Any = 0) -> Any:
    """The least value of `joint` that scipy finds from several starts."""
    k, groups = x.shape[1] + intercept, int(code.max()) + 1
    rng = np.random.default_rng(0)
    found = []
    for _ in range(6):
        start = np.concatenate([rng.normal(size=k), rng.normal(size=groups)])
        arguments = (x, y, code, s, intercept, p)
        now = optimize.minimize(joint, start, arguments, method="BFGS", options={"maxiter": 2000})
        now = optimize.minimize(
            joint, now.x, arguments, method="Nelder-Mead",
            options={"xatol": 1e-10, "fatol": 1e-15, "maxiter": 20_000, "maxfev": 20_000},
        )  # fmt: skip
        found.append(optimize.minimize(joint, now.x, arguments, method="BFGS"))
    return min(found, key=lambda own: float(own.fun))


# --- known sigmas -------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_known_sigmas_are_statsmodels(weighted: bool, intercept: bool) -> None:
    x, y, group, count = table()
    sigma = SIGMAS[group] * np.random.default_rng(2).uniform(0.5, 2.0, len(y))
    s = count if weighted else np.ones(len(y))
    model = train(x, y, loss="mse", sigma=sigma, weight=s if weighted else None,
                  fit_intercept=intercept)  # fmt: skip
    times = s.astype(int)
    rows, label, deviation = (np.repeat(a, times, axis=0) for a in (x, y, sigma))
    a = design(rows, intercept)
    wls = sm.WLS(label, a, weights=1 / deviation**2).fit()
    np.testing.assert_allclose(answer(model), wls.params, rtol=1e-9)
    gls = sm.GLS(label, a, sigma=deviation**2).fit(cov_type="fixed scale")
    np.testing.assert_allclose(answer(model), gls.params, rtol=1e-9)
    np.testing.assert_allclose(covariance(model), gls.cov_params(), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(np.array(model.standard_errors), gls.bse[:3], rtol=1e-9)
    # the same model with its variances fixed, normalising terms and all
    family = sm.families.Gaussian()
    glm = sm.GLM(label, a, family=family, var_weights=1 / deviation**2).fit(scale=1.0)
    metrics = model.metrics["train"]
    assert metrics["log_likelihood"] == pytest.approx(glm.llf_scaled(scale=1.0), rel=1e-9)
    mean = a @ gls.params
    by_density = float(np.sum(stats.norm.logpdf(label, mean, deviation)))
    assert metrics["log_likelihood"] == pytest.approx(by_density, rel=1e-12)
    assert metrics["residual_deviance"] == pytest.approx(glm.deviance, rel=1e-9)
    null = np.average(label, weights=deviation**-2.0) if intercept else 0.0
    null_deviance = np.sum(((label - null) / deviation) ** 2)
    assert metrics["null_deviance"] == pytest.approx(null_deviance, rel=1e-9)
    assert metrics["aic"] == pytest.approx(2 * (a.shape[1] - by_density), rel=1e-9)
    assert model.sum_of_weights == pytest.approx(np.sum(s / sigma**2), rel=1e-12)
    assert model.rows == np.sum(s > 0)


def test_equal_sigmas_are_least_squares() -> None:
    x, y, _, _ = table()
    model, plain = (train(x, y, loss="mse", **k) for k in ({"sigma": np.full(len(y), 2.5)}, {}))
    np.testing.assert_allclose(answer(model), answer(plain), rtol=1e-12)
    ols = sm.OLS(y, design(x, True)).fit()
    fixed = np.asarray(ols.normalized_cov_params) * 2.5**2
    np.testing.assert_allclose(covariance(model), fixed, rtol=1e-9, atol=1e-14)
    assert plain.covariance is None
    assert plain.standard_errors is None


@pytest.mark.parametrize("mix", [0.0, 0.6])
def test_a_penalty_beside_known_sigmas(mix: float) -> None:
    """Row weights s/sigma^2, S their sum: what weights of these values give, to the last bit."""
    x, y, group, count = table()
    sigma = SIGMAS[group]
    given: dict[str, Any] = {"reg_param": 0.1, "elastic_net_param": mix, "loss": "mse"}
    model = train(x, y, sigma=sigma, weight=count, **given)
    same = train(x, y, weight=count / sigma / sigma, **given)
    np.testing.assert_array_equal(answer(model), answer(same))
    assert model.objective == same.objective
    assert model.standard_errors is None
    assert model.covariance is None
    log_density = stats.norm.logpdf(y, model.predict(x), sigma)
    expected = pytest.approx(count @ log_density, rel=1e-12)
    assert model.metrics["train"]["log_likelihood"] == expected
    assert same.metrics["train"]["log_likelihood"] != expected


def test_a_factor_of_all_sigmas_changes_no_coefficient() -> None:
    x, y, group, _ = table()
    one, other = (
        train(x, y, loss="mse", sigma=c * SIGMAS[group], reg_param=0.3) for c in (1.0, 8.0)
    )
    np.testing.assert_allclose(answer(one), answer(other), rtol=1e-14)


def test_what_the_covariance_does_not_say() -> None:
    x, y, group, _ = table()
    constant = np.insert(x, 1, 4.0, axis=1)
    model = train(constant, y, loss="mse", sigma=SIGMAS[group])
    whole = covariance(model)
    assert np.isnan(whole[1]).all()
    assert np.isnan(whole[:, 1]).all()
    rest = np.delete(np.delete(whole, 1, 0), 1, 1)
    alone = train(x, y, loss="mse", sigma=SIGMAS[group])
    np.testing.assert_allclose(rest, covariance(alone), rtol=1e-12)
    assert model.to_dict()["standard_errors"][1] is None
    singular = train(np.column_stack([x, x[:, 0]]), y, loss="mse", sigma=SIGMAS[group])
    assert "singular" in singular.message
    assert singular.covariance is None
    assert singular.standard_errors is None


@pytest.mark.parametrize("solver", ["gram", "newton", "proximal", "lbfgs", "gd"])
def test_known_sigmas_with_any_solver(solver: str) -> None:
    x, y, group, _ = table()
    plain = train(x, y, loss="mse", sigma=SIGMAS[group])
    model = train(x, y, loss="mse", sigma=SIGMAS[group], solver=solver, max_iter=5000)
    assert model.status == "converged"
    np.testing.assert_allclose(answer(model), answer(plain), rtol=1e-6)
    np.testing.assert_allclose(covariance(model), covariance(plain), rtol=1e-12)


# --- groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_groups_are_the_joint_maximum(weighted: bool, intercept: bool, form: str) -> None:
    x, y, group, count = table()
    if form == "sparse":
        x[np.random.default_rng(4).random(x.shape) < 0.4] = 0.0
        y = x @ [1.0, -3.0, 0.2] + SIGMAS[group] * np.random.default_rng(5).normal(size=len(y))
    s = count if weighted else np.ones(len(y))
    model = train(
        sparse.csr_array(x) if form == "sparse" else x,
        y,
        weight=s if weighted else None,
        noise_group=np.array(["d", "c", "b", "a"])[group],
        loss="mse",
        fit_intercept=intercept,
    )
    code = 3 - group
    assert model.status == "converged"
    assert model.noise_groups is not None
    assert [own["group"] for own in model.noise_groups] == ["a", "b", "c", "d"]
    sigma = np.array([own["sigma"] for own in model.noise_groups])
    rows = [int(np.sum((code == g) & (s > 0))) for g in range(4)]
    assert [own["rows"] for own in model.noise_groups] == rows
    sums = [own["sum_of_weights"] for own in model.noise_groups]
    np.testing.assert_allclose(sums, [s[code == g].sum() for g in range(4)])

    theta = np.append(answer(model), np.log(sigma))
    ours = joint(theta, x, y, code, s, intercept)
    assert model.objective == pytest.approx(ours, rel=1e-12)
    best = best_of(x, y, code, s, intercept)
    assert model.objective <= best.fun + 1e-10
    assert model.objective == pytest.approx(best.fun, abs=1e-8)
    # stationary: central differences of the joint likelihood
    step = 1e-5 * np.maximum(1.0, np.abs(theta))
    for j, h in enumerate(step):
        e = h * np.eye(len(theta))[j]
        slope = (joint(theta + e, x, y, code, s, intercept)
                 - joint(theta - e, x, y, code, s, intercept)) / (2 * h)  # fmt: skip
        assert abs(slope) < 1e-8
    # at these sigmas, generalised least squares
    times = s.astype(int)
    a, label = np.repeat(design(x, intercept), times, axis=0), np.repeat(y, times)
    gls = sm.GLS(label, a, sigma=np.repeat(sigma[code], times) ** 2).fit(cov_type="fixed scale")
    np.testing.assert_allclose(answer(model), gls.params, rtol=1e-9)
    np.testing.assert_allclose(covariance(model), gls.cov_params(), rtol=1e-8, atol=1e-14)
    _check_statistics(model, x, y, s, sigma[code], groups=4)


def _check_statistics(
    model: Model, x: Array, y: Array, s: Array, sigma: Array, groups: int
) -> None:
    metrics, mean = model.metrics["train"], model.predict(x)
    log_likelihood = float(s @ stats.norm.logpdf(y, mean, sigma))
    assert metrics["log_likelihood"] == pytest.approx(log_likelihood, rel=1e-12)
    k = np.count_nonzero(model.weights) + model.fit_intercept + groups
    assert metrics["aic"] == pytest.approx(2 * (k - log_likelihood), rel=1e-12)
    assert metrics["residual_deviance"] == pytest.approx(s @ ((y - mean) / sigma) ** 2, rel=1e-11)
    null = np.average(y, weights=s / sigma**2) if model.fit_intercept else 0.0
    assert metrics["null_deviance"] == pytest.approx(s @ ((y - null) / sigma) ** 2, rel=1e-11)
    mse = np.average((y - mean) ** 2, weights=s)
    assert metrics["mse"] == pytest.approx(mse, rel=1e-11)
    assert metrics["rmse"] == pytest.approx(mse**0.5, rel=1e-11)
    spread = np.average((y - np.average(y, weights=s)) ** 2, weights=s)
    assert metrics["r2"] == pytest.approx(1 - mse / spread, rel=1e-11)


# at which some processor's sums once ended the steps early
SEEDS = (*range(20), 33, 36, 44, 48, 49, 58, 61, 62, 70, 86, 90, 101, 122)


def test_the_likelihood_never_falls_and_the_end_is_fast() -> None:
    x, y, group, _ = table()
    ends = []
    for seed in SEEDS:  # noise of 6 orders of magnitude
        rng = np.random.default_rng(seed)
        sigma = 10.0 ** rng.uniform(-3, 3, 4)
        label = x @ rng.normal(size=3) + sigma[group] * rng.normal(size=len(y))
        model = train(x, label, loss="mse", noise_group=group)
        values = np.array([entry.objective for entry in model.history])
        looks = np.diff([entry.passes for entry in model.history]) > 0  # more digits from then on
        allowed = np.where(looks, 1e-9, 1e-13) * np.abs(values[:-1])
        assert (np.diff(values) <= allowed).all()
        assert model.status == "converged"
        ends.append(model.n_iter)
        assert model.optimality_residual < 1e-11
    assert max(ends) <= 25


def test_gradient_of_the_profile_against_differences() -> None:
    """The residual of a fit cut short: the scale-free gradient, from differences alone."""
    x, y, group, count = table()
    model = train(x, y, weight=count, loss="mse", noise_group=group, max_iter=1, tol=1e-12)
    assert model.status == "max_iter"
    assert "max_iter after 1 iteration" in model.message
    centre = np.average(x, axis=0, weights=count)
    sd = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=count))
    u = (x - centre) / sd

    def variances(v: Array) -> Array:
        r = y - u @ v[:3] - v[3]
        own = [np.average(r[group == g] ** 2, weights=count[group == g]) for g in range(4)]
        return np.array(own)

    def profile(v: Array) -> float:
        weight = np.array([count[group == g].sum() for g in range(4)])
        value = weight @ (np.log(2 * np.pi * variances(v)) + 1) / 2 / count.sum()
        return float(value)

    at = np.append(model.weights * sd, model.intercept + model.weights @ centre)
    assert model.objective == pytest.approx(profile(at), rel=1e-12)
    gradient = np.array([(profile(at + h) - profile(at - h)) / 2e-6 for h in 1e-6 * np.eye(4)])
    precision = count / variances(at)[group]
    mean = np.average(y, weights=precision)
    rho = np.sqrt(np.average((y - mean) ** 2, weights=precision))
    expected = np.max(np.abs(gradient)) * count.sum() / precision.sum() / rho
    assert model.optimality_residual == pytest.approx(expected, rel=1e-6)
    assert model.optimality_residual > 1e-4


@pytest.mark.parametrize("intercept", [True, False])
def test_derivatives_of_the_profile_in_theta(intercept: bool) -> None:
    rng = np.random.default_rng(3)
    x, y, group, count = table(60)
    a = design(x - [1.0, -2.0, 0.0], intercept)
    p, weight = a.shape[1], np.array([count[group == g].sum() for g in range(4)])
    rows = [(a[group == g], y[group == g], count[group == g]) for g in range(4)]
    root = rng.normal(size=(p, p))
    joint = Joint(
        weight=weight,
        square=np.array([s @ v**2 for _, v, s in rows]),
        slope=np.array([u.T @ (s * v) for u, v, s in rows]),
        bend=np.array([(u * s[:, None]).T @ u for u, _, s in rows]),
        square_error=np.zeros(4),
        slope_error=np.zeros((4, p)),
        height=0.0,
        drag=np.zeros(p),
        penalty=root @ root.T,
        size=np.ones(p),
        compared=None,
        y_mean=np.zeros(4),
        y_variance=np.ones(4),
        fit_intercept=intercept,
    )
    theta: Array = rng.normal(size=(p,))
    now = joint.at(theta)
    rss = [s @ (v - u @ theta) ** 2 for u, v, s in rows]
    np.testing.assert_allclose(now.rss, rss, rtol=1e-12)
    steps = 1e-5 * np.eye(p)
    ends = [(joint.at(theta + e), joint.at(theta - e)) for e in steps]
    gradient = [(high.objective - low.objective) / 2e-5 for high, low in ends]
    np.testing.assert_allclose(now.gradient, gradient, rtol=1e-7, atol=1e-8)
    hessian = np.array([(high.gradient - low.gradient) / 2e-5 for high, low in ends])
    plain, newton = joint.steps(now)
    np.testing.assert_allclose(hessian @ newton.x, -now.gradient, rtol=1e-6, atol=1e-7)
    assert joint.at(theta + plain.x).objective < now.objective
    there = joint.at(theta + 0.1)
    rise, blur = joint.rise(now, there)
    assert rise == pytest.approx(there.objective - now.objective, rel=1e-11)
    assert blur < 1e-13
    # the same out of factors, about another base and in other coordinates
    factored = Factored.of(
        [np.column_stack([u, v]) * np.sqrt(s)[:, None] for u, v, s in rows], joint
    )
    moved, basis, _ = factored.about(theta + 0.1, now.variance)
    same = moved.at(np.zeros(p))
    np.testing.assert_allclose(same.rss, there.rss, rtol=1e-11)
    assert same.objective == pytest.approx(there.objective, rel=1e-12)
    np.testing.assert_allclose(basis.gradient() @ same.gradient, there.gradient, rtol=1e-10)
    d: Array = rng.normal(size=(p,))
    far = moved.at(d)
    again = joint.at(theta + 0.1 + basis.theta(d))
    np.testing.assert_allclose(far.rss, again.rss, rtol=1e-11)
    assert far.objective == pytest.approx(again.objective, rel=1e-11)
    np.testing.assert_allclose(basis.gradient() @ far.gradient, again.gradient, rtol=1e-9)
    np.testing.assert_allclose(
        basis.of_theta(np.eye(p)) @ d, basis.theta(d), rtol=1e-10, atol=1e-12
    )


def test_equal_noise_is_least_squares() -> None:
    x, y, _, _ = table()
    plain = train(x, y, loss="mse")
    ols = sm.OLS(y, design(x, True)).fit()
    one = train(x, y, loss="mse", noise_group=np.zeros(len(y), dtype=int))
    # the same rows in two groups have the same noise in both
    twice = train(
        np.vstack([x, x]), np.append(y, y), loss="mse", noise_group=np.repeat([True, False], len(y))
    )
    for model in (one, twice):
        np.testing.assert_allclose(answer(model), ols.params, rtol=1e-10)
        assert model.noise_groups is not None
        for group in model.noise_groups:
            assert group["sigma"] == pytest.approx(math.sqrt(ols.ssr / len(y)), rel=1e-12)
    for name in ("log_likelihood", "aic", "mse", "r2"):
        theirs = plain.metrics["train"][name]
        assert one.metrics["train"][name] == pytest.approx(theirs, rel=1e-11), name
    assert one.metrics["train"]["log_likelihood"] == pytest.approx(ols.llf, rel=1e-12)
    assert one.n_iter == 0


@pytest.mark.parametrize("standardization", [True, False])
@pytest.mark.parametrize("smooth", [0.0, 0.4])
def test_penalties_beside_the_mean_log_likelihood(smooth: float, standardization: bool) -> None:
    x, y, group, count = table()
    model = train(x, y, weight=count, noise_group=group, loss="mse", reg_param=0.05,
                  convention="canonical", standardization=standardization,
                  smooth_param=smooth)  # fmt: skip
    assert model.status == "converged"
    centre = np.average(x, axis=0, weights=count)
    sd = np.sqrt(np.average((x - centre) ** 2, axis=0, weights=count))
    p = 0.05 * np.diag(sd**2 if standardization else np.ones(3))
    jump = np.diff(np.eye(3), axis=0)
    p = p + smooth * jump.T @ jump
    assert model.noise_groups is not None
    sigma = np.array([own["sigma"] for own in model.noise_groups])
    theta = np.append(answer(model), np.log(sigma))
    value = joint(theta, x, y, group, count, True, p)
    assert model.objective == pytest.approx(value, rel=1e-12)
    assert model.l2 == 0.05
    best = best_of(x, y, group, count, True, p)
    assert model.objective <= best.fun + 1e-10
    assert model.objective == pytest.approx(best.fun, abs=1e-8)
    step = 1e-5 * np.maximum(1.0, np.abs(theta))
    for e in step[:, None] * np.eye(len(theta)):
        high, low = (joint(theta + d, x, y, group, count, True, p) for d in (e, -e))
        assert abs(high - low) / (2 * e.max()) < 1e-8
    assert model.standard_errors is None
    assert model.covariance is None
    _check_statistics(model, x, y, count, sigma[group], groups=4)
    bare = train(x, y, weight=count, noise_group=group, loss="mse")
    assert np.abs(model.weights - bare.weights).max() > 1e-3


def test_a_model_that_explains_nearly_all_takes_the_residuals_from_the_rows() -> None:
    """Gram matrices have lost their digits there, of the larger noise some and of the other all."""
    rng = np.random.default_rng(6)
    x, group = rng.normal(size=(300, 2)), np.arange(300) % 2
    for size in (1e-5, 1e-9):
        noise = size * np.array([1.0, 3.0])[group] * rng.normal(size=300)
        y = x @ [1.0, -2.0] + noise
        model = train(x, y, loss="mse", noise_group=group)
        assert 3 <= model.n_passes <= 4
        assert model.status == "converged"
        assert model.noise_groups is not None
        sigma = [own["sigma"] for own in model.noise_groups]
        theirs = best_variances(x, noise, group)
        np.testing.assert_allclose(sigma, theirs, rtol=1e-16 / size * 20 + 1e-9)
    refused(("group 0 can be fitted exactly",), x=x, y=x @ [1.0, -2.0], noise_group=group)


def best_variances(x: Array, y: Array, group: NDArray[np.int64]) -> Array:
    """Sigmas of the joint maximum by plain alternation, on noise alone, which keeps its digits."""
    a, sigma = design(x, True), np.ones(2)
    for _ in range(500):
        root = (1 / sigma)[group]
        w = np.linalg.lstsq(a * root[:, None], y * root, rcond=None)[0]
        r = y - a @ w
        sigma = np.array([np.sqrt(np.mean(r[group == g] ** 2)) for g in range(2)])
    return sigma


def test_ill_conditioned_groups() -> None:
    rng = np.random.default_rng(7)
    x, group = rng.normal(size=(400, 2)), np.arange(400) % 3
    near = np.column_stack([x, x[:, 0] + 1e-5 * rng.normal(size=400)])
    y = x @ [1.0, 1.0] + np.array([0.1, 1.0, 2.0])[group] * rng.normal(size=400)
    model = train(near, y, loss="mse", noise_group=group)
    assert model.n_passes > 2
    assert model.noise_groups is not None
    sigma = np.array([own["sigma"] for own in model.noise_groups])
    root = 1 / sigma[group]
    reference = np.linalg.lstsq(design(near, True) * root[:, None], y * root, rcond=None)[0]
    assert np.abs(reference[0]) > 10
    np.testing.assert_allclose(answer(model), reference, rtol=1e-7)


def test_singular_groups() -> None:
    x, y, group, _ = table()
    model = train(np.column_stack([x, 2 * x[:, 0]]), y, loss="mse", noise_group=group)
    plain = train(x, y, loss="mse", noise_group=group)
    assert model.objective == pytest.approx(plain.objective, rel=1e-12)
    assert "singular" in model.message
    assert model.covariance is None


def test_no_features_that_vary() -> None:
    _, y, group, _ = table()
    model = train(np.ones((len(y), 2)), y, loss="mse", noise_group=group)
    assert model.status == "converged"
    theta = np.append(model.intercept, np.log([g["sigma"] for g in model.noise_groups or []]))
    one, none = np.ones(len(y)), np.zeros((len(y), 0))
    assert best_of(none, y, group, one, True).fun == pytest.approx(
        joint(theta, none, y, group, one, True), abs=1e-8
    )


def test_groups_without_weight_are_none() -> None:
    x, y, group, _ = table()
    weight = np.where(group == 2, 0.0, 1.0)
    model = train(x, y, weight=weight, loss="mse", noise_group=group)
    used = group != 2
    same = train(x[used], y[used], loss="mse", noise_group=group[used])
    assert model.noise_groups == same.noise_groups
    np.testing.assert_array_equal(answer(model), answer(same))


@pytest.mark.parametrize("max_iter", [0, 100])
def test_counts_and_history(max_iter: int) -> None:
    x, y, group, _ = table()
    model = train(x, y, loss="mse", noise_group=group, max_iter=max_iter)
    assert model.n_passes == 2  # a look at the groups, and the Gram matrices
    assert model.solver == "gram"
    assert len(model.history) == model.n_iter + 1
    assert model.history[-1].objective == model.objective
    assert (model.n_iter == 0) == (max_iter == 0)
    assert model.status == ("converged" if max_iter else "max_iter")


# --- the rows' forms ----------------------------------------------------------------------------


def test_tables_and_what_is_a_feature(tmp_path: Path) -> None:
    x, y, group, count = table()
    frame = pd.DataFrame(x, columns=list("abc")).assign(y=y, w=count)
    frame = frame.assign(g=np.array(["p", "q", "r", "s"])[group], e=SIGMAS[group])
    columns = {"label": "y", "weight": "w", "loss": "mse"}
    model = train(frame.drop(columns="e"), noise_group="g", **columns)
    assert model.feature_names == ("a", "b", "c")
    codes = train(x, y, weight=count, noise_group=group, loss="mse")
    np.testing.assert_array_equal(answer(model), answer(codes))
    categories = train(
        frame.drop(columns="e").astype({"g": "category"}), noise_group="g", **columns
    )
    np.testing.assert_array_equal(answer(model), answer(categories))
    known = train(frame.drop(columns="g"), sigma="e", **columns)
    assert known.feature_names == ("a", "b", "c")
    for own in (model, known):
        own.save(tmp_path / "m", overwrite=True)
        again = load(tmp_path / "m")
        assert again.covariance == own.covariance
        assert again.noise_groups == own.noise_groups
        assert again.standard_errors == own.standard_errors
        assert again.config["weight"] == "w"
        bare = again.predict(frame[["a", "b", "c"]])["prediction"]
        np.testing.assert_array_equal(bare, again.predict(frame)["prediction"])
        assert "σ" in str(model)
    old = {k: v for k, v in model.to_dict().items() if k not in ("covariance", "noise_groups")}
    assert set(model.to_dict()) - set(old) == {"covariance", "noise_groups"}


def test_large_integers_are_groups_of_their_own() -> None:
    x, y, group, _ = table()
    model = train(x, y, loss="mse", noise_group=2**60 + group)
    assert model.noise_groups is not None
    assert [own["group"] for own in model.noise_groups] == [2**60 + g for g in range(4)]


# --- aggregators --------------------------------------------------------------------------------


@pytest.mark.parametrize("as_sparse", [False, True])
def test_sums_of_groups(as_sparse: bool) -> None:
    x, y, group, count = table()
    x[np.random.default_rng(4).random(x.shape) < 0.4] = 0.0
    weight = count + 0.5
    both = np.column_stack([x, group])
    leaves = leaves_of(both, y, weight, 3, as_sparse)
    aggregator = SummariseGroups(3, 4)
    state = aggregator.zero()
    centre, scale = np.array([0.1, 0.2, 0.3]), np.array([1, 2, 0.5])
    factors = GroupFactors(3, 4, centre, scale, 0.3)
    rows = factors.zero()
    for _, block in leaves:
        state = aggregator.merge(state, aggregator.add(aggregator.zero(), block))
        rows = factors.merge(rows, factors.add(factors.zero(), block))
    assert state.census.rows == len(y)
    assert sorted(state.groups) == [0, 1, 2, 3]
    for g, found in state.groups.items():
        mine = group == g
        ((_, alone),) = leaves_of(x[mine], y[mine], weight[mine], 1, as_sparse)
        wanted = Summarise(3, gram=True).add(Summarise(3, gram=True).zero(), alone)
        zero = np.zeros(4, dtype=np.int64)
        assert found.rows == wanted.rows == mine.sum()
        np.testing.assert_allclose(
            found.second_moments(zero, True), wanted.second_moments(zero, True), rtol=1e-11
        )
        parts = np.ones(mine.sum()), (x[mine] - centre) * scale, y[mine] - 0.3
        whole = np.column_stack(parts) * np.sqrt(weight[mine])[:, None]
        assert len(rows[g]) <= 10 < mine.sum()
        np.testing.assert_allclose(rows[g].T @ rows[g], whole.T @ whole, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("as_sparse", [False, True])
def test_leading_features(as_sparse: bool) -> None:
    x, y, _, count = table(50)
    ((_, block),) = leaves_of(x, y, count + 1, 1, as_sparse)
    head, zero = block.leading(2), np.zeros(2)
    assert head.n_features == 2
    np.testing.assert_allclose(head.dot(np.eye(2), zero), x[:, :2], rtol=1e-15)
    np.testing.assert_allclose(head.range(), (x[:, :2].min(0), x[:, :2].max(0)), rtol=1e-15)
    total = sum(piece.rows for piece in head.pieces())
    assert total == 50


# --- bad input ----------------------------------------------------------------------------------


def refused(says: tuple[str, ...], **given: Any) -> None:
    x, y, group, _ = table()
    data: dict[str, Any] = {"loss": "mse", "x": x, "y": y, **given}
    if data.get("noise_group") is True:
        data["noise_group"] = group
    if data.get("sigma") is True:
        data["sigma"] = SIGMAS[group]
    with pytest.raises(InputError) as error:
        train(data.pop("x"), data.pop("y"), **data)
    assert "\n" not in str(error.value)
    for part in says:
        assert part in str(error.value), str(error.value)


def test_what_does_not_go_together() -> None:
    refused(("sigma and noise_group must not both",), sigma=True, noise_group=True)
    refused(("sigma is for loss mse, not bxe",), sigma=True, loss="bxe")
    refused(("noise_group is for loss mse, not hinge",), noise_group=True, loss="hinge")
    refused(("without an L1 part", "0.5"), noise_group=True, reg_param=0.1, elastic_net_param=0.5)
    refused(("convention canonical", "spark"), noise_group=True, reg_param=0.1)
    refused(("solver must be gram or auto, not lbfgs",), noise_group=True, solver="lbfgs")
    refused(("step_size is not for noise_group",), noise_group=True, step_size=0.1)
    refused(("storage must not be float32",), noise_group=True, storage="float32")
    refused(("must be its values",), noise_group="g")
    refused(("must be its values",), sigma="e")


def test_sigmas_that_are_none() -> None:
    sigma = np.ones(240)
    for value, kind in ((0.0, "non-positive"), (-1.0, "non-positive"), (np.nan, "NaN"),
                        (np.inf, "infinite"), (1e-200, "extreme")):  # fmt: skip
        bad = sigma.copy()
        bad[[3, 77]] = value
        refused((f"sigma column 'sigma' has 2 {kind} values in 240 rows",), sigma=bad)
    refused(("not numeric",), sigma=np.full(240, "a"))
    refused(("one value a row",), sigma=np.ones(3))


def test_groups_that_are_none() -> None:
    x, y, group, _ = table()
    refused(("must hold text, integers or booleans, not double",), noise_group=group + 0.5)
    holes = np.array(["a", None, "b"], dtype=object)[np.arange(240) % 3]
    refused(("noise_group column 'noise_group' has 80 null values in 240 rows",), noise_group=holes)
    few = np.where(np.arange(240) < 4, 7, 1)
    refused(("group 7 has 4 rows", "4 coefficients", "without bound"), noise_group=few)
    five = np.where(np.arange(240) < 5, 7, 1)
    assert train(x, y, loss="mse", noise_group=five).status == "converged"
    exact = np.where(np.arange(240) < 9, x @ [1.0, 2.0, 3.0] + 5.0, y)
    nine = np.array(["exact", "other"])[(np.arange(240) >= 9).astype(int)]
    refused(("group 'exact' can be fitted exactly",), y=exact, noise_group=nine)
    flat = np.where(np.arange(240) < 9, 3.0, y)
    refused(("group 'exact' can be fitted exactly",), y=flat, noise_group=nine)
    refused(("has more than 1,000 values",), x=np.ones((10_001, 1)), y=np.ones(10_001),
            noise_group=np.arange(10_001))  # fmt: skip


def test_weights_of_0() -> None:
    _, _, group, _ = table()
    refused(("weight column 'weight' is 0 in every",), noise_group=group, weight=np.zeros(240))
    refused(("weight column 'weight' is 0 in every",), sigma=True, weight=np.zeros(240))
    refused(("weight column 'weight' has 240 negative",), sigma=True, weight=-np.ones(240))


def test_too_many_groups_for_memory() -> None:
    check_groups("g", 10, 1000)
    with pytest.raises(InputError) as error:
        check_groups("g", 5000, 1000)
    line = str(error.value)
    assert "5,000 groups" in line
    assert f"{5000 * 8 * 1001**2 / 2**20:,.0f} MiB, over 1,024 MiB" in line
    assert "\n" not in line


def test_settings_from_toml_values() -> None:
    with pytest.raises(InputError, match="sigma must be text"):
        Settings.of({"sigma": 3})
    with pytest.raises(InputError, match="noise_group must be text"):
        Settings.of({"noise_group": ["g"]})
    settings = Settings.of({"loss": "mse", "noise_group": "g"}).checked()
    assert settings.to_dict()["noise_group"] == "g"
