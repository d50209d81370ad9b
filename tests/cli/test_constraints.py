"""`w261reg train --constraints`: on real tables, against statsmodels; the report; refusals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tests.cli.helpers import DIABETES, IONOSPHERE, Run, model_of, names_in, refused
from tests.report.helpers import Page
from tests.spark.helpers import fit_on, model_bits, settings_of, write_dense
from w261reg import load
from w261reg.sources import open_path
from w261reg.sources.packing import local_dataset, spark_dataset

pytestmark = pytest.mark.spark


def test_diabetes(run: Run, out: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("s1,s2,s3,bmi,rhs\n1,1,1,,0\n,,,2,11.5\n2,2,2,,0\n")
    arguments = ("--label", "progression", "--loss", "mse", "--constraints", file)
    answer = run("train", DIABETES, *arguments, "--out", out).ok()
    said = f"constraints {file}: redundant: row 3 follows from row 1"
    assert answer.warnings == [f"warning: {said}"]
    model = model_of(out)
    assert (model["status"], model["solver"], model["n_passes"]) == ("converged", "gram", 1)

    frame = pd.read_csv(DIABETES)
    y = frame.progression.to_numpy()
    names = [*frame.columns[:-1], "intercept"]
    a = np.zeros((2, 11))
    a[0, [names.index(name) for name in ("s1", "s2", "s3")]] = 1
    a[1, names.index("bmi")] = 2
    x = sm.add_constant(frame.iloc[:, :-1].to_numpy(), prepend=False)
    theirs = sm.GLM(y, x).fit_constrained((a, np.array([0.0, 11.5])))
    own = np.append(model["coefficients"], model["intercept"])
    np.testing.assert_allclose(own, theirs.params, rtol=1e-8)
    np.testing.assert_allclose(model["standard_errors"], theirs.bse[:10], rtol=1e-8, atol=1e-10)
    size = np.sqrt(np.outer(np.diag(theirs.cov_params()), np.diag(theirs.cov_params())))
    difference = np.abs(np.array(model["covariance"]) - theirs.cov_params())
    assert (difference <= 1e-8 * size + 1e-10).all()
    metrics = json.loads((out / "metrics.json").read_text())["train"]
    assert metrics["log_likelihood"] == pytest.approx(theirs.llf, rel=1e-11)
    assert metrics["noise_variance"] == pytest.approx(theirs.scale, rel=1e-11)
    assert metrics["residual_deviance"] == pytest.approx(theirs.deviance, rel=1e-11)
    residuals = y - x @ own
    lagrange = np.array([entry["multiplier"] for entry in model["multipliers"]])
    np.testing.assert_allclose(
        a.T @ lagrange[:2], x.T @ residuals / 442, atol=1e-9 * np.abs(x.T @ y).max() / 442
    )
    assert model["multipliers"][2] == {
        "constraint": "2 s1 + 2 s2 + 2 s3 = 0", "rhs": 0.0, "multiplier": 0.0, "redundant": True,
    }  # fmt: skip

    page = Page(out / "report.html")
    assert "no penalty, 3 linear constraints" in page.text
    assert page.row("s1 + s2 + s3 = 0")[1] == f"{lagrange[0]:.6g}"
    assert page.row("2 s1 + 2 s2 + 2 s3 = 0")[1] == "redundant"
    assert "Standard error" in page.text
    assert "3 linear constraints" in answer.out

    # predicted, evaluated and trained again from what is kept
    csv = out.parent / "p.csv"
    run("predict", out, DIABETES, "--out", csv).ok()
    np.testing.assert_allclose(pd.read_csv(csv)["prediction"], x @ own, rtol=1e-12)
    scored = json.loads(run("evaluate", out, DIABETES, "--label", "progression").ok().out)
    for name in ("log_likelihood", "aic", "residual_deviance"):
        assert scored[name] == pytest.approx(metrics[name], rel=1e-10)
    again = out.with_name("again")
    run("train", "--config", out / "config.toml", "--out", again).ok()
    assert model_of(again)["coefficients"] == model["coefficients"]


def test_ionosphere(run: Run, out: Path, tmp_path: Path, no_figures: None) -> None:
    """x2 is 0 in every row."""
    file = tmp_path / "c.toml"
    file.write_text(
        "[[constraint]]\nrhs = 0\ncoefficients = {x3 = 1, x5 = -1, x2 = 1}\n"
        "[[constraint]]\nrhs = 0.5\ncoefficients = {intercept = 1, x1 = 0.5}\n"
    )
    names = [f"x{j}" for j in range(1, 9)]
    run(
        "train", IONOSPHERE, "--label", "label", "--positive", "g", "--features", ",".join(names),
        "--loss", "bxe", "--constraints", file, "--out", out,
    ).ok()  # fmt: skip
    model = load(out)
    assert (model.status, model.solver) == ("converged", "newton")
    frame = pd.read_csv(IONOSPHERE)
    used = [name for name in names if name != "x2"]
    x = sm.add_constant(frame[used].to_numpy(), prepend=False)
    a = np.zeros((2, 8))
    a[0, [used.index("x3"), used.index("x5")]] = [1, -1]
    a[1, [used.index("x1"), 7]] = [0.5, 1]
    glm = sm.GLM((frame.label == "g").astype(float), x, family=sm.families.Binomial())
    theirs = glm.fit_constrained((a, np.array([0, 0.5])), tol=1e-14, maxiter=100)
    own = np.append(model.weights[[names.index(name) for name in used]], model.intercept)
    np.testing.assert_allclose(own, theirs.params, rtol=1e-7)
    assert model.objective == pytest.approx(-theirs.llf / 351, rel=1e-12)
    assert model.weights[1] == 0
    keep = [j for j in range(9) if j != 1]
    covariance = np.array(model.covariance, dtype=float)
    assert np.isnan(covariance[1]).all()
    np.testing.assert_allclose(
        covariance[np.ix_(keep, keep)], theirs.cov_params(), rtol=1e-6, atol=1e-10
    )
    assert model.metrics["train"]["aic"] == pytest.approx(2 * 6 - 2 * theirs.llf, rel=1e-10)


@pytest.mark.parametrize(("loss", "solver"), [("mse", "gram"), ("bxe", "newton")])
def test_the_same_bits(spark: object, tmp_path: Path, loss: str, solver: str) -> None:
    path = write_dense(tmp_path, loss == "bxe")
    tables = [{"rhs": 0.3, "coefficients": {"x0": 1, "x4": -2.5, "intercept": 1}}]
    settings, columns = settings_of(path, loss=loss, solver=solver, constraints=tables)
    source = open_path(str(path))
    wanted = fit_on(local_dataset(source, columns), settings, columns)
    assert wanted.status == "converged"
    for tasks in (1, 3):
        dataset = spark_dataset(spark.sparkContext, source, columns, tasks)  # type: ignore[attr-defined]
        found = fit_on(dataset, settings, columns)
        assert model_bits(found) == model_bits(wanted)
        assert found.multipliers == wanted.multipliers
        assert found.covariance == wanted.covariance


FIT = ("--label", "y", "--features", "a,b,c", "--loss", "bxe")


def test_constraints_in_a_configuration(
    run: Run, data: Path, out: Path, tmp_path: Path, no_figures: None
) -> None:
    config = tmp_path / "run.toml"
    config.write_text('[[constraints]]\nrhs = 1\ncoefficients = {a = 1, "intercept" = 2}\n')
    run("train", data, *FIT, "--config", config, "--out", out).ok()
    model = load(out)
    assert model.weights[0] + 2 * model.intercept == pytest.approx(1, rel=1e-13)
    assert model.config["constraints"] == [{"rhs": 1, "coefficients": {"a": 1, "intercept": 2}}]


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        ("a,b,rhs\n1,2,3\n1,2,4\n", (), "rows 1 and 2 contradict each other"),
        ("a,d,rhs\n1,2,3\n", (), "row 1 names 'd', which is neither a feature nor 'intercept'"),
        ("a,rhs\n1,x\n", (), "row 1: rhs must be a finite number, not x"),
        ("a,intercept,rhs\n1,1,1\n", ("--no-intercept",), "row 1 names the intercept"),
        ("a,rhs\n1,1\n", ("--reg-param", "1", "--elastic-net-param", "1"), "without an L1 part"),
        ("a,rhs\n1,1\n", ("--solver", "sampled"), "solver sampled takes no constraints"),
        ("a,rhs\n1,1\n", ("--loss", "hinge"), "without kinks, not hinge"),
    ],
)
def test_refusals(
    run: Run, data: Path, out: Path, content: str, arguments: tuple[str, ...], says: str
) -> None:
    file = data.with_name("c.csv")
    file.write_text(content)
    refused(run("train", data, *FIT, "--constraints", file, *arguments, "--out", out), says)
    assert names_in(out.parent) == []


def test_more_refusals(run: Run, data: Path, out: Path) -> None:
    missing = data.with_name("missing.csv")
    given = (data, *FIT, "--constraints", missing, "--out", out)
    refused(run("train", *given), f"constraints {missing} cannot be read: No such file")
    missing.write_text("a,rhs\n1,1\n")
    refused(run("compare", *given), "compare takes no constraints")
    frame = pd.read_csv(data).assign(c=2.0)
    frame.to_csv(data, index=False)
    missing.write_text("c,rhs\n1,1\n")
    says = "row 1 cannot hold where constant features have coefficient 0 (c): c = 1"
    refused(run("train", *given), says)
    assert names_in(out.parent) == []
