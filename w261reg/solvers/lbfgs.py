"""Limited-memory BFGS, with orthants where there is an L1 part."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.evaluation import Evaluation, shortest_subgradient
from w261reg.losses import Loss
from w261reg.objective import Objective
from w261reg.solvers.base import FirstPass, Solver, State, start_at
from w261reg.solvers.line_search import STALLED, Ray, search

Array = NDArray[np.float64]


# the steps whose evaluation brings the Hessian's diagonal, after which the memory begins anew
SCALED_AT = (3, 8)
# steps that are held back after one that was too long at first: features that go together bend
# more than a diagonal says, and a step that must be shortened takes two passes
TIMID_FOR = 3
# so few have a Gram matrix for the price of their moments
FEW_FEATURES = 32
# numbers that the memory may hold
MEMORY_NUMBERS = 2**25


@dataclass(frozen=True)
class Memory:
    """The last moves s and changes of the smooth gradient y, newest last.

    Attributes:
        moves, changes: each (p,).
        diagonal: of a matrix near the Hessian (p,): what is known without moves.
        steps: taken so far.
        timid: how many steps more the diagonal is scaled to the last change.
    """

    moves: tuple[Array, ...]
    changes: tuple[Array, ...]
    diagonal: Array
    steps: int = 0
    timid: int = 0


@dataclass(frozen=True)
class Lbfgs(Solver):
    """Quasi-Newton from the last `memory` gradients: no Hessian, so any number of features.

    Liu and Nocedal (1989), *On the Limited Memory BFGS Method*, from the Hessian's diagonal: that
    of the null model out of the first pass's moments, and twice that of the point just reached,
    which rides with its gradient. Rare features, whose rows are soon fitted, need it: on sparse
    tables it takes a quarter of the passes. Under L1 the orthant-wise form of Andrew and Gao
    (2007), *Scalable Training of L1-Regularized Log-Linear Models*: directions from the shortest
    subgradient, steps projected on the orthant they start in, so zeros are exact.

    Attributes:
        memory: pairs of vectors kept, at most.
    """

    memory: int = 50

    name = "lbfgs"
    about = "L-BFGS, orthant-wise under L1; no Hessian, for many features"
    first_pass = FirstPass.MOMENTS

    @classmethod
    def wants(
        cls, loss: Loss, n_features: int, max_iter: int, at_null: bool, batches: bool
    ) -> FirstPass:
        # it tells whether a small gradient proves anything, and of so few features it costs nothing
        return FirstPass.GRAM if n_features <= FEW_FEATURES else cls.first_pass

    def init(self, objective: Objective, start: Array | None) -> State:
        known = start is None and objective.null_evaluation() is not None
        if not (objective.loss.canonical or known):
            # moments tell nothing of the diagonal, and this takes a pass anyway
            theta = objective.null_theta() if start is None else start
            first = objective.evaluate(theta, 1, "start", diagonal=True)
            assert first.diagonal is not None
            return State(first, memory=Memory((), (), _positive(first.diagonal)))
        first = start_at(objective, start, 1)
        return State(first, memory=Memory((), (), _positive(objective.null_diagonal())))

    def step(self, objective: Objective, state: State) -> State:
        now, memory, kink = state.evaluation, state.memory, objective.kink
        gradient = shortest_subgradient(now, kink)
        direction = -_two_loops(memory, gradient)
        # under L1 a coordinate may only move against its own subgradient
        direction = np.where((kink > 0) & (direction * gradient > 0), 0.0, direction)
        orthant = np.where(now.theta != 0, np.sign(now.theta), -np.sign(gradient))

        def point(t: float) -> Array:
            theta = now.theta + t * direction
            return np.where((kink > 0) & (np.sign(theta) != orthant), 0.0, theta)

        ray = Ray(
            start=now,
            point=point,
            change=lambda theta: float(gradient @ (theta - now.theta)),
            first=1.0,
            order=1,
            label="quasi-Newton step",
            doubtful=memory.steps == 0 or state.step < 1,
            diagonal=memory.steps + 1 in SCALED_AT,
        )
        found = search(objective, ray)
        if found is None:
            if memory.moves:  # a stale memory may point nowhere: once more from the gradient
                return replace(state, memory=replace(memory, moves=(), changes=()), step=0.0)
            return replace(state, stalled=STALLED)
        after, length = found
        timid = TIMID_FOR if length < 1 else max(0, memory.timid - 1)
        remembered = replace(self._remember(memory, now, after, kink), timid=timid)
        return replace(state, evaluation=after, step=length, memory=remembered)

    def _remember(self, memory: Memory, now: Evaluation, after: Evaluation, kink: Array) -> Memory:
        memory = replace(memory, steps=memory.steps + 1)
        if after.diagonal is not None:
            return replace(memory, moves=(), changes=(), diagonal=_positive(after.diagonal))
        move = after.theta - now.theta
        change = _smooth(after, kink) - _smooth(now, kink)
        if not move @ change > 1e-12 * np.linalg.norm(move) * np.linalg.norm(change):
            return memory  # no curvature along the move, within rounding
        most = max(5, min(self.memory, MEMORY_NUMBERS // (2 * len(move) or 1)))
        moves, changes = (*memory.moves, move)[-most:], (*memory.changes, change)[-most:]
        return replace(memory, moves=moves, changes=changes)


def _positive(diagonal: Array) -> Array:
    """Bounded below: rows that are fitted well have no curvature left."""
    largest = float(np.max(diagonal, initial=0.0))
    if largest == 0:  # no curvature at all, as of a loss that is flat around the null model
        return np.ones_like(diagonal)
    return np.maximum(diagonal, 1e-8 * largest)


def _smooth(at: Evaluation, kink: Array) -> Array:
    return at.gradient - kink * np.sign(at.theta)


def _two_loops(memory: Memory, gradient: Array) -> Array:
    """The inverse Hessian's estimate times a gradient (Nocedal and Wright, algorithm 7.4)."""
    q = gradient.copy()
    pairs = list(zip(memory.moves, memory.changes, strict=True))
    weights = []
    for move, change in reversed(pairs):
        weight = float(move @ q) / float(move @ change)
        weights.append(weight)
        q -= weight * change
    q /= memory.diagonal
    if memory.timid and pairs:
        move, change = pairs[-1]
        # Nocedal and Wright, (7.20), in the diagonal's units
        q *= min(1.0, float(move @ change) / float(change @ (change / memory.diagonal)))
    for (move, change), weight in zip(pairs, reversed(weights), strict=True):
        q += move * (weight - float(change @ q) / float(move @ change))
    return q
