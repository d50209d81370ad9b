"""`w261reg predict` and `w261reg evaluate`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm
from sklearn import metrics

from tests.cli.helpers import Run, model_of, names_in, refused, table

pytestmark = pytest.mark.spark


@pytest.fixture
def models(run: Run, no_figures: None, data: Path, tmp_path: Path) -> Path:
    """Folders word, y, response: one model a label."""
    for label, more in {
        "word": ("--loss", "bxe", "--positive", "yes"),
        "response": ("--loss", "mse"),
    }.items():
        run(
            "train", data, "--label", label, "--features", "a,b,c", "--reg-param", "0.05", *more,
            "--out", tmp_path / label,
        ).ok()  # fmt: skip
    return tmp_path


def linear(model: Path) -> np.ndarray:
    document = model_of(model)
    z: np.ndarray = table()[["a", "b", "c"]].to_numpy() @ document["coefficients"]
    return z + document["intercept"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_classes(
    run: Run, models: Path, data: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w261reg.sources.text.TEXT_LEAF_BYTES", 700)
    out = models / f"p.{ending}"
    answer = run("predict", models / "word", data, "--out", out).ok()
    assert answer.out == f"80 rows with predictions in {out}\n"
    assert answer.err == ""
    got = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    if ending == "parquet":  # what is no feature stays the text that it was
        assert {str(got[name].dtype) for name in ("w", "y", "sign", "response")} == {"object"}
        got = got.astype({"w": float, "y": int, "sign": int, "response": float})
    pd.testing.assert_frame_equal(got[list(table())], table(), check_dtype=False)
    assert list(got) == [*table(), "prediction", "probability"]
    z = linear(models / "word")
    assert got.prediction.tolist() == np.where(z > 0, "yes", "no").tolist()
    np.testing.assert_allclose(got.probability, 1 / (1 + np.exp(-z)), rtol=1e-13)
    assert not [name for name in names_in(models) if "partial" in name]


def test_classes_of_a_support_vector_machine(run: Run, no_figures: None, data: Path) -> None:
    """By the sign of z, and no column of probabilities; evaluate knows its loss."""
    folder = data.parent
    run(
        "train", data, "--label", "word", "--positive", "yes", "--features", "a,b,c",
        "--loss", "hinge", "--reg-param", "0.05", "--out", folder / "svm",
    ).ok()  # fmt: skip
    run("predict", folder / "svm", data, "--out", folder / "p.csv").ok()
    got = pd.read_csv(folder / "p.csv")
    assert list(got) == [*table(), "prediction"]
    z = linear(folder / "svm")
    assert got.prediction.tolist() == np.where(z > 0, "yes", "no").tolist()
    answer = run("evaluate", folder / "svm", data, "--label", "word").ok()
    found = json.loads(answer.out)
    sign = np.where(table().word == "yes", 1.0, -1.0)
    assert found["hinge_loss"] == pytest.approx(np.maximum(0, 1 - sign * z).mean(), rel=1e-12)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(sign, z), rel=1e-12)
    assert "log_loss" not in found


def test_regression_by_model_file_from_parquet(run: Run, models: Path, tmp_path: Path) -> None:
    data = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pandas(table(), preserve_index=False), data, row_group_size=30)
    out = models / "new folder" / "p.parquet"
    run("predict", models / "response" / "model.json", data, "--out", out).ok()
    got = pq.read_table(out)
    assert got.schema.names == [*table(), "prediction"]
    assert got.schema.field("y").type == pa.int64()
    np.testing.assert_allclose(
        got["prediction"].to_numpy(), linear(models / "response"), rtol=1e-13
    )
    assert got["response"].to_pylist() == table().response.tolist()


def test_the_label_need_not_be_there_nor_the_order_be_kept(run: Run, models: Path) -> None:
    data = models / "other.csv"
    table()[["c", "word", "b", "a"]].drop(columns="word").to_csv(data, index=False)
    run("predict", models / "word", data, "--out", models / "p.csv").ok()
    np.testing.assert_allclose(
        pd.read_csv(models / "p.csv").probability,
        1 / (1 + np.exp(-linear(models / "word"))),
        rtol=1e-13,
    )


def test_other_columns_may_hold_anything(run: Run, models: Path) -> None:
    frame = table().assign(when="2024-01-01", nothing=None, id=lambda t: t.index + 10**15)
    frame.loc[3, "word"] = 'a "quoted", one'
    frame.to_csv(models / "t.csv", index=False)
    run("predict", models / "response", models / "t.csv", "--out", models / "p.csv").ok()
    got = pd.read_csv(models / "p.csv")
    assert got.word[3] == 'a "quoted", one'
    assert got.id.tolist() == frame.id.tolist()
    assert got.when.tolist() == frame.when.tolist()
    assert got.nothing.isna().all()


def test_libsvm(run: Run, no_figures: None, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = np.round(generator.normal(size=(40, 3)), 2)
    y = (x[:, 0] + generator.normal(size=40) > 0).astype(int)
    with (tmp_path / "t.libsvm").open("w") as file:
        for label, row in zip(y, x.tolist(), strict=True):
            file.write(f"{label} 1:{row[0]} 2:{row[1]} 3:{row[2]}\n")
    run(
        "train", tmp_path / "t.libsvm", "--label", "label", "--loss", "bxe", "--reg-param", "0.1",
        "--out", tmp_path / "m",
    ).ok()  # fmt: skip
    model = model_of(tmp_path / "m")
    assert model["feature_names"] == ["x1", "x2", "x3"]
    # fewer features than the model has: the others are 0
    (tmp_path / "new.libsvm").write_text("1 1:2\n0\n0 3:-1 2:0.5\n")
    run("predict", tmp_path / "m", tmp_path / "new.libsvm", "--out", tmp_path / "p.parquet").ok()
    z = np.array([[2, 0, 0], [0, 0, 0], [0, 0.5, -1]]) @ model["coefficients"] + model["intercept"]
    got = pq.read_table(tmp_path / "p.parquet")
    np.testing.assert_allclose(got["probability"].to_numpy(), 1 / (1 + np.exp(-z)), rtol=1e-13)
    # the columns of a table, by their names, will do too
    pd.DataFrame([[2.0, 0.0, 0.0]], columns=["x1", "x2", "x3"]).to_csv(tmp_path / "n.csv")
    run("predict", tmp_path / "m", tmp_path / "n.csv", "--out", tmp_path / "p.csv").ok()
    np.testing.assert_allclose(
        pd.read_csv(tmp_path / "p.csv").probability, 1 / (1 + np.exp(-z[:1])), rtol=1e-13
    )


def test_overwrite(run: Run, models: Path, data: Path) -> None:
    out = models / "p.csv"
    out.write_text("mine")
    refused(run("predict", models / "word", data, "--out", out), "exists already")
    assert out.read_text() == "mine"
    run("predict", models / "word", data, "--out", out, "--overwrite").ok()
    assert len(pd.read_csv(out)) == 80


def statistics(y: Any, mean: Any, s: Any, family: Any, parameters: int) -> dict[str, float]:
    """By statsmodels' families, with frequency weights; the null model is of the rows given."""
    s = np.ones(len(y)) if s is None else s.to_numpy()
    y, null = np.asarray(y, dtype=float), np.full(len(y), np.average(y, weights=s))
    scale = (
        1.0 if isinstance(family, sm.families.Binomial) else np.average((y - mean) ** 2, weights=s)
    )
    likelihood = family.loglike(y, np.asarray(mean), freq_weights=s, scale=scale)
    return {
        "log_likelihood": likelihood,
        "null_deviance": family.deviance(y, null, freq_weights=s),
        "residual_deviance": family.deviance(y, np.asarray(mean), freq_weights=s),
        "aic": 2 * parameters - 2 * likelihood,
    }


def test_evaluate_classes(run: Run, models: Path, data: Path) -> None:
    answer = run("evaluate", models / "word", data, "--label", "word").ok()
    assert answer.err == ""
    got = json.loads(answer.out)
    y, z = table().y.to_numpy(), linear(models / "word")
    p = 1 / (1 + np.exp(-z))
    wanted = {
        "rows": 80,
        "log_loss": metrics.log_loss(y, p),
        "auc": metrics.roc_auc_score(y, z),
        "accuracy": metrics.accuracy_score(y, z > 0),
        "precision": metrics.precision_score(y, z > 0),
        "recall": metrics.recall_score(y, z > 0),
        **statistics(y, p, None, sm.families.Binomial(), 4),
    }
    assert got == pytest.approx(wanted, rel=1e-12)


def test_evaluate_regression_with_weights(run: Run, models: Path, data: Path) -> None:
    answer = run("evaluate", models / "response", data, "--label", "response", "--weight", "w").ok()
    got = json.loads(answer.out)
    frame, z = table(), linear(models / "response")
    frame, z = frame[frame.w > 0], z[frame.w.to_numpy() > 0]
    weights = {"sample_weight": frame.w}
    wanted = {
        "rows": len(frame),
        "mse": metrics.mean_squared_error(frame.response, z, **weights),
        "rmse": metrics.root_mean_squared_error(frame.response, z, **weights),
        "mae": metrics.mean_absolute_error(frame.response, z, **weights),
        "r2": metrics.r2_score(frame.response, z, **weights),
        # the variance of most likelihood is a parameter, too
        **statistics(frame.response, z, frame.w, sm.families.Gaussian(), 5),
    }
    assert got == pytest.approx(wanted, rel=1e-12)


def test_evaluate_where_a_metric_has_no_value(run: Run, models: Path, data: Path) -> None:
    table()[lambda t: t.word == "no"].to_csv(data, index=False)
    got = json.loads(run("evaluate", models / "word", data, "--label", "word").ok().out)
    assert got["auc"] is None
    assert got["recall"] is None
    assert got["rows"] == (table().word == "no").sum()


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("none", "label column 'none' is not in the data"),
        ("response", "label column 'response' has"),
        ("sign", "is not a number"),
    ],
)
def test_evaluate_with_another_label(
    run: Run, models: Path, data: Path, label: str, says: str
) -> None:
    answer = run("evaluate", models / "word", data, "--label", label)
    assert answer.code == 2
    assert len(answer.lines) == 1
    if label != "response":
        assert says in answer.err


def test_evaluate_with_an_unknown_class(run: Run, models: Path, data: Path) -> None:
    table().replace({"word": {"no": "maybe"}}).to_csv(data, index=False)
    refused(run("evaluate", models / "word", data, "--label", "word"), "'maybe'")


def test_a_folder_of_files_whose_types_differ(
    run: Run, no_figures: None, models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    given = table()[["a", "b", "c"]]
    whole = given.round().astype("int64").assign(note=1)
    pq.write_table(pa.Table.from_pandas(whole[:30], preserve_index=False), folder / "1.parquet")
    mixed = whole[30:].assign(a=given["a"][30:], note=0.5)
    pq.write_table(pa.Table.from_pandas(mixed, preserve_index=False), folder / "2.parquet")
    out = tmp_path / "mixed.parquet"
    run("predict", models / "response", folder, "--out", out).ok()
    got = pq.read_table(out).to_pandas()
    expected = pd.concat([whole[:30], mixed])
    np.testing.assert_array_equal(got[["a", "b", "c", "note"]], expected)


def test_csv_has_no_place_for_lists(run: Run, models: Path, tmp_path: Path) -> None:
    frame = table()[["a", "b", "c"]].assign(tags=pd.Series([["x", "y"]] * 80))
    path = tmp_path / "tags.parquet"
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    out = tmp_path / "tags.csv"
    refused(run("predict", models / "response", path, "--out", out), "'tags'", ".parquet")
    assert not out.exists()


def test_weights_of_zero_in_every_row(run: Run, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "zero.csv"
    table()[["a", "b", "c", "response"]].assign(w=0.0).to_csv(path, index=False)
    answer = run("evaluate", models / "response", path, "--label", "response", "--weight", "w")
    refused(answer, "'w'", "0 in every row")


@pytest.mark.parametrize("positive", ["true", "False"])
def test_boolean_labels(run: Run, no_figures: None, tmp_path: Path, positive: str) -> None:
    frame = table()[["a", "b", "c"]].assign(kind=table()["word"] == "yes")
    path = tmp_path / "boolean.parquet"
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    out = tmp_path / "boolean"
    run("train", path, "--label", "kind", "--positive", positive, "--loss", "bxe", "--reg-param",
        "0.1", "--out", out).ok()  # fmt: skip
    assert model_of(out)["classes"] == ([0, 1] if positive == "true" else [1, 0])
