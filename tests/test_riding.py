"""Metrics of a classifier ride with the evaluation that turns out to be the last."""

import numpy as np
import pytest

from tests.problems import dataset_of, example
from w261reg.config import Settings
from w261reg.datasets import LocalDataset
from w261reg.fitting import fit
from w261reg.losses import get_loss
from w261reg.model import Model
from w261reg.scoring import scorer
from w261reg.sources import Columns


def fitted(solver: str, max_iter: int) -> tuple[Model, LocalDataset]:
    problem = example("bxe", weighted=True)
    dataset = dataset_of(problem)
    names = tuple(f"x{j}" for j in range(problem.x.shape[1]))
    columns = Columns(names, names, label="label", classes=True)
    for _, block in dataset.leaves:
        labels = {float(value): int((block.y == value).sum()) for value in np.unique(block.y)}
        object.__setattr__(block.census, "labels", labels)
    settings = Settings(label="label", loss="bxe", reg_param=0.05, solver=solver, max_iter=max_iter)
    return fit(settings.checked(), dataset, columns, None, 0.0).model, dataset


def check_metrics(model: Model, dataset: LocalDataset) -> None:
    scores = scorer(get_loss("bxe"), model.weights, model.intercept)
    own = scores.metrics(dataset.aggregate(scores))
    assert {name: model.metrics["train"][name] for name in own} == own


@pytest.mark.parametrize("solver", ["newton", "proximal", "sampled", "lbfgs", "gd"])
def test_metrics_are_those_of_a_pass_of_their_own(solver: str) -> None:
    """Second order tells when it will end; others may end an evaluation sooner than expected."""
    model, dataset = fitted(solver, 2000)
    assert model.status == "converged"
    assert dataset.passes - model.n_passes <= (solver not in ("newton", "proximal"))
    check_metrics(model, dataset)


def test_a_fit_that_stops_early_takes_a_pass_for_its_metrics() -> None:
    model, dataset = fitted("newton", 1)
    assert model.status == "max_iter"
    assert dataset.passes == model.n_passes + 1
    check_metrics(model, dataset)
