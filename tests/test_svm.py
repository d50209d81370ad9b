"""Support vector machines from settings to model: conventions, choice, metrics, predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn import metrics, svm

from tests.problems import Problem, example, pointwise, value_at
from w261reg import load, train
from w261reg.errors import InputError
from w261reg.model import Model

Array = NDArray[np.float64]
LOSSES = ["hinge", "squared_hinge"]


def fitted(problem: Problem, **settings: Any) -> Model:
    return train(problem.x, problem.y, weight=problem.weight, loss=problem.loss, **settings)


# --- conventions and the choice of a solver -----------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [True, False])
def test_sklearns_c(loss: str, weighted: bool) -> None:
    problem = example(loss, m=100, weighted=weighted)
    theirs = svm.LinearSVC(
        C=0.3, loss=loss, fit_intercept=False, tol=1e-8, max_iter=1_000_000, dual=True,
        random_state=0,
    ).fit(problem.x, problem.y, sample_weight=problem.weight)  # fmt: skip
    model = fitted(problem, convention="sklearn", reg_param=0.3, fit_intercept=False)
    assert model.status == "converged"
    assert not model.standardization
    np.testing.assert_allclose(model.weights, theirs.coef_[0], rtol=1e-3, atol=1e-4)
    total = problem.weight.sum()

    def own(w: Array) -> float:
        """LinearSVC's objective as scikit-learn writes it."""
        short = pointwise(loss, problem.y, problem.x @ w)[0]
        return float(0.5 * (w @ w) + 0.3 * (problem.weight @ short))

    assert own(model.weights) <= own(theirs.coef_[0]) * (1 + 1e-9)
    assert own(model.weights) == pytest.approx(own(theirs.coef_[0]), rel=1e-6)
    assert model.l2 == pytest.approx(1 / (0.3 * total), rel=1e-14)
    assert model.objective * 0.3 * total == pytest.approx(own(model.weights), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_strengths_of_spark_canonical_and_course(loss: str) -> None:
    problem = example(loss, m=100, weighted=True)
    s = problem.weight
    divisor = s.sum() - s @ s / s.sum()
    mean = np.average(problem.x, axis=0, weights=s)
    sd = np.sqrt(s @ (problem.x - mean) ** 2 / divisor)
    spark = fitted(problem, reg_param=0.2)
    assert (spark.l1, spark.l2, spark.standardization) == (0.0, 0.2, True)
    np.testing.assert_allclose(spark.standard_deviations, sd, rtol=1e-12)
    canonical = fitted(problem, reg_param=0.2, convention="canonical")
    assert (canonical.l2, canonical.standardization) == (0.2, True)
    course = fitted(problem, reg_param=0.2, convention="course")
    assert (course.l2, course.standardization) == (0.2, False)
    for model, scale in ((spark, sd), (canonical, problem.scale), (course, np.ones(4))):
        assert model.status == "converged"
        z = problem.x @ model.weights + model.intercept
        mean_loss = np.average(pointwise(loss, problem.y, z)[0], weights=s)
        ridge = 0.1 * float(np.sum((scale * model.weights) ** 2))
        assert model.objective == pytest.approx(mean_loss + ridge, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("convention", ["glmnet", "homework"])
def test_conventions_without_such_a_loss(convention: str, loss: str) -> None:
    with pytest.raises(InputError, match=f"convention {convention} has no loss {loss}: use"):
        fitted(example(loss), convention=convention, reg_param=0.1)


def test_what_auto_takes() -> None:
    problem = example("hinge", m=100)
    ridge = fitted(problem, reg_param=0.1)
    assert (ridge.solver, ridge.status) == ("pegasos", "converged")
    assert "kinks" in ridge.why_solver
    for given in ({"reg_param": 0.0}, {"reg_param": 0.1, "elastic_net_param": 0.5}):
        assert fitted(problem, **given, max_iter=5).solver == "gd"
    stepped = fitted(problem, reg_param=0.1, step_size=0.05, max_iter=300)
    assert stepped.solver == "gd"
    assert ridge.objective <= stepped.objective < 1.1 * ridge.objective
    square = example("squared_hinge", m=100)
    assert fitted(square, reg_param=0.1).solver == "newton"
    assert fitted(square, reg_param=0.1, elastic_net_param=0.5).solver == "proximal"


@pytest.mark.parametrize("given", [{}, {"reg_param": 0.1, "elastic_net_param": 1.0}])
def test_pegasos_is_refused_before_the_data_is_read(
    given: dict[str, float], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="pegasos needs a penalty of L2 alone"):
        fitted(example("hinge"), solver="pegasos", **given)


# --- models -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_metrics(loss: str) -> None:
    problem = example(loss, m=100, weighted=True)
    model = fitted(problem, reg_param=0.1, convention="canonical")
    found, z = model.metrics["train"], problem.x @ model.weights + model.intercept
    s, y = problem.weight, problem.y
    expected = np.average(pointwise(loss, y, z)[0], weights=s)
    assert found[f"{loss}_loss"] == pytest.approx(expected, rel=1e-12)
    assert "log_loss" not in found
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(y, z, sample_weight=s), rel=1e-12)
    assert found["accuracy"] == pytest.approx(
        metrics.accuracy_score(y, z > 0, sample_weight=s), rel=1e-12
    )
    assert found["precision"] == pytest.approx(
        metrics.precision_score(y, z > 0, sample_weight=s), rel=1e-12
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_are_classes_without_probability(loss: str, tmp_path: Path) -> None:
    problem = example(loss, m=100)
    frame = pd.DataFrame(problem.x, columns=list("abcd"))
    frame["kind"] = np.where(problem.y == 1, "spam", "ham")
    model = train(frame, label="kind", positive="spam", loss=loss, reg_param=0.1)
    table = model.predict(frame)
    assert list(table.columns) == ["a", "b", "c", "d", "kind", "prediction"]
    z = problem.x @ model.weights + model.intercept
    assert table["prediction"].tolist() == np.where(z > 0, "spam", "ham").tolist()
    with pytest.raises(InputError, match=f"loss '{loss}' gives classes, no probability"):
        model.probability(problem.x)
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.predict(problem.x).tolist() == table["prediction"].tolist()
    page = (tmp_path / "m" / "report.html").read_text()
    assert "Support vector machine of kind on 4 features" in page
    assert f"mean {loss.replace('_', ' ')} loss" in page
    assert f"Mean {loss.replace('_', ' ')} loss" in page
    assert ("its proven lower bound" in page) == (loss == "hinge")
    assert "above the optimum" in model.summary()


@pytest.mark.parametrize("loss", LOSSES)
def test_bound_of_rounded_storage(loss: str) -> None:
    problem = example(loss, m=100)
    given: dict[str, Any] = {"reg_param": 0.05, "convention": "canonical"}
    rounded = fitted(problem, storage="float32", **given)
    assert rounded.storage_bound is not None
    own = value_at(
        problem.but(reg_param=0.05, standardization=True), rounded.weights, rounded.intercept
    )
    assert 0 < abs(own - rounded.objective) <= rounded.storage_bound
    assert rounded.storage_bound < 1e-6
