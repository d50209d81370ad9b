"""Stochastic subgradient steps within each run of rows, averaged over all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block
from w261reg.losses import Loss

Array = NDArray[np.float64]
SEED = 1952
# rows of a step at least; steps of a run at most in one epoch, and at least in all
LEAST_ROWS, MOST_STEPS, LEAST_STEPS = 16, 256, 64


@dataclass
class Average:
    """Sums of the models that runs of rows came to, and of the tangents on their way.

    In an epoch each row is met once, at some model: the tangents of its loss there, summed over
    rows, are a plane height + slope'w + intercept b below the sum of s l.

    Attributes:
        w: sum s w, (n,).
        slope: sum s l' (x - centre), (n,).
        b: sum s b, of the centred intercept.
        height: sum s (l - l' z).
        intercept: sum s l'.
        size: sum s (l + |l' z|).
        weight: S of these rows.
    """

    w: Array
    slope: Array
    b: float = 0.0
    height: float = 0.0
    intercept: float = 0.0
    size: float = 0.0
    weight: float = 0.0


class LocalSteps(Aggregator[Average]):
    """Pegasos in each block, from one start; the average of the blocks' models.

    A step is w <- (1 - eta l2 d^2) w - eta g with eta = 1/(l2 d^2 t), on a few rows drawn without
    replacement by a fixed seed, then a projection on the ball |d w| <= radius in which the optimum
    lies (Shalev-Shwartz, Singer, Srebro and Cotter 2011, *Pegasos: Primal Estimated sub-GrAdient
    SOlver for SVM*). t begins where eta is the inverse of the rows' mean square: a longer step
    would only forget the start. The intercept takes the step of a weight with d = 1. A block's
    model is the mean of the second half of its steps (Rakhlin, Shamir and Sridharan 2012, *Making
    Gradient Descent Optimal for Strongly Convex Stochastic Optimization*), and the blocks' models
    are averaged by the weight of their rows (McDonald, Hall and Mann 2010, *Distributed Training
    Strategies for the Structured Perceptron*; Zinkevich et al. 2010, *Parallelized SGD*).

    Args:
        loss: the pointwise loss.
        w, b, centre: where all start: weights (n,), centred intercept, centre (n,).
        scale: d (n,); features where it is 0 keep their weight.
        l2: strength of the penalty, > 0.
        radius: of the ball.
        size: mean square of the rows (x - centre) / d, and 1 for the intercept.
        fit_intercept: whether b takes steps.
        round: how many such passes there were: t goes on from there, and rows are drawn anew.
    """

    name = "local steps"

    def __init__(
        self,
        loss: Loss,
        w: Array,
        b: float,
        centre: Array,
        *,
        scale: Array,
        l2: float,
        radius: float,
        size: float,
        fit_intercept: bool,
        round: int,
    ) -> None:
        self.loss, self.w, self.b, self.centre = loss, w, b, centre
        self.scale, self.l2, self.radius, self.size = scale, l2, radius, size
        self.fit_intercept, self.round = fit_intercept, round

    def zero(self) -> Average:
        return Average(np.zeros_like(self.w), np.zeros_like(self.w))

    def add(self, state: Average, block: Block) -> Average:
        if block.rows == 0:
            return state
        # steps of data in extreme units may overflow: the model is then no number, and not taken
        with np.errstate(over="ignore", invalid="ignore"):
            w, b = self._run(state, block)
            weight = float(block.weight.sum())
            state.w += weight * w
        state.b += weight * b
        state.weight += weight
        return state

    def _run(self, state: Average, block: Block) -> tuple[Array, float]:
        """The mean model of the second half of this block's steps; adds its last epoch's plane."""
        size = max(LEAST_ROWS, -(-block.rows // MOST_STEPS))
        epoch = sum(-(-piece.rows // size) for piece in block.pieces())
        epochs = max(1, -(-LEAST_STEPS // epoch))
        total = epochs * epoch
        generator = np.random.default_rng((SEED, self.round, block.rows))
        inverse = np.divide(1.0, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0)
        unit = float(block.weight.sum()) / block.rows  # the mean weight of a row
        w, b = self.w.copy(), self.b
        mean_w, mean_b, kept = np.zeros_like(w), 0.0, 0
        t, taken = self.size / self.l2 + self.round * total, 0
        for number in range(epochs):
            for piece in block.pieces():
                order = generator.permutation(piece.rows)
                for start in range(0, piece.rows, size):
                    rows = piece.take(np.sort(order[start : start + size]))
                    t, taken = t + 1, taken + 1
                    z = rows.dot(w[:, None], self.centre) + b
                    value, slope = self.loss.first(rows.y, z)
                    pull = slope * z
                    slope = rows.weight[:, None] * slope
                    gradient = rows.t_dot(slope, self.centre)[:, 0]
                    push = float(slope.sum())
                    if number == epochs - 1:
                        state.height += float(rows.weight @ (value - pull)[:, 0])
                        state.size += float(rows.weight @ (value + np.abs(pull))[:, 0])
                        state.slope += gradient
                        state.intercept += push
                    mass = self.l2 * t * unit * rows.rows
                    w *= 1.0 - 1.0 / t
                    w -= inverse * (inverse * gradient) / mass
                    if self.fit_intercept:
                        b -= push / mass
                    length = float(np.linalg.norm(self.scale * w))
                    if length > self.radius:
                        w *= self.radius / length
                    if 2 * taken > total:
                        mean_w += w
                        mean_b += b
                        kept += 1
        return mean_w / kept, mean_b / kept

    def merge(self, left: Average, right: Average) -> Average:
        left.w += right.w
        left.slope += right.slope
        left.b += right.b
        left.height += right.height
        left.intercept += right.intercept
        left.size += right.size
        left.weight += right.weight
        return left

    def nbytes(self) -> int:
        return 16 * len(self.w) + 4096
