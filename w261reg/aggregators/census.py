"""The census on its own, to ride along in another pass."""

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block, Census


class TakeCensus(Aggregator[Census]):
    """What packing saw."""

    name = "census"

    def zero(self) -> Census:
        return Census()

    def add(self, state: Census, block: Block) -> Census:
        return state.merge(block.census)

    def merge(self, left: Census, right: Census) -> Census:
        return left.merge(right)
