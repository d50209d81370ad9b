"""Loss, gradient and Hessian of a linear model, in one pass."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block, symmetric
from w261reg.losses import Loss

Array = NDArray[np.float64]


@dataclass
class Sums:
    """Weighted sums over rows, not yet divided by S; k models side by side.

    Attributes:
        value: sum s l, (k,).
        gradient: sum s l' (x - centre), (n, k); empty below order 1.
        intercept: sum s l', (k,); empty below order 1.
        hessian: D sum s l'' (x - centre)(x - centre)' D, (n, n), the upper triangle of a matrix in
            Fortran's order; empty below order 2.
        mixed: D sum s l'' (x - centre), (n,); empty below order 2.
        curvature: sum s l'', order 2 or with the diagonal.
        diagonal: D^2 sum s l'' (x - centre)^2, (n,); empty where it was not asked for.
        margin: the smallest margin of any row, (k,); infinite without rows.
        weight: S of these rows.
    """

    value: Array
    gradient: Array
    intercept: Array
    hessian: Array
    mixed: Array
    curvature: float
    margin: Array
    diagonal: Array
    weight: float = 0.0

    def moved(self, shift: Array, old: Array, new: Array) -> "Sums":
        """Those of one model, of order 2, about another centre: x - c_new = x - c_old + shift.

        Args:
            shift: c_old - c_new (n,).
            old, new: D's diagonals (n,), powers of two; `old` without a 0.
        """
        ratio = new / old
        with np.errstate(over="ignore", invalid="ignore"):
            d = old * shift
            # D (H + m d' + d m' + k d d') D
            cross = np.multiply.outer(self.mixed, d)
            second = symmetric(self.hessian) + cross + cross.T
            second += self.curvature * np.multiply.outer(d, d)
            return replace(
                self,
                gradient=self.gradient + np.multiply.outer(shift, self.intercept),
                hessian=second * np.multiply.outer(ratio, ratio),
                mixed=(self.mixed + self.curvature * d) * ratio,
            )


class Evaluate(Aggregator[Sums]):
    """Sums at z = (x - centre) W + b, for weights W (n, k) and centred intercepts b (k,).

    Args:
        loss: the pointwise loss.
        w, b, centre: the models; centre (n,) is shared.
        order: 0 for values, 1 for gradients too, 2 for the Hessian too (then k = 1).
        scale: D's diagonal (n,) for second derivatives: powers of two, so that it costs no digits.
        diagonal: with order 1, the diagonal of the Hessian, too.
    """

    def __init__(
        self,
        loss: Loss,
        w: Array,
        b: Array,
        centre: Array,
        order: int,
        scale: Array | None = None,
        diagonal: bool = False,
    ) -> None:
        self.loss, self.w, self.b, self.centre = loss, w, b, centre
        self.order, self.diagonal = order, diagonal
        self.scale = np.ones(len(w)) if scale is None else scale
        self.name = ("loss", "loss and gradient", "loss, gradient and Hessian")[order]

    def zero(self) -> Sums:
        n, k = self.w.shape
        return Sums(
            value=np.zeros(k),
            gradient=np.zeros((n, k) if self.order >= 1 else (0, 0)),
            intercept=np.zeros(k if self.order >= 1 else 0),
            hessian=np.zeros((n, n) if self.order >= 2 else (0, 0), order="F"),
            mixed=np.zeros(n if self.order >= 2 else 0),
            curvature=0.0,
            diagonal=np.zeros(n if self.diagonal else 0),
            margin=np.full(k, np.inf),
        )

    def add(self, state: Sums, block: Block) -> Sums:
        if block.rows == 0:
            return state
        # a diverging model overflows: its sums are then infinite, which the solver reports
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in block.pieces():
                self._add(state, piece)
        return state

    def _add(self, state: Sums, block: Block) -> None:
        z = block.dot(self.w, self.centre) + self.b
        s = block.weight
        state.weight += float(s.sum())
        if self.order == 0:
            state.value += s @ self.loss.value(block.y, z)
        elif self.order == 1 and not self.diagonal:
            value, derivative = self.loss.first(block.y, z)
            state.value += s @ value
            self._add_gradient(state, block, derivative)
        else:
            value, derivative, curvature = self.loss.all(block.y, z)
            state.value += s @ value
            self._add_gradient(state, block, derivative)
            h = s * curvature[:, 0]
            state.curvature += float(h.sum())
            if self.diagonal:
                state.diagonal += block.squares(h, self.centre, self.scale)
            else:
                block.add_gram(state.hessian, h, self.centre, self.scale)
                state.mixed += block.t_dot(h[:, None], self.centre)[:, 0] * self.scale
        if self.loss.may_separate:
            lowest = self.loss.margin(block.y, z).min(axis=0)
            state.margin = np.minimum(state.margin, lowest)

    def _add_gradient(self, state: Sums, block: Block, derivative: Array) -> None:
        r = block.weight[:, None] * derivative
        state.gradient += block.t_dot(r, self.centre)
        state.intercept += r.sum(axis=0)

    def merge(self, left: Sums, right: Sums) -> Sums:
        left.value += right.value
        left.gradient += right.gradient
        left.intercept += right.intercept
        left.hessian += right.hessian
        left.mixed += right.mixed
        left.curvature += right.curvature
        left.diagonal += right.diagonal
        left.margin = np.minimum(left.margin, right.margin)
        left.weight += right.weight
        return left

    def nbytes(self) -> int:
        n, k = self.w.shape
        own = n * n + n if self.order >= 2 else n * self.diagonal
        return 8 * (3 * k + n * k + own) + 4096
