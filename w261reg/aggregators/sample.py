"""Another aggregator on some of the rows."""

from typing import TypeVar

import numpy as np

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block

S = TypeVar("S")
SEED = 261


class Sample(Aggregator[S]):
    """One row in `every`, drawn anew in each block by a fixed seed: the same rows in every pass.

    Args:
        inner: what sees the rows.
        every: 1 is all rows.
    """

    def __init__(self, inner: Aggregator[S], every: int) -> None:
        self.inner, self.every = inner, every
        self.name = f"{inner.name} of 1 row in {every}"

    def zero(self) -> S:
        return self.inner.zero()

    def begin(self, leaf: int) -> S:
        return self.inner.begin(leaf)

    def add(self, state: S, block: Block) -> S:
        if self.every > 1 and block.rows:
            generator = np.random.default_rng((SEED, block.rows))
            # rounded up: a short block has a row in the sample, too
            count = -(-block.rows // self.every)
            block = block.take(np.sort(generator.choice(block.rows, count, replace=False)))
        return self.inner.add(state, block)

    def merge(self, left: S, right: S) -> S:
        return self.inner.merge(left, right)

    def nbytes(self) -> int:
        return self.inner.nbytes()
