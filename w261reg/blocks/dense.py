"""Dense blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from w261reg.blocks.base import Array, Block
from w261reg.blocks.census import Census

# about 1 MB of features: z = X w and X' r then read it once from memory and once from the L2 cache
PIECE_VALUES = 2**17


@dataclass(frozen=True)
class DenseBlock(Block):
    """X = values + origin, values (b, n) float64 and origin (n,).

    The origin is not 0 only in columns where subtracting it was exact (see `origin_of`), so no
    value is changed; it keeps the digits of columns such as years or time stamps, whose spread is
    small beside their size.
    """

    values: Array
    origin: Array

    @classmethod
    def of(cls, x: Array, y: Array, weight: Array, census: Census) -> Self:
        """A block of raw features x (b, n), which it may overwrite."""
        origin = origin_of(x)
        if origin.any():
            x = x - origin
        return cls(y, weight, census, x, origin)

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    def reference(self) -> Array:
        return self.origin

    def dot(self, w: Array, centre: Array) -> Array:
        shift = (self.origin - centre) @ w
        if w.shape[1] == 1:  # numpy hands (b, n) @ (n,) to gemv, (b, n) @ (n, 1) not always
            return np.asarray(self.values @ w[:, 0] + shift)[:, None]
        return np.asarray(self.values @ w + shift)

    def t_dot(self, r: Array, centre: Array) -> Array:
        shift = np.multiply.outer(self.origin - centre, r.sum(axis=0))
        if r.shape[1] == 1:
            return (r[:, 0] @ self.values)[:, None] + shift
        return np.asarray(self.values.T @ r + shift)

    def gram(self, h: Array, centre: Array, scale: Array) -> Array:
        a = self.design(h, centre, scale)
        return a.T @ a  # numpy hands this to syrk

    def squares(self, h: Array, centre: Array, scale: Array) -> Array:
        a = self.design(h, centre, scale)
        return np.einsum("ij,ij->j", a, a)

    def design(self, h: Array, centre: Array, scale: Array) -> Array:
        a = self.values + (self.origin - centre)
        a *= scale
        a *= np.sqrt(h)[:, None]
        return a

    def range(self) -> tuple[Array, Array]:
        return self.values.min(axis=0) + self.origin, self.values.max(axis=0) + self.origin

    def pieces(self) -> Iterator[Block]:
        size = 1 << max(9, min(13, (PIECE_VALUES // max(1, self.n_features)).bit_length() - 1))
        if self.rows <= size:
            yield self
            return
        for start in range(0, self.rows, size):
            stop = start + size
            yield DenseBlock(
                self.y[start:stop],
                self.weight[start:stop],
                self.census if start == 0 else Census(),
                self.values[start:stop],
                self.origin,
            )


def origin_of(x: Array) -> Array:
    """The value of each column of x (b, n) that all others can be taken relative to, exactly.

    Where all values have one sign and the largest is at most twice the smallest in size, their
    differences from the smallest are exact (Sterbenz's lemma; Goldberg 1991, theorem 11). Columns
    that vary more get 0: they lose little.
    """
    if len(x) == 0:
        return np.zeros(x.shape[1])
    low, high = x.min(axis=0), x.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        positive = (low > 0) & (high <= 2 * low)
        negative = (high < 0) & (low >= 2 * high)
    return np.where(positive, low, np.where(negative, high, 0.0))
