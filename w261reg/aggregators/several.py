"""Several aggregators in one pass."""

from typing import Any

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block


class Several(Aggregator[list[Any]]):
    """The product of aggregators: one state each, in order."""

    def __init__(self, *parts: Aggregator[Any]) -> None:
        self.parts = parts
        self.name = ", ".join(part.name for part in parts)

    def zero(self) -> list[Any]:
        return [part.zero() for part in self.parts]

    def begin(self, leaf: int) -> list[Any]:
        return [part.begin(leaf) for part in self.parts]

    def add(self, state: list[Any], block: Block) -> list[Any]:
        return [part.add(own, block) for part, own in zip(self.parts, state, strict=True)]

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        return [p.merge(a, b) for p, a, b in zip(self.parts, left, right, strict=True)]

    def nbytes(self) -> int:
        return sum(part.nbytes() for part in self.parts)
