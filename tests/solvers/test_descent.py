"""Variants of gradient descent take the steps of their textbooks, written down here once more."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checks import DESCENTS
from tests.problems import (
    Problem,
    example,
    leaves_of,
    objective_of,
    pointwise,
    reference_answer,
    value_at,
)
from w261reg import load, train
from w261reg.aggregators import Descend, Trail
from w261reg.config import Settings
from w261reg.datasets.tree import finish, fold
from w261reg.errors import InputError
from w261reg.losses import get_loss
from w261reg.report import figures_of
from w261reg.solvers import SOLVERS, FirstPass, FitResult, Status, minimise

Array = NDArray[np.float64]
Gradient = Callable[[Array], Array]
Rate = Callable[[int], float]
Step = Callable[[Array, Array, Gradient, float, int], tuple[Array, Array]]

RATES: dict[str, Callable[[float, int], float]] = {
    "constant": lambda eta, t: eta,
    "inverse": lambda eta, t: eta / t,
    "inverse_sqrt": lambda eta, t: eta / np.sqrt(t),
}
FULL = sorted(DESCENTS - {"sgd"})
START = np.array([0.3, -0.2, 0.1, 0.05]), 0.7
SIZES = {"gd": 0.2, "sgd": 0.05, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.3, "adam": 0.05}


# --- the textbook -------------------------------------------------------------------------------


class User:
    """The objective in the user's coordinates phi = (v, b): on x, or on (x - mean)/d."""

    def __init__(self, problem: Problem) -> None:
        p = self.problem = problem
        d = p.scale
        centred = p.standardization and p.fit_intercept
        self.mean = np.average(p.x, axis=0, weights=p.weight) if centred else np.zeros(len(d))
        self.d = d
        z = (p.x - self.mean) / d
        self.z = np.column_stack([z, np.ones(len(z))]) if p.fit_intercept else z

    def start(self) -> Array:
        """Where no derivative is 0, as that in the best intercept is but for rounding."""
        p = self.problem
        phi = np.append(self.d * START[0], START[1] + self.mean @ START[0])
        return phi if p.fit_intercept else phi[:-1]

    def null(self) -> Array:
        """Weights 0 and the best intercept."""
        p = self.problem
        phi = np.zeros(self.z.shape[1])
        if p.fit_intercept:
            mean = float(np.average(p.y, weights=p.weight))
            phi[-1] = mean if p.loss == "mse" else np.log(mean / (1 - mean))
        return phi

    def gradient(self, phi: Array, rows: Any = slice(None), total: float | None = None) -> Array:
        """Of F on these rows, whose weights are divided by `total` (their sum where None)."""
        p, s = self.problem, self.problem.weight[rows]
        _, slope = pointwise(p.loss, p.y[rows], self.z[rows] @ phi)
        g = self.z[rows].T @ (s * slope) / (s.sum() if total is None else total)
        n = len(self.d)
        g[:n] += p.l2 * phi[:n] + p.l1 * np.sign(phi[:n])
        return np.asarray(g)

    def raw(self, phi: Array) -> tuple[Array, float]:
        w = phi[: len(self.d)] / self.d
        b = float(phi[-1] - self.mean @ w) if self.problem.fit_intercept else 0.0
        return w, b

    def value(self, phi: Array) -> float:
        return value_at(self.problem, *self.raw(phi))


def textbook(name: str) -> tuple[Step, int]:
    """One step (phi, memory) -> (phi, memory), and the rows of its memory."""

    def gd(phi: Array, m: Array, g: Gradient, eta: float, t: int) -> tuple[Array, Array]:
        return phi - eta * g(phi), m

    def momentum(phi: Array, m: Array, g: Gradient, eta: float, t: int) -> tuple[Array, Array]:
        v = 0.9 * m[0] - eta * g(phi)
        return phi + v, v[None]

    def nesterov(ahead: Array, m: Array, g: Gradient, eta: float, t: int) -> tuple[Array, Array]:
        phi = ahead - 0.9 * m[0]  # Sutskever's variable, whose gradient is taken ahead of it
        v = 0.9 * m[0] - eta * g(phi + 0.9 * m[0])
        phi = phi + v
        return phi + 0.9 * v, v[None]

    def adagrad(phi: Array, m: Array, g: Gradient, eta: float, t: int) -> tuple[Array, Array]:
        now = g(phi)
        total = m[0] + now**2
        return phi - eta * now / (np.sqrt(total) + 1e-10), total[None]

    def adam(phi: Array, m: Array, g: Gradient, eta: float, t: int) -> tuple[Array, Array]:
        now = g(phi)
        first = 0.9 * m[0] + 0.1 * now
        second = 0.999 * m[1] + 0.001 * now**2
        unbiased, square = first / (1 - 0.9**t), second / (1 - 0.999**t)
        return phi - eta * unbiased / (np.sqrt(square) + 1e-8), np.array([first, second])

    steps: dict[str, tuple[Step, int]] = {
        "gd": (gd, 0),
        "sgd": (gd, 0),
        "momentum": (momentum, 1),
        "nesterov": (nesterov, 1),
        "adagrad": (adagrad, 1),
        "adam": (adam, 2),
    }
    return steps[name]


def full_batch(name: str, user: User, eta: float, rule: str = "constant") -> Iterator[Array]:
    """phi after 0, 1, 2, ... steps."""
    step, slots = textbook(name)
    phi = user.start()
    memory, t = np.zeros((slots, len(phi))), 0
    while True:
        yield phi
        t += 1
        phi, memory = step(phi, memory, user.gradient, RATES[rule](eta, t), t)


def by_leaves(
    name: str, user: User, eta: float, batch: int, seed: int = 0, rule: str = "constant"
) -> Iterator[Array]:
    """phi after 0, 1, 2, ... passes of local steps; leaves of one piece of rows each."""
    p, (step, slots) = user.problem, textbook(name)
    used = np.flatnonzero(p.weight > 0)
    leaves = [used[c] for c in np.array_split(np.arange(len(used)), p.leaves)]
    phi = user.start()
    memory, taken, number = np.zeros((slots, len(phi))), 0, 0
    while True:
        yield phi
        ends, memories, counts = [], [], []
        for leaf, rows in enumerate(leaves):
            counter, key = np.array([[0, 0, leaf, number], [seed, 261, 0, 0]], dtype=np.uint64)
            drawn = np.random.Generator(np.random.Philox(counter=counter, key=key[:2]))
            order = rows[drawn.permutation(len(rows))]
            own, kept, t = phi, memory, taken
            for start in range(0, len(order), batch):
                few = order[start : start + batch]
                total = len(few) * p.weight[rows].sum() / len(rows)
                t += 1
                gradient = partial(user.gradient, rows=few, total=total)
                own, kept = step(own, kept, gradient, RATES[rule](eta, t), t)
            ends.append(own)
            memories.append(kept)
            counts.append(t)
        shares = [p.weight[rows].sum() for rows in leaves]
        phi = np.average(ends, axis=0, weights=shares)
        memory = np.average(memories, axis=0, weights=shares)
        taken, number = max(counts), number + 1


def problems() -> dict[str, Problem]:
    found = {}
    for loss in ("mse", "bxe"):
        base = example(loss, weighted=True)
        found[f"{loss} raw"] = base.but(standardization=False, reg_param=0.1)
        found[f"{loss} standardized"] = base.but(reg_param=0.1, sparse=True)
        found[f"{loss} origin"] = base.but(fit_intercept=False, reg_param=0.1)
        found[f"{loss} kinked"] = base.but(standardization=False, reg_param=0.02, mix=0.6)
        found[f"{loss} free"] = base
    return found


PROBLEMS = problems()


def run(
    name: str,
    problem: Problem,
    first: FirstPass = FirstPass.MOMENTS,
    started: bool = False,
    **set_: Any,
) -> Any:
    """The result from the null model, or from START."""
    options = {"standardized": problem.standardization, "step_size": SIZES[name], **set_}
    objective = objective_of(problem, first)
    start = objective.coordinates.theta(*START) if started else None
    return minimise(SOLVERS[name](**options), objective, start)


def check_trace(
    result: FitResult, user: User, points: Iterator[Array], rtol: float = 1e-10
) -> None:
    """The objectives of the whole history, and the weights at its end."""
    expected = list(islice(points, result.n_iter + 1))
    values = [entry.objective for entry in result.history]
    np.testing.assert_allclose(values, [user.value(phi) for phi in expected], rtol=rtol)
    w, b = user.raw(expected[-1])
    np.testing.assert_allclose(result.w, w, rtol=rtol, atol=1e-12)
    assert result.intercept == pytest.approx(b, rel=rtol, abs=1e-12)


# --- steps by all rows --------------------------------------------------------------------------


@pytest.mark.parametrize("problem", sorted(PROBLEMS))
@pytest.mark.parametrize("name", FULL)
def test_textbook(name: str, problem: str) -> None:
    user = User(PROBLEMS[problem])
    result = run(name, PROBLEMS[problem], started=True, max_iter=40)
    assert result.n_iter == 40
    # the first of the data, one for the start, and one a step
    assert [entry.passes for entry in result.history[:-1]] == list(range(2, 42))
    check_trace(result, user, full_batch(name, user, SIZES[name]))


@pytest.mark.parametrize("rule", sorted(RATES))
@pytest.mark.parametrize("name", FULL)
def test_step_rules(name: str, rule: str) -> None:
    for problem in (PROBLEMS["mse raw"], PROBLEMS["bxe standardized"]):
        user = User(problem)
        result = run(name, problem, started=True, max_iter=30, step_rule=rule)
        steps = [entry.step for entry in result.history[1:]]
        np.testing.assert_allclose(
            steps, [RATES[rule](SIZES[name], t) for t in range(1, 31)], rtol=1e-14
        )
        check_trace(result, user, full_batch(name, user, SIZES[name], rule))


@pytest.mark.parametrize("name", sorted(DESCENTS))
def test_a_start_is_where_it_starts(name: str) -> None:
    problem = PROBLEMS["bxe raw"]
    objective = objective_of(problem, FirstPass.MOMENTS)
    w, b = np.array([0.3, -0.2, 0.1, 0.05]), 0.7
    kind: Any = SOLVERS[name]
    solver = kind(max_iter=1, step_size=SIZES[name])
    result = minimise(solver, objective, objective.coordinates.theta(w, b))
    assert result.history[0].objective == pytest.approx(value_at(problem, w, b), rel=1e-13)
    assert result.history[0].passes == 2
    assert result.evaluation.objective != result.history[0].objective


# --- squared error: any number of steps from one pass -------------------------------------------


@pytest.mark.parametrize("problem", [name for name in sorted(PROBLEMS) if name.startswith("mse")])
@pytest.mark.parametrize("name", FULL)
def test_a_trace_from_one_pass(name: str, problem: str) -> None:
    """The same objectives and weights as from passes, which are the textbook's."""
    known = run(name, PROBLEMS[problem], FirstPass.GRAM, max_iter=200, tol=1e-300)
    passes = run(name, PROBLEMS[problem], FirstPass.MOMENTS, max_iter=200, tol=1e-300)
    assert {entry.passes for entry in known.history} == {1}
    assert passes.history[-1].passes == 201
    np.testing.assert_allclose(
        [entry.objective for entry in known.history],
        [entry.objective for entry in passes.history], rtol=1e-10,
    )  # fmt: skip
    np.testing.assert_allclose(
        [entry.residual for entry in known.history],
        [entry.residual for entry in passes.history], rtol=1e-10, atol=1e-13,
    )  # fmt: skip
    np.testing.assert_allclose(known.w, passes.w, rtol=1e-10)


def test_train_takes_one_pass_where_it_can() -> None:
    problem = PROBLEMS["mse raw"]
    common: dict[str, Any] = {
        "weight": problem.weight, "loss": "mse", "reg_param": 0.1, "convention": "canonical",
        "standardization": False,
    }  # fmt: skip
    best = value_at(problem, *reference_answer(problem))
    for options in ({"solver": "gd"}, {"solver": "momentum"}, {"solver": "nesterov"}):
        model = train(problem.x, problem.y, max_iter=20_000, **options, **common)
        assert model.status == "converged"
        assert model.n_passes == 1
        assert model.objective == pytest.approx(best, rel=1e-12)
    # a mini-batch needs the rows
    model = train(problem.x, problem.y, solver="momentum", batch_rows=8, max_iter=5, **common)
    assert model.n_passes == 7


def test_few_steps_on_many_features_are_worth_passes() -> None:
    """And a Gram matrix is not."""
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(60, 200)), rng.normal(size=60)
    for steps, passes in ((3, 4), (6, 1)):
        model = train(x, y, loss="mse", solver="gd", step_size=1e-3, max_iter=steps)
        assert (model.n_iter, model.n_passes) == (steps, passes)
        assert (model.lambda_max is None) == (passes > 1)


def test_a_warm_start_of_a_trace_costs_no_pass(tmp_path: Path) -> None:
    problem = PROBLEMS["mse raw"]
    first = train(problem.x, problem.y, loss="mse", solver="gd", max_iter=10)
    first.save(tmp_path / "first")
    both = train(problem.x, problem.y, loss="mse", solver="gd", step_size=0.1, max_iter=20)
    half = train(problem.x, problem.y, loss="mse", solver="gd", step_size=0.1, max_iter=10)
    half.save(tmp_path / "half")
    rest = train(
        problem.x, problem.y, loss="mse", solver="gd", step_size=0.1, max_iter=10,
        warm_start=str(tmp_path / "half"),
    )  # fmt: skip
    assert rest.n_passes == 1
    np.testing.assert_allclose(rest.weights, both.weights, rtol=1e-11)


def test_labels_that_are_nearly_explained_are_worth_passes() -> None:
    """There the Gram matrix would tell rounding errors for an objective."""
    base = example("mse")
    y = base.x @ [1.0, -2.0, 0.5, 3.0] + 1e-9 * base.y
    problem = base.but(y=1e4 + y)
    result = run("gd", problem, FirstPass.GRAM, step_size=0.3, max_iter=400)
    best = value_at(problem, *reference_answer(problem))
    assert result.status is Status.CONVERGED
    assert result.history[-1].passes > 1
    found = value_at(problem, result.w, result.intercept)
    assert result.evaluation.objective == pytest.approx(found, rel=1e-6)
    assert found < best + 1e-9


# --- steps by mini-batches ----------------------------------------------------------------------


@pytest.mark.parametrize("problem", sorted(PROBLEMS))
@pytest.mark.parametrize("name", sorted(DESCENTS - {"gd"}))
def test_local_steps(name: str, problem: str) -> None:
    own = PROBLEMS[problem]
    user = User(own)
    options: dict[str, Any] = {"max_iter": 6, "batch_rows": 5, "step_size": SIZES[name] / 4}
    result = run(name, own, started=True, seed=3, **options)
    assert result.n_iter == 6
    assert [entry.passes for entry in result.history[:-1]] == [2, 4, 5, 6, 7, 8]
    check_trace(result, user, by_leaves(name, user, SIZES[name] / 4, 5, 3))


@pytest.mark.parametrize("rule", sorted(RATES))
@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("leaves", [1, 2, 7])
def test_local_steps_by_any_rule(leaves: int, batch: int, rule: str) -> None:
    """With one leaf, this is stochastic gradient descent as it stands in every book."""
    own = PROBLEMS["bxe standardized"].but(leaves=leaves)
    user = User(own)
    options: dict[str, Any] = {"max_iter": 4, "batch_rows": batch, "step_rule": rule}
    result = run("sgd", own, started=True, step_size=0.2, **options)
    check_trace(result, user, by_leaves("sgd", user, 0.2, batch, 0, rule))


def test_a_batch_of_all_rows_of_one_leaf_is_gradient_descent() -> None:
    own = PROBLEMS["mse standardized"].but(leaves=1)
    few = run("sgd", own, max_iter=20, batch_rows=10**6, step_size=0.2)
    all_ = run("gd", own, max_iter=20, step_size=0.2)
    np.testing.assert_allclose(few.w, all_.w, rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 4])
def test_gradients_of_batches_are_unbiased(batch: int) -> None:
    """Over a pass of tiny steps the batches' gradients average to that of all rows."""
    own = example("bxe", m=64, weighted=True).but(leaves=1, standardization=False, reg_param=0.1)
    own = own.but(weight=own.weight + 0.7)  # 64 rows of positive weight
    user = User(own)
    eta = 1e-7
    result = run("sgd", own, max_iter=1, batch_rows=batch, step_size=eta)
    moved = np.append(result.w, result.intercept) - user.null()
    np.testing.assert_allclose(
        -moved / (eta * 64 / batch), user.gradient(user.null()), rtol=1e-5, atol=1e-7
    )


def test_pieces_of_a_block_are_shuffled_apart() -> None:
    """Rows that fill more than one part of a block are all used, once each, in another order."""
    rng = np.random.default_rng(5)
    rows = 20_000
    x, y = rng.normal(size=(rows, 2)), rng.normal(size=rows)
    own = Problem(x, y, np.ones(rows), leaves=1)
    (_, whole), *_ = leaves_of(x, y, own.weight, 1)
    pieces = [piece.rows for piece in whole.pieces()]
    assert len(pieces) == 3
    eta = 1e-9
    result = run("sgd", own, max_iter=1, batch_rows=1, step_size=eta)
    user = User(own)
    w, b = result.w, result.intercept
    moved = np.append(w * user.d, b + user.mean @ w) - user.null()
    np.testing.assert_allclose(-moved / (eta * rows), user.gradient(user.null()), atol=1e-4)


@pytest.mark.parametrize("name", sorted(DESCENTS - {"gd"}))
def test_seeds(name: str) -> None:
    own = PROBLEMS["bxe standardized"]
    a, b, other = (run(name, own, max_iter=3, batch_rows=4, seed=seed) for seed in (7, 7, 8))
    assert a.w.tobytes() == b.w.tobytes()
    assert a.w.tobytes() != other.w.tobytes()
    np.testing.assert_allclose(a.evaluation.objective, other.evaluation.objective, rtol=0.1)


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("name", sorted(DESCENTS - {"gd"}))
def test_the_same_bits_for_any_split(name: str, form: str) -> None:
    """Thirteen leaves by 1, 2 and 7 tasks, each of which merges siblings only."""
    p = example("bxe", m=200, weighted=True)
    objective = objective_of(p.but(reg_param=0.1, mix=0.5))
    leaves = leaves_of(p.x, p.y, p.weight, 13, form == "csr")
    kind: Any = SOLVERS[name]
    rule = kind(step_size=SIZES[name])
    trail = Trail(np.linspace(-0.2, 0.3, 5), np.zeros((kind.slots, 5)), steps=11)
    one, zero = np.ones(4), np.zeros(4)
    what = Descend(get_loss("bxe"), objective.penalty, rule, trail, one, zero, 3, 99, 2)
    found = set()
    for tasks in (1, 2, 7):
        shares = np.array_split(np.arange(13), tasks)
        nodes = [node for share in shares for node in fold([leaves[i] for i in share], what)]
        state = finish(nodes, what)[2]
        assert state.weight == pytest.approx(p.weight.sum())
        assert state.trail.steps == trail.steps + max(-(-leaf.rows // 3) for _, leaf in leaves)
        found.add((state.trail.point.tobytes(), state.trail.memory.tobytes()))
    assert len(found) == 1
    # and of another grouping of rows, other bits: the test can fail
    rest = leaves_of(p.x, p.y, p.weight, 12, form == "csr")
    state = finish(list(fold(rest, what)), what)[2]
    assert (state.trail.point.tobytes(), state.trail.memory.tobytes()) not in found


# --- rates --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_gradient_descent_is_as_fast_as_its_proof(loss: str) -> None:
    """F(t) - F* <= |phi_0 - phi*|^2 / (2 eta t) for eta <= 1/lambda_max (Nesterov 2004, 2.1.14)."""
    problem = PROBLEMS[f"{loss} raw"]
    w, b = reference_answer(problem)
    best, user = value_at(problem, w, b), User(problem)
    objective = objective_of(problem)
    largest = objective.lambda_max(False)
    assert largest is not None
    eta = 1 / largest
    result = run("gd", problem, step_size=eta, max_iter=200, tol=1e-300)
    distance = np.append(w, b) - user.null()
    for t, entry in enumerate(result.history[1:], 1):
        assert entry.objective - best <= distance @ distance / (2 * eta * t) + 1e-13


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_a_shrinking_step_ends_nearer_than_a_constant_one(loss: str) -> None:
    """On a strongly convex F the gap falls like 1/t, where a constant step ends in a band."""
    problem = example(loss, m=400).but(reg_param=0.3, leaves=1)
    best = value_at(problem, *reference_answer(problem))

    def gap(passes: int, rule: str) -> float:
        found = [
            run("sgd", problem, FirstPass.MOMENTS, max_iter=passes, batch_rows=4, step_rule=rule,
                step_size=2.0 if rule == "inverse" else 0.1, seed=seed)
            for seed in range(10)
        ]  # fmt: skip
        return float(np.mean([result.evaluation.objective for result in found])) - best

    early, late = gap(4, "inverse"), gap(32, "inverse")
    assert 0 < late < early / 4  # eight times the steps
    assert gap(32, "constant") > 4 * late


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_momentum_is_faster_where_curvatures_differ(name: str) -> None:
    base = example("mse")
    problem = base.but(x=base.x * [1, 1, 1, 10], standardization=False)
    plain = run("gd", problem, FirstPass.GRAM, step_size=None, step_rule="constant", max_iter=300)
    fast = run(name, problem, FirstPass.GRAM, step_size=None, max_iter=300)
    assert fast.evaluation.residual < 0.1 * plain.evaluation.residual
    assert plain.evaluation.residual < 1


@pytest.mark.parametrize("name", sorted(DESCENTS))
def test_no_step_size_is_needed(name: str) -> None:
    for problem in (PROBLEMS["mse standardized"], PROBLEMS["bxe standardized"]):
        best = value_at(problem, *reference_answer(problem))
        result = run(name, problem, step_size=None, max_iter=3000)
        assert result.status in (Status.CONVERGED, Status.MAX_ITER)
        gap = result.evaluation.objective - best
        assert -1e-12 < gap < 1e-2 * (result.history[0].objective - best), name


# --- the longest step ---------------------------------------------------------------------------


def dense_hessian(problem: Problem, curvature: float) -> Array:
    user, p = User(problem), problem
    penalised = np.zeros(user.z.shape[1])
    penalised[: len(user.d)] = p.l2
    share = p.weight / p.weight.sum()
    return np.asarray(curvature * user.z.T @ (user.z * share[:, None]) + np.diag(penalised))


@pytest.mark.parametrize("problem", sorted(PROBLEMS))
def test_lambda_max(problem: str) -> None:
    p = PROBLEMS[problem]
    bound = 1.0 if p.loss == "mse" else 0.25
    wanted = np.linalg.eigvalsh(dense_hessian(p, bound))[-1]
    assert objective_of(p).lambda_max(p.standardization) == pytest.approx(wanted, rel=1e-12)
    assert objective_of(p, FirstPass.MOMENTS).lambda_max(p.standardization) is None


@pytest.mark.parametrize("problem", ["mse raw", "mse standardized", "mse origin"])
@pytest.mark.parametrize("name", ["gd", "momentum", "nesterov"])
def test_steps_up_to_the_limit_converge_and_beyond_diverge(name: str, problem: str) -> None:
    p = PROBLEMS[problem]
    kind: Any = SOLVERS[name]
    limit = kind().stretch() / np.linalg.eigvalsh(dense_hessian(p, 1.0))[-1]
    short = run(name, p, FirstPass.GRAM, step_size=0.98 * limit, max_iter=5000)
    assert short.status is Status.CONVERGED
    long = run(name, p, FirstPass.GRAM, step_size=1.02 * limit, max_iter=5000)
    assert long.status is Status.DIVERGED
    assert f"{limit:.6g}, so that steps diverge" in long.message
    objective = objective_of(p)
    standard = p.standardization
    assert kind(step_size=0.98 * limit, standardized=standard).caution(objective) == ""
    assert "longer than" in kind(step_size=1.02 * limit, standardized=standard).caution(objective)
    shrinking = kind(step_size=1.02 * limit, standardized=standard, step_rule="inverse")
    assert shrinking.caution(objective) == ""


@pytest.mark.parametrize("convention", ["course", "homework", "canonical"])
def test_the_warning_is_in_the_conventions_terms(
    convention: str, caplog: pytest.LogCaptureFixture
) -> None:
    p = PROBLEMS["bxe raw"]
    common: dict[str, Any] = {
        "weight": p.weight, "loss": "bxe", "convention": convention, "standardization": False,
        "solver": "gd", "max_iter": 1,
    }  # fmt: skip
    quiet = train(p.x, p.y, step_size=1e-9, **common)
    assert not [r for r in caplog.records if "lambda_max" in r.getMessage()]
    assert quiet.lambda_max is not None
    factor = p.weight.sum() if convention == "homework" else 1.0
    limit = 2 / quiet.lambda_max / factor
    train(p.x, p.y, step_size=1.5 * limit, **common)
    (record,) = [r for r in caplog.records if "lambda_max" in r.getMessage()]
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"step_size {1.5 * limit:.6g} is longer than 2/lambda_max = {limit:.6g}, so that steps may "
        "oscillate or diverge"
    )


@pytest.mark.parametrize("name", sorted(DESCENTS - {"adam", "adagrad"}))
def test_a_step_that_is_far_too_long_diverges(name: str) -> None:
    for size in (50.0, 1e200):
        result = run(name, PROBLEMS["mse raw"], FirstPass.GRAM, step_size=size, max_iter=500)
        assert result.status is Status.DIVERGED
        assert f"step_size {size:.6g} is longer than" in result.message


def test_lambda_max_in_the_model(tmp_path: Path) -> None:
    p = example("bxe")
    wanted = np.linalg.eigvalsh(dense_hessian(p.but(reg_param=0.1), 0.25))[-1]
    for solver in ("gd", "sgd", "newton", "lbfgs"):
        model = train(
            p.x, p.y, loss="bxe", solver=solver, reg_param=0.1, convention="canonical", max_iter=2
        )
        model.save(tmp_path / solver)
        for found in (model, load(tmp_path / solver)):
            assert found.lambda_max == pytest.approx(wanted, rel=1e-12)
        assert f"{wanted:.6g}" in (tmp_path / solver / "report.html").read_text()


def test_no_lambda_max_where_the_first_pass_has_moments_only() -> None:
    p = example("bxe", n=40)
    model = train(p.x, p.y, loss="bxe", solver="lbfgs", reg_param=0.1, max_iter=2)
    assert model.lambda_max is None


# --- the rest -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adam", "adagrad"])
def test_a_factor_of_the_objective_changes_no_adaptive_step(name: str) -> None:
    p = example("bxe")
    common: dict[str, Any] = {"loss": "bxe", "solver": name, "step_size": 0.02, "max_iter": 20}
    summed = train(p.x, p.y, convention="homework", **common)
    mean = train(p.x, p.y, convention="canonical", standardization=False, **common)
    np.testing.assert_allclose(summed.weights, mean.weights, rtol=1e-13)


@pytest.mark.parametrize("name", sorted(DESCENTS))
def test_a_constant_feature_stays_out(name: str) -> None:
    p = example("mse", weighted=True)
    wide = p.but(x=np.insert(p.x, 2, 7.0, axis=1))
    # the standardized scale of a constant feature is 0
    common: dict[str, Any] = {
        "loss": "mse", "convention": "canonical", "solver": name, "max_iter": 5, "reg_param": 0.1,
    }  # fmt: skip
    with_, without = (train(q.x, q.y, weight=q.weight, **common) for q in (wide, p))
    assert with_.weights[2] == 0.0
    np.testing.assert_allclose(np.delete(with_.weights, 2), without.weights, rtol=1e-12)


def test_names_of_numbers_in_a_result(tmp_path: Path) -> None:
    """A trace from one pass is drawn against iterations; of sgd, against passes."""
    p = example("mse")
    for options in ({"solver": "momentum"}, {"solver": "sgd", "batch_rows": 4, "seed": 5}):
        model = train(p.x, p.y, loss="mse", reg_param=0.1, max_iter=12, **options)
        model.save(tmp_path / options["solver"])  # type: ignore[operator]
        folder = tmp_path / str(options["solver"])
        assert "convergence" in figures_of(folder)
        words = (folder / "report.html").read_text()
        unit = "iteration" if options["solver"] == "momentum" else "passes over the data"
        assert f"Line charts against {unit}" in words
        config = (folder / "config.toml").read_text()
        assert ("batch_rows = 4" in config) == ("seed = 5" in config) == ("sgd" in config)
        assert len(model.history) == 13
    closed = train(p.x, p.y, loss="mse", solver="gram")
    closed.save(tmp_path / "closed")
    assert "convergence" not in figures_of(tmp_path / "closed")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"step_rule": "inverse"}, "step_rule is for solver adagrad, .*, not auto: inverse"),
    ({"solver": "lbfgs", "step_rule": "constant"}, "step_rule is for solver .*, not lbfgs"),
    ({"solver": "sgd", "step_rule": "armijo"}, "step_rule of solver sgd must be .*, not 'armijo'"),
    ({"solver": "gd", "step_rule": "armijo", "step_size": 0.1}, "step_size must not be given"),
    ({"solver": "gd", "step_rule": 3}, "step_rule must be text, not 3"),
    ({"solver": "gd", "batch_rows": 4}, "batch_rows is for solver .*sgd, not gd: 4"),
    ({"solver": "sgd", "batch_rows": 0}, "batch_rows must be an integer >= 1, not 0"),
    ({"solver": "sgd", "batch_rows": True}, "batch_rows must be an integer >= 1, not True"),
    ({"solver": "gd", "seed": 4}, "seed is for mini-batches.* not gd: 4"),
    ({"solver": "adam", "seed": 4}, "seed is for mini-batches.* not adam: 4"),
    ({"solver": "sgd", "seed": -1}, r"seed must be an integer in \[0, .*\], not -1"),
    ({"solver": "sgd", "seed": 0.5}, "seed must be an integer"),
    ({"solver": "sgd", "step_size": 0}, "step_size must be > 0"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_refusals(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings.of({"loss": "bxe", **given}).checked()


def test_what_is_taken() -> None:
    for given in (
        {"solver": "gd", "step_rule": "armijo"},
        {"solver": "gd", "step_rule": "inverse_sqrt", "step_size": 0.1},
        {"solver": "sgd", "seed": 2**63 - 1},
        {"solver": "adam", "batch_rows": 16, "seed": 0, "step_rule": "inverse"},
    ):
        checked = Settings.of({"loss": "bxe", **given}).checked()
        assert {key: checked.to_dict()[key] for key in given} == given
