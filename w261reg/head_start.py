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
from w261reg.evaluation import Evaluation
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.posing import Orders, feature_constraints, kinked, pose
from w261reg.solvers import SOLVERS, Status, minimise

Array = NDArray[np.float64]
# the few rows differ from all by their noise, some 1e-2: a closer optimum is none of all rows
TOLERANCE = 1e-4


@dataclass(frozen=True)
class HeadStart:
    """A model z = (x - centre)'w + b, and the units for its Hessian.

    Attributes:
        w: (n,), of K > 1 outputs (n, K).
        b: the centred intercept, or (K,).
        centre, scale: (n,) each; `scale` of powers of two.
        rows: that it was fitted to.
    """

    w: Array
    b: Array
    centre: Array
    scale: Array
    rows: int

    def evaluate(self, loss: Loss) -> Evaluate:
        """The aggregator that rides with the first pass."""
        w = self.w.reshape(len(self.w), -1)
        return Evaluate(loss, w, np.atleast_1d(self.b), self.centre, 2, self.scale)

    def evaluation(self, objective: Objective, sums: Sums) -> Evaluation | None:
        """What that aggregator found, of the whole table; None where it is no good start."""
        to = objective.coordinates
        shift = self.centre - to.centre
        w = self.w[to.active]
        unit = to.unit if w.ndim == 1 else to.unit[:, None]
        theta = to.extended(w / unit, self.b - shift @ self.w)
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
        summary = rows.aggregate(Summarise(rows.n_features, True, loss.outputs))
        if not summary.weight > 0 or not summary.sd()[-1] > 0:
            return None
        if summary.classes is not None and not summary.classes.weight.all():
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
    b = at.centred_intercept(theta)
    return HeadStart(result.w, b, at.centre, np.where(scale > 0, scale, 1.0), summary.rows)
