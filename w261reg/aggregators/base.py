"""What a pass over the data can compute: a monoid of states."""

import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np

from w261reg.blocks import Block

S = TypeVar("S")
# numbers that a piece of rows may come to: what a task's memory takes at a time
PIECE_NUMBERS = 2**22


class Aggregator(ABC, Generic[S]):
    """zero, add and merge, with merge associative up to rounding.

    A state must own what it keeps: blocks may share a buffer. States travel from the executors to
    the driver by pickle, so they are small beside the data.
    """

    name: str = "aggregate"

    @abstractmethod
    def zero(self) -> S:
        """The state of no rows."""

    def begin(self, leaf: int) -> S:
        """The state before the first row of this leaf; one that draws rows overrides it."""
        return self.zero()

    @abstractmethod
    def add(self, state: S, block: Block) -> S:
        """The state with the block's rows added; may change and return `state`."""

    @abstractmethod
    def merge(self, left: S, right: S) -> S:
        """The state of left's rows followed by right's; may change and return `left`."""

    def nbytes(self) -> int:
        """An upper bound of a state's size in bytes when it travels."""
        return len(pickle.dumps(self.zero(), pickle.HIGHEST_PROTOCOL))


def pieces(block: Block, width: int) -> Iterator[Block]:
    """The block in runs of rows, for work that takes `width` numbers a row."""
    most = max(1, PIECE_NUMBERS // max(1, width))
    for piece in block.pieces():
        if piece.rows <= most:
            yield piece
            continue
        for start in range(0, piece.rows, most):
            yield piece.take(np.arange(start, min(start + most, piece.rows)))
