"""Penalties, one file each."""

from w261reg.penalties.base import Penalty
from w261reg.penalties.elastic_net import ElasticNet
from w261reg.penalties.sum import PenaltySum
from w261reg.registry import discover

PENALTIES: dict[str, type[Penalty]] = discover(__name__, __path__, Penalty)  # type: ignore[type-abstract]

__all__ = ["PENALTIES", "ElasticNet", "Penalty", "PenaltySum"]
