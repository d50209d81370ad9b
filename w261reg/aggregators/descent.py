"""Mini-batch gradient steps within each leaf, and the average of where they lead."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block
from w261reg.losses import Loss
from w261reg.penalties import PenaltySum

Array = NDArray[np.float64]
# beside the user's seed in the generator's key
KEY = 261


class Rule(Protocol):
    """How a gradient becomes a step."""

    def advance(self, trail: "Trail", gradient: Array, eta: float) -> "Trail":
        """The trail after a step of length eta."""

    def rate(self, number: int) -> float:
        """eta of step 1, 2, ..."""


@dataclass(frozen=True)
class Trail:
    """Where a descent is.

    Attributes:
        point: phi (q,), the weights in the user's coordinates, output by output, and then the
            intercepts, if any.
        memory: what the rule keeps from step to step, (k, q).
        steps: taken so far.
    """

    point: Array
    memory: Array
    steps: int = 0


@dataclass
class Descended:
    """Where the rows of a leaf led, or several leaves on average.

    Attributes:
        trail: the point and the memory, averages by weight; the most steps of any leaf.
        weight: S of these rows.
        leaf: its number; of several, the first.
        pieces: runs of rows that went by.
    """

    trail: Trail
    weight: float = 0.0
    leaf: int = 0
    pieces: int = 0


class Descend(Aggregator[Descended]):
    """Each leaf takes mini-batch steps through its own rows from the same start; then the average.

    Parameter averaging: Zinkevich, Weimer, Smola and Li (2010), *Parallelized Stochastic Gradient
    Descent*; Stich (2019), *Local SGD Converges Fast and Communicates Little*. A rule's memory is
    averaged, too (Yu, Jin and Yang 2019, *On the Linear Speedup Analysis of Communication Efficient
    Momentum SGD*).

    Every row is used once a pass. The rows of a piece (some thousand that fit a core's cache) are
    shuffled by a generator that counts from (seed, pass, leaf, piece), so that no cut of the work
    into tasks changes a bit. A batch's gradient of the mean loss is sum s l' x / (k W/b) for k of
    the b rows of a piece of weight W: k W/b is the expected weight of k rows drawn from it, so the
    gradient is unbiased for that of the piece.

    Args:
        loss, penalty: of the objective.
        rule: takes the steps.
        trail: where they start.
        per: w = per phi (n,); 0 for a feature that is left out.
        centre: z = (x - centre)'w + b, (n,).
        batch: rows of a step.
        seed: of the order of rows, >= 0.
        number: of the pass, which draws anew.
    """

    name = "local steps"

    def __init__(
        self,
        loss: Loss,
        penalty: PenaltySum,
        rule: Rule,
        trail: Trail,
        per: Array,
        centre: Array,
        batch: int,
        seed: int,
        number: int,
    ) -> None:
        self.loss, self.penalty, self.rule, self.trail = loss, penalty, rule, trail
        self.per, self.centre = per, centre
        self.batch, self.seed, self.number = batch, seed, number

    def zero(self) -> Descended:
        return Descended(self.trail)

    def begin(self, leaf: int) -> Descended:
        return Descended(self.trail, leaf=leaf)

    def add(self, state: Descended, block: Block) -> Descended:
        if block.rows == 0:
            return state
        # a diverging model overflows: its objective is then infinite, which the solver reports
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for piece in block.pieces():
                order = self._generator(state).permutation(piece.rows)
                weight = float(piece.weight.sum())
                for start in range(0, piece.rows, self.batch):
                    rows = np.sort(order[start : start + self.batch])
                    expected = len(rows) * (weight / piece.rows)
                    state.trail = self._step(state.trail, piece.take(rows), expected)
                state.weight += weight
                state.pieces += 1
        return state

    def _generator(self, state: Descended) -> np.random.Generator:
        counter = np.array([0, state.pieces, state.leaf, self.number], dtype=np.uint64)
        key = np.array([self.seed, KEY], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(counter=counter, key=key))

    def _step(self, trail: Trail, batch: Block, expected: float) -> Trail:
        outputs, slopes = self.loss.outputs, self.loss.outputs * len(self.per)
        w = self.per[:, None] * trail.point[:slopes].reshape(outputs, -1).T
        z = batch.dot(w, self.centre)
        if len(trail.point) > slopes:
            z = z + trail.point[slopes:]
        r = batch.weight[:, None] * self.loss.derivative(batch.y, z) / expected
        own = np.column_stack([self.penalty.gradient(column) for column in w.T])
        gradient = np.empty_like(trail.point)
        gradient[:slopes] = (self.per[:, None] * (batch.t_dot(r, self.centre) + own)).T.ravel()
        if len(trail.point) > slopes:
            gradient[slopes:] = r.sum(axis=0)
        return self.rule.advance(trail, gradient, self.rule.rate(trail.steps + 1))

    def merge(self, left: Descended, right: Descended) -> Descended:
        if left.weight == 0 or right.weight == 0:
            return left if right.weight == 0 else right
        weight = left.weight + right.weight
        share, a, b = right.weight / weight, left.trail, right.trail
        with np.errstate(over="ignore", invalid="ignore"):
            point = a.point + share * (b.point - a.point)
            memory = a.memory + share * (b.memory - a.memory)
        trail = Trail(point, memory, max(a.steps, b.steps))
        return Descended(trail, weight, left.leaf)
