"""Sparse blocks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
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
            columns = x[:, full].toarray()
            origin[full] = origin_of(columns.min(axis=0), columns.max(axis=0))
            x.data -= origin[x.indices]
        return cls(y, weight, census, x, origin)

    @property
    def n_features(self) -> int:
        return int(self.x.shape[1])

    @property
    def nbytes(self) -> int:
        x = self.x
        features = x.data.nbytes + x.indices.nbytes + x.indptr.nbytes
        return int(features + self.y.nbytes + self.weight.nbytes)

    def reference(self) -> Array:
        return self.origin

    def dot(self, w: Array, centre: Array) -> Array:
        shift = (centre - self.origin) @ w
        if w.shape[1] == 1:
            return np.asarray(self._x() @ w[:, 0] - shift)[:, None]
        return np.asarray(self._x() @ w - shift)

    def subtracted(self, centre: Array) -> Array:
        return np.asarray(centre - self.origin)

    def row_dot(self, w: Array, centre: Array) -> Array:
        x = self._x()
        # exactly x, of which the rest is a function
        data = x.data + self.origin[x.indices] - centre[x.indices]
        own = sparse.csr_array((data, x.indices, x.indptr), shape=x.shape)
        return np.asarray(own @ w)

    def sizes(self, w: Array, centre: Array) -> Array:
        return np.asarray(abs(self._x()) @ w + np.abs(centre - self.origin) @ w)

    def t_dot(self, r: Array, centre: Array) -> Array:
        shift = np.multiply.outer(centre - self.origin, r.sum(axis=0))
        if r.shape[1] == 1:
            return (self._x().T @ r[:, 0])[:, None] - shift
        return np.asarray(self._x().T @ r - shift)

    def add_gram(self, total: Array, h: Array, centre: Array, scale: Array) -> None:
        a = self._scaled(np.sqrt(h), scale)
        # (A - 1 m')' H (A - 1 m') = A'HA - m (A'h)' - (A'h) m' + sum(h) m m'
        m = (centre - self.origin) * scale
        linear = self._sums(self._scaled(h, scale))
        cross = np.multiply.outer(m, linear)
        total += (a.T @ a).toarray() - cross - cross.T + h.sum() * np.multiply.outer(m, m)

    def squares(self, h: Array, centre: Array, scale: Array) -> Array:
        x = self.x
        data = x.data * scale[x.indices]
        a = sparse.csr_array((data, x.indices, x.indptr), shape=x.shape)
        m = (centre - self.origin) * scale
        linear = a.T @ h
        a.data **= 2
        return np.maximum(a.T @ h - 2 * m * linear + h.sum() * m**2, 0.0)

    def design(self, h: Array, centre: Array, scale: Array) -> Array:
        a: Array = self._x().toarray() - (centre - self.origin)
        a *= scale
        a *= np.sqrt(h)[:, None]
        return a

    def range(self) -> tuple[Array, Array]:
        entries = np.bincount(self.x.indices, minlength=self.n_features)
        full = entries == self.rows  # every other column has a 0 somewhere
        low, high = np.where(full, np.inf, 0.0), np.where(full, -np.inf, 0.0)
        np.minimum.at(low, self.x.indices, self.x.data)
        np.maximum.at(high, self.x.indices, self.x.data)
        return low + self.origin, high + self.origin

    def pieces(self) -> Iterator[Block]:
        yield self

    def take(self, rows: NDArray[np.int64]) -> Block:
        return SparseBlock(self.y[rows], self.weight[rows], Census(), self.x[rows], self.origin)

    def leading(self, n: int) -> Block:
        return replace(self, x=self.x[:, :n], origin=self.origin[:n])

    def stored_as(self, kind: Any) -> Self:
        x = self.x
        stored = sparse.csr_array((x.data.astype(kind), x.indices, x.indptr), shape=x.shape)
        error = (x.data - stored.data.astype(np.float64)) ** 2
        error *= np.repeat(self.weight, np.diff(x.indptr))
        rounding = np.bincount(x.indices, error, self.n_features).astype(np.float64)
        return replace(self, x=stored, census=replace(self.census, rounding=rounding))

    def _x(self) -> sparse.csr_array:
        """The entries as float64."""
        return self.x if self.x.dtype == np.float64 else self.x.astype(np.float64)

    def _scaled(self, row: Array, scale: Array) -> sparse.csr_array:
        """diag(row) X diag(scale)."""
        counts = np.diff(self.x.indptr)
        data = self.x.data * scale[self.x.indices] * np.repeat(row, counts)
        return sparse.csr_array((data, self.x.indices, self.x.indptr), shape=self.x.shape)

    def _sums(self, x: sparse.csr_array) -> Array:
        """The columns' sums (n,)."""
        return np.bincount(x.indices, x.data, minlength=self.n_features).astype(np.float64)
