"""Sparse blocks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from w261reg.blocks.base import Array, Block


@dataclass(frozen=True)
class SparseBlock(Block):
    """X (b, n) in CSR, column indices sorted and without duplicates.

    X is never centred in memory, which would make it dense: the centre enters as a rank-one term.
    """

    x: sparse.csr_array

    @property
    def n_features(self) -> int:
        return int(self.x.shape[1])

    def reference(self) -> Array:
        return np.zeros(self.n_features)

    def dot(self, w: Array, centre: Array) -> Array:
        return np.asarray(self.x @ w - centre @ w)

    def t_dot(self, r: Array, centre: Array) -> Array:
        return np.asarray(self.x.T @ r - np.multiply.outer(centre, r.sum(axis=0)))

    def gram(self, h: Array, centre: Array, scale: Array) -> Array:
        a = self._scaled(np.sqrt(h), scale)
        # (A - 1 m')' H (A - 1 m') = A'HA - m (A'h)' - (A'h) m' + sum(h) m m'
        m = centre * scale
        cross = np.multiply.outer(m, self._scaled(h, scale).sum(axis=0))
        total: Array = (a.T @ a).toarray() - cross - cross.T + h.sum() * np.multiply.outer(m, m)
        return total

    def squares(self, h: Array, centre: Array, scale: Array) -> Array:
        a = self._scaled(np.sqrt(h), scale)
        m = centre * scale
        linear = self._scaled(h, scale).sum(axis=0)
        total: Array = a.power(2).sum(axis=0) - 2 * m * linear + h.sum() * m**2
        return np.maximum(total, 0.0)

    def design(self, h: Array, centre: Array, scale: Array) -> Array:
        a: Array = self.x.toarray() - centre
        a *= scale
        a *= np.sqrt(h)[:, None]
        return a

    def range(self) -> tuple[Array, Array]:
        return self.x.min(axis=0).toarray().ravel(), self.x.max(axis=0).toarray().ravel()

    def keep(self, mask: NDArray[np.bool_]) -> Self:
        return replace(self, y=self.y[mask], weight=self.weight[mask], x=self.x[mask])

    def pieces(self) -> Iterator[Block]:
        yield self

    def _scaled(self, row: Array, scale: Array) -> sparse.csr_array:
        """diag(row) X diag(scale)."""
        counts = np.diff(self.x.indptr)
        data = self.x.data * scale[self.x.indices] * np.repeat(row, counts)
        return sparse.csr_array((data, self.x.indices, self.x.indptr), shape=self.x.shape)
