"""Where a fit of many rows starts: at the optimum of a few, which the driver reads itself.

A few thousand rows lead to within their noise of the optimum, from where Newton's steps converge
as fast as they can. As the start is known before the first pass, that pass brings the loss, the
gradient and the Hessian there; weights of 0 would take two or three passes more. Whatever is wrong
with the few rows (one class only, a feature that separates them, another order of the table than
its rows' own) costs nothing but the start: the fit then begins at weights 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Evaluate, Summarise, Sums
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.losses import Loss
from w261reg.objective import Evaluation, Objective
from w261reg.posing import Orders, feature_constraints, kinked, pose
from w261reg.solvers import SOLVERS, Status, minimise

Array = NDArray[np.float64]
# the few rows differ from all by their noise, some 1e-2: a closer optimum is none of all rows
TOLERANCE = 1e-4


@dataclass(frozen=True)
class HeadStart:
    """A model z = (x - centre)'w + b, and the units for its Hessian.

    Attributes:
        w, centre, scale: (n,) each; `scale` of powers of two.
        b: the centred intercept.
        rows: that it was fitted to.
    """

    w: Array
    b: float
    centre: Array
    scale: Array
    rows: int

    def evaluate(self, loss: Loss) -> Evaluate:
        """The aggregator that rides with the first pass."""
        return Evaluate(loss, self.w[:, None], np.array([self.b]), self.centre, 2, self.scale)

    def evaluation(self, objective: Objective, sums: Sums) -> Evaluation | None:
        """What that aggregator found, of the whole table; None where it is no good start."""
        to = objective.coordinates
        shift = self.centre - to.centre
        theta = to.extended(self.w[to.active] / to.unit, self.b - float(shift @ self.w))
        at = objective.of_sums(theta, sums.moved(shift, self.scale, to.full_unit()), 2)
        null = objective.null_evaluation()
        assert at.hessian is not None
        if not (at.finite and np.isfinite(at.hessian).all()):
            return None
        return None if null is not None and not at.objective < null.objective else at


def head_start(
    settings: Settings,
    rows: Dataset,
    whole: int,
    loss: Loss,
    orders: Orders,
    names: Sequence[str],
) -> HeadStart | None:
    """The optimum of a few rows; None where they have none.

    Args:
        settings: checked, of the fit.
        rows: the few.
        whole: how many rows there are in all.
        loss: pointwise loss.
        orders: of the features.
        names: of the features (n,).
    """
    try:
        summary = rows.aggregate(Summarise(rows.n_features, gram=True))
        if not summary.sd()[-1] > 0:
            return None
        constraints = feature_constraints(settings, loss, names)
        share = summary.rows / whole
        objective = pose(settings, rows, loss, summary, orders, None, 1, share, constraints)
        kind = SOLVERS["proximal" if kinked(settings) else "newton"]
        result = minimise(kind(tol=TOLERANCE), objective)
    except InputError:
        return None
    if result.status is not Status.CONVERGED:
        return None
    at = objective.coordinates
    theta = result.evaluation.theta
    scale = at.full_unit()
    b = float(theta[-1]) if at.fit_intercept else 0.0
    return HeadStart(result.w, b, at.centre, np.where(scale > 0, scale, 1.0), summary.rows)
