"""`w261reg compare`."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.helpers import DIABETES, IONOSPHERE, Run, model_of, names_in, refused

pytestmark = pytest.mark.spark


def test_ionosphere(run: Run, out: Path) -> None:
    answer = run(
        "compare", IONOSPHERE, "--label", "label", "--positive", "g", "--loss", "bxe",
        "--reg-param", "0.02", "--tol", "1e-10", "--max-iter", "500",
        "--standard-scaler", "--out", out,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    result = json.loads((out / "comparison.json").read_text())
    ours, theirs = result["engines"]["w261reg"], result["engines"]["pyspark.ml"]
    assert ours["objective"] == pytest.approx(model_of(out)["objective"], rel=1e-12)
    assert 0 <= theirs["objective"] / ours["objective"] - 1 + 1e-13 < 1e-6
    assert result["max_coefficient_difference"] < 1e-2
    assert theirs["about"].startswith("StandardScaler(withMean=True), LogisticRegression")
    for key in ("log_loss", "auc", "accuracy"):
        assert theirs["metrics"][key] == pytest.approx(ours["metrics"][key], abs=1e-2)
    for key in ("seconds", "n_iter", "intercept"):
        assert np.isfinite([ours[key], theirs[key]]).all()
    assert len(result["coefficients"]) == 34
    assert {"comparison.json", "model.json", "report.html"} <= set(names_in(out))
    assert "pyspark.ml" in (out / "report.html").read_text()
    for part in ("objective", "log_loss", "intercept", "passes", "seconds", "largest difference"):
        assert part in answer.out


def test_a_regression(run: Run, no_figures: None, out: Path) -> None:
    answer = run(
        "compare", DIABETES, "--label", "progression", "--loss", "mse", "--reg-param", "0.5",
        "--out", out,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    result = json.loads((out / "comparison.json").read_text())
    assert result["max_coefficient_difference"] < 1e-9
    assert abs(result["objective_difference"]) < 1e-9
    assert result["engines"]["pyspark.ml"]["metrics"]["r2"] == pytest.approx(
        result["engines"]["w261reg"]["metrics"]["r2"], abs=1e-12
    )


@pytest.mark.parametrize(
    "more",
    [("--no-standardization",), ("--no-intercept",), ("--weight", "age")],
)
def test_standard_scaler_where_it_would_differ(
    run: Run, no_figures: None, out: Path, more: tuple[str, ...]
) -> None:
    answer = run(
        "compare", DIABETES, "--label", "progression", "--loss", "mse", "--reg-param", "0.5",
        "--standard-scaler", "--out", out, *more,
    )  # fmt: skip
    refused(answer, "standard_scaler")
    assert names_in(out.parent) == []


@pytest.mark.long
@pytest.mark.parametrize("standard", [True, False])
def test_hinge_is_linear_svcs(run: Run, out: Path, standard: bool) -> None:
    """One-sided: pyspark.ml's optimiser stops before the optimum."""
    answer = run(
        "compare", IONOSPHERE, "--label", "label", "--positive", "g", "--loss", "hinge",
        "--reg-param", "0.05", "--max-iter", "200", "--out", out,
        "--standardization" if standard else "--no-standardization",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    result = json.loads((out / "comparison.json").read_text())
    ours, theirs = result["engines"]["w261reg"], result["engines"]["pyspark.ml"]
    assert ours["status"] == "converged"
    assert theirs["about"] == "LinearSVC"
    assert ours["objective"] <= theirs["objective"] <= ours["objective"] * 1.02
    assert theirs["metrics"]["hinge_loss"] == pytest.approx(ours["metrics"]["hinge_loss"], abs=0.02)
    assert "LinearSVC" in (out / "report.html").read_text()


@pytest.mark.parametrize("mix", ["0", "0.5"])
@pytest.mark.parametrize("more", [(), ("--no-standardization", "--weight", "s")])
def test_softmax(run: Run, tmp_path: Path, out: Path, mix: str, more: tuple[str, ...]) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 4)) * [1.0, 3.0, 0.1, 1.0]
    z = (x / [1.0, 3.0, 0.1, 1.0]) @ rng.normal(size=(4, 3)) + rng.gumbel(size=(300, 3))
    table = pd.DataFrame(x, columns=["a", "b.c", "d", "e"])
    table["kind"] = np.array(["x", "y", "z"])[z.argmax(axis=1)]
    names = "a,b.c,d,e"
    table.assign(s=rng.integers(1, 3, 300)).to_csv(tmp_path / "t.csv", index=False)
    answer = run(
        "compare", tmp_path / "t.csv", "--label", "kind", "--loss", "cxe", "--reg-param", "0.03",
        "--elastic-net-param", mix, "--features", names, "--max-iter", "1000", "--tol", "1e-10",
        "--out", out, *more,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    result = json.loads((out / "comparison.json").read_text())
    ours, theirs = result["engines"]["w261reg"], result["engines"]["pyspark.ml"]
    assert theirs["about"] == 'LogisticRegression(family="multinomial")'
    assert ours["objective"] == pytest.approx(model_of(out)["objective"], rel=1e-12)
    assert -1e-12 < theirs["objective"] / ours["objective"] - 1 < 1e-7
    assert result["max_coefficient_difference"] < 1e-3
    np.testing.assert_allclose(theirs["intercept"], ours["intercept"], atol=1e-3)
    for key in ("log_loss", "accuracy", "f1_macro"):
        assert theirs["metrics"][key] == pytest.approx(ours["metrics"][key], abs=0.02)
    weights = np.array([c["w261reg"] for c in result["coefficients"]]).reshape(4, 3)
    assert weights.tolist() == model_of(out)["coefficients"]
    assert [c["class"] for c in result["coefficients"][:3]] == ["x", "y", "z"]
    assert "3, one a class" in answer.out
    page = (out / "report.html").read_text()
    assert "b.c [y]" in page
    assert "family=&#34;multinomial&#34;" in page


@pytest.mark.parametrize("kind", ["numbers", "truth"])
def test_softmax_of_other_labels(run: Run, no_figures: None, out: Path, kind: str) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 2))
    code = (x @ rng.normal(size=(2, 3)) + rng.gumbel(size=(200, 3))).argmax(axis=1)
    label = np.array([-4, 3, 12])[code] if kind == "numbers" else code > 1
    data = out.parent / "t.parquet"
    pd.DataFrame(x, columns=["a", "b"]).assign(y=label).to_parquet(data)
    answer = run("compare", data, "--label", "y", "--loss", "cxe", "--reg-param", "0.1",
                 "--standard-scaler", "--max-iter", "1000", "--out", out)  # fmt: skip
    assert answer.code == 0, answer.err
    result = json.loads((out / "comparison.json").read_text())
    ours, theirs = result["engines"]["w261reg"], result["engines"]["pyspark.ml"]
    assert abs(theirs["objective"] / ours["objective"] - 1) < 1e-7
    assert result["max_coefficient_difference"] < 1e-3


def test_what_pyspark_has_not(run: Run, out: Path) -> None:
    for more, says in (
        (
            ("--loss", "squared_hinge"),
            "compare needs loss mse, bxe, cxe or hinge, not squared_hinge",
        ),
        (("--loss", "hinge", "--elastic-net-param", "0.5"), "elastic_net_param 0 for loss hinge"),
    ):
        answer = run(
            "compare", IONOSPHERE, "--label", "label", "--positive", "g", "--reg-param", "0.05",
            "--out", out, *more,
        )  # fmt: skip
        refused(answer, says)
    assert names_in(out.parent) == []
