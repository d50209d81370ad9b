"""Naive Bayes against scikit-learn, pyspark.ml and its own definition."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import tomli_w
from numpy.typing import NDArray
from scipy import sparse
from sklearn.naive_bayes import MultinomialNB

from tests.cli.conftest import run  # noqa: F401 - a fixture
from tests.cli.helpers import Run, model_of, refused
from tests.problems import leaves_of
from tests.sources.helpers import libsvm_line, write_csv, write_parquet
from w261reg import InputError, Model, check_gradient, load, train
from w261reg.aggregators.class_counts import CountClasses, Counts
from w261reg.config import COUNTING, Settings
from w261reg.datasets import LocalDataset
from w261reg.sources import Columns, open_path
from w261reg.sources.packing import local_dataset, spark_dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Array = NDArray[np.float64]
ROWS, N, K = 300, 7, 4
RNG = np.random.default_rng(11)
CODES = RNG.integers(0, K, ROWS)
WORDS = np.array(["ant", "bee", "cat", "dog"])[CODES]
X = RNG.poisson(RNG.gamma(0.7, 2.0, size=(K, N))[CODES]).astype(float)
WEIGHT = RNG.integers(0, 4, ROWS).astype(float)


def fitted(x: Any = X, y: Any = WORDS, weight: Any = None, **settings: Any) -> Model:
    return train(x, y, weight=weight, loss="naive_bayes", **settings)


# --- against others -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dense", "sparse", "float32"])
@pytest.mark.parametrize("smoothing", [0.0, 1e-3, 1.0, 25.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_scikit_learn(form: str, smoothing: float, weighted: bool) -> None:
    weight = WEIGHT if weighted else np.ones(ROWS)
    given = {"dense": X, "sparse": sparse.csr_array(X), "float32": X.astype(np.float32)}[form]
    model = fitted(given, weight=weight, smoothing=smoothing, convention="sklearn")
    theirs = MultinomialNB(alpha=smoothing).fit(X, WORDS, sample_weight=weight)
    np.testing.assert_allclose(model.weights.T, theirs.feature_log_prob_, rtol=1e-12, atol=0)
    np.testing.assert_allclose(model.intercept, theirs.class_log_prior_, rtol=1e-12, atol=0)
    assert list(model.classes or ()) == theirs.classes_.tolist()
    np.testing.assert_array_equal(model.predict(given), theirs.predict(X))
    np.testing.assert_allclose(
        model.probability(given), theirs.predict_proba(X), rtol=1e-10, atol=1e-13
    )
    assert model.n_passes == 2
    assert model.status == "converged"


def test_canonical_priors_are_scikit_learns() -> None:
    one, other = fitted(convention="canonical"), fitted(convention="sklearn")
    np.testing.assert_array_equal(one.intercept, other.intercept)
    np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.spark
@pytest.mark.parametrize("smoothing", [1.0, 0.3])
def test_pyspark(spark: "SparkSession", smoothing: float) -> None:
    from pyspark.ml.classification import NaiveBayes
    from pyspark.ml.linalg import Vectors

    rows = [
        (float(y), float(s), Vectors.dense(x))
        for y, s, x in zip(CODES, WEIGHT + 0.5, X.tolist(), strict=True)
    ]
    frame = spark.createDataFrame(rows, ["label", "s", "features"]).coalesce(1)
    theirs = NaiveBayes(smoothing=smoothing, weightCol="s").fit(frame)
    model = train(frame, label="label", weight="s", loss="naive_bayes", smoothing=smoothing)
    np.testing.assert_allclose(model.weights.T, theirs.theta.toArray(), rtol=1e-12, atol=0)
    np.testing.assert_allclose(model.intercept, theirs.pi.toArray(), rtol=1e-12, atol=0)
    found = model.predict(frame.select("features", "label")).toPandas()
    wanted = theirs.transform(frame).toPandas()
    np.testing.assert_array_equal(found["prediction"], wanted["prediction"])
    assert found["prediction"].dtype == np.int64
    probability = np.stack([row.toArray() for row in wanted["probability"]])
    names = [f"probability_{k}" for k in range(K)]
    np.testing.assert_allclose(found[names].to_numpy(), probability, rtol=1e-9, atol=1e-13)


# --- what it is the minimum of ------------------------------------------------------------------


def joint(theta: Array, prior: Array, smoothing: float, a: float) -> float:
    """The mean negative log joint likelihood with pseudo-counts, row by row."""
    rows = [WEIGHT[i] * (prior[CODES[i]] + X[i] @ theta[:, CODES[i]]) for i in range(ROWS)]
    return float(-(sum(rows) + smoothing * theta.sum() + a * prior.sum()) / WEIGHT.sum())


def test_the_objective_is_the_least_joint_likelihood() -> None:
    for convention, a in (("spark", 0.4), ("sklearn", 0.0)):
        model = fitted(weight=WEIGHT, smoothing=0.4, convention=convention)
        least = joint(model.weights, model.intercept, 0.4, a)
        assert model.objective == pytest.approx(least, rel=1e-13)
        rng = np.random.default_rng(5)
        for size in (1e-4, 1e-2, 1.0):
            theta = model.weights + size * rng.normal(size=(N, K))
            prior = model.intercept + size * rng.normal(size=K)
            theta -= np.log(np.exp(theta).sum(axis=0))
            prior -= np.log(np.exp(prior).sum())
            assert joint(theta, prior, 0.4, a) > least
        assert 0 <= model.optimality_residual < 1e-14


def test_there_is_no_likelihood_given_the_features() -> None:
    assert "aic" not in fitted().metrics["train"]


# --- one pass, the same bits --------------------------------------------------------------------


def counts_bits(state: Counts) -> tuple[bytes, ...]:
    return state.sums.tobytes(), state.weight.tobytes(), state.low.tobytes()


@pytest.mark.parametrize("as_sparse", [False, True])
def test_counts_are_sums_over_classes(monkeypatch: pytest.MonkeyPatch, as_sparse: bool) -> None:
    x, weight = X - 0.25, np.maximum(WEIGHT, 0.1)
    leaves = leaves_of(x, CODES.astype(float), weight, 3, as_sparse)
    found = LocalDataset(leaves, N).aggregate(CountClasses(N, K))
    for k in range(K):
        own = np.equal(CODES, k)
        np.testing.assert_allclose(found.sums[:, k], weight[own] @ x[own], rtol=1e-13)
        assert found.weight[k] == pytest.approx(weight[own].sum(), rel=1e-14)
    np.testing.assert_array_equal(found.low, x.min(axis=0))
    assert found.rows == ROWS
    # rows of many classes are taken a few at a time
    monkeypatch.setattr("w261reg.aggregators.base.PIECE_NUMBERS", 16 * K)
    few = LocalDataset(leaves, N).aggregate(CountClasses(N, K))
    np.testing.assert_allclose(few.sums, found.sums, rtol=1e-13)
    assert few.rows == ROWS


@pytest.mark.spark
def test_the_same_bits_for_any_number_of_tasks(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w261reg.sources.parquet.leaf_rows", lambda width: 16)
    names = tuple(f"x{j}" for j in range(N))
    frame = pd.DataFrame(X * np.pi, columns=list(names)).assign(y=WORDS)
    source = open_path(str(write_parquet(tmp_path / "t.parquet", frame, row_group_size=90)))
    columns = Columns(names, names, label="y", classes=True, levels=("ant", "bee", "cat", "dog"))
    counting = CountClasses(N, K)
    wanted = counts_bits(local_dataset(source, columns).aggregate(counting))
    for tasks in (1, 3, 7):
        dataset = spark_dataset(spark.sparkContext, source, columns, tasks)
        assert counts_bits(dataset.aggregate(counting)) == wanted
        dataset.release()


# --- the command line ---------------------------------------------------------------------------


@pytest.mark.spark
def test_command_line(run: Run, tmp_path: Path) -> None:  # noqa: F811
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(N)]).assign(kind=WORDS)
    data, out = write_csv(tmp_path / "t.csv", frame), tmp_path / "out"
    answer = run("train", data, "--label", "kind", "--loss", "naive_bayes", "--out", out).ok()
    assert "Naive Bayes of kind (4 classes) on 7 features, Laplace smoothing" in answer.out
    document = model_of(out)
    assert document["classes"] == ["ant", "bee", "cat", "dog"]
    assert np.shape(document["coefficients"]) == (N, K)
    assert np.shape(document["intercept"]) == (K,)
    assert document["penalty_params"] == {"smoothing": 1.0}
    assert document["n_passes"] == 2
    config = tomllib.loads((out / "config.toml").read_text())
    assert config["smoothing"] == 1.0
    again = Settings.of(config).checked()
    assert again.checked() == again
    run("predict", out, data, "--out", tmp_path / "p.csv").ok()
    predicted = pd.read_csv(tmp_path / "p.csv")
    theirs = MultinomialNB().fit(X, WORDS)
    # pyspark.ml's priors are smoothed: (n_k + 1) / (n + K)
    theirs.class_log_prior_ = np.log((theirs.class_count_ + 1) / (ROWS + K))
    assert predicted["prediction"].tolist() == theirs.predict(X).tolist()
    names = [f"probability_{word}" for word in theirs.classes_]
    np.testing.assert_allclose(predicted[names], theirs.predict_proba(X), rtol=1e-10, atol=1e-13)
    repeated = tmp_path / "again"
    run("train", "--config", out / "config.toml", "--out", repeated).ok()
    assert model_of(repeated)["coefficients"] == document["coefficients"]


@pytest.mark.spark
def test_libsvm(spark: "SparkSession", tmp_path: Path) -> None:
    path = tmp_path / "t.libsvm"
    rows = zip(10 * CODES - 7, X, strict=True)
    path.write_text("\n".join(libsvm_line(y, x) for y, x in rows) + "\n")
    model = train(str(path), label="label", loss="naive_bayes")
    np.testing.assert_array_equal(model.weights, fitted(y=10 * CODES - 7).weights)
    assert model.classes == (-7, 3, 13, 23)
    assert model.n_passes == 3  # one finds the width


# --- what has no meaning ------------------------------------------------------------------------

SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "penalty": ({"reg_param": 0.1}, "reg_param has no meaning for loss naive_bayes"),
    "mix": ({"elastic_net_param": 1.0}, "elastic_net_param has no meaning for loss naive_bayes"),
    "smooth": ({"smooth_param": 1.0}, "smooth_param has no meaning for loss naive_bayes"),
    "intercept": ({"fit_intercept": False}, "fit_intercept has no meaning"),
    "sd": ({"standardization": True}, "standardization has no meaning"),
    "solver": ({"solver": "newton"}, "solver has no meaning .* 'newton'"),
    "step": ({"step_size": 0.1}, "step_size has no meaning"),
    "iterations": ({"max_iter": 7}, "max_iter has no meaning"),
    "tol": ({"tol": 1e-3}, "tol has no meaning"),
    "start": ({"warm_start": "m"}, "warm_start has no meaning"),
    "storage": ({"storage": "float32"}, "storage has no meaning"),
    "convention": ({"convention": "glmnet"}, "convention must be one of spark, sklearn, canonical"),
    "positive": ({"positive": "ant"}, "positive is for a loss of two classes, not naive_bayes"),
    "negative": ({"smoothing": -1}, "smoothing must be >= 0, not -1"),
    "text": ({"smoothing": "much"}, "smoothing must be a number >= 0, not 'much'"),
    "other": ({"loss": "bxe", "smoothing": 1.0}, "smoothing is for loss naive_bayes, not bxe: 1.0"),
    "cxe": ({"loss": "cxe", "smoothing": 1.0}, "smoothing is for loss naive_bayes, not cxe: 1.0"),
}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_settings_without_meaning(name: str) -> None:
    given, says = SETTINGS[name]
    with pytest.raises(InputError, match=says) as caught:
        train(X, WORDS, **{"loss": "naive_bayes", **given})
    assert "\n" not in str(caught.value)


def test_defaults_may_be_given() -> None:
    given = {"reg_param": 0, "solver": "auto", "max_iter": 100, "fit_intercept": True}
    for convention in COUNTING:
        fitted(convention=convention, **given)


def test_features_below_0() -> None:
    x = X.copy()
    x[7, 2], x[8, 5] = -1.5, -0.25
    for form in (x, sparse.csr_array(x)):
        says = "features must be >= 0 .*: 'x3', 'x6' has values below 0, the least -1.5"
        with pytest.raises(InputError, match=says):
            fitted(form)
    fitted(x, weight=np.where(np.isin(np.arange(ROWS), [7, 8]), 0.0, 1.0))  # are not counted


def test_no_smoothing_of_a_zero_count() -> None:
    x = X.copy()
    x[CODES == 2, 4] = 0.0
    says = (
        "smoothing must be > 0 for this data, not 0: feature 'x5' is 0 in all rows of class 'cat'"
    )
    with pytest.raises(InputError, match=says):
        fitted(x, smoothing=0)
    assert np.isfinite(fitted(x, smoothing=1e-300).weights).all()


def test_sums_that_overflow() -> None:
    with pytest.raises(InputError, match="their sums overflow"):
        fitted(np.minimum(X, 1.0) * 1.5e308)


def test_null_features_are_named() -> None:
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(N)]).assign(y=WORDS)
    frame.loc[3, "x2"] = np.nan
    with pytest.raises(InputError, match=r"feature column 'x2' has 1 .* value in 300 rows"):
        train(frame, label="y", loss="naive_bayes")


def test_it_has_no_gradient_to_check() -> None:
    with pytest.raises(InputError, match="loss naive_bayes is not minimised"):
        check_gradient(X, WORDS, loss="naive_bayes")


@pytest.mark.spark
def test_compare_is_refused(run: Run, tmp_path: Path) -> None:  # noqa: F811
    data = write_csv(tmp_path / "t.csv", pd.DataFrame(X).assign(y=WORDS))
    options = ("--label", "y", "--loss", "naive_bayes", "--out", tmp_path / "o")
    refused(run("compare", data, *options), "compare", "naive_bayes")
    assert not (tmp_path / "o").exists()


def test_save_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w261reg.report.write_report", lambda folder: None)
    model = fitted(y=CODES > 1)
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.classes == (False, True)
    assert tomli_w.dumps(again.config) == tomli_w.dumps(model.config)
    np.testing.assert_array_equal(again.probability(X), model.probability(X))
    assert again.predict(X).dtype == bool
