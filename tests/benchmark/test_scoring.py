"""The score is the canonical objective: that of w261reg, and that of the formula."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.benchmark.helpers import GROUP, ROWS, tiny
from w261reg import train
from w261reg.benchmark import scoring
from w261reg.benchmark.reading import read_matrix, standard_deviations

CASES = [
    ("bxe", 0.0, 1e-2, True),
    ("bxe", 1e-2, 1e-3, True),
    ("mse", 0.0, 0.1, True),
    ("mse", 0.1, 0.0, False),
]


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(("loss", "l1", "l2", "standardization"), CASES)
def test_score_is_the_objective_of_w261reg(
    loss: str, l1: float, l2: float, standardization: bool, kind: str,
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path: Path = request.getfixturevalue(kind)
    monkeypatch.setattr(scoring, "BATCH_VALUES", 64 * 300)  # several batches
    problem, found = tiny(path, loss, l1, l2, standardization=standardization)
    x, y = read_matrix(problem)
    model = train(
        x, y, loss=loss, reg_param=l1 + l2, elastic_net_param=l1 / (l1 + l2),
        convention="canonical", standardization=standardization,
    )  # fmt: skip
    value = scoring.objective(problem, found.sd, model.weights, model.intercept)
    assert value == pytest.approx(model.objective, rel=1e-12)
    w = model.weights + 0.1
    z, d = x @ w + 0.3, found.sd if standardization else np.ones(len(w))
    parts = (y - z) ** 2 / 2 if loss == "mse" else np.log1p(np.exp(z)) - y * z
    by_hand = parts.mean() + l1 * np.abs(d * w).sum() + l2 / 2 * ((d * w) ** 2).sum()
    assert scoring.objective(problem, found.sd, w, 0.3) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_moments(kind: str, request: pytest.FixtureRequest) -> None:
    problem, found = tiny(request.getfixturevalue(kind), "mse", 0.1, 0.1)
    x, y = read_matrix(problem)
    full = x.toarray() if problem.vector else x
    assert (problem.rows, problem.width) == full.shape
    assert problem.rows == ROWS > GROUP
    np.testing.assert_allclose(found.sd, full.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(standard_deviations(x)[1], full.std(axis=0), rtol=1e-12)
    assert found.label_sd == pytest.approx(y.std(), rel=1e-12)
    assert found.nnz == pytest.approx(np.count_nonzero(full) / ROWS)


def test_an_answer_that_is_not_finite_scores_infinity(dense: Path) -> None:
    problem, found = tiny(dense, "mse", 0.1, 0.1)
    assert scoring.objective(problem, found.sd, np.full(6, np.nan), 0.0) == np.inf


@pytest.mark.parametrize("order", ["C", "F"])
def test_matrix_is_the_table(dense: Path, order: str) -> None:
    problem, _ = tiny(dense, "bxe", 0.1, 0.1)
    x, y = read_matrix(problem, order)  # type: ignore[arg-type]
    table = pq.read_table(dense).to_pandas()
    np.testing.assert_array_equal(x, table[[f"x{j + 1}" for j in range(6)]].to_numpy())
    np.testing.assert_array_equal(y, table["y01"])
