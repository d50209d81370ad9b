"""Problems of several classes, and their answers by scipy and scikit-learn."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special
from sklearn import linear_model

from tests.problems import Problem, value_at

Array = NDArray[np.float64]


@cache
def classes_example(classes: int = 3, seed: int = 5, m: int = 120, n: int = 4) -> Problem:
    """Features of several scales and means, half of the entries 0, and noisy classes."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(m, n)) + 0.5 * rng.normal(size=(m, 1)) + 0.3) * np.geomspace(0.5, 3.0, n)
    x[rng.random((m, n)) < 0.5] = 0.0
    z = (x / np.geomspace(0.5, 3.0, n)) @ rng.normal(size=(n, classes))
    z += np.linspace(0.0, 0.5, classes)
    y = np.array([rng.choice(classes, p=special.softmax(row)) for row in z]).astype(float)
    y[:classes] = np.arange(classes)
    weight = 0.7 * rng.integers(0, 4, m).astype(float)
    weight[:classes] = 0.7
    return Problem(x, y, weight, "cxe")


@cache
def least(problem: Problem) -> float:
    """The least value of the canonical objective, by scipy."""
    return value_at(problem, *scipy_classes(problem))


def scipy_classes(problem: Problem) -> tuple[Array, Array]:
    """(w, b) by L-BFGS-B on v = plus - minus with plus, minus >= 0, in standardized units."""
    p, k = problem, problem.own_loss.outputs
    d = p.scale
    centre = np.average(p.x, axis=0, weights=p.weight) if p.fit_intercept else np.zeros(len(d))
    u, share = (p.x - centre) / d, p.weight / p.weight.sum()
    n, own = u.shape[1], np.eye(k)[p.y.astype(int)]

    def f(t: Array) -> tuple[float, Array]:
        v, b = (t[: n * k] - t[n * k : 2 * n * k]).reshape(n, k), t[2 * n * k :]
        z = u @ v + b
        value = special.logsumexp(z, axis=1) - (z * own).sum(axis=1)
        slope = share[:, None] * (special.softmax(z, axis=1) - own)
        g = (u.T @ slope + p.l2 * v).ravel()
        total = share @ value + p.l1 * t[: 2 * n * k].sum() + p.l2 / 2 * (v**2).sum()
        return float(total), np.concatenate([g + p.l1, -g + p.l1, slope.sum(axis=0)])

    # without an L1 part a split would only add a flat direction
    low = (0.0, None) if p.l1 else (None, None)
    high = (0.0, None) if p.l1 else (0.0, 0.0)
    free = (None, None) if p.fit_intercept else (0.0, 0.0)
    bounds: Any = [low] * (n * k) + [high] * (n * k) + [free] * k
    t = np.zeros(len(bounds))
    options: Any = {"maxiter": 50_000, "maxfun": 100_000, "ftol": 0.0, "gtol": 1e-13}
    for _ in range(3):  # once more from where rounding stopped it
        found = optimize.minimize(f, t, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        t = found.x
    w = (t[: n * k] - t[n * k : 2 * n * k]).reshape(n, k) / d[:, None]
    return w, t[2 * n * k :] - centre @ w


def sklearn_classes(problem: Problem) -> tuple[Array, Array]:
    """(w, b) under L2 by scikit-learn."""
    p = problem
    d = p.scale
    centre = np.average(p.x, axis=0, weights=p.weight) if p.fit_intercept else np.zeros(len(d))
    logistic = linear_model.LogisticRegression(
        C=1 / (p.l2 * p.weight.sum()),
        fit_intercept=p.fit_intercept,
        solver="newton-cg",
        tol=1e-12,
        max_iter=1000,
    )
    logistic.fit((p.x - centre) / d, p.y, sample_weight=p.weight)
    w = logistic.coef_.T / d[:, None]
    return w, logistic.intercept_ - centre @ w
