"""From settings, and the moments of the first pass, to the objective."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Summary
from w261reg.config import Settings, penalty_options
from w261reg.constrained import Constrained
from w261reg.constraints import Constraints, read_constraints
from w261reg.conventions import strengths
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.own import read_penalty
from w261reg.penalties import PENALTIES, Penalty

# positions of features in the order that a penalty goes by, by its option's name
Orders = Mapping[str, NDArray[np.int64]]


def pose(
    settings: Settings,
    dataset: Dataset,
    loss: Loss,
    summary: Summary,
    orders: Orders,
    sample: Summary | None = None,
    every: int = 1,
    share: float = 1.0,
    constraints: tuple[Constraints, Sequence[str]] | None = None,
) -> Objective:
    """The objective that these settings mean on these rows.

    Args:
        settings: checked.
        dataset: the rows.
        loss: pointwise loss.
        summary: of all rows.
        orders: as `feature_orders` finds them.
        sample: of one row in `every`, with its Gram matrix; None where no solver needs it.
        every: 1 is all rows.
        share: of the table that the dataset holds; strengths are those for the whole.
        constraints: with the features' names; None where there are none.

    Raises:
        InputError: the convention has no meaning for these values, or no coefficients satisfy the
            constraints.
    """
    canonical = strengths(
        settings.convention,
        reg_param=settings.reg_param,
        elastic_net_param=settings.elastic_net_param,
        loss=loss,
        summary=summary.repeated(1 / share),
        fit_intercept=settings.fit_intercept,
        standardization=bool(settings.standardization),
        free=constraints is None or constraints[0].homogeneous,
    )
    terms = extra_penalties(settings)
    extra = []
    for kind, strength in terms:
        penalty = kind.of(strength, canonical.scale)
        order = orders.get(kind.order_option or "")
        extra.append(penalty if order is None else penalty.along(order))
    intercept = settings.fit_intercept
    posed = (dataset, loss, summary, canonical, intercept, tuple(extra), sample, every)
    objective = Objective(*posed) if constraints is None else Constrained(*constraints, *posed)
    _check_penalty(objective)
    return objective


def _check_penalty(objective: Objective) -> None:
    """Raise InputError where numbers cannot hold the penalty in units of the features' size."""
    bend = objective.regularizer.diagonal(objective.zero)
    if np.isfinite(bend).all() and np.isfinite(objective.kink).all():
        return
    raise InputError(
        "the penalty is too strong for numbers: its strengths, over the size of the smallest "
        "feature or its square, are infinite; take weaker ones, or measure the feature in another "
        "unit"
    )


def feature_constraints(
    settings: Settings, loss: Loss, names: Sequence[str]
) -> tuple[Constraints, Sequence[str]] | None:
    """The constraints, and the features' names (n,); None where there are none.

    Args:
        settings: checked.
        loss: pointwise loss.
        names: of the features (n,).

    Raises:
        InputError: they name something else, or do not go with the loss or the penalty.
    """
    if settings.constraints is None:
        return None
    found = read_constraints(settings.constraints)
    if loss.kinked or loss.multiclass:
        what = "of one output" if loss.multiclass else "without kinks"
        raise InputError(f"constraints are for losses {what}, not {loss.name}")
    if kinked(settings):
        raise InputError("constraints need a penalty without an L1 part: elastic_net_param 0")
    found.check_names(names, settings.fit_intercept)
    return found, names


def feature_orders(settings: Settings, names: Sequence[str]) -> Orders:
    """Where the features are that a penalty goes by.

    Args:
        settings: checked.
        names: of the features (n,).

    Raises:
        InputError: one is not a feature.
    """
    position = {name: j for j, name in enumerate(names)}
    for option, order in settings.orders.items():
        for name in order:
            if name not in position:
                raise InputError(f"{option} must name features: {name!r} is not one")
    return {
        option: np.array([position[name] for name in order], dtype=np.int64)
        for option, order in settings.orders.items()
    }


def extra_penalties(settings: Settings) -> list[tuple[type[Penalty], float]]:
    """The penalties beside L1 and L2, with their strengths > 0."""
    options = penalty_options()
    chosen = settings.penalties.items()
    terms = [(PENALTIES[options[name]], strength) for name, strength in chosen if strength > 0]
    if settings.penalty is not None and settings.penalty_param:
        terms.append((read_penalty(settings.penalty).term, settings.penalty_param))
    return terms


def ridge(settings: Settings) -> bool:
    """Whether the penalty is L2 alone."""
    own = settings.reg_param > 0 and settings.elastic_net_param == 0
    return own and not extra_penalties(settings)


def kinked(settings: Settings) -> bool:
    """Whether a penalty has an L1 part."""
    own = settings.reg_param > 0 and settings.elastic_net_param > 0
    return own or any(penalty.kinked for penalty, _ in extra_penalties(settings))
