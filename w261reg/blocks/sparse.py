"""Sparse blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from w261reg.blocks.base import Array, Block
from w261reg.blocks.census import Census
from w261reg.blocks.dense import origin_of


@dataclass(frozen=True)
class SparseBlock(Block):
    """X = x + origin: x (b, n) in CSR, sorted and without duplicates, and origin (n,).

    X is never centred in memory, which would make it dense: the centre enters as a rank-one term.
    The origin is not 0 only in columns with an entry in every row, where it keeps the digits of a
    spread that is small beside the values, as in a dense block.
    """

    x: sparse.csr_array
    origin: Array

    @classmethod
    def of(cls, x: sparse.csr_array, y: Array, weight: Array, census: Census) -> Self:
        """A block of raw features x (b, n), which it may overwrite."""
        origin = np.zeros(x.shape[1])
        entries = np.bincount(x.indices, minlength=x.shape[1])
        full = np.flatnonzero(entries == len(y)) if len(y) else np.zeros(0, dtype=np.int64)
        if len(full):
            origin[full] = origin_of(x[:, full].toarray())
            x.data -= origin[x.indices]
        return cls(y, weight, census, x, origin)

    @property
    def n_features(self) -> int:
        return int(self.x.shape[1])

    def reference(self) -> Array:
        return self.origin

    def dot(self, w: Array, centre: Array) -> Array:
        return np.asarray(self.x @ w - (centre - self.origin) @ w)

    def t_dot(self, r: Array, centre: Array) -> Array:
        shift = np.multiply.outer(centre - self.origin, r.sum(axis=0))
        return np.asarray(self.x.T @ r - shift)

    def gram(self, h: Array, centre: Array, scale: Array) -> Array:
        a = self._scaled(np.sqrt(h), scale)
        # (A - 1 m')' H (A - 1 m') = A'HA - m (A'h)' - (A'h) m' + sum(h) m m'
        m = (centre - self.origin) * scale
        cross = np.multiply.outer(m, self._scaled(h, scale).sum(axis=0))
        total: Array = (a.T @ a).toarray() - cross - cross.T + h.sum() * np.multiply.outer(m, m)
        return total

    def squares(self, h: Array, centre: Array, scale: Array) -> Array:
        a = self._scaled(np.sqrt(h), scale)
        m = (centre - self.origin) * scale
        linear = self._scaled(h, scale).sum(axis=0)
        total: Array = a.power(2).sum(axis=0) - 2 * m * linear + h.sum() * m**2
        return np.maximum(total, 0.0)

    def design(self, h: Array, centre: Array, scale: Array) -> Array:
        a: Array = self.x.toarray() - (centre - self.origin)
        a *= scale
        a *= np.sqrt(h)[:, None]
        return a

    def range(self) -> tuple[Array, Array]:
        low, high = self.x.min(axis=0).toarray().ravel(), self.x.max(axis=0).toarray().ravel()
        return low + self.origin, high + self.origin

    def pieces(self) -> Iterator[Block]:
        yield self

    def _scaled(self, row: Array, scale: Array) -> sparse.csr_array:
        """diag(row) X diag(scale)."""
        counts = np.diff(self.x.indptr)
        data = self.x.data * scale[self.x.indices] * np.repeat(row, counts)
        return sparse.csr_array((data, self.x.indices, self.x.indptr), shape=self.x.shape)
