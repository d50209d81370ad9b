"""Second derivatives in a basis of the rows."""

import numpy as np
import pytest

from tests.problems import dataset_of, example
from w261reg.aggregators import Curvature
from w261reg.losses import get_loss


@pytest.mark.parametrize("as_sparse", [True, False])
@pytest.mark.parametrize("leaves", [1, 7])
def test_sums_are_those_of_numpy(leaves: int, as_sparse: bool) -> None:
    problem = example("bxe", weighted=True).but(leaves=leaves, sparse=as_sparse)
    rng = np.random.default_rng(0)
    n, loss = problem.x.shape[1], get_loss("bxe")
    w, b, centre = rng.normal(size=(n, 1)), np.array([0.3]), rng.normal(size=(n,))
    t, last, flat = rng.normal(size=(n, 3)), rng.normal(size=3), rng.normal(size=(n, 2))
    found = dataset_of(problem).aggregate(Curvature(loss, w, b, centre, np.ones(n), t, last, flat))
    rows = problem.x - centre
    h = problem.weight * loss.curvature(problem.y, rows @ w + b)[:, 0]
    q = rows @ t + last
    np.testing.assert_allclose(found.hessian[0], q.T @ (h[:, None] * q), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.reach, np.abs(q).max(axis=0), rtol=1e-12)
    terms = (np.abs(rows) + np.abs(centre)) @ np.abs(flat)
    np.testing.assert_allclose(found.moved, (np.abs(rows @ flat) / terms).max(axis=0), rtol=1e-11)
