"""Tables that leave nothing to fit, or hold numbers that no sum can: an answer, or one line."""

import itertools
import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from tests.problems import example, objective_of
from w261reg import InputError, train
from w261reg.config import Settings
from w261reg.evaluation import rounding_of
from w261reg.losses import LOSSES
from w261reg.solvers import SOLVERS, Status, minimise

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)
RESPONSE = RNG.normal(size=30)
LABELS = {
    "mse": RESPONSE,
    "bxe": (RESPONSE > 0) * 1.0,
    "squared_hinge": (RESPONSE > 0) * 1.0,
    "hinge": (RESPONSE > 0) * 1.0,
    "cxe": np.digitize(RESPONSE, [-0.5, 0.5]).astype(float),
}
X = RNG.normal(size=(30, 3))
PENALTIES: dict[str, dict[str, Any]] = {
    "none": {},
    "l1": {"reg_param": 0.1, "elastic_net_param": 1.0},
    "l2": {"reg_param": 0.1},
    "smooth": {"smooth_param": 1.0},
}


def test_every_loss_is_tried() -> None:
    assert set(LABELS) == {name for name, loss in LOSSES.items() if not loss.counted}


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("loss", LABELS)
def test_no_feature_varies(loss: str, solver: str, intercept: bool) -> None:
    """Weights of 0 and the best intercept, by every solver that takes the problem."""
    for features, (penalty, given), max_iter in itertools.product(
        (1, 2), PENALTIES.items(), (0, 20)
    ):
        x = np.full((30, features), 3.0)
        if penalty == "smooth" and features == 1:
            continue
        settings = {"fit_intercept": intercept, "convention": "canonical", **given}
        try:
            model = train(x, LABELS[loss], loss=loss, solver=solver, max_iter=max_iter, **settings)
        except InputError as error:
            assert "solver" in str(error)
            continue
        assert not model.weights.any()
        assert np.isfinite(model.objective)
        if not intercept:
            assert not np.any(model.intercept)
        elif loss == "mse":
            assert model.intercept == pytest.approx(RESPONSE.mean(), rel=1e-14)
        elif loss == "bxe":
            share = LABELS[loss].mean()
            assert model.intercept == pytest.approx(np.log(share / (1 - share)), rel=1e-9)


@pytest.mark.parametrize("loss", LABELS)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weight": 1e-165}, "weight column .*: the sum of the weights is .*e-16.* from 1e-152 to"),
        ({"weight": 1e-320}, "weight column .*: the sum of the weights is"),
        ({"weight": 1e160}, r"weight column .*: the sum of the weights is .*e\+16"),
        ({"weight": 1e307}, "weight column .*: the sum of the weights is inf"),
        ({"x": 1e-165}, "feature column 'x2' has a standard deviation of .*e-16.* from 1e-152 to"),
        ({"x": 1e-320}, "feature column 'x2' has a standard deviation of"),
        ({"x": 1e160}, r"feature column 'x2' has values from -.*e\+160 to .*e\+160"),
        ({"x": 1e307}, "feature column 'x2' has values from"),
    ],
)
def test_sizes_that_no_sum_can_hold_are_refused(
    loss: str, change: dict[str, float], says: str
) -> None:
    x = X.copy()
    x[:, 1] *= change.get("x", 1.0)
    weight = np.full(30, change.get("weight", 1.0)) * RNG.uniform(0.5, 1, 30)
    for given in (*PENALTIES.values(), {"standardization": False, "fit_intercept": False}):
        with pytest.raises(InputError, match=says):
            train(x, LABELS[loss], weight=weight, loss=loss, **given)


@pytest.mark.parametrize("loss", LABELS)
@pytest.mark.parametrize("size", [1e-100, 1e-150, 1e100, 1e150])
def test_weights_are_shares(loss: str, size: float) -> None:
    """Within that range the size of the weights changes nothing, nor any convention's divisor."""
    weight = RNG.uniform(0.5, 1, 30)
    for convention in ("canonical", "spark", "glmnet" if loss == "cxe" else "spark-lbfgs"):
        given: dict[str, Any] = {"loss": loss, "convention": convention, "reg_param": 0.1}
        plain = train(X, LABELS[loss], weight=weight, **given)
        model = train(X, LABELS[loss], weight=weight * size, **given)
        assert model.status == plain.status == "converged"
        np.testing.assert_allclose(model.weights, plain.weights, rtol=1e-9, atol=1e-12)
        assert model.objective == pytest.approx(plain.objective, rel=1e-12)
        if "auc" in plain.metrics["train"]:
            auc = plain.metrics["train"]["auc"]
            assert model.metrics["train"]["auc"] == pytest.approx(auc, rel=1e-14)


@pytest.mark.parametrize("convention", ["canonical", "spark", "glmnet"])
@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e-165, 1e160, 1e200, 1e307])
def test_labels_that_no_square_can_hold_are_refused(size: float, convention: str) -> None:
    for given in PENALTIES.values():
        with pytest.raises(InputError, match="label column 'label' has"):
            train(X, RESPONSE * size, loss="mse", convention=convention, **given)


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_labels_within_range_are_answered(size: float) -> None:
    plain = train(X, RESPONSE, loss="mse", reg_param=0.1, convention="canonical")
    model = train(X, RESPONSE * size, loss="mse", reg_param=0.1, convention="canonical")
    np.testing.assert_allclose(model.weights / size, plain.weights, rtol=1e-12)
    assert model.metrics["train"]["r2"] == pytest.approx(plain.metrics["train"]["r2"], rel=1e-12)
    assert train(X, RESPONSE * size, loss="mse", reg_param=0.1).status == "converged"


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_largest_labels_are_answered(penalty: str) -> None:
    """Their objective is a number, and a million times that is not."""
    given: dict[str, Any] = {"loss": "mse", "convention": "canonical", **PENALTIES[penalty]}
    given["elastic_net_param"] = 0.0
    plain = train(X, RESPONSE, **given)
    model = train(X, RESPONSE * 2e151, **given)
    assert model.status == "converged"
    np.testing.assert_allclose(model.weights / 2e151, plain.weights, rtol=1e-9)


@pytest.mark.parametrize("size", [1e-150, 1e-100, 1e100, 1e150])
def test_sigmas_that_no_sum_can_hold_are_refused(size: float) -> None:
    with pytest.raises(InputError, match=r"sigma column 'sigma': the sum of weight / sigma\^2 is"):
        train(X, RESPONSE, loss="mse", sigma=np.full(30, size))


@pytest.mark.parametrize("size", [1e-50, 1e-42])
def test_a_feature_that_storage_would_spoil_is_refused(size: float) -> None:
    x = X * [1, size, 1]
    with pytest.raises(
        InputError, match=r"storage float32 rounds feature column 'x2' by .* float64"
    ):
        train(x, RESPONSE, loss="mse", storage="float32")
    fine = train(X * [1, 1e-30, 1] + [0, 0, 1e6], RESPONSE, loss="mse", storage="float32")
    assert fine.status == "converged"


@pytest.mark.parametrize("solver", [name for name, kind in SOLVERS.items() if not kind.kinked_only])
def test_what_is_no_number_has_not_converged(solver: str) -> None:
    """Whatever makes the objective infinite: here weights whose sums overflow, not checked."""
    problem = example("mse", weighted=True)
    problem = problem.but(weight=problem.weight * 1e307)
    with np.errstate(all="ignore"):
        result = minimise(SOLVERS[solver](), objective_of(problem))
    assert result.status is Status.DIVERGED
    assert result.suboptimality_bound is None


@pytest.mark.parametrize("loss", ["mse", "bxe", "cxe", "squared_hinge", "hinge"])
def test_a_tolerance_of_0_ends_where_rounding_does(loss: str) -> None:
    """As pyspark.ml's tol; what ends a fit is a proof, or that no step descends any further."""
    model = train(X, LABELS[loss], loss=loss, reg_param=0.1, tol=0.0)
    assert model.tol == 0
    if model.status == "converged":
        assert model.optimality_residual == 0 or "no step descends any further" in model.message
    else:
        assert model.status == "max_iter"
    assert model.optimality_residual < 1e-14
    assert model.n_passes < 60
    assert model.suboptimality_bound is not None
    assert model.suboptimality_bound <= 2 * rounding_of(model.objective)
    assert Settings(label="y", loss=loss, tol=0.0).checked().tol == 0


@pytest.mark.parametrize("convention", ["canonical", "sklearn", "course"])
def test_a_column_of_ones_without_an_intercept_is_told(
    convention: str, caplog: pytest.LogCaptureFixture
) -> None:
    x = np.column_stack([X, np.ones(30)])
    given: dict[str, Any] = {"loss": "mse", "convention": convention, "reg_param": 0.1}
    says = "without an intercept a constant feature is not used as one: leave it out"
    with caplog.at_level(logging.WARNING, logger="w261reg"):
        assert train(x, RESPONSE, fit_intercept=False, **given).weights[3] == 0
        assert "constant, so coefficient 0: x4" in caplog.text
        assert says in caplog.text
        caplog.clear()
        train(x, RESPONSE, **given)
        train(x * [1, 1, 1, 0], RESPONSE, fit_intercept=False, **given)
        assert says not in caplog.text


def test_one_row_of_all_the_weight() -> None:
    """A sample's divisor is 0; and sums of sparse rows about their mean cancel, below 0 even."""
    says = r"convention spark divides .* one row has all"
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = np.column_stack([np.zeros(2), 1e32 * rng.normal(size=2)])
        weight = np.array([rng.uniform(1, 2), 1e-18])
        given: dict[str, Any] = {"loss": "cxe", "weight": weight, "reg_param": 0.1, "max_iter": 5}
        for form in (np.asarray, sparse.csr_array):
            plain = train(form(x), [2, 1], convention="canonical", **given)
            assert np.isfinite(plain.objective)
        with pytest.raises(InputError, match=says):
            train(x, [2, 1], convention="spark", **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"reg_param": 1e300},
            "reg_param 1e\\+300 of convention canonical is here a strength l2 of",
        ),
        ({"reg_param": 1e-300, "elastic_net_param": 1.0}, "a strength l1 of 1e-300, which must be"),
        ({"reg_param": 1e-300, "convention": "sklearn"}, "is here a strength l2 of"),
        ({"smooth_param": 1e300}, "the penalty is too strong for numbers"),
    ],
)
def test_strengths_that_no_number_can_hold_are_refused(given: dict[str, Any], says: str) -> None:
    x = X * [1, 1e-5, 1e-20]
    for loss in ("bxe", "cxe", "hinge", "squared_hinge"):
        settings = {"loss": loss, "convention": "canonical", **given}
        with pytest.raises(InputError, match=says):
            train(x, LABELS[loss], weight=np.full(30, 1e-20), **settings)


@pytest.mark.parametrize("solver", ["momentum", "nesterov", "adagrad", "adam", "sgd", "gd"])
def test_as_many_features_as_classes_that_vary(solver: str) -> None:
    """Three classes and one feature of three that varies: three numbers, either way."""
    x = np.column_stack([X[:, 0], np.ones(30), np.zeros(30)])
    for intercept in (True, False):
        given: dict[str, Any] = {"loss": "cxe", "fit_intercept": intercept, "solver": solver}
        model = train(x, LABELS["cxe"], max_iter=5, step_size=0.1, **given)
        alone = train(x[:, :1], LABELS["cxe"], max_iter=5, step_size=0.1, **given)
        np.testing.assert_allclose(model.weights[0], alone.weights[0], rtol=1e-12)
        assert not model.weights[1:].any()
