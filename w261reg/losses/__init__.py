"""Pointwise losses, one file each."""

from w261reg.losses.base import Loss
from w261reg.registry import discover, lookup

LOSSES: dict[str, type[Loss]] = discover(__name__, __path__, Loss)  # type: ignore[type-abstract]

# a user's own, by the name under which they were read
OWN: dict[str, Loss] = {}


def get_loss(name: str) -> Loss:
    """The loss called `name`. Raises InputError, naming those there are."""
    if name in OWN:
        return OWN[name]
    loss: Loss = lookup("loss", name, LOSSES)()
    return loss


__all__ = ["LOSSES", "OWN", "Loss", "get_loss"]
