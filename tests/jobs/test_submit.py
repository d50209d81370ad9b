"""The jobs through spark-submit on this machine."""

from pathlib import Path

import pandas as pd
import pytest

from tests.jobs.submit import MARK, ROOT, read_model, submit, zip_package

IONOSPHERE = str(ROOT / "data" / "ionosphere.csv")
TRAIN = [IONOSPHERE, "--label", "label", "--positive", "g", "--loss", "bxe"]


@pytest.mark.spark
@pytest.mark.long
def test_train_predict_and_exit_codes_from_a_zip(tmp_path: Path) -> None:
    package = zip_package(tmp_path / "package.zip")
    options = ["--py-files", str(package)]

    out = tmp_path / "model"
    arguments = [*TRAIN, "--reg-param", "0.01", "--out", str(out)]
    run = submit("train", arguments, master="local[*,4]", folder=tmp_path, options=options)
    assert run.returncode == 0, run.stderr
    model = read_model(out)
    assert model["library_versions"]["w261reg"] == MARK  # the zip's copy ran, not this folder's
    assert (model["status"], model["rows"]) == ("converged", 351)
    assert model["objective"] == pytest.approx(0.25736477531702, rel=1e-12)
    assert (out / "report.html").stat().st_size > 10_000
    assert "Traceback" not in run.stdout + run.stderr

    predictions = tmp_path / "predictions.csv"
    arguments = [str(out), IONOSPHERE, "--out", str(predictions)]
    run = submit("predict", arguments, master="local[2,4]", folder=tmp_path, options=options)
    assert run.returncode == 0, run.stderr
    table = pd.read_csv(predictions)
    assert list(table["label"]) == list(pd.read_csv(IONOSPHERE)["label"])
    assert set(table["prediction"]) == {"b", "g"}

    # exit codes pass through spark-submit: 2 bad input, 3 not solved
    run = submit("train", arguments, master="local[2,4]", folder=tmp_path, options=options)
    assert run.returncode == 2
    # spark-submit joins a Python program's standard error to its standard output
    assert run.stdout.startswith("w261reg: error: ") and run.stdout.count("\n") == 1
    # without a penalty as well: 1 iteration is not enough
    arguments = [*TRAIN, "--out", str(tmp_path / "none"), "--max-iter", "1", "--strict"]
    run = submit("train", arguments, master="local[2,4]", folder=tmp_path, options=options)
    assert run.returncode == 3, run.stderr
    assert read_model(tmp_path / "none")["status"] == "max_iter"
