"""From settings, and the moments of the first pass, to the objective."""

from w261reg.aggregators import Summary
from w261reg.config import Settings, penalty_options
from w261reg.conventions import strengths
from w261reg.datasets import Dataset
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.penalties import PENALTIES, Penalty


def pose(
    settings: Settings,
    dataset: Dataset,
    loss: Loss,
    summary: Summary,
    sample: Summary | None = None,
    every: int = 1,
    share: float = 1.0,
) -> Objective:
    """The objective that these settings mean on these rows.

    Args:
        settings: checked.
        dataset: the rows.
        loss: pointwise loss.
        summary: of all rows.
        sample: of one row in `every`, with its Gram matrix; None where no solver needs it.
        every: 1 is all rows.
        share: of the table that the dataset holds; strengths are those for the whole.

    Raises:
        InputError: the convention has no meaning for these values.
    """
    canonical = strengths(
        settings.convention,
        reg_param=settings.reg_param,
        elastic_net_param=settings.elastic_net_param,
        loss=loss,
        summary=summary.repeated(1 / share),
        fit_intercept=settings.fit_intercept,
        standardization=bool(settings.standardization),
    )
    terms = extra_penalties(settings)
    extra = tuple(penalty.of(strength, canonical.scale) for penalty, strength in terms)
    return Objective(
        dataset, loss, summary, canonical, settings.fit_intercept, extra, sample, every
    )


def extra_penalties(settings: Settings) -> list[tuple[type[Penalty], float]]:
    """The penalties beside L1 and L2, with their strengths > 0."""
    options = penalty_options()
    chosen = settings.penalties.items()
    return [(PENALTIES[options[name]], strength) for name, strength in chosen if strength > 0]


def ridge(settings: Settings) -> bool:
    """Whether the penalty is L2 alone."""
    own = settings.reg_param > 0 and settings.elastic_net_param == 0
    return own and not extra_penalties(settings)


def kinked(settings: Settings) -> bool:
    """Whether a penalty has an L1 part."""
    own = settings.reg_param > 0 and settings.elastic_net_param > 0
    return own or any(penalty.kinked for penalty, _ in extra_penalties(settings))
