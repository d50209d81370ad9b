"""Second derivatives in a basis of the rows, in one pass."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator, pieces
from w261reg.blocks import Block
from w261reg.losses import Loss

Array = NDArray[np.float64]


@dataclass
class Bends:
    """Sums over rows, not yet divided by S.

    Attributes:
        hessian: sum s h_e q q' of each of the loss's P directions, (P, r, r).
        reach: the largest |q| of any row, (r,).
        moved: the most that a row moves along each of some directions, as a share of the sizes of
            its terms, (f,).
    """

    hessian: Array
    reach: Array
    moved: Array


class Curvature(Aggregator[Bends]):
    """sum s l'' q q' with q = T' (D (x - centre), 1), at z = (x - centre) W + b.

    Args:
        loss: the pointwise loss.
        w, b: one model, (n, K) and (K,).
        centre: (n,).
        scale: D's diagonal (n,).
        t: T (n, r) of the features, 0 for those that take no part.
        last: that of the constant feature 1 (r,); 0 without an intercept.
        flat: further directions (n, f), along which rows should not move.
    """

    name = "Hessian in a basis of the rows"

    def __init__(
        self,
        loss: Loss,
        w: Array,
        b: Array,
        centre: Array,
        scale: Array,
        t: Array,
        last: Array,
        flat: Array,
    ) -> None:
        self.loss, self.w, self.b, self.centre, self.scale = loss, w, b, centre, scale
        self.t, self.last, self.flat = t, last, flat

    def zero(self) -> Bends:
        r = len(self.last)
        return Bends(
            np.zeros((len(self.loss.edges), r, r)), np.zeros(r), np.zeros(self.flat.shape[1])
        )

    def add(self, state: Bends, block: Block) -> Bends:
        if block.rows == 0:
            return state
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in pieces(block, len(self.w) + 2 * len(self.last) + len(state.hessian)):
                self._add(state, piece)
        return state

    def _add(self, state: Bends, block: Block) -> None:
        z = block.dot(self.w, self.centre) + self.b
        curvature = block.weight[:, None] * self.loss.curvature(block.y, z)
        rows = block.design(np.ones(block.rows), self.centre, self.scale)
        q = rows @ self.t + self.last
        for own, h in zip(state.hessian, curvature.T, strict=True):
            own += q.T @ (h[:, None] * q)
        np.maximum(state.reach, np.abs(q).max(axis=0), out=state.reach)
        if self.flat.shape[1]:
            size = np.abs(self.flat)
            terms = np.abs(rows) @ size + np.abs(self.centre * self.scale) @ size
            moves = np.abs(rows @ self.flat)
            share = np.divide(moves, terms, out=np.zeros_like(moves), where=terms > 0)
            np.maximum(state.moved, share.max(axis=0), out=state.moved)

    def merge(self, left: Bends, right: Bends) -> Bends:
        left.hessian += right.hessian
        np.maximum(left.reach, right.reach, out=left.reach)
        np.maximum(left.moved, right.moved, out=left.moved)
        return left

    def nbytes(self) -> int:
        r = len(self.last)
        own = self.t.size + self.flat.size + self.w.size + (len(self.loss.edges) * r + 1) * r
        return 8 * (own + 2 * len(self.w)) + 4096
