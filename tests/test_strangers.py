"""Documents that anybody may have written: one short line, or an answer; by a seed."""

import copy
import io
import json
import random
import re
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from w261reg import InputError, load, train
from w261reg.cli import main
from w261reg.config import Settings, read_toml
from w261reg.constraints import read_constraints
from w261reg.errors import MOST, one_line, printable
from w261reg.report import write_report
from w261reg.report.page import _section
from w261reg.report.result import read_result

RNG = np.random.default_rng(8)
X = RNG.normal(size=(60, 3))
Z = X @ [1.0, -2.0, 0.0] + RNG.logistic(size=60)
TEXTS = ("", "a", "<script>alert(1)</script>", "\x1b[31mred\x1b[0m", "=cmd|'/c calc'!A0", "\0",
         "\u202egnp.exe", "{{ 7 * 7 }}", "$\\frac{$", "x" * 5000, "é🙂", "\x9b2J", "a\nb",
         "../../x", "NaN", "%s%n", "x.py:X")  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63, -(2**63) - 1, 10**400, 1e308, -1e308, 5e-324, 0.5, [], {},
    [[]], [None], [1, "a"], {"": None}, [[1.0], [2.0, 3.0]], [{}], *TEXTS,
)  # fmt: skip
# what is no JSON document at all, put in the place of a value
WORDS = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, '"\\ud800"', "[" * 3000 + "]" * 3000,
         '{"a":' * 3000 + "1" + "}" * 3000)  # fmt: skip
HOLE = "\u2603hole"


def folders(folder: Path) -> list[Path]:
    """Results of several kinds, each with all the files that it can have."""
    found = []
    for name, y, more in (
        ("mse", Z, {"sigma": np.ones(60)}),
        ("bxe", (Z > 0).astype(int), {"reg_param": 0.1}),
        ("cxe", np.digitize(Z, [-1.0, 1.0]), {"reg_param": 0.1, "elastic_net_param": 1.0}),
        ("naive_bayes", np.digitize(Z, [-1.0, 1.0]), {}),
        ("constrained", Z, {"constraints": [{"rhs": 1.0, "coefficients": {"x1": 1.0}}]}),
    ):
        loss = "mse" if name == "constrained" else name
        model = train(np.abs(X) if loss == "naive_bayes" else X, y, loss=loss, **more)
        (folder / name).mkdir(parents=True)
        model.write(folder / name)
        engine = {"objective": 0.5, "seconds": 1.0, "n_iter": 3, "n_passes": 4, "about": "s",
                  "status": "converged", "version": "1", "intercept": 0.25,
                  "metrics": {"rows": 60, "auc": 0.5}}  # fmt: skip
        coefficients = [
            {"feature": f, "w261reg": 0.5, "pyspark.ml": 0.25} for f in model.feature_names
        ]
        comparison = {"problem": {"loss": loss}, "engines": {"w261reg": engine,
                      "pyspark.ml": {**engine, "n_passes": None}}, "coefficients": coefficients,
                      "objective_difference": 0.1, "max_coefficient_difference": 0.1,
                      "note": "n"}  # fmt: skip
        (folder / name / "comparison.json").write_text(json.dumps(comparison))
        found.append(folder / name)
    return found


def places(document: Any) -> list[tuple[Any, Any]]:
    """(container, key) of each value in a document."""
    found: list[tuple[Any, Any]] = []
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        found.append((document, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


def mutated(document: Any, rng: random.Random) -> str:
    """JSON of a document in which one to three things have been changed."""
    changed = copy.deepcopy(document)
    word = None
    for _ in range(rng.randint(1, 3)):
        there = places(changed)
        if not there:
            break
        holder, key = rng.choice(there)
        how = rng.randrange(8)
        if how == 0 and isinstance(holder, dict):
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[rng.choice(TEXTS)] = holder.pop(key)
        elif how == 2 and isinstance(holder[key], list):
            holder[key] = holder[key] * rng.choice((0, 2, 40))
        elif how == 3 and isinstance(holder[key], list) and holder[key]:
            holder[key] = holder[key][:-1]
        elif how == 4:
            word, holder[key] = rng.choice(WORDS), HOLE
        elif how == 5:
            other, name = rng.choice(there)
            holder[key] = copy.deepcopy(other[name])
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    text = json.dumps(changed)
    if word is not None:
        text = text.replace(json.dumps(HOLE), word)
    if rng.random() < 0.1:
        cut = rng.randrange(len(text))
        text = text[:cut] + rng.choice(("", "\x00", "}", '"')) + text[cut + 1 :]
    return text


def refused(error: InputError) -> None:
    """One short line that commands nothing."""
    said = str(error)
    assert 0 < len(said) <= MOST
    assert said == printable(said)
    assert "\n" not in said


def attempt(use: Callable[[], Any]) -> Any:
    """What comes of it; None where it is refused. Any other error is a failure of the test."""
    try:
        return use()
    except InputError as error:
        refused(error)
        return None


def shown(model: Any) -> None:
    """All that a program may ask of a model."""
    text = model.summary()
    assert text == "\n".join(printable(line) for line in text.splitlines())
    assert max(map(len, text.split("\n"))) < 2 * MOST
    page = model.coefficients.to_string(), json.dumps(model.to_dict()), model.parameters
    assert page
    attempt(lambda: model.predict(X if model.loss != "naive_bayes" else np.abs(X)))
    attempt(lambda: model.predictor)
    assert model.loss_object if model.loss in ("mse", "bxe", "cxe") else True


def tried(folder: Path, name: str, text: str, draw: bool) -> None:
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    # numbers beyond doubles may be in a stranger's model: it then predicts what it predicts
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        model = attempt(lambda: load(folder))
        if model is not None:
            shown(model)
            attempt(lambda: train(X, Z, loss="mse", warm_start=str(folder), solver="newton"))
    if draw:
        attempt(lambda: write_report(folder))
    else:
        attempt(lambda: _section(read_result(folder), "name", "anchor", []))


def sweep(tmp_path: Path, seeds: range, every: int) -> None:
    """Each seed changes a file of a result; every so many are drawn, too."""
    for folder in folders(tmp_path):
        originals = {
            name: json.loads((folder / name).read_text())
            for name in ("model.json", "metrics.json", "comparison.json")
        }
        for seed in seeds:
            rng = random.Random(f"{folder.name} {seed}")
            name = rng.choice(("model.json", "model.json", "metrics.json", "comparison.json"))
            text = mutated(originals[name], rng)
            try:
                tried(folder, name, text, draw=seed % every == every - 1)
            except Exception as error:
                pytest.fail(f"{folder.name}, seed {seed}, {name}: {error!r}: {text[:2000]}")
            (folder / name).write_text(json.dumps(originals[name]))


def test_results_of_strangers(tmp_path: Path) -> None:
    sweep(tmp_path, range(40), every=40)


@pytest.mark.long
def test_results_of_many_strangers(tmp_path: Path) -> None:
    sweep(tmp_path, range(40, 1000), every=20)


def test_a_start_that_is_out_of_reach(tmp_path: Path) -> None:
    """A model of another problem, or of nobody's: its coefficients are numbers, no more."""
    model = train(X, Z, loss="mse")
    model.write(tmp_path)
    document = json.loads((tmp_path / "model.json").read_text())
    for field, value in (("intercept", 1e308), ("coefficients", [1e200, 0.0, 0.0])):
        (tmp_path / "model.json").write_text(json.dumps({**document, field: value}))
        for solver in ("newton", "proximal", "lbfgs", "gd"):
            with pytest.raises(InputError, match="too large for this data") as caught:
                train(X, Z, loss="mse", solver=solver, warm_start=str(tmp_path))
            refused(caught.value)


# --- settings -------------------------------------------------------------------------------------

CONFIG: dict[str, Any] = {
    "data": "t.csv", "label": "y", "loss": "mse", "reg_param": 0.1, "elastic_net_param": 0.5,
    "features": ["a", "b"], "max_iter": 10, "tol": 1e-9, "solver": "lbfgs", "positive": "p",
    "convention": "spark", "smooth_param": 0.1, "smooth_order": ["a", "b"], "weight": "w",
    "standardization": True, "collect_bytes": 100, "aggregation_depth": 2, "master": "local[2]",
    "constraints": [{"rhs": 1.0, "coefficients": {"a": 1.0}}],
}  # fmt: skip
TOML_VALUES: tuple[Any, ...] = tuple(
    v for v in VALUES if v is not None and not (isinstance(v, list) and None in v)
    and not (isinstance(v, dict) and None in v.values())
)  # fmt: skip
TOML_WORDS = ("nan", "inf", "-inf", "1e999", "9" * 5000, "0x" + "f" * 5000, "1979-05-27",
              "[" * 3000 + "]" * 3000, "{a=" * 2000 + "1" + "}" * 2000, '"\\ud800"')  # fmt: skip


@pytest.mark.parametrize("seeds", [range(150), pytest.param(range(150, 3000),
                                                            marks=pytest.mark.long)])  # fmt: skip
def test_configurations_of_strangers(tmp_path: Path, seeds: range) -> None:
    path = tmp_path / "config.toml"
    for seed in seeds:
        rng = random.Random(seed)
        config = copy.deepcopy(CONFIG)
        for key in rng.sample(sorted(config), rng.randint(1, 3)):
            config[key] = copy.deepcopy(rng.choice(TOML_VALUES))
        text = tomli_w.dumps(config)
        if rng.random() < 0.3:
            key = rng.choice(sorted(config))
            lines = [line for line in text.splitlines() if not line.startswith(f"{key} =")]
            text = "\n".join([f"{key} = {rng.choice(TOML_WORDS)}", *lines])
        path.write_text(text, encoding="utf-8")
        try:
            attempt(lambda: Settings.of(read_toml(str(path))).checked())
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}: {text[:2000]}")


CONSTRAINTS = {"constraint": [{"rhs": 1, "coefficients": {"a": 1.5, "b": -2}}, {
    "rhs": "1e3", "coefficients": {"a": "0.1", "intercept": 3}}]}  # fmt: skip
CELLS = ("", "nan", "inf", "-", "1e999999999", "1e-999999999", "9" * 5000, "0x10", "1_000", "½",
         "1/3", "\0", '"', "x" * 200_000, "\x1b[2J", "1e", "=1+1")  # fmt: skip


@pytest.mark.parametrize("seeds", [range(100), pytest.param(range(100, 2000),
                                                            marks=pytest.mark.long)])  # fmt: skip
def test_constraints_of_strangers(tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        if seed % 2:
            path = tmp_path / "c.toml"
            changed = copy.deepcopy(CONSTRAINTS)
            holder, key = rng.choice(places(changed))
            holder[key] = copy.deepcopy(rng.choice((*TOML_VALUES, *CELLS)))
            text = tomli_w.dumps(changed)
        else:
            path = tmp_path / "c.csv"
            cells = [["a", "b", "rhs"], ["1", "-2", "0"], ["0.5", "", "3"]]
            rng.choice(cells)[rng.randrange(3)] = rng.choice(CELLS)
            text = "\n".join(map(",".join, cells))
        path.write_text(text, encoding="utf-8")
        try:
            attempt(lambda path=path: read_constraints(str(path)))  # type: ignore[misc]
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}: {text[:2000]}")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"\0" * 100, b"a = ", b"[[", b"\xed\xa0\x80"]
)
@pytest.mark.parametrize("command", ["--config", "--constraints", "--warm-start"])
def test_files_that_are_nothing(
    tmp_path: Path, content: bytes, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,3\n2,1,1\n")
    (tmp_path / "f.toml").write_bytes(content)
    arguments = ["train", str(tmp_path / "t.csv"), "--label", "y", "--loss", "mse"]
    arguments += [command, str(tmp_path / "f.toml"), "--out", str(tmp_path / "r")]
    if command == "--warm-start":
        with pytest.raises(InputError) as caught:
            load(tmp_path / "f.toml")
        refused(caught.value)
        return
    if not content and command == "--config":
        return  # no settings are settings
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) < MOST + 30


# --- text is data ---------------------------------------------------------------------------------

NASTY = "<script>alert(1)</script>\x1b[31m\x9b2J\u202e=1+1{{7*7}}$\\frac{"


def test_names_are_data_everywhere(tmp_path: Path) -> None:
    """In the terminal, in a report and in its figures."""
    model = train(X, (Z > 0).astype(int), loss="bxe", reg_param=0.1)
    model.save(tmp_path / "m")
    document = json.loads((tmp_path / "m" / "model.json").read_text())
    document |= {
        "feature_names": [NASTY, f"{NASTY} 1", f"{NASTY} 2"],
        "label": NASTY, "classes": [NASTY, "b"], "message": NASTY, "solver": NASTY,
        "why_solver": NASTY, "status": NASTY, "library_versions": {NASTY: NASTY},
        "penalty_params": {NASTY: 1.0, "x": NASTY}, "convention": NASTY,
    }  # fmt: skip
    (tmp_path / "m" / "model.json").write_text(json.dumps(document))
    (tmp_path / "m" / "metrics.json").write_text(json.dumps({NASTY: {NASTY: NASTY}}))
    (tmp_path / "m" / "config.toml").write_text(tomli_w.dumps({NASTY: NASTY}))
    page = write_report(tmp_path / "m").read_text(encoding="utf-8")
    model = load(tmp_path / "m")
    for text in (page, model.summary(), model._repr_html_()):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    for text in (page, model._repr_html_()):
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text
    assert "{{7*7}}" in page and "\\x1b[31m\\x9b2J\\u202e" in page
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["predict", str(tmp_path / "m"), NASTY, "--out", f"{NASTY}.csv"])
    assert (code, out.getvalue()) == (2, "")
    assert err.getvalue().count("\n") == 1
    assert "\x1b" not in err.getvalue()


@pytest.mark.parametrize("text", [*TEXTS, "a" * 10_000, "\x1b" * 10_000, "\u2028" * 900, "\ud800"])
def test_a_message_is_one_short_line(text: str) -> None:
    for said in (one_line(text), str(InputError(f"label must be b, not {text!r}: {text}"))):
        assert len(said) <= MOST
        assert said == printable(said)
        said.encode("utf-8")


def test_the_end_of_a_long_message_is_kept() -> None:
    said = str(InputError(f"{'x' * 9000!r} is no setting; give another"))
    assert said.startswith("'xxx")
    assert said.endswith("is no setting; give another")


@pytest.mark.parametrize("name", ["data", "loss", "penalty", "warm_start", "constraints"])
def test_a_null_byte_names_no_file(name: str) -> None:
    given = {"label": "y", "loss": "mse", name: "a\0b.py:Name"}
    with pytest.raises(InputError, match=r"^" + name + " names a file, and no name has a null"):
        Settings.of(given).checked()
