"""Where there is more than one answer: what a user should read."""

from w261reg.constrained import Constrained
from w261reg.evaluation import Evaluation
from w261reg.objective import Objective


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
        return (
            f"the system is singular (rank {rank} of {p}): of the many answers that predict the "
            "same the one of least norm, in units of the features' standard deviations, is given"
        )
    rows, one = objective.summary.rows, objective.coordinates.single.p
    free = objective.unpenalised and not isinstance(objective, Constrained)
    if basis is None and free and rows < one:
        return f"with {rows} rows for {one} coefficients the answer is one of many"
    return ""
