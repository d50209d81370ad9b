"""Coordinates about the rows that bend the loss, where few rows far away have set them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from w261reg.constrained import Constrained
from w261reg.evaluation import Evaluation
from w261reg.objective import Objective

Array = NDArray[np.float64]

# a spread, as a share of the distance from the centre, that leaves half of a Hessian's digits
NARROW = 1e-4
# in theta's units: a centre that is so near costs no digits
NEAR = 1e-6
# of the null model's curvature: with less, few rows bend the loss, and others may before the end
MUCH = 1e-3


def recentred(objective: Objective, at: Evaluation) -> Evaluation:
    """The evaluation of the same model in coordinates that suit the rows that still have curvature.

    Coordinates are made from the means and deviations of all rows. One row of 1e12 among others of
    1 to 6 sets both; once a model has fitted that row, its l'' is 0, and all rows that are left lie
    within 1e-12 of each other in these units: the Hessian has lost their differences, and so has
    the linear predictor. Where the rows weighted by l'' are narrow beside their distance from the
    centre, their mean becomes the centre, which takes a pass; where their deviation is of another
    order than the unit, it becomes the unit. This changes the objective's coordinates, so the
    meaning of theta; elsewhere nothing happens.
    """
    to = objective.coordinates
    # a basis of the rows keeps their differences already
    fixed = (
        isinstance(objective, Constrained) or not objective.fit_intercept or at.curved is not None
    )
    if fixed or objective.loss.quadratic or at.hessian is None or len(to.active) == 0:
        return at
    at = _in_their_units(objective, at)
    to = objective.coordinates
    mean, second = _of_bending_rows(objective, at)
    narrow = (np.abs(mean) > NEAR) & (second - mean**2 <= NARROW**2 * mean**2)
    if not narrow.any():
        return at
    w, b0 = to.weights(at.theta), to.centred_intercept(at.theta)
    centre = to.centre.copy()
    centre[to.active] += np.where(narrow, mean / to.unit, 0.0)
    b0 = b0 + (centre - to.centre) @ w
    objective.move(replace(to, centre=centre))
    unit = objective.coordinates.unit if w.ndim == 1 else objective.coordinates.unit[:, None]
    theta = objective.coordinates.extended(w[to.active] / unit, b0)
    moved = objective.evaluate(theta, 2, "about the rows that bend the loss")
    return _in_their_units(objective, moved) if moved.finite else moved


def _in_their_units(objective: Objective, at: Evaluation) -> Evaluation:
    """The same evaluation where no unit is of another order than the bending rows' deviation:
    exact, and at no pass."""
    to = objective.coordinates
    _, second = _of_bending_rows(objective, at)
    other = (second > 0) & ((second <= NARROW**2) | (second >= NARROW**-2))
    if not other.any():
        return at
    finer = np.where(other, np.frexp(np.sqrt(second))[1], 0).astype(np.int64)
    finer = np.clip(to.exponent + finer, -1000, 1000) - to.exponent
    objective.move(replace(to, exponent=to.exponent + finer))
    size = to.extended(np.ldexp(1.0, finer), 1.0)  # theta per old theta
    assert at.hessian is not None
    return replace(
        at,
        theta=at.theta * size,
        loss_gradient=at.loss_gradient / size,
        gradient=at.gradient / size,
        hessian=at.hessian / size[:, None] / size,
    )


def _of_bending_rows(objective: Objective, at: Evaluation) -> tuple[Array, Array]:
    """First and second moments (n_active,) of the rows weighted by l'', about the centre and in
    theta's units, of several outputs of all their weights together; 0 and 1 where few rows bend."""
    to, n = objective.coordinates, len(objective.coordinates.active)
    assert at.hessian is not None
    bent = at.hessian - objective.regularizer.hessian(to.weights(at.theta))
    mean, second, weight = np.zeros(n), np.zeros(n), 0.0
    for k in range(to.outputs):
        own = bent[np.ix_(to.of_output(k), to.of_output(k))]
        mean += own[n, :n]
        second += np.diagonal(own)[:n]
        weight += float(own[n, n])
    if not weight > MUCH * to.outputs * objective.null.curvature():
        return np.zeros(n), np.ones(n)
    return mean / weight, np.maximum(second / weight, 0.0)
