"""`--sigma` and `--noise-group`, end to end."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tests.cli.helpers import Run, model_of, names_in, refused
from tests.report.helpers import Page

pytestmark = pytest.mark.spark
FIT = ("--label", "y", "--features", "a,b", "--loss", "mse")


def table() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    x, group = rng.normal(size=(90, 2)), rng.integers(0, 3, 90)
    sigma = np.array([0.3, 1.0, 4.0])[group]
    y = x @ [2.0, -1.0] + 0.5 + sigma * rng.normal(size=90)
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=y, e=sigma, w=rng.integers(1, 3, 90))
    return frame.assign(g=np.array(["calm", "rough", "wild"])[group])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    table().to_csv(tmp_path / "in" / "t.csv", index=False)
    return tmp_path / "in" / "t.csv"


def test_known_sigmas(run: Run, data: Path, out: Path, tmp_path: Path) -> None:
    said = run("train", data, *FIT, "--sigma", "e", "--out", out).ok()
    model, frame = model_of(out), table()
    design = sm.add_constant(frame[["a", "b"]].to_numpy(), prepend=False)
    gls = sm.GLS(frame.y.to_numpy(), design, sigma=frame.e.to_numpy() ** 2)
    theirs = gls.fit(cov_type="fixed scale")
    found = [*model["coefficients"], model["intercept"]]
    np.testing.assert_allclose(found, theirs.params, rtol=1e-9)
    np.testing.assert_allclose(model["covariance"], theirs.cov_params(), rtol=1e-9)
    np.testing.assert_allclose(model["standard_errors"], theirs.bse[:2], rtol=1e-9)
    assert model["n_passes"] == 1
    assert model["noise_groups"] is None
    assert "standard error" in said.out
    page = Page(out / "report.html")
    assert page.row("a")[5] == f"{theirs.bse[0]:.4g}"
    assert "known, in the column e" in page.text
    # the metrics of training, again; without sigma, plain ones
    trained = json.loads((out / "metrics.json").read_text())["train"]
    again = json.loads(run("evaluate", out, data, "--label", "y", "--sigma", "e").ok().out)
    for name, value in trained.items():
        assert again[name] == pytest.approx(value, rel=1e-11), name
    bare = data.with_name("bare.csv")
    frame[["b", "y", "a"]].to_csv(bare, index=False)
    for path in (data, bare):
        plain = json.loads(run("evaluate", out, path, "--label", "y").ok().out)
        mse = np.mean((frame.y - design @ theirs.params) ** 2)
        assert plain["mse"] == pytest.approx(mse, rel=1e-9)
        assert plain["aic"] != pytest.approx(trained["aic"])
        run("predict", out, path, "--out", tmp_path / "p.csv", "--overwrite").ok()
        predicted = pd.read_csv(tmp_path / "p.csv")["prediction"]
        np.testing.assert_allclose(predicted, design @ theirs.params, rtol=1e-9)


def test_groups(run: Run, data: Path, out: Path, tmp_path: Path) -> None:
    given = (*FIT, "--weight", "w", "--noise-group", "g")
    said = run("train", data, *given, "--out", out).ok()
    model = model_of(out)
    assert [own["group"] for own in model["noise_groups"]] == ["calm", "rough", "wild"]
    assert "3 groups of rows" in said.out
    assert "in 3 groups" in said.err
    sigma = table().g.map({own["group"]: own["sigma"] for own in model["noise_groups"]})
    # given these sigmas, the coefficients are theirs
    frame = table().assign(e=sigma)
    frame.to_csv(data.with_name("known.csv"), index=False)
    run("train", data.with_name("known.csv"), *FIT, "--weight", "w", "--sigma", "e", "--out",
        tmp_path / "known").ok()  # fmt: skip
    known = model_of(tmp_path / "known")
    np.testing.assert_allclose(model["coefficients"], known["coefficients"], rtol=1e-9)
    np.testing.assert_allclose(model["covariance"], known["covariance"], rtol=1e-9)
    one, other = (json.loads((f / "metrics.json").read_text())["train"]
                  for f in (out, tmp_path / "known"))  # fmt: skip
    for name in ("log_likelihood", "null_deviance", "residual_deviance"):
        assert one[name] == pytest.approx(other[name], rel=1e-9)
    assert one["aic"] == pytest.approx(other["aic"] + 2 * 3, rel=1e-9)
    assert one["residual_deviance"] == pytest.approx(frame.w.sum(), rel=1e-9)
    page = Page(out / "report.html")
    for own in model["noise_groups"]:
        row = page.row(own["group"])
        assert row[:2] == [own["group"], str(own["rows"])]
        assert float(row[3]) == pytest.approx(own["sigma"], rel=1e-5)
    assert "mean negative log likelihood" in page.text
    # the written configuration repeats the run
    run("train", "--config", out / "config.toml", "--out", tmp_path / "again").ok()
    assert model_of(tmp_path / "again")["noise_groups"] == model["noise_groups"]
    plain = json.loads(run("evaluate", out, data, "--label", "y", "--weight", "w").ok().out)
    for name in ("mse", "rmse", "r2"):
        assert plain[name] == pytest.approx(one[name], rel=1e-9)


def test_compare(run: Run, data: Path, out: Path) -> None:
    given = (*FIT, "--weight", "w", "--sigma", "e", "--reg-param", "0.3")
    run("compare", data, *given, "--out", out).ok()
    both = json.loads((out / "comparison.json").read_text())
    assert both["max_coefficient_difference"] < 1e-10
    assert abs(both["objective_difference"]) < 1e-12


def test_check_gradient(run: Run, data: Path) -> None:
    assert "all agree" in run("check-gradient", data, *FIT, "--sigma", "e").ok().out


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "both": (("--sigma", "e", "--noise-group", "g"), ("sigma and noise_group must not both",)),
    "sigma for bxe": (("--sigma", "e", "--loss", "bxe"), ("sigma is for loss mse, not bxe",)),
    "groups for hinge": (("--noise-group", "g", "--loss", "hinge"), ("is for loss mse", "hinge")),
    "no sigma": (("--sigma", "v"), ("sigma column 'v' is not in the data",)),
    "no group": (("--noise-group", "v"), ("noise_group column 'v' is not in the data",)),
    "sigma of text": (("--sigma", "g"), ("sigma column 'g' is not numeric",)),
    "sigma of any sign": (("--features", "b", "--sigma", "a"), ("'a' has", "non-positive values")),
    "group of numbers": (("--noise-group", "e"), ("must hold text, integers or booleans",)),
    "sigma a feature": (("--sigma", "a"), ("features must not include the sigma column 'a'",)),
    "sigma the label": (("--sigma", "y"), ("sigma must not be the label column 'y'",)),
    "group the weight": (
        ("--weight", "w", "--noise-group", "w"), ("noise_group must not be the weight column",)),
    "L1": (
        ("--noise-group", "g", "--reg-param", "1", "--elastic-net-param", "1"), ("without an L1",)),
    "convention": (("--noise-group", "g", "--reg-param", "1"), ("needs convention canonical",)),
    "solver": (("--noise-group", "g", "--solver", "gd"), ("solver must be gram or auto, not gd",)),
    "penalty": (
        ("--noise-group", "g", "--penalty", "p.py:P", "--penalty-param", "1"), ("L2 and smooth",)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(run: Run, data: Path, out: Path, name: str) -> None:
    given, says = REFUSED[name]
    refused(run("train", data, *FIT, *given, "--out", out), *says)
    assert names_in(out.parent) == []


def test_refused_data(run: Run, data: Path, out: Path) -> None:
    frame = table()
    frame.loc[[4, 9], "e"] = 0.0
    frame.loc[3, "e"] = np.nan
    frame.to_csv(data, index=False)
    answer = run("train", data, *FIT, "--sigma", "e", "--out", out)
    refused(answer, "'e' has 2 non-positive values in 90 rows", "'e' has 1 null value")
    frame = table().assign(k=np.where(np.arange(90) < 2, 5, 6))
    frame.to_csv(data, index=False)
    answer = run("train", data, *FIT, "--noise-group", "k", "--out", out)
    refused(answer, "noise_group column 'k': group 5 has 2 rows")
    libsvm = data.with_name("t.libsvm")
    libsvm.write_text("1 1:2\n0 1:3\n")
    for option, role in (("--sigma", "sigma"), ("--noise-group", "noise_group")):
        answer = run(
            "train", libsvm, "--label", "label", "--loss", "mse", option, "e", "--out", out
        )
        refused(answer, f"{role} column 'e' is not in the data: it has label, features")
    answer = run("compare", data, *FIT, "--noise-group", "g", "--out", out)
    refused(answer, "compare has no noise_group", "pyspark.ml")
    answer = run("compare", data, *FIT, "--sigma", "e", "--standard-scaler", "--out", out)
    refused(answer, "standard_scaler ignores weights")
    assert names_in(out.parent) == []
    model = out.parent / "m"
    run("train", data, *FIT, "--loss", "mse", "--out", model).ok()
    answer = run("evaluate", model, data, "--label", "y", "--sigma", "g")
    refused(answer, "sigma column 'g' is not numeric")
