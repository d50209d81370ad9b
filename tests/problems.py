"""Small problems, and their answers by other means than the package's.

Everything here that computes an answer uses numpy, scipy, scikit-learn or statsmodels only.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse, special
from sklearn import linear_model, svm

from w261reg.aggregators import Sample, Several, Summarise, Summary
from w261reg.blocks import Block, Census, DenseBlock, SparseBlock
from w261reg.conventions import strengths
from w261reg.datasets import LocalDataset
from w261reg.datasets.tree import Leaf
from w261reg.losses import Loss, get_loss
from w261reg.objective import Objective
from w261reg.penalties import Penalty
from w261reg.solvers import FirstPass

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """Data, loss and canonical strengths; compared by identity, so that answers can be kept.

    Attributes:
        x, y, weight: (m, n), (m,), (m,).
        reg_param, mix: canonical.
        leaves: into how many leaves the rows are cut.
        sparse: whether blocks are CSR.
    """

    x: Array
    y: Array
    weight: Array
    loss: str = "mse"
    reg_param: float = 0.0
    mix: float = 0.0
    fit_intercept: bool = True
    standardization: bool = True
    sparse: bool = False
    leaves: int = 3

    def but(self, **changes: Any) -> "Problem":
        return replace(self, **changes)

    @property
    def own_loss(self) -> Loss:
        """For as many classes as there are."""
        loss = get_loss(self.loss)
        return loss.of_classes(int(self.y.max()) + 1) if loss.multiclass else loss

    @property
    def l1(self) -> float:
        return self.reg_param * self.mix

    @property
    def l2(self) -> float:
        return self.reg_param * (1 - self.mix)

    @property
    def scale(self) -> Array:
        """d (n,)."""
        if not self.standardization:
            return np.ones(self.x.shape[1])
        mean = np.average(self.x, axis=0, weights=self.weight)
        return np.asarray(
            np.sqrt(np.average((self.x - mean) ** 2, axis=0, weights=self.weight)), dtype=float
        )


def block(x: Array, y: Array, weight: Array, as_sparse: bool = False) -> Block:
    census = Census(rows=len(y))
    if as_sparse:
        return SparseBlock.of(sparse.csr_array(x), y, weight, census)
    return DenseBlock.of(x.copy(), y, weight, census)


def leaves_of(x: Array, y: Array, weight: Array, count: int, as_sparse: bool = False) -> list[Leaf]:
    """Rows of positive weight in `count` leaves of about equal length."""
    used = weight > 0
    x, y, weight = x[used], y[used], weight[used]
    cuts = np.array_split(np.arange(len(y)), count)
    return [(i, block(x[c], y[c], weight[c], as_sparse)) for i, c in enumerate(cuts)]


def dataset_of(problem: Problem) -> LocalDataset:
    p = problem
    return LocalDataset(leaves_of(p.x, p.y, p.weight, p.leaves, p.sparse), p.x.shape[1])


def summary_of(problem: Problem, gram: bool = True) -> Summary:
    return dataset_of(problem).aggregate(Summarise(problem.x.shape[1], gram))


def objective_of(
    problem: Problem,
    first: FirstPass = FirstPass.GRAM,
    convention: str = "canonical",
    extra: tuple[Penalty, ...] = (),
    every: int = 3,
) -> Objective:
    """The package's objective of a problem, after the first pass; samples are 1 row in `every`."""
    dataset, n = dataset_of(problem), problem.x.shape[1]
    loss = problem.own_loss
    whole: Any = Summarise(n, first is FirstPass.GRAM, loss.outputs)
    sample: Summary | None = None
    if first is FirstPass.SAMPLE:
        few = Sample(Summarise(n, True, loss.outputs), every)
        summary, sample = dataset.aggregate(Several(whole, few))
    else:
        summary = dataset.aggregate(whole)
    canonical = strengths(
        convention,
        reg_param=problem.reg_param,
        elastic_net_param=problem.mix,
        loss=loss,
        summary=summary,
        fit_intercept=problem.fit_intercept,
        standardization=problem.standardization,
    )
    return Objective(dataset, loss, summary, canonical, problem.fit_intercept, extra, sample, every)


# --- the same in plain numpy --------------------------------------------------------------------


def pointwise(loss: str, y: Array, z: Array) -> tuple[Array, Array]:
    """l and l', written down once more."""
    if loss == "mse":
        return (y - z) ** 2 / 2, z - y
    if loss != "bxe":
        sign = 2 * y - 1
        short = np.maximum(0, 1 - sign * z)
        return (short, -sign * (short > 0)) if loss == "hinge" else (short**2, -2 * sign * short)
    return np.logaddexp(0, z) - y * z, 0.5 * (1 + np.tanh(z / 2)) - y


def value_at(problem: Problem, w: Array, b: Any) -> float:
    """The canonical objective; of classes with w (n, K) and b (K,)."""
    p = problem
    if p.own_loss.multiclass:
        z = p.x @ w + b
        value = special.logsumexp(z, axis=1) - z[np.arange(len(z)), p.y.astype(int)]
    else:
        value, _ = pointwise(p.loss, p.y, p.x @ w + b)
    u = (p.scale * w.T).ravel()
    total = np.average(value, weights=p.weight) + p.l1 * np.abs(u).sum() + p.l2 / 2 * (u @ u)
    return float(total)


@cache
def reference_minimum(problem: Problem) -> float:
    """The least value of the canonical objective, by somebody else's solver."""
    w, b = reference_answer(problem)
    return value_at(problem, w, b)


def reference_answer(problem: Problem) -> tuple[Array, float]:
    """(w, b) from scikit-learn where it has the problem, else from scipy."""
    p = problem
    d = p.scale
    centre = np.average(p.x, axis=0, weights=p.weight) if p.fit_intercept else np.zeros(len(d))
    v, b = _standardized_answer(p, (p.x - centre) / d)  # a weight on x/d is d w
    return v / d, b - float(centre @ (v / d))


def _standardized_answer(p: Problem, u: Array) -> tuple[Array, float]:
    """The weights and intercept on u (m, n), penalised as they are."""
    total = p.weight.sum()
    if p.loss == "mse" and p.reg_param == 0:
        root = np.sqrt(p.weight)
        design = np.column_stack([u, np.ones(len(u))]) if p.fit_intercept else u
        answer = np.linalg.lstsq(design * root[:, None], p.y * root, rcond=None)[0]
        return (answer[:-1], float(answer[-1])) if p.fit_intercept else (answer, 0.0)
    if p.loss == "mse" and p.l1 == 0:
        ridge = linear_model.Ridge(
            alpha=p.l2 * total, fit_intercept=p.fit_intercept, solver="cholesky"
        )
        ridge.fit(u, p.y, sample_weight=p.weight)
        return ridge.coef_, float(ridge.intercept_)
    if p.loss == "mse":
        net = linear_model.ElasticNet(
            alpha=p.reg_param,
            l1_ratio=p.mix,
            fit_intercept=p.fit_intercept,
            tol=1e-15,
            max_iter=100_000,
        )
        net.fit(u, p.y, sample_weight=p.weight)
        return net.coef_, float(net.intercept_)
    if p.loss == "hinge":
        return _support_vectors(p, u)
    if p.loss == "bxe" and p.l1 == 0 and p.reg_param > 0:
        logistic = linear_model.LogisticRegression(
            C=1 / (p.l2 * total),
            fit_intercept=p.fit_intercept,
            solver="newton-cholesky",
            tol=1e-13,
            max_iter=1000,
        )
        logistic.fit(u, p.y, sample_weight=p.weight)
        return logistic.coef_[0], float(np.ravel(logistic.intercept_)[0])
    return _split(p, u)


def _support_vectors(p: Problem, u: Array) -> tuple[Array, float]:
    """libsvm, which does not penalise the intercept; liblinear where there is none."""
    c = 1 / (p.l2 * p.weight.sum())
    used = p.weight > 0
    if p.fit_intercept:
        machine: Any = svm.SVC(kernel="linear", C=c, tol=1e-10, shrinking=False)
    else:
        machine = svm.LinearSVC(
            loss="hinge", C=c, fit_intercept=False, tol=1e-8, max_iter=10_000_000, random_state=0
        )
    machine.fit(u[used], p.y[used], sample_weight=p.weight[used])
    b = float(machine.intercept_[0]) if p.fit_intercept else 0.0
    return np.asarray(machine.coef_[0], dtype=float), b


def scipy_answer(problem: Problem) -> tuple[Array, float]:
    """(w, b) by scipy alone."""
    d = problem.scale
    v, b = _split(problem, problem.x / d)
    return v / d, b


def _split(p: Problem, u: Array) -> tuple[Array, float]:
    """L-BFGS-B on v = plus - minus with plus, minus >= 0, which has no kink."""
    n, share = u.shape[1], p.weight / p.weight.sum()

    def f(t: Array) -> tuple[float, Array]:
        v, b = t[:n] - t[n : 2 * n], t[-1]
        value, slope = pointwise(p.loss, p.y, u @ v + b)
        g = u.T @ (share * slope) + p.l2 * v
        gradient = np.concatenate([g + p.l1, -g + p.l1, [share @ slope]])
        return float(share @ value + p.l1 * t[: 2 * n].sum() + p.l2 / 2 * (v @ v)), gradient

    free = (None, None) if p.fit_intercept else (0.0, 0.0)
    # without an L1 part a split would only add a flat direction
    low = (0.0, None) if p.l1 else (None, None)
    high = (0.0, None) if p.l1 else (0.0, 0.0)
    bounds = [low] * n + [high] * n + [free]
    t = np.zeros(2 * n + 1)
    for _ in range(3):  # once more from where rounding stopped it
        found = optimize.minimize(
            f,
            t,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 50_000, "maxfun": 100_000, "ftol": 0.0, "gtol": 1e-13},
        )
        t = found.x
    return t[:n] - t[n : 2 * n], float(t[-1])


# --- data ---------------------------------------------------------------------------------------


@cache
def example(loss: str, seed: int = 1, m: int = 80, n: int = 4, weighted: bool = False) -> Problem:
    """Correlated features of moderate scales with half of the entries 0, and a noisy label."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, n)) + 0.5 * rng.normal(size=(m, 1))
    x = (x + 0.3) * np.geomspace(0.5, 2.0, n)
    x[rng.random((m, n)) < 0.5] = 0.0
    truth = rng.normal(size=n) / np.geomspace(0.5, 2.0, n)
    truth[n // 2 :] = 0.0
    z = x @ truth + 0.4
    noise = rng.normal(size=m) if loss == "mse" else rng.random(m)
    y: Array = z + noise
    if loss != "mse":
        y = (noise < 1 / (1 + np.exp(-z))).astype(float)
    weight = 0.7 * rng.integers(0, 4, m).astype(float) if weighted else np.ones(m)
    return Problem(x, y, np.asarray(weight, dtype=float), loss)
