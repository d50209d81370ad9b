"""Models of several classes: scores, likelihood, predictions, files."""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import softmax
from sklearn import metrics

from tests.cli.conftest import run  # noqa: F401 - a fixture
from tests.cli.helpers import Run, refused
from tests.problems import leaves_of
from tests.sources.helpers import write_csv, write_parquet
from w261reg import InputError, Model, load, train
from w261reg.aggregators import MulticlassScores
from w261reg.datasets import LocalDataset
from w261reg.likelihood import count_nonzero
from w261reg.losses import get_loss
from w261reg.losses.cxe import CrossEntropy
from w261reg.model import dumps, plain
from w261reg.prediction import probability_names
from w261reg.scoring import evaluate_dataset
from w261reg.sources import Columns, TableSource
from w261reg.sources.packing import local_dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Array = NDArray[np.float64]
RNG = np.random.default_rng(17)
ROWS, N = 240, 3
WORDS = ("ant", "bee", "cat", "dog")
X = RNG.normal(size=(ROWS, N))
WEIGHT = RNG.integers(1, 4, ROWS).astype(float)
W, B = 1.3 * RNG.normal(size=(N, 4)), np.array([0.2, -0.4, 0.1, 0.1])
Z = X @ W + B
CODES = np.array([RNG.choice(4, p=p) for p in softmax(Z, axis=1)])


def made(classes: tuple[Any, ...] = WORDS, w: Array = W, b: Array = B, **changes: Any) -> Model:
    """A softmax model of these coefficients."""
    k, n = w.shape[1], w.shape[0]
    counted = train(np.eye(k, n), np.arange(k), loss="naive_bayes")
    names = tuple(f"x{j}" for j in range(1, n + 1))
    return replace(
        counted,
        **{
            "loss": "cxe",
            "feature_names": names,
            "weights": w,
            "intercept": b,
            "classes": classes,
            "penalty_params": {},
            "standard_deviations": (1.0,) * n,
            **changes,
        },
    )


def frame(labels: Any = None) -> pd.DataFrame:
    table = pd.DataFrame(X, columns=["x1", "x2", "x3"]).assign(s=WEIGHT)
    return table.assign(kind=np.array(WORDS)[CODES] if labels is None else labels)


def evaluated(model: Model, table: pd.DataFrame, weight: str | None = "s") -> dict[str, float]:
    names = ("x1", "x2", "x3")
    columns = Columns(names, names, label="kind", weight=weight, classes=True, levels=model.classes)
    return evaluate_dataset(model, local_dataset(TableSource(table), columns), columns)


# --- scores -------------------------------------------------------------------------------------


def scikit_learn(y: Any, prediction: Any, weight: Array) -> dict[str, float]:
    found = {"accuracy": metrics.accuracy_score(y, prediction, sample_weight=weight)}
    for mean in ("macro", "weighted"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            y, prediction, average=mean, sample_weight=weight, zero_division=0
        )
        found |= {f"precision_{mean}": precision, f"recall_{mean}": recall, f"f1_{mean}": f1}
    return found


@pytest.mark.parametrize("case", ["all", "one never predicted", "two not there"])
def test_metrics_are_scikit_learns(case: str) -> None:
    b = np.where(np.arange(4) == 2, -50.0, B) if case == "one never predicted" else B
    rows = CODES < 2 if case == "two not there" else np.full(ROWS, True)
    if case == "two not there":
        b = np.array([0.0, 0.0, 0.0, -90.0])  # one of them is still predicted
    model, table = made(b=b), frame()[rows]
    found = evaluated(model, table)
    p = softmax(X[rows] @ W + b, axis=1)
    prediction = np.array(WORDS)[p.argmax(axis=1)]
    for name, value in scikit_learn(table["kind"], prediction, WEIGHT[rows]).items():
        assert found[name] == pytest.approx(value, rel=1e-12), name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of probabilities that underflow
        loss = -np.average(np.log(p[np.arange(len(p)), CODES[rows]]), weights=WEIGHT[rows])
    assert found["log_loss"] == pytest.approx(loss, rel=1e-12)
    assert found["rows"] == rows.sum()
    confusion = metrics.confusion_matrix(
        table["kind"], prediction, labels=WORDS, sample_weight=WEIGHT[rows]
    )
    assert found["confusion"] == confusion.tolist()


@pytest.mark.spark
def test_metrics_are_pysparks(spark: "SparkSession") -> None:
    from pyspark.ml.evaluation import MulticlassClassificationEvaluator

    prediction = Z.argmax(axis=1).astype(float)
    columns = np.column_stack([CODES, prediction, WEIGHT]).tolist()
    there = spark.createDataFrame(columns, ["label", "prediction", "s"])
    found = evaluated(made(), frame())
    evaluator = MulticlassClassificationEvaluator(weightCol="s")
    for name, theirs in {
        "accuracy": "accuracy",
        "f1_weighted": "f1",
        "precision_weighted": "weightedPrecision",
        "recall_weighted": "weightedRecall",
    }.items():
        evaluator.set(evaluator.metricName, theirs)
        assert found[name] == pytest.approx(evaluator.evaluate(there), rel=1e-12), name


def without_matrix(found: dict[str, Any]) -> dict[str, float]:
    assert np.sum(found["confusion"]) > 0
    return {name: value for name, value in found.items() if name != "confusion"}


@pytest.mark.parametrize("as_sparse", [False, True])
def test_scores_of_any_cut(monkeypatch: pytest.MonkeyPatch, as_sparse: bool) -> None:
    scores = MulticlassScores(get_loss("cxe").of_classes(4), W, B)
    one = LocalDataset(leaves_of(X, CODES.astype(float), WEIGHT, 1), N)
    whole = without_matrix(scores.metrics(one.aggregate(scores)))
    leaves = leaves_of(X, CODES.astype(float), WEIGHT, 7, as_sparse)
    monkeypatch.setattr("w261reg.aggregators.base.PIECE_NUMBERS", 20)
    state = LocalDataset(leaves, N).aggregate(scores)
    assert state.confusion.sum() == WEIGHT.sum() == state.weight
    assert without_matrix(scores.metrics(state)) == pytest.approx(whole, rel=1e-12)
    assert whole["accuracy"] == np.trace(state.confusion) / state.weight


# --- likelihood ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [0, 2])
def test_likelihood_is_statsmodels(reference: int) -> None:
    times = WEIGHT.astype(int)
    x, y = np.repeat(X, times, axis=0), np.repeat(CODES, times)
    one = np.ones((len(x), 1))
    exact = {"disp": 0, "method": "newton", "tol": 1e-14, "maxiter": 100}
    theirs = sm.MNLogit(y, np.column_stack([x, one])).fit(**exact)
    null = sm.MNLogit(y, one).fit(**exact)  # of their llnull the optimum is not as exact
    params = np.column_stack([np.zeros(N + 1), np.asarray(theirs.params)])
    params -= params[:, [reference]]  # any class may be the reference
    found = evaluated(made(w=params[:N], b=params[N]), frame())
    assert found["log_likelihood"] == pytest.approx(theirs.llf, rel=1e-12)
    assert found["null_deviance"] == pytest.approx(-2 * null.llf, rel=1e-12)
    assert found["null_deviance"] == pytest.approx(-2 * theirs.llnull, rel=1e-9)
    assert found["residual_deviance"] == pytest.approx(-2 * theirs.llf, rel=1e-12)
    assert found["aic"] == pytest.approx(theirs.aic, rel=1e-12)
    # centred, as an answer without a penalty or under L2 is: as many parameters
    centred = params - params.mean(axis=1, keepdims=True)
    again = evaluated(made(w=centred[:N], b=centred[N]), frame())
    assert again["aic"] == pytest.approx(theirs.aic, rel=1e-12)


def test_likelihood_without_an_intercept() -> None:
    found = evaluated(made(b=np.zeros(4), fit_intercept=False), frame())
    assert found["null_deviance"] == pytest.approx(2 * WEIGHT.sum() * math.log(4), rel=1e-14)
    parameters = found["aic"] / 2 + found["log_likelihood"]
    assert parameters == pytest.approx(3 * N, abs=1e-9)


def test_parameters_of_several_classes() -> None:
    assert count_nonzero(np.array([1.0, 0.0, -2.0])) == 2
    w = np.array(
        [
            [0.0, 0.0, 0.0, 0.0],  # of no use
            [0.0, 0.0, 3.0, -1.0],  # under L1
            [5.0, 5.0, 5.0, 4.0],  # one class differs
            [1.0, 2.0, 3.0, 4.0],
        ]
    )
    assert [count_nonzero(row[None]) for row in w] == [0, 2, 1, 3]
    assert count_nonzero(w) == 6
    assert count_nonzero(w[:, ::-1] + 0.5) == 6
    assert count_nonzero(np.zeros((0, 4))) == 0


# --- predictions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (WORDS, object),
        ((-3, 0, 7, 11), np.int64),
        ((-0.5, 0, 1.5, 2), np.float64),
    ],
)
def test_predictions_have_the_classes_type(classes: tuple[Any, ...], kind: Any) -> None:
    model = made(classes)
    wanted = [classes[k] for k in Z.argmax(axis=1)]
    p = softmax(Z, axis=1)
    for given in (X, sparse.csr_array(X)):
        assert model.predict(given).tolist() == wanted
        np.testing.assert_allclose(model.probability(given), p, rtol=1e-12, atol=1e-15)
    for table in (frame(), pa.Table.from_pandas(frame())):
        found = model.predict(table)
        assert found["prediction"].tolist() == wanted
        if kind is not object:
            assert found["prediction"].dtype == kind
        names = [f"probability_{value}" for value in classes]
        assert list(found.columns)[-5:] == ["prediction", *names]
        np.testing.assert_allclose(found[names], p, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (("a", "b c", "d.e"), ["probability_a", "probability_b c", "probability_d.e"]),
        ((False, True), ["probability_False", "probability_True"]),
        (("", "b"), ["probability_", "probability_b"]),
        (("yes", "Yes", "no"), ["probability_0", "probability_1", "probability_2"]),
        (("a\nb", "c"), ["probability_0", "probability_1"]),
    ],
)
def test_names_of_probabilities(classes: tuple[Any, ...], names: list[str]) -> None:
    assert probability_names(classes) == names


@pytest.mark.parametrize("name", ["prediction", "probability_bee"])
def test_a_column_is_there_already(name: str) -> None:
    with pytest.raises(InputError, match=f"the data already has a column '{name}'"):
        made().predict(frame().assign(**{name: 1.0}))


@pytest.mark.spark
@pytest.mark.parametrize("classes", [WORDS, (1, 2, 3, 4), (False, True), (0.5, 1.0, 1.5, 2.0)])
def test_spark_frames(spark: "SparkSession", classes: tuple[Any, ...]) -> None:
    k = len(classes)
    model = made(classes, W[:, :k], B[:k])
    there = spark.createDataFrame(frame().drop(columns="kind"))
    found = model.predict(there).toPandas()
    z = found[["x1", "x2", "x3"]].to_numpy() @ W[:, :k] + B[:k]
    assert found["prediction"].tolist() == [classes[i] for i in z.argmax(axis=1)]
    names = [f"probability_{value}" for value in classes]
    np.testing.assert_allclose(found[names], softmax(z, axis=1), rtol=1e-12, atol=1e-15)
    taken = there.withColumnRenamed("s", names[1])
    with pytest.raises(InputError, match="the data already has a column"):
        model.predict(taken)


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [WORDS, (-1, 0, 5, 9), (0.5, 1, 2, 2.5)])
def test_save_and_load(
    classes: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w261reg.report.write_report", lambda folder: None)
    model = made(classes)
    model.save(tmp_path / "m")
    document = json.loads((tmp_path / "m" / "model.json").read_text())
    assert document["format_version"] == 1
    assert document["coefficients"] == W.tolist()
    assert document["intercept"] == B.tolist()
    assert document["classes"] == list(classes)
    again = load(tmp_path / "m")
    np.testing.assert_array_equal(again.weights, model.weights)
    np.testing.assert_array_equal(again.intercept, model.intercept)
    assert again.classes == classes
    np.testing.assert_array_equal(again.probability(X), model.probability(X))
    assert again.predict(X).tolist() == model.predict(X).tolist()


def test_coefficients_are_a_table_by_class() -> None:
    table = made().coefficients
    assert list(table.columns) == list(WORDS)
    assert list(table.index) == ["x1", "x2", "x3"]
    np.testing.assert_array_equal(table.to_numpy(), W)


def test_a_notebook_shows_it() -> None:
    page = made()._repr_html_()
    assert "Softmax regression" in page
    assert "0.2 (ant)" in page
    assert "data:image/png" in page


def test_what_is_not_finite_does_not_predict(tmp_path: Path) -> None:
    for model in (
        made(w=np.where(W[1, 2] == W, np.nan, W)),
        made(b=np.array([0, np.inf, 0, 0.0])),
    ):
        with pytest.raises(InputError, match="coefficients are not finite"):
            model.predict(X)
        (tmp_path / "model.json").write_text(dumps(model.to_dict()))
        with pytest.raises(InputError, match="coefficients are not finite"):
            load(tmp_path).predict(X)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "flat": ({"coefficients": [1.0, 2.0, 3.0]}, "3 feature names and 4 classes for .* shape (3,)"),
    "turned": ({"coefficients": W.T.tolist()}, "4 classes for coefficients of shape (4, 3)"),
    "ragged": ({"coefficients": [[1.0], [1.0, 2.0], []]}, "values of wrong types"),
    "class": ({"classes": ["ant", "bee", "cat"]}, "and 3 classes for coefficients of shape (3, 4)"),
    "none": ({"classes": None}, "has classes that do not go with loss cxe"),
    "one": ({"classes": ["ant"]}, "has classes that do not go with loss cxe"),
    "twice": ({"classes": ["a", "b", "a", "c"]}, "has classes that do not go with loss cxe"),
    "intercept": ({"intercept": 0.5}, "has 4 classes for intercepts of shape ()"),
    "intercepts": ({"intercept": [0.5] * 3}, "has 4 classes for intercepts of shape (3,)"),
    "text": ({"intercept": ["a"] * 4}, "values of wrong types"),
    "two": ({"loss": "bxe"}, "values of wrong types"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_model(name: str, tmp_path: Path) -> None:
    change, says = BROKEN[name]
    (tmp_path / "model.json").write_text(dumps({**made().to_dict(), **plain(change)}))
    with pytest.raises(InputError, match=says.replace("(", r"\(").replace(")", r"\)")) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_loss_anew_must_have_the_same_outputs() -> None:
    assert made().with_loss("naive_bayes").loss == "naive_bayes"
    with pytest.raises(InputError, match="does not go with the classes of the model"):
        made().with_loss("bxe")
    two = train(X, CODES > 1, loss="bxe", reg_param=0.1)
    with pytest.raises(InputError, match="does not go with the classes of the model"):
        two.with_loss("cxe")


def test_a_loss_of_ones_own_has_one_output() -> None:
    class Own(CrossEntropy):
        pass

    with pytest.raises(InputError, match="a loss of your own has one output: multiclass"):
        train(X, CODES, loss=Own)
    assert train(X, CODES, loss=CrossEntropy, reg_param=0.1).loss == "cxe"


# --- trained ------------------------------------------------------------------------------------


def test_an_unpenalised_fit_is_statsmodels() -> None:
    times = WEIGHT.astype(int)
    x, y = np.repeat(X, times, axis=0), np.repeat(CODES, times)
    design = np.column_stack([x, np.ones(len(x))])
    theirs = sm.MNLogit(y, design).fit(disp=0, method="newton", tol=1e-14, maxiter=100)
    model = train(X, np.array(WORDS)[CODES], weight=WEIGHT, loss="cxe")
    assert model.ok
    found = model.metrics["train"]
    assert found["log_likelihood"] == pytest.approx(theirs.llf, rel=1e-12)
    assert found["aic"] == pytest.approx(theirs.aic, rel=1e-12)
    assert found["log_loss"] == pytest.approx(model.objective, rel=1e-12)
    np.testing.assert_allclose(model.probability(X), theirs.predict(
        np.column_stack([X, np.ones(ROWS)])), rtol=1e-6, atol=1e-9)  # fmt: skip
    by_theirs = scikit_learn(CODES, np.argmax(model.probability(X), axis=1), WEIGHT)
    for name, value in by_theirs.items():
        assert found[name] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("label", ["words", "truth"])
def test_a_penalised_fit_is_scikit_learns(label: str) -> None:
    from sklearn.linear_model import LogisticRegression

    y = np.array(WORDS)[CODES] if label == "words" else CODES > 1
    c = 0.3
    theirs = LogisticRegression(C=c, tol=1e-12, max_iter=5000).fit(X, y, sample_weight=WEIGHT)
    model = train(X, y, weight=WEIGHT, loss="cxe", convention="sklearn", reg_param=c)
    assert list(model.classes or ()) == theirs.classes_.tolist()
    if label == "words":  # of two classes theirs is one output
        np.testing.assert_allclose(model.probability(X), theirs.predict_proba(X), atol=1e-6)
    else:  # w and -w are penalised both: half the penalty of one vector 2 w
        halved = LogisticRegression(C=2 * c, tol=1e-12, max_iter=5000)
        halved.fit(X, y, sample_weight=WEIGHT)
        np.testing.assert_allclose(model.probability(X), halved.predict_proba(X), atol=1e-6)
        assert model.predict(X).dtype == bool


def test_l1_counts_what_is_not_0() -> None:
    model = train(X, np.array(WORDS)[CODES], loss="cxe", reg_param=0.05, elastic_net_param=1.0)
    assert 0 < np.count_nonzero(model.weights) < 3 * N
    found = model.metrics["train"]
    parameters = found["aic"] / 2 + found["log_likelihood"]
    assert parameters == pytest.approx(np.count_nonzero(model.weights) + 3, abs=1e-9)


@pytest.mark.spark
def test_train_evaluate_predict(run: Run, tmp_path: Path) -> None:  # noqa: F811
    data, out = write_csv(tmp_path / "t.csv", frame()), tmp_path / "m"
    options = (
        "--label",
        "kind",
        "--weight",
        "s",
        "--loss",
        "cxe",
        "--reg-param",
        "0.02",
        "--solver",
        "newton",
    )
    answer = run("train", data, *options, "--out", out).ok()
    assert "Softmax regression of kind (4 classes) on 3 features, L2" in answer.out
    evaluated_by = run("evaluate", out, data, "--label", "kind", "--weight", "s").ok()
    trained = json.loads((out / "metrics.json").read_text())["train"]
    found = json.loads(evaluated_by.out)
    assert without_matrix(found) == pytest.approx(without_matrix(trained), rel=1e-12)
    assert {"confusion.png", "coefficients.png"} <= {p.name for p in (out / "figures").iterdir()}
    run("predict", out, data, "--out", tmp_path / "p.csv").ok()
    predicted = pd.read_csv(tmp_path / "p.csv")
    right = np.average(predicted["prediction"] == predicted["kind"], weights=WEIGHT)
    assert found["accuracy"] == pytest.approx(right, rel=1e-12)
    local = train(frame(), "kind", weight="s", loss="cxe", reg_param=0.02, solver="newton")
    np.testing.assert_array_equal(load(out).weights, local.weights)  # the same bits


# --- evaluate and predict of tables -------------------------------------------------------------


def test_a_label_that_the_model_does_not_know() -> None:
    table = frame()
    table.loc[5, "kind"] = "emu"
    says = "label column 'kind' has the value 'emu', which the model does not know: ant, bee, cat"
    with pytest.raises(InputError, match=says):
        evaluated(made(), table)
    table.loc[5, "s"] = 0.0
    assert evaluated(made(), table)["rows"] == ROWS - 1


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("w261reg.report.write_report", lambda folder: None)
    made(label="kind").save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.spark
@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_command_line(run: Run, saved: Path, tmp_path: Path, write: Any) -> None:  # noqa: F811
    data = write(tmp_path / f"t.{write.__name__[6:]}", frame())
    answer = run("evaluate", saved, data, "--label", "kind", "--weight", "s").ok()
    found, wanted = json.loads(answer.out), evaluated(made(), frame())
    assert without_matrix(found) == pytest.approx(without_matrix(wanted), rel=1e-12)
    assert found["confusion"] == wanted["confusion"]
    for ending in ("csv", "parquet"):
        out = tmp_path / f"p.{ending}"
        run("predict", saved, data, "--out", out).ok()
        found = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
        predicted = made().predict(frame())
        assert found["prediction"].tolist() == predicted["prediction"].tolist()
        names = [f"probability_{word}" for word in WORDS]
        np.testing.assert_allclose(found[names], predicted[names], rtol=1e-12, atol=1e-15)


@pytest.mark.spark
def test_bad_tables(run: Run, saved: Path, tmp_path: Path) -> None:  # noqa: F811
    table = frame()
    table.loc[3, "kind"] = "emu"
    data = write_csv(tmp_path / "t.csv", table.drop(columns="s"))
    refused(
        run("evaluate", saved, data, "--label", "kind"),
        "label column 'kind' has the value 'emu', which the model does not know",
    )
    numbers = write_csv(tmp_path / "n.csv", frame(CODES))
    refused(
        run("evaluate", saved, numbers, "--label", "kind"),
        "label column 'kind' is int64, unlike the classes of the model: 'ant', 'bee', 'cat'",
    )
    taken = write_csv(tmp_path / "p.csv", frame().assign(probability_cat=0.0))
    refused(
        run("predict", saved, taken, "--out", tmp_path / "o.csv"),
        "the data already has a column 'probability_cat'",
    )
    assert not (tmp_path / "o.csv").exists()
