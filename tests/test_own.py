"""A user's own loss or penalty: found, checked, trained, saved and read again."""

import importlib
import json
import pickle
import re
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize
from sklearn import linear_model

from tests.checks import DESCENTS, check_loss
from w261reg import InputError, Loss, Penalty, load, own, train
from w261reg.losses import LOSSES
from w261reg.losses.bxe import BinaryCrossEntropy
from w261reg.model import Model
from w261reg.own import read_loss
from w261reg.solvers import SOLVERS

Array = NDArray[np.float64]
ROOT = Path(__file__).parents[1]
CANONICAL: dict[str, Any] = {"convention": "canonical", "standardization": False}

HUBER = '''
import numpy as np
from w261reg import Loss

DELTA = 0.5

def size(r):
    return np.where(np.abs(r) <= DELTA, r**2 / 2, DELTA * (np.abs(r) - DELTA / 2))

class Huber(Loss):
    """r^2 / 2 near 0, linear beyond."""

    def value(self, y, z):
        return size(z - y[:, None])
'''
SMOOTH = '''
import numpy as np
from w261reg import Penalty

class Smooth(Penalty):
    """G/2 sum (w_j - w_{j+1})^2."""

    def __init__(self, strength):
        self.strength = strength

    @classmethod
    def of(cls, strength, scale):
        return cls(strength)

    def value(self, w):
        return self.strength / 2 * np.sum(np.diff(w) ** 2)

    def gradient(self, w):
        return self.hessian(w) @ w

    def hessian(self, w):
        d = np.diff(np.eye(len(w)), axis=0)
        return self.strength * d.T @ d
'''


def readme_template() -> str:
    """The loss in the README."""
    (block,) = re.findall(
        r"```python\n(.*?class Poisson.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    return str(block)


def written(folder: Path, text: str, name: str = "own.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def data(seed: int = 5, m: int = 150, n: int = 4) -> tuple[Array, Array]:
    """Features (m, n) and a linear predictor (m,)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, n)) + 0.3
    return x, x @ np.linspace(0.6, -0.4, n) + 0.2


def counts() -> tuple[Array, Array]:
    x, z = data()
    return x, np.random.default_rng(6).poisson(np.exp(z)).astype(float)


def heavy() -> tuple[Array, Array]:
    x, z = data()
    return x, z + np.random.default_rng(7).standard_t(1.5, size=len(z))


# --- against other solvers ----------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "proximal", "sampled"])
def test_the_loss_of_the_readme_is_poisson_regression(tmp_path: Path, solver: str) -> None:
    x, y = counts()
    path = written(tmp_path, readme_template())
    model = train(x, y, loss=f"{path}:Poisson", reg_param=0.05, solver=solver, **CANONICAL)
    assert model.status == "converged", model.message
    theirs = linear_model.PoissonRegressor(alpha=0.05, tol=1e-12, max_iter=10_000).fit(x, y)

    def objective(w: Array, b: float) -> float:
        z = x @ w + b
        return float(np.mean(np.exp(z) - y * z) + 0.025 * w @ w)

    best = objective(theirs.coef_, theirs.intercept_)
    assert objective(model.weights, model.intercept) == pytest.approx(model.objective, rel=1e-13)
    assert model.objective == pytest.approx(best, rel=1e-9)
    np.testing.assert_allclose(model.weights, theirs.coef_, rtol=1e-4)
    np.testing.assert_allclose(model.predict(x), np.exp(x @ model.weights + model.intercept))
    mse = np.mean((y - model.predict(x)) ** 2)
    assert model.metrics["train"]["mse"] == pytest.approx(mse, rel=1e-12)


def huber_minimum(x: Array, y: Array, l1: float, l2: float) -> float:
    """By scipy alone, on w = plus - minus with plus, minus >= 0."""
    n, delta = x.shape[1], 0.5

    def f(t: Array) -> tuple[float, Array]:
        w = t[:n] - t[n : 2 * n]
        r = x @ w + t[-1] - y
        value = np.where(np.abs(r) <= delta, r**2 / 2, delta * np.abs(r) - delta**2 / 2)
        slope = np.clip(r, -delta, delta) / len(y)
        g = x.T @ slope + l2 * w
        total = value.mean() + l1 * t[: 2 * n].sum() + l2 / 2 * w @ w
        return float(total), np.concatenate([g + l1, -g + l1, [slope.sum()]])

    bounds: list[Any] = [(0.0, None)] * (2 * n) + [(None, None)]
    t = np.zeros(2 * n + 1)
    for _ in range(3):
        t = optimize.minimize(
            f,
            t,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 50_000, "maxfun": 100_000, "ftol": 0.0, "gtol": 1e-13},
        ).x
    return f(t)[0]


@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_huber_of_values_alone(tmp_path: Path, mix: float, solver: str) -> None:
    x, y = heavy()
    path = written(tmp_path, HUBER)
    model = train(
        x, y, loss=f"{path}:Huber", reg_param=0.05, elastic_net_param=mix, solver=solver,
        **CANONICAL,
    )  # fmt: skip
    assert model.status == "converged", model.message
    assert "no derivative" in model.message
    assert model.suboptimality_bound is None
    best = huber_minimum(x, y, 0.05 * mix, 0.05 * (1 - mix))
    assert model.objective == pytest.approx(best, rel=1e-9)
    z = x @ model.weights + model.intercept
    np.testing.assert_allclose(model.predict(x), z, rtol=0, atol=1e-14)


class ValueOnlyMse(Loss):
    def value(self, y: Array, z: Array) -> Array:
        return 0.5 * (z - y[:, None]) ** 2


class ValueOnlyBxe(Loss):
    classification = True
    may_separate = True

    def value(self, y: Array, z: Array) -> Array:
        return np.logaddexp(0.0, z) - y[:, None] * z


GENTLE = sorted(
    name
    for name, kind in SOLVERS.items()
    if not (kind.quadratic_only or kind.kinked_only) and name not in DESCENTS
)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("solver", [s for s in GENTLE if s in ("lbfgs", "proximal", "sampled")])
@pytest.mark.parametrize(("kind", "known"), [(ValueOnlyMse, "mse"), (ValueOnlyBxe, "bxe")])
def test_values_alone_give_the_same_answer(
    kind: type[Loss], known: str, solver: str, mix: float, intercept: bool
) -> None:
    x, z = data()
    noise = np.random.default_rng(8).logistic(size=len(z))
    y = z + noise if known == "mse" else (z + noise > 0).astype(float)
    options = {"reg_param": 0.03, "elastic_net_param": mix, "fit_intercept": intercept}
    ours = train(x, y, loss=kind, solver=solver, **options, **CANONICAL)
    theirs = train(x, y, loss=known, **options, **CANONICAL)
    assert ours.status == "converged", ours.message
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-9)
    np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-7)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=1e-6)
    if known == "bxe":
        np.testing.assert_allclose(ours.probability(x), theirs.probability(x), atol=1e-8)


@pytest.mark.parametrize("seed", range(6))
def test_gradient_descent_takes_values_alone(seed: int) -> None:
    """In any order of the rows: near the end values differ by their last bits alone."""
    x, z = data()
    order = np.random.default_rng(seed).permutation(len(z))
    options: dict[str, Any] = {"reg_param": 0.1, **CANONICAL}
    ours = train(x[order], z[order], loss=ValueOnlyMse, solver="gd", max_iter=3000, **options)
    theirs = train(x, z, loss="mse", **options)
    assert ours.status == "converged"
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-9)


def test_values_alone_and_no_penalty() -> None:
    x, z = data()
    y = (z + np.random.default_rng(8).logistic(size=len(z)) > 0).astype(float)
    ours = train(x, y, loss=ValueOnlyBxe)
    assert ours.status == "converged", ours.message
    assert ours.objective == pytest.approx(train(x, y, loss="bxe").objective, rel=1e-9)
    separated = train(x, (z > 0).astype(float), loss=ValueOnlyBxe)
    assert separated.status == "separated"


def test_tolerance_that_differences_do_not_reach_is_said() -> None:
    x, z = data()
    y = z + np.random.default_rng(8).normal(size=len(z))
    model = train(x, y, loss=ValueOnlyMse, reg_param=0.1, tol=1e-16, **CANONICAL)
    assert model.status == "max_iter"
    assert "right to about 1e-10" in model.message
    best = train(x, y, loss="mse", reg_param=0.1, **CANONICAL).objective
    assert model.objective == pytest.approx(best, rel=1e-9)


def test_differences_are_as_right_as_they_say() -> None:
    rng = np.random.default_rng(9)
    z = np.concatenate([rng.normal(size=60) * 3, [-30.0, 30.0, 1e3, -1e3]])[:, None]
    y = rng.integers(0, 2, len(z)).astype(float)
    for ours, known in ((ValueOnlyMse(), LOSSES["mse"]()), (ValueOnlyBxe(), LOSSES["bxe"]())):
        size = 1 + known.value(y, z)
        assert (np.abs(ours.derivative(y, z) - known.derivative(y, z)) / size).max() < 1e-10
        assert (np.abs(ours.curvature(y, z) - known.curvature(y, z)) / size).max() < 1e-6
        np.testing.assert_allclose(ours.mean(z), known.mean(z), atol=1e-9)
        assert ours.null_predictor(0.3) == pytest.approx(known.null_predictor(0.3), abs=1e-9)


def test_null_predictor_is_found_far_out() -> None:
    assert ValueOnlyMse().null_predictor(1e6) == pytest.approx(1e6, rel=1e-9)
    assert ValueOnlyMse().null_predictor(-3e-3) == pytest.approx(-3e-3, abs=1e-9)
    assert ValueOnlyBxe().null_predictor(1e-6) == pytest.approx(np.log(1e-6), rel=1e-4)


@pytest.mark.parametrize("gamma", [0.3, 20.0])
def test_penalty_of_a_file(tmp_path: Path, gamma: float) -> None:
    x, y = heavy()
    path = written(tmp_path, SMOOTH)
    model = train(
        x, y, loss="mse", reg_param=0.1, penalty=f"{path}:Smooth", penalty_param=gamma,
        **CANONICAL,
    )  # fmt: skip
    assert model.status == "converged"
    n, xc = x.shape[1], x - x.mean(axis=0)
    d = np.diff(np.eye(n), axis=0)
    system = xc.T @ xc / len(y) + 0.1 * np.eye(n) + gamma * d.T @ d
    wanted = np.linalg.solve(system, xc.T @ (y - y.mean()) / len(y))
    np.testing.assert_allclose(model.weights, wanted, rtol=1e-9)
    assert model.penalty_params == {f"{path}:Smooth": gamma}
    assert f"{path}:Smooth" in model.own_sources
    assert "L2 (ridge) and Smooth penalty" in model.summary()


def test_penalty_given_as_a_class() -> None:
    class Half(Penalty):
        def __init__(self, strength: float) -> None:
            self.strength = strength

        @classmethod
        def of(cls, strength: float, scale: Array) -> Self:
            return cls(strength)

        def value(self, w: Array) -> float:
            return self.strength / 2 * float(w @ w)

        def gradient(self, w: Array) -> Array:
            return self.strength * w

        def hessian(self, w: Array) -> Array:
            return np.full_like(w, self.strength)

    x, y = heavy()
    ours = train(x, y, loss="mse", penalty=Half, penalty_param=0.2, **CANONICAL)
    theirs = train(x, y, loss="mse", reg_param=0.2, **CANONICAL)
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-12)


class Insensitive(Loss):
    """max(|y - z| - 1/2, 0)^2: flat, without any curvature, around the mean of the labels."""

    def value(self, y: Array, z: Array) -> Array:
        return np.maximum(np.abs(y[:, None] - z) - 0.5, 0.0) ** 2


@pytest.mark.parametrize("solver", GENTLE)
def test_a_loss_that_is_flat_at_the_null_model(solver: str) -> None:
    x, z = data()
    y = z + np.random.default_rng(8).standard_t(3, size=len(z))
    y -= y.mean()

    def f(t: Array) -> tuple[float, Array]:
        r = x @ t[:-1] + t[-1] - y
        over = np.maximum(np.abs(r) - 0.5, 0.0)
        slope = 2 * over * np.sign(r) / len(y)
        value = np.mean(over**2) + 0.025 * t[:-1] @ t[:-1]
        return float(value), np.append(x.T @ slope + 0.05 * t[:-1], slope.sum())

    best = optimize.minimize(f, np.zeros(5), jac=True, method="BFGS", options={"gtol": 1e-12}).fun
    model = train(x, y, loss=Insensitive, reg_param=0.05, solver=solver, **CANONICAL)
    assert model.status == "converged", model.message
    assert model.objective == pytest.approx(best, rel=1e-9)


@dataclass
class Pseudo(Loss):
    """A loss with a parameter."""

    delta: float = 1.0

    def value(self, y: Array, z: Array) -> Array:
        r = z - y[:, None]
        return r**2 / (np.hypot(1.0, r / self.delta) + 1.0)


def test_objects_keep_their_parameters(tmp_path: Path) -> None:
    x, y = heavy()
    narrow = train(x, y, loss=Pseudo(0.1), **CANONICAL)
    wide = train(x, y, loss=Pseudo(1e4), **CANONICAL)
    assert narrow.loss != wide.loss
    assert "delta=0.1" in narrow.loss
    assert wide.weights == pytest.approx(train(x, y, loss="mse").weights, rel=1e-4)
    assert np.abs(narrow.weights - wide.weights).max() > 1e-2
    narrow.save(tmp_path / "m")
    again = load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(x), narrow.predict(x))


def test_the_checks_of_registered_losses_hold_for_one_of_values(tmp_path: Path) -> None:
    """With derivatives of its own, an own loss keeps what every loss must keep."""

    class Logistic(BinaryCrossEntropy):
        self_concordant = False

    check_loss(Logistic())
    assert train([[0.0], [1.0], [2.0], [3.0]], [0.0, 1, 0, 1], loss=Logistic).status == "converged"


class _Tabled(ValueOnlyMse):
    def __init__(self, table: Array) -> None:
        self.table = table


def test_objects_that_differ_in_a_long_array_are_told_apart() -> None:
    x, y = heavy()
    one, two = np.zeros(5000), np.zeros(5000)
    two[2500] = 1.0
    first = train(x, y, loss=_Tabled(one))
    second = train(x, y, loss=_Tabled(two))
    assert first.own_sources != second.own_sources
    for model, table in ((first, one), (second, two)):
        for held in (model, _saved_and_loaded(model)):
            loss = held.loss_object
            assert isinstance(loss, _Tabled)
            assert loss.table is table
    other = replace(first, loss=str(first.loss), own_sources={first.loss: "another"})
    with pytest.raises(InputError, match="has changed since the model was trained"):
        other.predict(x)


def _saved_and_loaded(model: Model) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "m")
        return load(Path(folder) / "m")


def test_classes_that_a_function_made_are_told_apart() -> None:
    """They have one name and one text: each model has its own, and finds it again."""

    def made(power: float, scale: float) -> type[Loss]:
        class Powered(Loss):
            tempered = scale

            def value(self, y: Array, z: Array) -> Array:
                return self.tempered * np.abs(z - y[:, None]) ** power / power

        return Powered

    x, y = heavy()
    options: dict[str, Any] = {"reg_param": 0.1, "tol": 1e-6, **CANONICAL}
    classes = [made(power, scale) for power, scale in ((2.0, 1.0), (1.5, 1.0), (2.0, 3.0))]
    models = [train(x, y, loss=kind, **options) for kind in classes]
    assert len({str(model.loss) for model in models}) == 1
    assert len({model.own_sources[model.loss] for model in models}) == 3
    for kind, model in zip(classes, models, strict=True):
        again = [_saved_and_loaded(model), pickle.loads(pickle.dumps(model))]
        assert all(type(own.loss) is str for own in again)
        assert all(type(own.loss_object) is kind for own in (model, *again))
    alone = train(x, y, loss=classes[0], **options)
    assert alone.own_sources == models[0].own_sources
    assert alone.weights.tobytes() == models[0].weights.tobytes()


def test_a_constant_label() -> None:
    x, _ = heavy()
    model = train(x, np.full(len(x), 3.0), loss=ValueOnlyMse, reg_param=0.1, **CANONICAL)
    assert model.status == "converged"
    assert model.intercept == pytest.approx(3.0, abs=1e-8)


def test_loss_given_anew_is_checked(tmp_path: Path) -> None:
    x, y = heavy()
    train(x, y, loss=ValueOnlyMse).save(tmp_path / "m")
    assert load(tmp_path / "m", loss=ValueOnlyMse()).predict(x).shape == y.shape
    for loss, says in (
        ("bxe", "does not go with the classes"),
        ("nothing", "loss must be one of"),
        ("gone.py:A", "there is no file gone.py"),
        (3, "loss must be a name"),
    ):
        with pytest.raises(InputError, match=says):
            load(tmp_path / "m", loss=loss)


def test_known_losses_go_by_their_class() -> None:
    x, y = heavy()
    assert train(x, y, loss=LOSSES["mse"]).loss == "mse"
    assert train(x, y, loss=LOSSES["mse"]()).loss == "mse"


# --- files --------------------------------------------------------------------------------------


def test_model_needs_its_file_again(tmp_path: Path) -> None:
    x, y = heavy()
    path = written(tmp_path, HUBER)
    name = f"{path}:Huber"
    model = train(x, y, loss=name, **CANONICAL)
    model.save(tmp_path / "m")
    document = json.loads((tmp_path / "m" / "model.json").read_text())
    assert document["loss"] == name
    assert list(document["own_sources"]) == [name]
    code = (
        "import sys, numpy as np; from w261reg import load\n"
        "loss = None if sys.argv[2] == 'trust' else sys.argv[2]\n"
        "model = load(sys.argv[1], loss, trust=loss is None)\n"
        "print(model.predict(np.ones((1, 4)))[0])\n"
    )
    code = "import sys\ntry:\n" + textwrap.indent(code, "    ")
    code += "except Exception as error: print(type(error).__name__, error)\n"

    def elsewhere(how: str = "trust") -> str:
        command = [sys.executable, "-c", code, str(tmp_path / "m"), how]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    expected = repr(float(model.predict(np.ones((1, 4)))[0]))
    assert elsewhere() == expected
    path.write_text(HUBER + "\n# another text\n")
    answer = elsewhere()
    assert answer.startswith("InputError")
    assert "has changed since the model was trained" in answer
    assert elsewhere(name) == expected
    path.unlink()
    answer = elsewhere()
    assert "there is no file" in answer
    assert "\n" not in answer
    moved = written(tmp_path, HUBER, "moved.py")
    assert elsewhere(f"{moved}:Huber") == expected


def test_loading_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = heavy()
    path = written(tmp_path, HUBER)
    train(x, y, loss=f"{path}:Huber").save(tmp_path / "m")
    path.write_text("raise SystemExit(5)")
    monkeypatch.setattr(own, "_TERMS", {})  # as in another process
    model = load(tmp_path / "m")
    assert model.summary()
    with pytest.raises(InputError, match=r"executed only if .*--trust.*--loss FILE\.py:NAME"):
        model.predict(x)
    with pytest.raises(InputError, match="has changed"):
        load(tmp_path / "m", trust=True).predict(x)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    x, y = heavy()
    path = written(tmp_path, HUBER)
    first = train(x, y, loss=f"{path}:Huber", **CANONICAL)
    path.write_text(HUBER.replace("DELTA = 0.5", "DELTA = 0.05"))
    second = train(x, y, loss=f"{path}:Huber", **CANONICAL)
    assert first.own_sources != second.own_sources
    assert np.abs(first.weights - second.weights).max() > 1e-4


def test_labels_out_of_range(tmp_path: Path) -> None:
    x, y = counts()
    path = written(tmp_path, readme_template())
    with pytest.raises(InputError, match=r"'label' has values from -1 to .* from 0 to inf"):
        train(x, np.append(y[1:], -1.0), loss=f"{path}:Poisson")


def changed(old: str, new: str) -> str:
    text = readme_template()
    assert old in text
    return text.replace(old, new)


VALUE = "return np.exp(z) - y[:, None] * z\n"
SLOPE = "return np.exp(z) - y[:, None]\n"
CURVE = "    def curvature(self, y, z):\n        return np.exp(z)\n"
ROUGH = "import numpy as np\nfrom w261reg import Loss\nclass Poisson(Loss):\n    def value"
REFUSED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "no file": (None, ("there is no file",)),
    "syntax": ("import numpy as np\nclass Poisson(:\n", ("line 2", "SyntaxError")),
    "import": ("import nothing_of_the_kind\n", ("line 1", "ModuleNotFoundError", "nothing_of")),
    "error": ("x = 1\ny = x / 0\n", ("line 2", "ZeroDivisionError")),
    "exit": ("raise SystemExit(3)\n", ("SystemExit",)),
    "no class": ("class Other: pass\n", ("has no class 'Poisson'", "it has Other")),
    "no classes": ("x = 1\n", ("has no class 'Poisson'", "it has none")),
    "not a loss": ("class Poisson: pass\n", ("must be a subclass of w261reg.Loss",)),
    "a function": ("def Poisson(): pass\n", ("must be a subclass of w261reg.Loss",)),
    "abstract": (
        "from w261reg import Loss\nclass Poisson(Loss): pass\n", ("does not define value",)),
    "constructor": (
        lambda: changed("    def value", "    def __init__(self, k): pass\n\n    def value"),
        ("Poisson() fails", "TypeError")),
    "value fails": (lambda: changed(VALUE, "return y[0] / {}\n"), ("Poisson.value fails",)),
    "shape": (
        lambda: changed(VALUE, "return np.exp(z[:, 0]) - y * z[:, 0]\n"),
        ("Poisson.value must give shape (61, 3), not (61,)",)),
    "no array": (lambda: changed(VALUE, "return 1.0\n"), ("must give an array, not float",)),
    "dtype": (
        lambda: changed(VALUE, "return (np.exp(z) - y[:, None] * z).astype('f4')\n"),
        ("must give float64, not float32",)),
    "NaN": (
        lambda: changed(VALUE, "return np.exp(z) - y[:, None] * z + np.log(z)\n"),
        ("Poisson.value gives nan at y = ",)),
    "columns mixed": (
        lambda: changed(VALUE, "return np.exp(z) - y[:, None] * z + z.sum(axis=1)[:, None]\n"),
        ("Poisson.value gives", "with its column alone")),
    "derivative": (
        lambda: changed(SLOPE, "return 1.001 * np.exp(z) - y[:, None]\n"),
        ("Poisson.derivative gives", "differences of value give")),
    "curvature": (
        lambda: changed(CURVE, CURVE.replace("np.exp(z)", "1.001 * np.exp(z)")),
        ("Poisson.curvature gives", "differences of derivative give")),
    "not convex": (
        lambda: HUBER.replace("Huber", "Poisson").replace("size(z - y[:, None])", "np.sin(z)"),
        ("Poisson.value is not convex in z",)),
    "null predictor": (
        lambda: changed(CURVE, CURVE + "\n    def null_predictor(self, y_mean):\n"
                        "        return y_mean\n\n    canonical = True\n"),
        ("Poisson.null_predictor gives",)),
    "mean": (
        lambda: "z".join(changed("    label_range", "    canonical = True\n    label_range")
                         .rsplit("np.exp(z)", 1)),
        ("Poisson.derivative gives", "mean(z) - y")),
    "separates": (
        "import numpy as np\nfrom w261reg import Loss\nclass Poisson(Loss):\n"
        "    classification = True\n"
        "    def value(self, y, z): return np.logaddexp(0, z) - y[:, None] * z\n",
        ("Poisson.may_separate must be True",)),
    "rough": (
        ROUGH + "(self, y, z): return 1e8 * (np.hypot(1, (z - y[:, None]) / 1e4) - 1)\n",
        ("Poisson.value is too rough", "define derivative")),
    "proofs": (
        lambda: changed("    label_range", "    self_concordant = True\n    label_range"),
        ("self_concordant must be False",)),
    "quadratic": (
        lambda: changed("    label_range", "    quadratic = True\n    label_range"),
        ("Poisson.value gives", "as of any quadratic loss")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_loss_is_refused(tmp_path: Path, case: str) -> None:
    text, says = REFUSED[case]
    path = tmp_path / "own.py"
    if text is not None:
        path.write_text(text if isinstance(text, str) else text())
    with pytest.raises(InputError) as caught:
        train([[1.0], [2.0]], [1.0, 0.0], loss=f"{path}:Poisson")
    assert str(caught.value).startswith(f"loss {path}:Poisson: ")
    assert "\n" not in str(caught.value)
    for part in says:
        assert part in str(caught.value), str(caught.value)


PENALTIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "gradient": (SMOOTH.replace("@ w", "@ w * 1.001"), ("Smooth.gradient gives", "differences")),
    "hessian": (SMOOTH.replace("* d.T @ d", "* d.T @ d * 2"), ("Smooth.",)),
    "shape": (SMOOTH.replace("self.hessian(w) @ w", "w[1:]"), ("must give shape (6,), not (5,)",)),
    "of": (SMOOTH.replace("cls(strength)", "cls()"), ("Smooth.of fails: TypeError",)),
    "value": (SMOOTH.replace("np.sum(", "("), ("Smooth.value must give a number",)),
    "kink": (SMOOTH + "    def kink(self, w):\n        return w + 1\n", ("Smooth.kink gives",)),
    "concave": (SMOOTH.replace("return self.strength", "return -self.strength"), ("not convex",)),
    "no penalty": ("from w261reg import Loss as Smooth\n", ("a subclass of w261reg.Penalty",)),
}  # fmt: skip


@pytest.mark.parametrize("case", PENALTIES)
def test_what_is_no_penalty_is_refused(tmp_path: Path, case: str) -> None:
    text, says = PENALTIES[case]
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        train([[1.0], [2.0]], [1.0, 0.0], loss="mse", penalty=f"{path}:Smooth", penalty_param=1.0)
    assert "\n" not in str(caught.value)
    for part in says:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": 3}, "loss must be a name"),
        ({"loss": int}, "loss must be a name"),
        ({"loss": "mse", "penalty": "l1", "penalty_param": 1}, "penalty must be path/to/file.py"),
        ({"loss": "mse", "penalty": 3, "penalty_param": 1}, "penalty must be path/to/file.py"),
        ({"loss": "mse", "penalty_param": 1}, "penalty and penalty_param go together"),
        ({"loss": "mse", "penalty": "a.py:B"}, "penalty and penalty_param go together"),
        ({"loss": "mse", "penalty": "a.py:B", "penalty_param": -1}, "penalty_param must be >= 0"),
        ({"loss": "mse", "penalty": "a.py:B", "penalty_param": 1}, "there is no file a.py"),
    ],
)
def test_settings(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        train([[1.0], [2.0]], [1.0, 0.0], **settings)


def test_a_class_of_a_module_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is not executed once more: a module of a package could not be, on its own."""
    (tmp_path / "bundle").mkdir()
    written(tmp_path / "bundle", "LEAST = 0.5\n", "constants.py")
    written(
        tmp_path / "bundle", HUBER.replace("DELTA = 0.5", "from .constants import LEAST as DELTA")
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("bundle.own")
    x, y = heavy()
    model = train(x, y, loss=module.Huber, reg_param=0.05, **CANONICAL)
    assert model.loss == f"{module.__file__}:Huber"
    assert model.objective == pytest.approx(huber_minimum(x, y, 0.0, 0.05), rel=1e-9)
    assert model.predict(x).shape == y.shape


def test_a_file_is_executed_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    path = written(
        tmp_path, HUBER + f"\nwith open({str(log)!r}, 'a') as file:\n    file.write('x')\n"
    )
    x, y = heavy()
    for _ in range(2):
        train(x, y, loss=f"{path}:Huber").predict(x)
    assert log.read_text() == "x"
    assert read_loss(f"{path}:Huber").name == "Huber"
