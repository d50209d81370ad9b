"""A loss and a penalty out of a file that the executors cannot import."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.cli.helpers import NOISE, ROOT, Run, model_of, names_in, refused
from tests.cli.test_process import environment
from tests.test_own import HUBER, SMOOTH, heavy, huber_minimum, readme_template
from w261reg import InputError, check_gradient, load, train
from w261reg.datasets import rdd

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
CANONICAL: dict[str, Any] = {"convention": "canonical", "standardization": False}


@pytest.fixture
def run(spark: "SparkSession", capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file in a folder on nobody's path."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path = folder / "my_terms.py"
    path.write_text(HUBER + SMOOTH)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    x, y = heavy()
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame(x, columns=list("abcd")).assign(y=y)
    frame.to_parquet(path, row_group_size=40, index=False)
    return path


@pytest.mark.parametrize("closure", [rdd.CLOSURE_BYTES, 0])
@pytest.mark.parametrize("collect", [0, 2**26])
def test_training_predicting_evaluating(
    spark: "SparkSession", own: Path, table: Path, collect: int, closure: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(rdd, "CLOSURE_BYTES", closure)  # 0: aggregators travel by broadcast
    options: dict[str, Any] = {"label": "y", "loss": f"{own}:Huber", "reg_param": 0.05, **CANONICAL}
    model = train(str(table), collect_bytes=collect, **options)
    assert model.status == "converged", model.message
    x, y = heavy()
    assert model.objective == pytest.approx(huber_minimum(x, y, 0.0, 0.05), rel=1e-9)
    local = train(pd.read_parquet(table), **options)
    np.testing.assert_allclose(model.weights, local.weights, rtol=1e-9)
    frame = spark.read.parquet(str(table))
    rows = model.predict(frame).orderBy("y").toPandas()
    np.testing.assert_allclose(rows.prediction, model.predict(x[np.argsort(y)]), rtol=1e-12)
    again = train(frame, collect_bytes=collect, **options)
    np.testing.assert_allclose(again.weights, local.weights, rtol=1e-9)
    smooth: dict[str, Any] = {"penalty": f"{own}:Smooth", "penalty_param": 0.5}
    check = check_gradient(str(table), **options, **smooth)
    assert check.ok, str(check)


def test_class_of_a_notebook(spark: "SparkSession", table: Path) -> None:
    """A class that no module holds, as a notebook's."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(HUBER, space)
    model = train(str(table), label="y", loss=space["Huber"], collect_bytes=0)
    assert model.status == "converged"
    assert model.loss == "__main__:Huber"
    rows = model.predict(spark.read.parquet(str(table))).toPandas()
    assert np.isfinite(rows.prediction).all()


def test_command_line(run: Run, own: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    name = f"{own}:Huber"
    fit = ("--label", "y", "--loss", name, "--reg-param", "0.1", "--collect-bytes", "0")
    more = ("--penalty", f"{own}:Smooth", "--penalty-param", "0.3")
    answer = run("train", table, *fit, *more, "--out", out).ok()
    assert "Huber model of y on 4 features, L2 (ridge) and Smooth penalty" in answer.out
    document = model_of(out)
    assert document["loss"] == name
    assert set(document["own_sources"]) == {name, f"{own}:Smooth"}
    assert run("train", "--config", out / "config.toml", "--out", tmp_path / "again").ok()
    np.testing.assert_array_equal(
        document["coefficients"], model_of(tmp_path / "again")["coefficients"]
    )
    run("predict", out, table, "--out", tmp_path / "p.csv").ok()
    predicted = pd.read_csv(tmp_path / "p.csv").prediction
    x, _ = heavy()
    np.testing.assert_allclose(predicted, load(out).predict(x), rtol=1e-12)
    assert '"rmse"' in run("evaluate", out, table, "--label", "y").ok().out
    answer = run("check-gradient", table, *fit[:-2], *more, "--at", out).ok()
    assert answer.out.endswith("all agree\n")
    refused(run("compare", table, *fit, "--out", tmp_path / "c"), "pyspark.ml has")


@pytest.mark.long
def test_prediction_of_another_process_needs_the_file(
    run: Run, own: Path, table: Path, tmp_path: Path
) -> None:
    out, name = tmp_path / "r", f"{own}:Huber"
    train(str(table), label="y", loss=name).save(out)
    own.rename(own.with_name("moved.py"))
    environment_ = {**environment(), "PYTHONPATH": str(ROOT)}

    def predict(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "w261reg", "predict", str(out), str(table)]
        return subprocess.run(
            [*command, "--out", str(tmp_path / "p.csv"), *more],
            env=environment_, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    (line,) = predict().stderr.splitlines()
    assert name in line and "--trust" in line
    refusal = predict("--trust")
    assert refusal.returncode == 2
    (line,) = refusal.stderr.splitlines()
    assert line == f"w261reg: error: loss {name}: there is no file {own}"
    assert not (tmp_path / "p.csv").exists()
    anew = predict("--loss", f"{own.with_name('moved.py')}:Huber", "--master", "local[2]")
    assert anew.returncode == 0, anew.stderr
    assert len(pd.read_csv(tmp_path / "p.csv")) == 150


BAD: dict[str, tuple[str, tuple[str, ...]]] = {
    "no file": ("gone.py:Huber", ("there is no file",)),
    "no class": ("own.py:Hubert", ("has no class 'Hubert'", "it has Huber")),
    "import error": ("broken.py:Huber", ("line 1", "ModuleNotFoundError")),
    "not a loss": ("own.py:size", ("must be a subclass of w261reg.Loss",)),
    "no name": ("own.py", ("loss must be one of",)),
    "two names": ("own.py:a:b", ("loss must be one of",)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_losses(run: Run, table: Path, tmp_path: Path, case: str) -> None:
    given, says = BAD[case]
    (tmp_path / "own.py").write_text(HUBER)
    (tmp_path / "broken.py").write_text("import nothing_of_the_kind\n")
    out = tmp_path / "results" / "r"
    out.parent.mkdir()
    loss = f"{tmp_path}/{given}"
    refused(run("train", table, "--label", "y", "--loss", loss, "--out", out), *says)
    refused(run("check-gradient", table, "--label", "y", "--loss", loss), *says)
    assert names_in(out.parent) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--penalty", "gone.py:A", "--penalty-param", "1"), "there is no file"),
        (("--penalty", "l2", "--penalty-param", "1"), "penalty must be path/to/file.py:Name"),
        (("--penalty", "gone.py:A"), "penalty and penalty_param go together"),
        (("--penalty-param", "1"), "penalty and penalty_param go together"),
        (("--penalty", "gone.py:A", "--penalty-param", "x"), "penalty_param must be a number"),
        (("--penalty", "gone.py:A", "--penalty-param", "-1"), "penalty_param must be >= 0"),
    ],
)
def test_bad_penalties(run: Run, table: Path, given: tuple[str, ...], says: str) -> None:
    refused(run("check-gradient", table, "--label", "y", "--loss", "mse", *given), says)


def test_debug_shows_the_trace(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("x = 1 / 0\n")
    monkeypatch.setenv("W261REG_DEBUG", "1")
    with pytest.raises(InputError) as caught:
        run("check-gradient", table, "--label", "y", "--loss", f"{tmp_path}/broken.py:A")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# --- check-gradient -----------------------------------------------------------------------------


def test_exit_codes(run: Run, table: Path, tmp_path: Path) -> None:
    given = ("--label", "y", "--loss", "mse", "--reg-param", "0.1")
    answer = run("check-gradient", table, *given, "--seed", "3")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert re.match(r"5 coordinates, at a random point \(seed 3\), objective ", lines[0])
    assert [line.split()[0] for line in lines[2:]] == ["gradient", "Hessian", "all"]
    # right on random numbers, wrong where the data is
    text = readme_template().replace("curvature(self, y, z):", "curvature(self, y, z):\n"
                                     "        if len(z) != 61: return 2 * np.exp(z)")  # fmt: skip
    (tmp_path / "wrong.py").write_text(text.replace("label_range", "unused"))
    answer = run("check-gradient", table, "--label", "y", "--loss", f"{tmp_path}/wrong.py:Poisson")
    assert answer.code == 1
    assert "Hessian" in answer.out
    assert "DISAGREES" in answer.out
    assert not [noise for noise in NOISE if noise in answer.err]
    assert sorted(os.listdir(tmp_path)) == ["t.parquet", "wrong.py"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--label", "nothing"), "'nothing'"),
        ((), "label is required"),
        (("--label", "y", "--seed", "-1"), "seed must be an integer >= 0"),
        (("--label", "y", "--seed", "1.5"), "seed must be an integer >= 0"),
        (("--label", "y", "--at", "gone"), "model not found"),
        (("--label", "y", "--reg-param", "-1"), "reg_param must be >= 0"),
    ],
)
def test_bad_checks(run: Run, table: Path, given: tuple[str, ...], says: str) -> None:
    refused(run("check-gradient", table, "--loss", "mse", *given), says)


def test_no_data_to_check(run: Run) -> None:
    refused(run("check-gradient", "--label", "y", "--loss", "mse"), "data is required")
