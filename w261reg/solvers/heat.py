"""Curvature from further away, for models whose rows are so far off that the loss has none."""

from collections.abc import Iterator
from dataclasses import replace

from w261reg.evaluation import Evaluation
from w261reg.objective import Objective

# a model this many times worse than that of weights 0 has rows far on the wrong side
FAR = 2.0
# heats of one step, each so many times the last
MORE, MOST = 16.0, 6
# how fast the heat falls after a step that went all the way
LESS = 8.0
# a step of which less is left than this knew nothing of how far to go
SHORT = 1 / 16


def heats(objective: Objective, at: Evaluation, last: float) -> Iterator[float]:
    """The heats to try for a step from here, the best guess first; 1 is the loss itself.

    A loss like log(1 + e^-z) is a line where z is far below 0. A model with many such rows, as
    constraints or a warm start may ask for, has gradients there, and next to no curvature: Newton's
    step is far too long, or leaves out what the Hessian does not see. Heated, T l(z / T) has the
    same lines, and bends between them over a width of T. So its Hessian, that of l at theta / T,
    over T, knows how far to go, and the true gradient and objective decide what is descent.
    """
    height = _height(objective, at)
    yield min(last, height)
    if height > 1:
        yield from (height * MORE**k for k in range(MOST))


def _height(objective: Objective, at: Evaluation) -> float:
    """How many times worse than weights 0 the model is, which is about the size of z; or 1."""
    null = objective.null.value()
    return at.loss / null if 0 < FAR * null < at.loss else 1.0


def heated(objective: Objective, at: Evaluation, heat: float) -> Evaluation:
    """The evaluation with the Hessian of the heated loss in place of its own: one pass."""
    return replace(at, hessian=objective.heated_hessian(at.theta, heat), curved=None)


def next_heat(heat: float, length: float) -> float:
    """The heat of the next step after one of this length."""
    if length < SHORT:
        return heat * LESS
    return heat if length < 1 else max(1.0, heat / LESS)
