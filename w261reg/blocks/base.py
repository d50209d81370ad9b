"""What a block is: an immutable run of rows and its linear algebra."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from w261reg.blocks.census import Census

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Block(ABC):
    """b rows: features X (b, n), labels y (b,), weights s (b,) > 0, and the census of packing.

    All linear algebra that differs between dense and sparse storage is here and in the two
    subclasses, nowhere else. Features are always taken relative to a `centre` (n,) that the caller
    chooses (zeros for the raw values): sums of centred values keep the digits that centring a sum
    afterwards would lose. Features may be stored as float32; what is computed is float64.
    """

    y: Array
    weight: Array
    census: Census

    @property
    def rows(self) -> int:
        """b."""
        return len(self.y)

    @property
    @abstractmethod
    def n_features(self) -> int:
        """n."""

    @abstractmethod
    def reference(self) -> Array:
        """A point (n,) near the rows, exact in floating point: a good centre for this block."""

    @abstractmethod
    def dot(self, w: Array, centre: Array) -> Array:
        """(X - centre) W for W (n, k): shape (b, k)."""

    @abstractmethod
    def subtracted(self, centre: Array) -> Array:
        """What `add_gram` and `squares` take from sums over the rows, not from rows: (n,).

        The square of it, times the weight of all rows, is what their rounding is a share of.
        """

    @abstractmethod
    def row_dot(self, w: Array, centre: Array) -> Array:
        """(X - centre) w (b,) for w (n,), each row by itself, in the order of the features.

        Equal rows give equal bits, whatever block they are in and wherever in it. The centre must
        be 0 for features that are 0 in some row.
        """

    @abstractmethod
    def sizes(self, w: Array, centre: Array) -> Array:
        """|X - centre| W for W (n, k) >= 0, or somewhat more: what the terms of `dot` come to."""

    @abstractmethod
    def t_dot(self, r: Array, centre: Array) -> Array:
        """(X - centre)' R for R (b, k): shape (n, k)."""

    @abstractmethod
    def add_gram(self, total: Array, h: Array, centre: Array, scale: Array) -> None:
        """Add D (X - centre)' diag(h) (X - centre) D to the upper triangle of `total`.

        Args:
            total: (n, n) in Fortran's order, changed in place; what is below its diagonal has no
                meaning (see `symmetric`).
            h: (b,) >= 0.
            centre: (n,).
            scale: D's diagonal (n,).
        """

    @abstractmethod
    def squares(self, h: Array, centre: Array, scale: Array) -> Array:
        """The diagonal (n,) of the matrix of `add_gram`, without the rest."""

    @abstractmethod
    def design(self, h: Array, centre: Array, scale: Array) -> Array:
        """The dense matrix diag(sqrt(h)) (X - centre) D, shape (b, n)."""

    @abstractmethod
    def range(self) -> tuple[Array, Array]:
        """Smallest and largest value of each feature, each (n,); b must not be 0."""

    @abstractmethod
    def pieces(self) -> Iterator["Block"]:
        """The block as runs of rows that fit a core's cache, in order; the first has the census.

        A piece is good until the next one is asked for: they may share a buffer.
        """

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> "Block":
        """These rows, by ascending position."""

    @abstractmethod
    def leading(self, n: int) -> "Block":
        """The block of the first n features alone."""

    @abstractmethod
    def stored_as(self, kind: Any) -> Self:
        """The block with features of this floating point type; its census tells the rounding."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of features, labels and weights."""


def symmetric(upper: Array) -> Array:
    """The symmetric matrix with this upper triangle, (n, n)."""
    total = np.triu(upper)
    total += np.triu(upper, 1).T
    return total
