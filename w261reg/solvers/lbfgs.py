"""Limited-memory BFGS, with orthants where there is an L1 part."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.objective import Evaluation, Objective, shortest_subgradient
from w261reg.solvers.base import FirstPass, Solver, State, start_at
from w261reg.solvers.line_search import STALLED, Ray, search

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Memory:
    """The last moves s and changes of the smooth gradient y, newest last; and a first scale."""

    moves: tuple[Array, ...] = ()
    changes: tuple[Array, ...] = ()
    scale: float = 1.0


@dataclass(frozen=True)
class Lbfgs(Solver):
    """Quasi-Newton from the last `memory` gradients: no Hessian, so any number of features.

    Liu and Nocedal (1989), *On the Limited Memory BFGS Method*. Under L1 the orthant-wise form of
    Andrew and Gao (2007), *Scalable Training of L1-Regularized Log-Linear Models*: directions from
    the shortest subgradient, steps projected on the orthant they start in, so zeros are exact.

    Attributes:
        memory: pairs of vectors kept.
    """

    memory: int = 20

    name = "lbfgs"
    about = "L-BFGS, orthant-wise under L1; no Hessian, for many features"
    first_pass = FirstPass.MOMENTS

    def init(self, objective: Objective, start: Array | None) -> State:
        first = start_at(objective, start, 1)
        # in theta's units features have a variance near 1/2, so the Hessian is near l''(z0)/2
        return State(first, memory=Memory(scale=1.0 / max(objective.null_curvature(), 1e-8)))

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
            doubtful=not memory.moves or state.step < 1,
        )
        found = search(objective, ray)
        if found is None:
            if memory.moves:  # a stale memory may point nowhere: once more from the gradient
                return replace(state, memory=Memory(scale=memory.scale), step=0.0)
            return replace(state, stalled=STALLED)
        after, length = found
        return replace(
            state, evaluation=after, step=length, memory=self._remember(memory, now, after, kink)
        )

    def _remember(self, memory: Memory, now: Evaluation, after: Evaluation, kink: Array) -> Memory:
        move = after.theta - now.theta
        change = _smooth(after, kink) - _smooth(now, kink)
        if not move @ change > 1e-12 * np.linalg.norm(move) * np.linalg.norm(change):
            return memory  # no curvature along the move, within rounding
        return Memory(
            (*memory.moves, move)[-self.memory :],
            (*memory.changes, change)[-self.memory :],
            float(move @ change) / float(change @ change),
        )


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
    q *= memory.scale
    for (move, change), weight in zip(pairs, reversed(weights), strict=True):
        q += move * (weight - float(change @ q) / float(move @ change))
    return q
