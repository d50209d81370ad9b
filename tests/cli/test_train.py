"""`w261reg train`: the result folder, statuses and exit codes."""

import csv
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cli.helpers import DIABETES, IONOSPHERE, Run, model_of, names_in, table
from w261reg import load

pytestmark = pytest.mark.spark

KEYS = {
    "format_version", "loss", "feature_names", "coefficients", "intercept", "classes", "reg_param",
    "elastic_net_param", "convention", "l1", "l2", "fit_intercept", "standardization", "objective",
    "status", "optimality_residual", "suboptimality_bound", "standard_errors", "n_iter", "n_passes",
    "solver", "why_solver", "rows", "sum_of_weights", "library_versions",
}  # fmt: skip


def test_ionosphere(run: Run, out: Path) -> None:
    answer = run(
        "train", IONOSPHERE, "--label", "label", "--positive", "g", "--loss", "bxe",
        "--reg-param", "0.01", "--out", out,
    ).ok()  # fmt: skip
    figures = [name for name in names_in(out) if name.startswith("figures/")]
    assert figures
    assert all(name.endswith(".png") for name in figures)
    assert set(names_in(out)) - set(figures) == {
        "model.json", "history.csv", "metrics.json", "config.toml", "report.html", "figures",
    }  # fmt: skip
    assert names_in(out.parent) == [out.name, *(f"{out.name}/{name}" for name in names_in(out))]

    model = model_of(out)
    assert set(model) >= KEYS
    frame = pd.read_csv(IONOSPHERE)
    assert model["feature_names"] == list(frame.columns[:-1])
    assert len(model["coefficients"]) == 34
    assert model["classes"] == ["b", "g"]
    assert model["status"] == "converged"
    assert model["optimality_residual"] <= 1e-9
    assert 0 <= model["suboptimality_bound"] < 1e-12
    assert model["standard_errors"] is None
    assert (model["rows"], model["sum_of_weights"]) == (351, 351)
    assert (model["convention"], model["loss"], model["solver"]) == ("spark", "bxe", "newton")
    assert model["library_versions"]["pyspark"]

    # the objective, and that the gradient is 0, by the formula
    x, y = frame.iloc[:, :-1].to_numpy(), (frame.label == "g").to_numpy(float)
    w, b = np.array(model["coefficients"]), model["intercept"]
    sd = x.std(axis=0, ddof=1)
    z = x @ w + b
    objective = np.mean(np.logaddexp(0, z) - y * z) + 0.01 / 2 * np.sum((sd * w) ** 2)
    np.testing.assert_allclose(model["objective"], objective, rtol=1e-13)
    gradient = x.T @ (1 / (1 + np.exp(-z)) - y) / 351 + 0.01 * sd**2 * w
    np.testing.assert_allclose(gradient, 0, atol=1e-9)
    assert (model["l1"], model["l2"]) == (0.0, 0.01)

    page = (out / "report.html").read_text()
    assert "data:image/png;base64" in page
    assert not re.search(r"(src|href)=['\"]https?:", page)
    assert f"report: {out}/report.html" in answer.out
    assert any(line.startswith("iteration   1  objective") for line in answer.lines)
    assert any(line.startswith("solver newton: ") for line in answer.lines)

    with (out / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert len(history) == model["n_iter"] + 1
    assert set(history[0]) >= {"objective", "residual", "step", "passes", "seconds"}
    assert int(history[-1]["passes"]) == model["n_passes"]
    assert float(history[-1]["objective"]) == model["objective"]
    metrics = json.loads((out / "metrics.json").read_text())["train"]
    np.testing.assert_allclose(metrics["accuracy"], np.mean((z > 0) == y), rtol=1e-13)


def test_regression_with_every_option_in_the_configuration(
    run: Run, no_figures: None, out: Path, tmp_path: Path
) -> None:
    first = out.with_name("first")
    run(
        "train", DIABETES, "--label", "progression", "--features", "bmi,bp,s5,age", "--weight",
        "sex", "--loss", "mse", "--reg-param", 2.5, "--elastic-net-param", 0.3, "--no-intercept",
        "--convention", "canonical", "--no-standardization", "--solver", "gram", "--max-iter", 7,
        "--tol", 1e-8, "--aggregation-depth", 2, "--strict", "--out", first,
    ).ok()  # fmt: skip
    config = tomllib.loads((first / "config.toml").read_text())
    assert config["features"] == ["bmi", "bp", "s5", "age"]
    model = model_of(first)
    assert (model["l1"], model["l2"]) == (0.75, 1.75)
    assert model["intercept"] == 0
    assert (model["fit_intercept"], model["standardization"]) == (False, False)
    run("train", "--config", first / "config.toml", "--out", out).ok()
    again = model_of(out)
    again.pop("seconds", None)
    model.pop("seconds", None)
    assert again == model
    assert tomllib.loads((out / "config.toml").read_text()) == config


def test_smooth_coefficients(run: Run, no_figures: None, data: Path, out: Path) -> None:
    """The order is of names, is kept in the configuration, and is the same problem again."""
    first = out.with_name("first")
    run(
        "train", data, "--label", "response", "--features", "a,b,c", "--loss", "mse",
        "--smooth-param", 0.7, "--smooth-order", "c,a", "--out", first,
    ).ok()  # fmt: skip
    model = model_of(first)
    assert model["penalty_params"] == {"smooth_param": 0.7, "smooth_order": ["c", "a"]}
    assert (model["solver"], model["n_passes"], model["status"]) == ("gram", 1, "converged")
    assert 0 <= model["suboptimality_bound"] < 1e-12
    frame = table()
    x, y = frame[["a", "b", "c"]].to_numpy(), frame.response.to_numpy()
    x, y = x - x.mean(axis=0), y - y.mean()
    jump = np.array([[1.0, 0.0, -1.0]])
    expected = np.linalg.solve(x.T @ x / 80 + 0.7 * jump.T @ jump, x.T @ y / 80)
    np.testing.assert_allclose(model["coefficients"], expected, rtol=1e-12)
    config = tomllib.loads((first / "config.toml").read_text())
    assert (config["smooth_param"], config["smooth_order"]) == (0.7, ["c", "a"])
    run("train", "--config", first / "config.toml", "--out", out).ok()
    assert model_of(out)["coefficients"] == model["coefficients"]


def test_the_command_line_wins_over_the_configuration(
    run: Run, no_figures: None, data: Path, out: Path, tmp_path: Path
) -> None:
    config = tmp_path / "in" / "run.toml"
    config.write_text(
        f'data = "{data}"\nlabel = "y"\nfeatures = "a,b"\nloss = "bxe"\nreg-param = 1.0\n'
        f'no_intercept = true\nout = "{out}"\n'
    )
    run("train", "--config", config, "--reg-param", 0.25).ok()
    model = model_of(out)
    assert model["reg_param"] == 0.25
    assert model["feature_names"] == ["a", "b"]
    assert not model["fit_intercept"]
    assert run("train", "--config", config).code == 2  # the folder is there
    run("train", "--config", config, "--overwrite").ok()
    assert model_of(out)["reg_param"] == 1.0
    assert names_in(out.parent)[0] == out.name
    assert not [name for name in names_in(out.parent) if name.startswith(".")]


def train(run: Run, data: Path, out: Path, *more: Any, code: int = 0) -> dict[str, Any]:
    given = ("train", data, "--features", "a,b,c", "--loss", "bxe", "--out", out, *more)
    if "--label" not in more:
        given = (*given, "--label", "y")
    answer = run(*given)
    assert answer.code == code, answer.err
    return {**model_of(out), "answer": answer}


def test_max_iter(run: Run, no_figures: None, data: Path, out: Path) -> None:
    model = train(run, data, out, "--max-iter", 1, "--reg-param", 0.1)
    assert (model["status"], model["n_iter"]) == ("max_iter", 1)
    (warning,) = model["answer"].warnings
    assert warning.startswith("warning: max_iter: stopped after max_iter = 1 iterations")
    strict = train(
        run, data, out, "--max-iter", 1, "--reg-param", 0.1, "--strict", "--overwrite", code=3
    )
    assert strict["status"] == "max_iter"
    assert strict["coefficients"] == model["coefficients"]


def test_separated(run: Run, no_figures: None, tmp_path: Path, out: Path) -> None:
    frame = table().assign(y=lambda t: (t.a + t.b > 0).astype(int))
    frame.to_csv(tmp_path / "s.csv", index=False)
    model = train(run, tmp_path / "s.csv", out, code=3)
    assert model["status"] == "separated"
    assert model["suboptimality_bound"] is None
    assert "add a penalty" in model["answer"].err
    penalised = train(run, tmp_path / "s.csv", out, "--overwrite", "--reg-param", 1e-3)
    assert penalised["status"] == "converged"


def test_quasi_separated(run: Run, no_figures: None, tmp_path: Path, out: Path) -> None:
    """c = 1 only where y = 1, and the rest is not separable: the weight of c grows for ever."""
    frame = table()
    frame["c"] = ((frame.y == 1) & (frame.index % 3 == 0)).astype(float)
    frame.to_csv(tmp_path / "s.csv", index=False)
    assert train(run, tmp_path / "s.csv", out, code=3)["status"] == "separated"


@pytest.mark.parametrize("step", ["1e6", "1e300"])
def test_diverged(run: Run, no_figures: None, data: Path, out: Path, step: str) -> None:
    model = train(run, data, out, "--solver", "gd", "--step-size", step, "--loss", "mse", code=3)
    assert model["status"] == "diverged"
    assert "step" in model["answer"].warnings[-1]
    assert model["objective"] is None or np.isfinite(model["objective"])
    assert load(out).status == "diverged"


def test_warm_start(run: Run, no_figures: None, data: Path, out: Path) -> None:
    cold = train(run, data, out.with_name("cold"), "--reg-param", 0.1)
    start = out.with_name("cold") / "model.json"
    same = train(run, data, out, "--reg-param", 0.1, "--warm-start", start)
    assert same["n_iter"] == 0
    near = train(run, data, out, "--overwrite", "--reg-param", 0.1001, "--warm-start", start.parent)
    assert 0 < near["n_iter"] < cold["n_iter"]
    away = train(run, data, out, "--overwrite", "--reg-param", 0.1001)
    np.testing.assert_allclose(near["coefficients"], away["coefficients"], rtol=1e-8)


@pytest.mark.parametrize(
    ("label", "positive", "classes"),
    [("sign", "1", [-1, 1]), ("sign", "-1", [1, -1]), ("word", "yes", ["no", "yes"]),
     ("word", "no", ["yes", "no"]), ("y", "0", [1, 0])],
)  # fmt: skip
def test_positive(
    run: Run, no_figures: None, data: Path, out: Path, label: str, positive: str, classes: list[Any]
) -> None:
    model = train(run, data, out, "--label", label, "--positive", positive, "--reg-param", 0.1)
    assert model["classes"] == classes
    reference = train(run, data, out, "--reg-param", 0.1, "--overwrite")
    sign = 1 if classes in ([-1, 1], ["no", "yes"]) else -1
    np.testing.assert_allclose(
        model["coefficients"], sign * np.array(reference["coefficients"]), rtol=1e-9, atol=1e-12
    )


def test_constant_feature_is_named(run: Run, no_figures: None, data: Path, out: Path) -> None:
    table().assign(c=4.0).to_csv(data, index=False)
    model = train(run, data, out, "--reg-param", 0.1)
    assert model["constant_features"] == ["c"]
    assert model["coefficients"][2] == 0
    assert model["answer"].warnings == ["warning: constant, so coefficient 0: c"]


def test_step_size_is_the_conventions(run: Run, no_figures: None, data: Path, out: Path) -> None:
    """One step of the homework's gradient descent: on the sum over rows, from w = 0."""
    model = train(
        run, data, out, "--convention", "homework", "--step-size", 1e-4, "--max-iter", 1,
        "--no-intercept",
    )  # fmt: skip
    frame = table()
    x, y = frame[["a", "b", "c"]].to_numpy(), frame.y.to_numpy()
    np.testing.assert_allclose(model["coefficients"], 1e-4 * (x.T @ (y - 0.5)), rtol=1e-12)
    assert model["solver"] == "gd"


def test_mini_batches_and_their_repetition(
    run: Run, no_figures: None, data: Path, tmp_path: Path, out: Path
) -> None:
    """From the command line into the run, and from its config.toml into another."""
    first = tmp_path / "first"
    model = train(
        run, data, first, "--reg-param", 0.1, "--solver", "sgd", "--step-rule", "inverse_sqrt",
        "--batch-rows", 8, "--seed", 2, "--step-size", 0.4, "--max-iter", 4,
    )  # fmt: skip
    assert (model["status"], model["n_iter"], model["n_passes"]) == ("max_iter", 4, 6)
    assert model["lambda_max"] > 0
    config = tomllib.loads((first / "config.toml").read_text())
    wanted = {"solver": "sgd", "step_rule": "inverse_sqrt", "batch_rows": 8, "seed": 2}
    assert {key: config[key] for key in wanted} == wanted
    run("train", "--config", first / "config.toml", "--out", out).ok()
    assert model_of(out)["coefficients"] == model["coefficients"]
    other = train(
        run, data, tmp_path / "other", "--config", first / "config.toml", "--seed", 3,
    )  # fmt: skip
    assert other["coefficients"] != model["coefficients"]


def test_a_step_that_is_too_long_is_warned_of(
    run: Run, no_figures: None, data: Path, out: Path
) -> None:
    model = train(
        run, data, out, "--solver", "gd", "--step-size", 1e4, "--loss", "mse", "--max-iter", 50,
        code=3,
    )  # fmt: skip
    limit = f"longer than 2/lambda_max = {2 / model['lambda_max']:.6g}, so that steps diverge"
    assert f"step_size 10000 is {limit}" in model["message"]
    assert model["answer"].warnings[0] == f"warning: step_size 10000 is {limit}"
