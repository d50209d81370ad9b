"""Where there is more than one answer: what a user should read."""

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import ExactRank
from w261reg.aggregators.exact_rank import residues
from w261reg.constrained import Constrained
from w261reg.constraints import INTERCEPT
from w261reg.evaluation import Evaluation
from w261reg.objective import Objective

# of the rows: with more, deciding takes too long
MOST_RANK = 512


def exactly(objective: Objective) -> bool:
    """Whether the directions that a basis of the rows leaves out are flat for the data as they are.

    In floating point rows do not vary along them. As real numbers they may, in their last digits,
    as where one column is the rounded sum of others; weights of 1e15 make a fit of that, which no
    prediction in floating point would show, but which a proof would have to exclude. So the rank
    is counted without rounding: one pass, whose answer is kept. False where that is too large.
    """
    basis = objective.basis
    if basis is None or not basis.flat.shape[1]:
        return True
    if objective.flat is None:
        rank = basis.rank + len(getattr(objective, "independent", ()))
        objective.flat = rank <= MOST_RANK and _rank(objective, rank) <= rank
    return objective.flat


def _rank(objective: Objective, most: int) -> int:
    """That of rows, penalty and constraints in the active features and the intercept."""
    to = objective.coordinates
    count = ExactRank(to.active, to.fit_intercept, most)
    rows = objective.dataset.aggregate(count)
    if objective.penalty.terms:
        bend = objective.penalty.hessian(np.zeros(to.n_features))
        own = np.diag(bend) if bend.ndim == 1 else bend
        further = residues(own[np.ix_(to.active, to.active)])
        rows = count.merge(rows, np.pad(further, ((0, 0), (0, int(to.fit_intercept)))))
    if isinstance(objective, Constrained):
        rows = count.merge(rows, _conditions(objective))
    return len(rows)


def _conditions(objective: Constrained) -> NDArray[np.int64]:
    """The left sides of the independent constraints as residues (r, k)."""
    to = objective.coordinates
    names = [objective.names[j] for j in to.active] + [INTERCEPT] * to.fit_intercept
    given = [objective.constraints.rows[k].coefficients for k in objective.independent]
    return np.array([[ExactRank.residue(row.get(name, 0)) for name in names] for row in given])


def note(objective: Objective, at: Evaluation) -> str:
    """The sentence about directions in which neither rows nor penalty vary, or "".

    Args:
        objective: what was minimised.
        at: the answer.
    """
    basis, p = objective.basis, objective.p
    if basis is not None and basis.flat.shape[1]:
        rank = p - basis.flat.shape[1] * max(1, basis.outputs - 1)
        if objective.varied or (at.curved is not None and not at.curved.level):
            return (
                f"the system is numerically singular (rank {rank} of {p}): other answers may be "
                "better"
            )
        least = "the one of least norm, in units of the features' standard deviations, is given"
        if not objective.flat:
            return (
                f"the system is singular to working precision (rank {rank} of {p}): of the many "
                f"answers that predict the same but for the last digits of the data {least}, and "
                "there is no proof against the others"
            )
        return (
            f"the system is singular (rank {rank} of {p}): of the many answers that predict the "
            f"same {least}"
        )
    rows, one = objective.summary.rows, objective.coordinates.single.p
    free = objective.unpenalised and not isinstance(objective, Constrained)
    if basis is None and free and rows < one:
        return f"with {rows} rows for {one} coefficients the answer is one of many"
    return ""
