"""Imports point down only, pyspark stays in its rooms, and a new term is one new file."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "w261reg"
MODULES = sorted(PACKAGE.rglob("*.py"))

# from the ground up; a room may import from those before it, and from itself
LAYERS: list[set[str]] = [
    {"errors", "blas", "held", "_version", "versions", "registry", "noise", "exact"},
    {"documents", "signals", "schema"},
    {"results"},
    {"placing"},
    {"remote"},
    {"files"},
    {"losses", "penalties", "blocks", "report", "constraints", "basis"},
    {"own_checks", "likelihood"},
    {"own"},
    {"aggregators"},
    {"datasets"},
    {"conventions", "scaling"},
    {"null_model", "regularizer", "evaluation", "rounding"},
    {"null_classes"},
    {"posed"},
    {"objective"},
    {"constrained"},
    {"solvers"},
    {"config", "sources", "session"},
    {"prediction", "checks", "output", "information", "joint"},
    {"model", "factored"},
    {"saved", "scoring"},
    {"posing"},
    {"head_start", "gradient_check", "naive_bayes", "heteroscedastic"},
    {"fitting"},
    {"comparison", "opening"},
    {"workflows"},
    {"benchmark"},
    {"arguments", "console"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
# rooms within one layer that may see each other, in one direction
SIDEWAYS = {("versions", "_version"), ("registry", "errors"), ("blas", "held")}
# what a report, which can be made anywhere, may see of the package
READING = ("w261reg.report", "w261reg.errors", "w261reg.documents", "w261reg.schema")
PYSPARK = {
    "datasets/rdd.py",
    "datasets/failure.py",
    "session.py",
    "comparison.py",
}


def by_path(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def imports(tree: ast.AST) -> list[tuple[str, bool]]:
    """(module, whether a function or TYPE_CHECKING holds it) of every import."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, hidden: bool) -> None:
        for child in ast.iter_child_nodes(node):
            inside = hidden or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                inside = True
            if isinstance(child, ast.Import):
                found.extend((alias.name, hidden) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports are absolute"
                module = child.module or ""
                if module == "w261reg":
                    found.extend((f"w261reg.{alias.name}", hidden) for alias in child.names)
                else:
                    found.append((module, hidden))
            walk(child, inside)

    walk(tree, False)
    return found


def parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_a_layer() -> None:
    rooms = {by_path(path).split("/")[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    known = set().union(*LAYERS)
    assert rooms <= known, f"give these a layer: {rooms - known}"
    assert sum(len(layer) for layer in LAYERS) == len(known)


@pytest.mark.parametrize("path", MODULES, ids=by_path)
def test_imports_point_down(path: Path) -> None:
    name = by_path(path)
    own = name.split("/")[0].removesuffix(".py")
    if own == "__init__":
        return  # the package's own names, imported when they are asked for
    level = {r: i for i, layer in enumerate(LAYERS) for r in layer}
    for module, _ in imports(parsed(path)):
        if not module.startswith("w261reg.") or room(module) == own:
            continue
        other = room(module)
        below = level[other] < level[own] or (own, other) in SIDEWAYS
        assert below, f"{name} imports {module}, which is not below it"


@pytest.mark.parametrize("path", MODULES, ids=by_path)
def test_pyspark_stays_in_its_rooms(path: Path) -> None:
    name = by_path(path)
    for module, hidden in imports(parsed(path)):
        if module.split(".")[0] not in ("pyspark", "py4j"):
            continue
        # elsewhere only names of types, or inside the function that is given a Spark object
        assert name in PYSPARK or hidden, f"{name} imports {module}"


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if by_path(p).startswith(("losses/", "penalties/"))],
    ids=by_path,
)
def test_terms_are_numpy_only(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "scipy"}
    home = f"w261reg.{by_path(path).split('/')[0]}"
    for module, _ in imports(parsed(path)):
        own = module == home or module.startswith(home + ".") or module == "w261reg.registry"
        assert own or module.split(".")[0] in allowed, f"{by_path(path)} imports {module}"


@pytest.mark.parametrize("room_name", ["aggregators", "blocks"])
def test_what_runs_in_tasks_is_light(room_name: str) -> None:
    heavy = {"pyspark", "pandas", "matplotlib", "jinja2", "sklearn", "pyarrow"}
    for path in MODULES:
        if by_path(path).startswith(room_name + "/"):
            assert not {module.split(".")[0] for module, _ in imports(parsed(path))} & heavy


def test_report_reads_files_and_nothing_else() -> None:
    for path in MODULES:
        if by_path(path).startswith("report/"):
            for module, _ in imports(parsed(path)):
                if module.startswith("w261reg"):
                    assert module.startswith(READING), f"{by_path(path)} imports {module}"


def python(code: str, *, path: Path, cwd: Path) -> str:
    """What a fresh interpreter prints with `path` first on sys.path."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_training_on_arrays_needs_no_pyspark(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('pyspark', 'py4j', 'findspark'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from w261reg import train\n"
        "model = train([[1.0], [2.0], [4.0]], [1.0, 2.0, 4.0], loss='mse')\n"
        "print(model.status, round(model.weights[0], 12))\n"
    )
    assert python(code, path=ROOT, cwd=tmp_path).split() == ["converged", "1.0"]


# --- one new file -------------------------------------------------------------------------------

LOSS = '''
"""A loss from outside."""
import numpy as np
from w261reg.losses.base import Array, Loss


class PseudoHuber(Loss):
    """sqrt(1 + (z - y)^2) - 1."""

    name = "huber"
    title = "pseudo-Huber loss"

    def value(self, y: Array, z: Array) -> Array:
        r = z - y[:, None]
        return np.hypot(1.0, r) - 1.0

    def derivative(self, y: Array, z: Array) -> Array:
        r = z - y[:, None]
        return r / np.hypot(1.0, r)

    def curvature(self, y: Array, z: Array) -> Array:
        r = z - y[:, None]
        return 1.0 / np.hypot(1.0, r) ** 3

    def mean(self, z: Array) -> Array:
        return z

    def null_predictor(self, y_mean: float) -> float:
        return y_mean
'''
PENALTY = '''
"""Smooth coefficients, from outside."""
from dataclasses import dataclass
from typing import Self
import numpy as np
from w261reg.penalties.base import Array, Penalty


@dataclass(frozen=True)
class Path(Penalty):
    """(gamma/2) sum (w_j - w_{j+1})^2."""

    gamma: float

    name = "path"
    option = "path_strength"
    help = "strength of the penalty on jumps"

    @classmethod
    def of(cls, strength: float, scale: Array) -> Self:
        return cls(strength)

    def value(self, w: Array) -> float:
        return 0.5 * self.gamma * float(np.sum(np.diff(w) ** 2))

    def gradient(self, w: Array) -> Array:
        return self.hessian(w) @ w

    def hessian(self, w: Array) -> Array:
        n = len(w)
        d = np.diff(np.eye(n), axis=0)
        return self.gamma * d.T @ d

    def kink(self, w: Array) -> Array:
        return np.zeros_like(w)

    def prox(self, v: Array, step: float) -> Array:
        return np.linalg.solve(np.eye(len(v)) + step * self.hessian(v), v)
'''
USE = (
    "import numpy as np\n"
    "from w261reg import train, losses, penalties, __file__ as home\n"
    "rng = np.random.default_rng(1)\n"
    "x = rng.normal(size=(90, 3)); y = x @ [1.0, 2.0, 3.0] + 0.1 * rng.normal(size=90)\n"
    "robust = train(x, y, loss='huber', solver='newton')\n"
    "smooth = train(x, y, loss='mse', path_strength=1e3)\n"
    "print(home)\n"
    "print(sorted(losses.LOSSES), sorted(penalties.PENALTIES))\n"
    "print(robust.status, *np.round(robust.weights, 1))\n"
    "print(smooth.status, np.ptp(smooth.weights) < 0.01, smooth.penalty_params)\n"
)


def copied(folder: Path) -> Path:
    """The package with two more files."""
    home = folder / "w261reg"
    shutil.copytree(PACKAGE, home, ignore=shutil.ignore_patterns("__pycache__"))
    (home / "losses" / "huber.py").write_text(LOSS)
    (home / "penalties" / "path.py").write_text(PENALTY)
    return folder


def zipped(folder: Path) -> Path:
    """As `--py-files` ships it."""
    copied(folder)
    archive = folder / "w261reg.zip"
    with zipfile.ZipFile(archive, "w") as files:
        for path in sorted((folder / "w261reg").rglob("*")):
            if path.is_file():
                files.write(path, path.relative_to(folder))
    shutil.rmtree(folder / "w261reg")
    return archive


@pytest.mark.parametrize("place", [copied, zipped])
def test_a_new_term_is_one_new_file(place: object, tmp_path: Path) -> None:
    where = place(tmp_path)  # type: ignore[operator]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home, terms, robust, smooth = python(USE, path=where, cwd=elsewhere).splitlines()
    assert home.startswith(str(tmp_path))
    assert "'huber'" in terms
    assert "'path'" in terms
    assert robust.split() == ["converged", "1.0", "2.0", "3.0"]
    assert smooth.startswith("converged True")
    assert "path_strength" in smooth
    code = "import sys; from w261reg.cli import main; sys.exit(main(['train', '--help']))"
    text = " ".join(python(code, path=where, cwd=elsewhere).split())
    assert "huber: pseudo-Huber loss" in text
    assert "--path-strength" in text
    assert "strength of the penalty on jumps" in text
    assert "|huber|" in text
