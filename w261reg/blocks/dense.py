"""Dense blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from w261reg.blocks.base import Array, Block
from w261reg.blocks.census import Census

# about 1 MB of features: z = X w and X' r then read it once from memory and once from the L2 cache
PART_VALUES = 2**17
# shorter columns than this, and BLAS spends its time between them
LEAST_PART_ROWS = 512


@dataclass(frozen=True)
class DenseBlock(Block):
    """X = values + origin, in parts of rows that fit a core's cache, and origin (n,).

    A part holds its values feature by feature, (n, b_i): a column of a table is copied into it as
    it lies. `parts` may be read anew from a file each time it is gone through, into one buffer.

    The origin is not 0 only in columns where subtracting it was exact (see `origin_of`), so no
    value is changed; it keeps the digits of columns such as years or time stamps, whose spread is
    small beside their size.

    Attributes:
        parts: the values, in order.
        origin: (n,).
        bounds: smallest and largest values (n,) where they are known already.
    """

    parts: Iterable[NDArray[np.floating[Any]]]
    origin: Array
    bounds: tuple[Array, Array] | None = None

    @classmethod
    def of(cls, x: Array, y: Array, weight: Array, census: Census) -> Self:
        """A block of raw features x (b, n)."""
        rows, n = x.shape
        if rows == 0:
            return cls(y, weight, census, (), np.zeros(n))
        low, high = x.min(axis=0), x.max(axis=0)
        origin = origin_of(low, high)
        size = part_rows(n)
        parts = [
            np.subtract(x[start : start + size].T, origin[:, None], order="C")
            for start in range(0, rows, size)
        ]
        return cls(y, weight, census, tuple(parts), origin, (low, high))

    @classmethod
    def of_columns(
        cls, columns: Iterable[Array], n: int, y: Array, weight: Array, census: Census
    ) -> Self:
        """A block of n raw feature columns (b,), taken one after the other."""
        rows = len(y)
        if rows == 0:
            return cls(y, weight, census, (), np.zeros(n))
        size = part_rows(n)
        full = rows // size
        whole = full * size
        body, tail = np.empty((full, n, size)), np.empty((n, rows - whole))
        origin, low, high = np.empty(n), np.empty(n), np.empty(n)
        for j, column in enumerate(columns):
            least, most = float(column.min()), float(column.max())
            low[j], high[j] = least, most
            origin[j] = 0.0
            # `origin_of` for one column: it takes longer than a short column's copy
            if 0.0 < least <= most <= 2 * least < np.inf:
                origin[j] = least
            elif 0.0 > most >= least >= 2 * most > -np.inf:
                origin[j] = most
            if origin[j]:
                column = column - origin[j]
            body[:, j, :] = column[:whole].reshape(full, size)
            tail[j] = column[whole:]
        parts = (*body, tail) if rows > whole else tuple(body)
        return cls(y, weight, census, parts, origin, (low, high))

    @property
    def n_features(self) -> int:
        return len(self.origin)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts) + self.y.nbytes + self.weight.nbytes

    def reference(self) -> Array:
        return self.origin

    def dot(self, w: Array, centre: Array) -> Array:
        shift = (self.origin - centre) @ w
        if w.shape[1] == 1:  # numpy hands (n,) @ (n, b) to gemv
            found = [w[:, 0] @ part for part in self._parts()]
            return np.asarray(_joined(found, 0) + shift)[:, None]
        return np.asarray(_joined([part.T @ w for part in self._parts()], 0) + shift)

    def subtracted(self, centre: Array) -> Array:
        return np.zeros(self.n_features)

    def row_dot(self, w: Array, centre: Array) -> Array:
        kept = np.flatnonzero(w)
        own: Any = slice(None) if len(kept) == len(w) else kept
        origin, centre, factor = (values[own, None] for values in (self.origin, centre, w))
        found = []
        for part in self._parts():
            rows, a = part.shape[1], part[own]
            if rows == 1:  # of a single column numpy would pair the terms of the sum
                a = np.repeat(a, 2, axis=1)
            if origin.any():
                a = a + origin  # exactly x, of which the rest is a function
            if centre.any():
                a = a - centre
            found.append(np.add.reduce(a * factor, axis=0)[:rows])
        return _joined(found, 0)

    def sizes(self, w: Array, centre: Array) -> Array:
        shift = (self.origin - centre)[:, None]
        return np.asarray(_joined([np.abs(part + shift).T @ w for part in self._parts()], 0))

    def t_dot(self, r: Array, centre: Array) -> Array:
        total = np.multiply.outer(self.origin - centre, r.sum(axis=0))
        start = 0
        for part in self._parts():
            own = r[start : start + part.shape[1]]
            start += part.shape[1]
            if r.shape[1] == 1:
                total[:, 0] += part @ own[:, 0]
            else:
                total += part @ own
        return total

    def add_gram(self, total: Array, h: Array, centre: Array, scale: Array) -> None:
        for a in self._designs(h, centre, scale):
            blas.dsyrk(1.0, a.T, beta=1.0, c=total, trans=1, overwrite_c=1)

    def squares(self, h: Array, centre: Array, scale: Array) -> Array:
        total = np.zeros(self.n_features)
        for a in self._designs(h, centre, scale):
            total += np.einsum("ij,ij->i", a, a)
        return total

    def design(self, h: Array, centre: Array, scale: Array) -> Array:
        found = [a.T.copy() for a in self._designs(h, centre, scale)]
        return _joined(found, 0) if found else np.zeros((0, self.n_features))

    def range(self) -> tuple[Array, Array]:
        if self.bounds is not None:
            return self.bounds
        lows, highs = zip(*[(p.min(axis=1), p.max(axis=1)) for p in self._parts()], strict=True)
        return np.min(lows, axis=0) + self.origin, np.max(highs, axis=0) + self.origin

    def pieces(self) -> Iterator[Block]:
        start = 0
        for part in self._parts():
            stop = start + part.shape[1]
            census = self.census if start == 0 else Census()
            y, weight = self.y[start:stop], self.weight[start:stop]
            yield DenseBlock(y, weight, census, (part,), self.origin)
            start = stop
        if start == 0:
            yield self

    def take(self, rows: NDArray[np.int64]) -> Block:
        found, start = [np.zeros((self.n_features, 0))], 0
        for part in self._parts():
            stop = start + part.shape[1]
            own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
            found.append(part[:, own - start])
            start = stop
        parts = (np.hstack(found),) if len(rows) else ()
        return DenseBlock(self.y[rows], self.weight[rows], Census(), parts, self.origin)

    def leading(self, n: int) -> Block:
        bounds = None if self.bounds is None else (self.bounds[0][:n], self.bounds[1][:n])
        return replace(self, parts=_Leading(self.parts, n), origin=self.origin[:n], bounds=bounds)

    def stored_as(self, kind: Any) -> Self:
        parts = [part.astype(kind) for part in self.parts]
        rounding, start = np.zeros(self.n_features), 0
        for part, stored in zip(self.parts, parts, strict=True):
            stop = start + part.shape[1]
            rounding += (part - stored.astype(np.float64)) ** 2 @ self.weight[start:stop]
            start = stop
        census = replace(self.census, rounding=rounding)
        bounds = self.bounds
        if bounds is not None and len(parts):
            bounds = replace(self, parts=tuple(parts), bounds=None).range()
        return replace(self, parts=tuple(parts), census=census, bounds=bounds)

    def _parts(self) -> Iterator[Array]:
        """The parts as float64."""
        for part in self.parts:
            yield np.asarray(part, dtype=np.float64)

    def _designs(self, h: Array, centre: Array, scale: Array) -> Iterator[Array]:
        """diag(scale) (X - centre)' diag(sqrt(h)) of each part, (n, b_i), in a buffer of the call.

        Fresh memory for each part would cost more than its sums.
        """
        shift, root = (self.origin - centre)[:, None], np.sqrt(h)
        scaled = bool((scale != 1.0).any())
        buffer = np.empty(0)
        start = 0
        for part in self._parts():
            stop = start + part.shape[1]
            if len(buffer) < part.size:
                buffer = np.empty(part.size)
            a = buffer[: part.size].reshape(part.shape)
            np.add(part, shift, out=a)
            if scaled:
                a *= scale[:, None]
            a *= root[start:stop]
            start = stop
            yield a


@dataclass(frozen=True)
class _Leading:
    """The first n features of parts that may be read anew each time."""

    parts: Iterable[NDArray[np.floating[Any]]]
    n: int

    def __iter__(self) -> Iterator[NDArray[np.floating[Any]]]:
        return (part[: self.n] for part in self.parts)


def part_rows(n: int) -> int:
    """Rows of a part for n features: a power of two."""
    return int(max(LEAST_PART_ROWS, min(2**13, 1 << (PART_VALUES // max(1, n)).bit_length() - 1)))


def _joined(arrays: Sequence[Array], axis: int) -> Array:
    if not arrays:
        return np.zeros(0)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=axis)


def origin_of(low: Any, high: Any) -> Any:
    """The value that all values between two bounds can be taken relative to, exactly; or 0.

    Where all values have one sign and the largest is at most twice the smallest in size, their
    differences from the smallest are exact (Sterbenz's lemma; Goldberg 1991, theorem 11). Columns
    that vary more get 0: they lose little.

    Args:
        low, high: smallest and largest value: numbers, or arrays of one shape.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        positive = (low > 0) & (high <= 2 * low) & np.isfinite(2 * low)
        negative = (high < 0) & (low >= 2 * high) & np.isfinite(2 * high)
    return np.where(positive, low, np.where(negative, high, 0.0))
