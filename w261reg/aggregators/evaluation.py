"""Loss, gradient and Hessian of a linear model, in one pass."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator, pieces
from w261reg.blocks import Block, symmetric
from w261reg.losses import Loss

Array = NDArray[np.float64]


@dataclass
class Sums:
    """Weighted sums over rows, not yet divided by S; k models of K outputs side by side.

    Those of second order are for each of the loss's P directions, whose weight h is l'' where there
    is one output.

    Attributes:
        value: sum s l, (k,).
        size: sum s |l|, (k,); empty below order 1.
        steep: sum s l'^2, (k K,); empty below order 1.
        gradient: sum s l' (x - centre), (n, k K); empty below order 1.
        intercept: sum s l', (k K,); empty below order 1.
        hessian: D sum s h (x - centre)(x - centre)' D, (n, P n), the upper triangles of matrices in
            Fortran's order; empty below order 2.
        mixed: D sum s h (x - centre), (n, P); empty below order 2.
        curvature: sum s h, (P,); with the diagonal, sum s l'' of each output alone, (K,).
        diagonal: D^2 sum s l'' (x - centre)^2 of each output alone, (n, K); empty where it was not
            asked for.
        margin: the smallest margin of any row, (k,); infinite without rows.
        weight: S of these rows.
    """

    value: Array
    size: Array
    steep: Array
    gradient: Array
    intercept: Array
    hessian: Array
    mixed: Array
    curvature: Array
    margin: Array
    diagonal: Array
    weight: float = 0.0

    def second(self, e: int) -> Array:
        """The matrix of direction e, (n, n)."""
        n = len(self.hessian)
        return symmetric(self.hessian[:, e * n : (e + 1) * n])

    def of_model(self, j: int, outputs: int) -> "Sums":
        """Those of the j-th model, of order 1."""
        own = slice(j * outputs, (j + 1) * outputs)
        return replace(
            self,
            value=self.value[[j]],
            size=self.size[[j]],
            steep=self.steep[own],
            gradient=self.gradient[:, own],
            intercept=self.intercept[own],
            margin=self.margin[[j]],
        )

    def moved(self, shift: Array, old: Array, new: Array) -> "Sums":
        """Those of one model, of order 2, about another centre: x - c_new = x - c_old + shift.

        Args:
            shift: c_old - c_new (n,).
            old, new: D's diagonals (n,), powers of two; `old` without a 0.
        """
        ratio = new / old
        n = len(shift)
        moved = np.empty_like(self.hessian)
        mixed = np.empty_like(self.mixed)
        with np.errstate(over="ignore", invalid="ignore"):
            d = old * shift
            for e, curvature in enumerate(self.curvature):
                # D (H + m d' + d m' + k d d') D
                cross = np.multiply.outer(self.mixed[:, e], d)
                second = self.second(e) + cross + cross.T
                second += curvature * np.multiply.outer(d, d)
                moved[:, e * n : (e + 1) * n] = second * np.multiply.outer(ratio, ratio)
                mixed[:, e] = (self.mixed[:, e] + curvature * d) * ratio
            gradient = self.gradient + np.multiply.outer(shift, self.intercept)
        return replace(self, gradient=gradient, hessian=moved, mixed=mixed)


class Evaluate(Aggregator[Sums]):
    """Sums at z = (x - centre) W + b, for weights W (n, k K) and centred intercepts b (k K,).

    Args:
        loss: the pointwise loss.
        w, b, centre: the models; centre (n,) is shared.
        order: 0 for values, 1 for gradients too, 2 for the Hessian too (of one model).
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
        n, columns = self.w.shape
        models, directions = columns // self.loss.outputs, self._directions
        bent = self.loss.outputs if self.diagonal else directions
        return Sums(
            value=np.zeros(models),
            size=np.zeros(models if self.order >= 1 else 0),
            steep=np.zeros(columns if self.order >= 1 else 0),
            gradient=np.zeros((n, columns) if self.order >= 1 else (0, 0)),
            intercept=np.zeros(columns if self.order >= 1 else 0),
            hessian=np.zeros((n, n * directions) if self.order >= 2 else (0, 0), order="F"),
            mixed=np.zeros((n, directions) if self.order >= 2 else (0, 0)),
            curvature=np.zeros(bent if self.order >= 2 or self.diagonal else 0),
            diagonal=np.zeros((n, bent) if self.diagonal else (0, 0)),
            margin=np.full(models, np.inf),
        )

    @property
    def _width(self) -> int:
        """Numbers that a row's z and curvature are, of all models."""
        return self.w.shape[1] + self._directions

    @property
    def _directions(self) -> int:
        return len(self.loss.edges) if self.order >= 2 else 0

    def add(self, state: Sums, block: Block) -> Sums:
        if block.rows == 0:
            return state
        # a diverging model overflows: its sums are then infinite, which the solver reports
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in pieces(block, self._width):
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
            self._add_first(state, block, value, derivative)
        else:
            value, derivative, curvature = self.loss.all(block.y, z)
            self._add_first(state, block, value, derivative)
            if self.diagonal and self.loss.outputs > 1:
                curvature = self.loss.diagonal(block.y, z)
            self._add_curvature(state, block, curvature)
        if self.loss.may_separate:
            lowest = self.loss.margin(block.y, z).min(axis=0)
            state.margin = np.minimum(state.margin, lowest)

    def _add_curvature(self, state: Sums, block: Block, curvature: Array) -> None:
        n = len(self.w)
        weighted = block.weight[:, None] * curvature
        for e, h in enumerate(weighted.T):
            state.curvature[e] += float(h.sum())
            if self.diagonal:
                state.diagonal[:, e] += block.squares(h, self.centre, self.scale)
            else:
                own = state.hessian[:, e * n : (e + 1) * n]
                block.add_gram(own, h, self.centre, self.scale)
        if not self.diagonal:
            state.mixed += block.t_dot(weighted, self.centre) * self.scale[:, None]

    def _add_first(self, state: Sums, block: Block, value: Array, derivative: Array) -> None:
        total = block.weight @ value
        state.value += total
        state.size += total if self.loss.lowest >= 0.0 else block.weight @ np.abs(value)
        r = block.weight[:, None] * derivative
        state.steep += [float(a @ b) for a, b in zip(r.T, derivative.T, strict=True)]
        state.gradient += block.t_dot(r, self.centre)
        state.intercept += r.sum(axis=0)

    def merge(self, left: Sums, right: Sums) -> Sums:
        left.value += right.value
        left.size += right.size
        left.steep += right.steep
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
        n, columns = self.w.shape
        own = (n * n + n) * self._directions + n * self.loss.outputs * self.diagonal
        return 8 * (5 * columns + n * columns + own) + 4096
