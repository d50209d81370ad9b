"""Log likelihood, deviances and AIC, against statsmodels on the same rows."""

import math
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

from tests.problems import Problem, dataset_of, example
from w261reg import train
from w261reg.aggregators import ClassificationScores, RegressionScores
from w261reg.likelihood import Moments, likelihood
from w261reg.losses import LOSSES, get_loss
from w261reg.losses.mse import SquaredError
from w261reg.model import Model, plain
from w261reg.scoring import evaluate_dataset
from w261reg.sources import Columns

Array = NDArray[np.float64]
NAMES = ("log_likelihood", "null_deviance", "residual_deviance", "aic")
# what R counts and statsmodels does not: the variance
MORE = {"mse": 2.0, "bxe": 0.0}
FAMILIES = {"mse": sm.families.Gaussian(), "bxe": sm.families.Binomial()}


def counted(problem: Problem) -> Problem:
    """The problem with weights 0, 1, 2, 3: how often a row is there."""
    return problem.but(weight=np.rint(problem.weight / 0.7))


def fitted(problem: Problem, **settings: Any) -> Model:
    return train(
        problem.x,
        problem.y,
        weight=problem.weight,
        loss=problem.loss,
        fit_intercept=problem.fit_intercept,
        convention="canonical",
        **settings,
    )


def statistics(model: Model) -> dict[str, float]:
    return {name: model.metrics["train"][name] for name in NAMES}


def design(problem: Problem) -> Array:
    one = np.ones((len(problem.x), int(problem.fit_intercept)))
    return np.column_stack([problem.x, one])


def null_deviance(problem: Problem) -> float:
    """R's: without an intercept the null model is z = 0. statsmodels' has an intercept always."""
    s, y = problem.weight, problem.y
    constant = {"mse": 0.0, "bxe": 0.5}[problem.loss]
    mean = float(np.average(y, weights=s)) if problem.fit_intercept else constant
    found = FAMILIES[problem.loss].deviance(y, np.full(len(y), mean), freq_weights=s)
    return float(found)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_unpenalised_statistics_are_statsmodels(loss: str, weighted: bool, intercept: bool) -> None:
    problem = example(loss, weighted=weighted).but(fit_intercept=intercept)
    problem = counted(problem) if weighted else problem
    used = problem.weight > 0
    problem = problem.but(x=problem.x[used], y=problem.y[used], weight=problem.weight[used])
    model = statistics(fitted(problem))
    theirs = sm.GLM(
        problem.y, design(problem), family=FAMILIES[loss], freq_weights=problem.weight
    ).fit(tol=1e-14, maxiter=200)
    assert model["residual_deviance"] == pytest.approx(theirs.deviance, rel=1e-12)
    assert model["null_deviance"] == pytest.approx(null_deviance(problem), rel=1e-12)
    if intercept:
        assert model["null_deviance"] == pytest.approx(theirs.null_deviance, rel=1e-12)
    assert model["log_likelihood"] == pytest.approx(theirs.llf, rel=1e-12)
    assert model["aic"] - MORE[loss] == pytest.approx(theirs.aic, rel=1e-12)
    # and where the rows are written out
    times = problem.weight.astype(int)
    y, x = np.repeat(problem.y, times), np.repeat(design(problem), times, axis=0)
    if loss == "bxe":
        logit = sm.Logit(y, x).fit(method="newton", tol=1e-14, maxiter=200, disp=0)
        assert model["log_likelihood"] == pytest.approx(logit.llf, rel=1e-12)
        assert model["aic"] == pytest.approx(logit.aic, rel=1e-12)
    else:
        least_squares = sm.OLS(y, x).fit()
        assert model["log_likelihood"] == pytest.approx(least_squares.llf, rel=1e-12)
        assert model["residual_deviance"] == pytest.approx(least_squares.ssr, rel=1e-12)


def test_a_weight_is_a_count() -> None:
    for loss in ("mse", "bxe"):
        problem = counted(example(loss, weighted=True))
        times = problem.weight.astype(int)
        written_out = problem.but(
            x=np.repeat(problem.x, times, axis=0),
            y=np.repeat(problem.y, times),
            weight=np.ones(times.sum()),
        )
        one, two = (statistics(fitted(p, reg_param=0.1)) for p in (problem, written_out))
        for name in NAMES:
            assert one[name] == pytest.approx(two[name], rel=1e-12), name


def test_null_deviance_without_an_intercept_by_hand() -> None:
    problem = example("bxe", weighted=True).but(fit_intercept=False)
    found = statistics(fitted(problem))["null_deviance"]
    assert found == pytest.approx(2 * problem.weight.sum() * math.log(2), rel=1e-14)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_penalised_statistics_are_those_of_the_data(loss: str) -> None:
    problem = example(loss, weighted=True)
    model = fitted(problem, reg_param=0.12, elastic_net_param=1.0)
    zeros = int(np.sum(model.weights == 0))
    assert 0 < zeros < 4
    s, y = problem.weight, problem.y
    mean = model.predict(problem.x) if loss == "mse" else model.probability(problem.x)
    family = FAMILIES[loss]
    scale = np.average((y - mean) ** 2, weights=s) if loss == "mse" else 1.0
    by_hand = family.loglike(y, mean, freq_weights=s, scale=scale)
    found = statistics(model)
    assert found["log_likelihood"] == pytest.approx(by_hand, rel=1e-12)
    deviance = family.deviance(y, mean, freq_weights=s)
    assert found["residual_deviance"] == pytest.approx(deviance, rel=1e-12)
    parameters = 4 - zeros + 1 + MORE[loss] / 2
    assert found["aic"] == pytest.approx(2 * parameters - 2 * by_hand, rel=1e-12)
    best = statistics(fitted(problem))
    assert best["log_likelihood"] > found["log_likelihood"]
    assert best["null_deviance"] == pytest.approx(found["null_deviance"], rel=1e-13)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_a_model_without_weights_is_the_null_model(loss: str) -> None:
    for intercept in (True, False):
        problem = example(loss, weighted=True).but(fit_intercept=intercept)
        model = fitted(problem, reg_param=1e3, elastic_net_param=1.0)
        assert not model.weights.any()
        found = statistics(model)
        assert found["residual_deviance"] == pytest.approx(found["null_deviance"], rel=1e-12)
        parameters = intercept + MORE[loss] / 2
        assert found["aic"] == pytest.approx(2 * (parameters - found["log_likelihood"]), rel=1e-13)


@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_one_way_to_the_same_figures(loss: str) -> None:
    """A pass of scores says what the fit said, to rounding."""
    problem = example(loss, weighted=True)
    model = fitted(problem, reg_param=0.05)
    dataset = dataset_of(problem)
    kind: Any = ClassificationScores if loss == "bxe" else RegressionScores
    scores = kind(get_loss(loss), model.weights, model.intercept)
    rows = Moments(*kind.moments(dataset.aggregate(scores)))
    again = likelihood(get_loss(loss), rows, True, 4)
    assert again == pytest.approx(statistics(model), rel=1e-11)
    columns = Columns(tuple("abcd"), tuple("abcd"), label="y", classes=loss == "bxe")
    evaluated = evaluate_dataset(model, dataset, columns)
    assert {name: evaluated[name] for name in NAMES} == again


def test_a_table_of_one_class_has_a_null_deviance_of_nothing() -> None:
    rows = Moments(12.0, 0.4, 1.0, 0.0)
    found = likelihood(get_loss("bxe"), rows, True, 2)
    assert found["null_deviance"] == 0.0
    assert found["log_likelihood"] == pytest.approx(-4.8)


def test_a_perfect_fit_is_infinitely_likely() -> None:
    found = likelihood(get_loss("mse"), Moments(10.0, 0.0, 1.0, 2.0), True, 1)
    assert found["log_likelihood"] == math.inf
    assert found["aic"] == -math.inf
    assert (found["null_deviance"], found["residual_deviance"]) == (20.0, 0.0)
    assert plain(found)["aic"] is None


def test_a_loss_that_is_no_likelihood_has_none() -> None:
    class Other(SquaredError):
        family = None  # type: ignore[assignment]

    assert likelihood(Other(), Moments(1.0, 1.0, 1.0, 1.0), True, 1) == {}
    families = {loss.family for loss in LOSSES.values()}
    assert families <= {"bernoulli", "multinomial", "gaussian", None}
