"""Submissions to a real master and two workers."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.cli import moments
from tests.cluster.cluster import standalone
from tests.cluster.processes import EXECUTOR, children
from tests.jobs.submit import MARK, ROOT, environment, read_model, submit, zip_package
from tests.jobs.test_submit_signals import check, submitted

pytestmark = [pytest.mark.spark, pytest.mark.cluster]

IONOSPHERE = str(ROOT / "data" / "ionosphere.csv")
DIABETES = str(ROOT / "data" / "diabetes.csv")
LOGISTIC = [IONOSPHERE, "--label", "label", "--positive", "g", "--loss", "bxe"]
SMALL = ["--executor-memory", "512m", "--conf", "spark.executor.cores=1"]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with standalone(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zip_package(tmp_path_factory.mktemp("package") / "w261reg.zip")


def test_train_and_compare_with_the_zip(master: str, package: Path, tmp_path: Path) -> None:
    options = [*SMALL, "--py-files", str(package)]
    out = tmp_path / "lasso"
    arguments = [*LOGISTIC, "--reg-param", "0.02", "--elastic-net-param", "1", "--out", str(out)]
    run = submit("train", arguments, master=master, folder=tmp_path, options=options)
    assert run.returncode == 0, run.stderr
    model = read_model(out)
    assert model["library_versions"]["w261reg"] == MARK
    assert model["status"] == "converged"
    assert sum(value == 0 for value in model["coefficients"]) == 19

    out = tmp_path / "compared"
    ridge = [DIABETES, "--label", "progression", "--loss", "mse", "--reg-param", "1"]
    arguments = [*ridge, "--out", str(out)]
    run = submit("compare", arguments, master=master, folder=tmp_path, options=options)
    assert run.returncode == 0, run.stderr
    assert "pyspark.ml" in run.stdout
    assert read_model(out)["n_passes"] == 1


def test_a_packed_environment(master: str, tmp_path: Path) -> None:
    """The executors run a Python of their own, with the package in it and nothing of ours."""
    made = subprocess.run(
        ["make", "env-pack", f"PYTHON={sys.executable}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    archive = ROOT / "dist" / "environment.tar.gz"
    options = [*SMALL, "--archives", f"{archive}#environment"]
    options += ["--conf", "spark.pyspark.python=./environment/bin/python"]
    options += ["--conf", f"spark.pyspark.driver.python={sys.executable}"]
    env = environment()
    del env["PYSPARK_PYTHON"]  # it would win over the setting
    out = tmp_path / "ridge"
    arguments = [*LOGISTIC, "--reg-param", "0.01", "--out", str(out)]
    run = submit("train", arguments, master=master, folder=tmp_path, options=options, env=env)
    assert run.returncode == 0, run.stderr
    assert read_model(out)["objective"] == pytest.approx(0.25736477531702, rel=1e-12)

    predictions = tmp_path / "predictions.parquet"
    arguments = [str(out), IONOSPHERE, "--out", str(predictions)]
    run = submit("predict", arguments, master=master, folder=tmp_path, options=options, env=env)
    assert run.returncode == 0, run.stderr
    assert len(pd.read_parquet(predictions)) == 351


def test_the_command_line_on_a_cluster(master: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    command = [sys.executable, "-m", "w261reg", "train", *LOGISTIC, "--reg-param", "0.01"]
    run = subprocess.run(
        [*command, "--master", master, "--out", str(out)],
        cwd=tmp_path,
        env=environment(SPARK_LOCAL_IP="127.0.0.1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    assert read_model(out)["status"] == "converged"
    assert "WARN" not in run.stderr


@pytest.mark.parametrize(
    ("number", "to"),
    [(signal.SIGTERM, "python"), (signal.SIGHUP, "process"), (signal.SIGINT, "group")],
)
def test_signals(
    master: str, package: Path, tmp_path: Path, number: signal.Signals, to: str
) -> None:
    """The executors, which no signal reaches, end with the application."""
    running = submitted(tmp_path, "long", master, ["--py-files", str(package)])
    assert running.wait_until(moments.solves), running.said
    assert children(EXECUTOR)
    check(running.end(number, to=to), tmp_path, number, to)
    deadline = time.monotonic() + 30
    while children(EXECUTOR) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not children(EXECUTOR)
