"""Train, predict, save and load in this process."""

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

import w261reg
from tests.problems import Problem, example, reference_answer
from w261reg import InputError, load, train
from w261reg.model import FORMAT_VERSION, Model, dumps, plain

Array = NDArray[np.float64]


def ridge(loss: str = "bxe", **settings: Any) -> tuple[Problem, Model]:
    problem = example(loss, weighted=True)
    settings = {"loss": loss, "reg_param": 0.1, "convention": "canonical", **settings}
    return problem, train(problem.x, problem.y, weight=problem.weight, **settings)


# --- train --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "bxe"])
@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_train_on_arrays(loss: str, mix: float) -> None:
    problem, model = ridge(loss, elastic_net_param=mix)
    w, b = reference_answer(problem.but(reg_param=0.1, mix=mix))
    np.testing.assert_allclose(model.weights, w, rtol=1e-6, atol=1e-8)
    assert model.intercept == pytest.approx(b, rel=1e-6)
    assert model.ok
    assert model.status == "converged"
    assert model.feature_names == ("x1", "x2", "x3", "x4")
    assert model.rows == (problem.weight > 0).sum()
    assert model.sum_of_weights == pytest.approx(problem.weight.sum())
    assert model.n_passes == model.history[-1].passes
    assert model.classes == ((0, 1) if loss == "bxe" else None)


def saved(model: Model, folder: Path) -> Path:
    model.save(folder)
    return folder


def as_frame(problem: Problem) -> pd.DataFrame:
    frame = pd.DataFrame(problem.x, columns=["a", "b", "c", "d"])
    return frame.assign(y=problem.y, s=problem.weight)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_every_kind_of_table_gives_the_same_model(loss: str) -> None:
    problem, expected = ridge(loss)
    settings: dict[str, Any] = {"loss": loss, "reg_param": 0.1, "convention": "canonical"}
    frame = as_frame(problem)
    models = [
        train(problem.x.tolist(), problem.y, weight=problem.weight, **settings),
        train(frame, "y", weight="s", **settings),
        train(pa.Table.from_pandas(frame), "y", weight="s", **settings),
        train(
            frame[["y", "d", "s", "c", "b", "a"]],
            "y",
            weight="s",
            features=["a", "b", "c", "d"],
            **settings,
        ),
    ]
    for model in models:
        assert model.weights.tobytes() == expected.weights.tobytes()
        assert model.intercept == expected.intercept
    for kind in (sparse.csr_matrix, sparse.csr_array, sparse.coo_array, sparse.csc_matrix):
        model = train(kind(problem.x), problem.y, weight=problem.weight, **settings)
        np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-10)
    assert models[1].feature_names == ("a", "b", "c", "d")


def test_constant_features_are_named() -> None:
    problem = example("mse")
    frame = pd.DataFrame(problem.x, columns=["a", "b", "c", "d"]).assign(year=2020, y=problem.y)
    model = train(frame, "y", loss="mse")
    assert model.constant_features == ("year",)
    assert model.weights[4] == 0.0


def test_text_labels() -> None:
    problem = example("bxe")
    frame = as_frame(problem).drop(columns="s")
    frame["y"] = np.where(problem.y > 0, "spam", "ham")
    model = train(frame, "y", loss="bxe", positive="spam", reg_param=0.1)
    numbers = train(problem.x, problem.y, loss="bxe", reg_param=0.1)
    assert model.classes == ("ham", "spam")
    assert model.weights.tobytes() == numbers.weights.tobytes()
    found = model.predict(frame)
    assert set(found["prediction"]) == {"ham", "spam"}
    assert ((found["probability"] > 0.5) == (found["prediction"] == "spam")).all()


def test_metrics_of_the_training_rows() -> None:
    from sklearn import metrics

    problem, model = ridge("bxe")
    p = model.probability(problem.x)
    train_metrics = model.metrics["train"]
    assert train_metrics["log_loss"] == pytest.approx(
        metrics.log_loss(problem.y, p, sample_weight=problem.weight), rel=1e-12
    )
    assert train_metrics["auc"] == pytest.approx(
        metrics.roc_auc_score(problem.y, p, sample_weight=problem.weight), rel=1e-12
    )
    problem, model = ridge("mse")
    z = model.predict(problem.x)
    assert model.metrics["train"]["mse"] == pytest.approx(
        metrics.mean_squared_error(problem.y, z, sample_weight=problem.weight), rel=1e-12
    )
    assert model.metrics["train"]["r2"] == pytest.approx(
        metrics.r2_score(problem.y, z, sample_weight=problem.weight), rel=1e-12
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "mae"}, "loss must be one of"),
        ({"reg_param": -1}, "reg_param must be >= 0, not -1"),
        ({"elastic_net_param": 1.5}, "elastic_net_param must be in"),
        ({"convention": "R"}, "convention must be one of"),
        ({"solver": "magic"}, "solver must be one of"),
        ({"max_iter": -1}, "max_iter must be an integer >= 0"),
        ({"tol": -1}, "tol must be >= 0"),
        ({"solver": "newton", "step_size": 0.1}, "step_size is for solver adagrad, adam, gd"),
        ({"regparam": 0.1}, "'regparam' is not a setting"),
        ({"loss": "mse", "solver": "newton", "elastic_net_param": 1.0}, "without an L1 part"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ridge(**changes)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_counted(bad: float) -> None:
    problem = example("mse")
    x = problem.x.copy()
    x[[1, 5], 2] = bad
    kind = "NaN" if math.isnan(bad) else "infinite"
    with pytest.raises(InputError, match=f"2 {kind} values in 80 rows"):
        train(x, problem.y, loss="mse")
    if kind == "NaN":
        kind = "null"  # which is what pandas means by it
    with pytest.raises(InputError, match=f"feature column 'c' has 2 {kind} values in 80 rows"):
        train(as_frame(problem.but(x=x)), "y", weight="s", loss="mse")


def test_labels_that_do_not_fit() -> None:
    problem = example("bxe")
    for y, message in (
        (np.zeros(80), "one class only: 0"),
        (np.arange(80) % 3, "has 3 values"),
        (problem.y + 1, "holds 1, 2, not 0 and 1: positive must name"),
    ):
        with pytest.raises(InputError, match=message):
            train(problem.x, y, loss="bxe")
    with pytest.raises(InputError, match="weight column 'weight' is 0 in every row"):
        train(problem.x, problem.y, weight=np.zeros(80), loss="bxe")
    with pytest.raises(InputError, match="one value a row"):
        train(problem.x, problem.y[:-1], loss="bxe")


# --- save and load ------------------------------------------------------------------------------


def test_round_trip(tmp_path: Path) -> None:
    _, model = ridge("bxe", elastic_net_param=0.5)
    folder = saved(model, tmp_path / "result")
    for path in (folder, folder / "model.json"):
        again = load(path)
        assert again.weights.tobytes() == model.weights.tobytes()
        assert np.float64(again.intercept).tobytes() == np.float64(model.intercept).tobytes()
        assert again.to_dict() == model.to_dict()
        assert again.metrics == plain(model.metrics)
        assert again.config == model.config
        assert len(again.history) == len(model.history)
        for one, other in zip(again.history[1:], model.history[1:], strict=True):
            assert (one.iteration, one.objective, one.residual, one.passes) == (
                other.iteration,
                other.objective,
                other.residual,
                other.passes,
            )


@given(st.lists(st.floats(), min_size=1, max_size=6), st.floats())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_any_coefficients_survive_json(values: list[float], intercept: float) -> None:
    _, model = MODEL
    model = replace(
        model,
        weights=np.array(values),
        intercept=intercept,
        feature_names=tuple(f"x{j}" for j in range(len(values))),
        standard_deviations=(1.0,) * len(values),
        constant_features=(),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.json"
        file.write_text(dumps(model.to_dict()))
        json.loads(file.read_text(), parse_constant=pytest.fail)
        again = load(file)
    for found, wanted in ((again.weights, np.array(values)), (again.intercept, intercept)):
        finite = np.where(np.isfinite(wanted), wanted, np.nan)
        np.testing.assert_array_equal(found, finite)
        np.testing.assert_array_equal(np.signbit(found)[()], np.signbit(np.nan_to_num(finite)))


MODEL = ridge("bxe")


def test_json_has_no_number_that_is_not_finite(tmp_path: Path) -> None:
    problem = example("mse")
    model = train(problem.x, problem.y, loss="mse", step_size=1e200, convention="canonical")
    assert model.status == "diverged"
    folder = saved(model, tmp_path / "result")
    for name in ("model.json", "metrics.json"):
        text = (folder / name).read_text()
        json.loads(text, parse_constant=pytest.fail)
    assert load(folder).status == "diverged"


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    _, model = MODEL
    text = dumps(model.to_dict())
    file = tmp_path / "model.json"
    for end in [0, 1, *range(10, len(text) - 2, 97)]:
        file.write_text(text[:end])
        with pytest.raises(InputError, match=r"model\.json"):
            load(file)


def test_files_that_are_no_model(tmp_path: Path) -> None:
    _, model = MODEL
    document = json.loads(dumps(model.to_dict()))
    file = tmp_path / "model.json"
    with pytest.raises(InputError, match="model not found"):
        load(file)
    newer = {**document, "format_version": FORMAT_VERSION + 1}
    cases: list[tuple[Any, str]] = [
        (newer, f"format_version {FORMAT_VERSION + 1}.*upgrade"),
        ({**document, "format_version": "1"}, "format_version"),
        ([1, 2], "format_version"),
        ({"a": 1}, "format_version"),
        ({**document, "coefficients": None}, "no 'coefficients'"),
        ({**document, "coefficients": ["a"] * 4}, "wrong types"),
        ({**document, "coefficients": [1.0]}, "4 feature names"),
        ({**document, "feature_names": [document["feature_names"][0]] * 4}, "of one name"),
        ({k: v for k, v in document.items() if k != "intercept"}, "no 'intercept'"),
        ({k: v for k, v in document.items() if k != "loss"}, "no 'loss'"),
    ]
    for changed, message in cases:
        file.write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            load(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a whole"):
        load(file)


def test_out_is_not_overwritten_unasked(tmp_path: Path) -> None:
    _, model = MODEL
    folder = saved(model, tmp_path / "result")
    with pytest.raises(InputError, match="exists already"):
        model.save(folder)
    model.save(folder, overwrite=True)
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="does not hold a result"):
        model.save(other, overwrite=True)
    assert (other / "thesis.tex").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "result"]


# --- predict ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_predictions_are_the_same_for_every_table(loss: str, tmp_path: Path) -> None:
    problem, _ = ridge(loss)
    frame = as_frame(problem)
    model = train(frame, "y", weight="s", loss=loss, reg_param=0.1)
    z = problem.x @ model.weights + model.intercept
    expected = z if loss == "mse" else (z > 0).astype(int)
    for data in (problem.x, problem.x.tolist()):
        np.testing.assert_allclose(model.predict(data), expected, rtol=1e-12)
    for kind in (sparse.csr_matrix, sparse.csr_array):
        np.testing.assert_allclose(model.predict(kind(problem.x)), expected, rtol=1e-10, atol=1e-12)
    shuffled = frame[["s", "d", "c", "y", "a", "b"]]
    for table in (frame, shuffled, pa.Table.from_pandas(frame)):
        found = model.predict(table)
        np.testing.assert_allclose(found["prediction"], expected, rtol=1e-12)
        assert list(found["s"]) == list(frame["s"])
        if loss == "bxe":
            np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-z)), rtol=1e-12)
    again = load(saved(model, tmp_path / "result"))
    np.testing.assert_array_equal(again.predict(problem.x), model.predict(problem.x))
    if loss == "bxe":
        np.testing.assert_array_equal(again.probability(frame), model.probability(problem.x))
    else:
        with pytest.raises(InputError, match="probability is for classification"):
            model.probability(frame)


def test_what_cannot_be_predicted_is_named() -> None:
    problem = example("bxe")
    frame = as_frame(problem)
    model = train(frame, "y", weight="s", loss="bxe", reg_param=0.1)
    with pytest.raises(InputError, match="feature column 'b' and 1 more of the model is not in"):
        model.predict(frame.drop(columns=["b", "c"]))
    with pytest.raises(InputError, match="already has a column 'prediction'"):
        model.predict(frame.assign(prediction=1))
    with pytest.raises(InputError, match=r"feature column 'a' has 1 null value in 80 rows"):
        model.predict(frame.assign(a=[math.nan] + [1.0] * 79))


def test_a_model_in_words() -> None:
    _, model = ridge("bxe")
    text = repr(model)
    assert "Converged" in text
    table = model.coefficients
    assert list(table.index) == ["x1", "x2", "x3", "x4"]
    np.testing.assert_allclose(
        table["standardized"], model.weights * np.array(model.standard_deviations)
    )


def test_names_at_the_top() -> None:
    assert w261reg.train is train
    assert set(w261reg.__all__) >= {"train", "load", "Model", "InputError", "ComputeError"}
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = w261reg.fit


def test_warm_start(tmp_path: Path) -> None:
    problem, model = ridge("bxe")
    folder = saved(model, tmp_path / "result")
    again = train(
        problem.x, problem.y, weight=problem.weight, loss="bxe", reg_param=0.1,
        convention="canonical", warm_start=folder,
    )  # fmt: skip
    assert again.n_iter == 0
    assert again.weights == pytest.approx(model.weights, rel=1e-12)
    near = train(
        problem.x, problem.y, weight=problem.weight, loss="bxe", reg_param=0.101,
        convention="canonical", warm_start=folder,
    )  # fmt: skip
    assert 0 < near.n_iter < model.n_iter


def test_warm_start_of_collinear_columns_still_converges(tmp_path: Path) -> None:
    """Newton has no Gram matrix then, and must still tell a flat direction from separation."""
    problem = example("bxe")
    x = np.column_stack([problem.x, problem.x[:, 0] * 2])
    model = train(x, problem.y, loss="bxe", convention="canonical")
    assert model.status == "converged"
    folder = saved(model, tmp_path / "result")
    again = train(x, problem.y, loss="bxe", convention="canonical", warm_start=folder)
    assert again.status == "converged", again.message
