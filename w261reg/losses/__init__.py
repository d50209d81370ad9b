"""Pointwise losses, one file each."""

from w261reg.losses.base import Loss
from w261reg.registry import Own, discover, lookup

LOSSES: dict[str, type[Loss]] = discover(__name__, __path__, Loss)  # type: ignore[type-abstract]


def get_loss(name: str) -> Loss:
    """The loss called `name`, or the user's own that comes with it.

    Raises InputError, naming those there are.
    """
    loss: Loss = name.term if isinstance(name, Own) else lookup("loss", name, LOSSES)()
    return loss


__all__ = ["LOSSES", "Loss", "get_loss"]
