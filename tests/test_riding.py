"""Metrics of a classifier ride with the evaluation that turns out to be the last."""

import numpy as np
import pytest

from w261reg.config import Settings
from w261reg.fitting import fit, scorer
from w261reg.losses import get_loss
from w261reg.sources import array_source
from w261reg.sources.packing import local_dataset
from w261reg.sources.select import select


@pytest.mark.parametrize("solver", ["newton", "proximal", "sampled", "lbfgs", "gd"])
def test_metrics_are_those_of_a_pass_of_their_own(solver: str) -> None:
    """Second order tells when it will end; others may end an evaluation sooner than expected."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(400, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1e3]
    y = (x[:, 0] + rng.logistic(size=400) > 0).astype(float)
    source, label, _ = array_source(x, y, None)
    columns = select(
        source.schema,
        features=None,
        label=label,
        classification=True,
        vector_names={"features": ["a", "b", "c"]},
    )
    dataset = local_dataset(source, columns)
    settings = Settings(label="label", loss="bxe", reg_param=0.05, solver=solver, max_iter=2000)
    model = fit(settings.checked(), dataset, columns, None, 0.0).model
    assert model.status == "converged"
    assert dataset.passes - model.n_passes <= (solver not in ("newton", "proximal"))
    own = scorer(get_loss("bxe"), model.weights, model.intercept)
    assert model.metrics["train"] == own.metrics(dataset.aggregate(own))


def test_a_fit_that_stops_early_takes_a_pass_for_its_metrics() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(200, 2))
    y = (x[:, 0] + rng.logistic(size=200) > 0).astype(float)
    source, label, _ = array_source(x, y, None)
    columns = select(
        source.schema,
        features=None,
        label=label,
        classification=True,
        vector_names={"features": ["a", "b"]},
    )
    dataset = local_dataset(source, columns)
    settings = Settings(label="label", loss="bxe", reg_param=0.05, solver="newton", max_iter=1)
    model = fit(settings.checked(), dataset, columns, None, 0.0).model
    assert model.status == "max_iter"
    assert dataset.passes == model.n_passes + 1
    own = scorer(get_loss("bxe"), model.weights, model.intercept)
    assert model.metrics["train"] == own.metrics(dataset.aggregate(own))
