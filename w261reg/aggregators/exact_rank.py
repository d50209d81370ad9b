"""The rank of the rows as the numbers that they are, decided without rounding."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator, pieces
from w261reg.aggregators.directions import exact_rows
from w261reg.blocks import Block

Array = NDArray[np.float64]
Residues = NDArray[np.int64]

# products of two residues fit in 63 bits; 2 has a long period, so powers of 2 are not taken for one
PRIME = 2147483629
# rows that join at a time, beside one for each direction that is left
MORE_ROWS = 8


class ExactRank(Aggregator[Residues]):
    """A basis of the rows (x, 1) modulo a prime, (r, k) reduced by rows: r is their rank.

    A float is an integer times a power of 2, so it has a residue. The rank modulo a prime is never
    above that of the numbers, and below it only if the prime divides every minor of that size: by
    chance one time in some 1e9 (Schwartz 1980, *Fast Probabilistic Algorithms for Verification of
    Polynomial Identities*). Rank is free of the units of columns and of row weights.

    Args:
        active: the features that count, (n_active,).
        intercept: whether the column of ones does.
        most: a rank above this is as good as any: further rows are not looked at.
    """

    name = "rank without rounding"

    def __init__(self, active: NDArray[np.int64], intercept: bool, most: int) -> None:
        self.active, self.intercept, self.most = active, intercept, most

    @staticmethod
    def residue(value: Fraction | int) -> int:
        """Of a fraction."""
        return int(value.numerator * pow(value.denominator, -1, PRIME) % PRIME)

    @property
    def columns(self) -> int:
        """k."""
        return len(self.active) + self.intercept

    def zero(self) -> Residues:
        return np.zeros((0, self.columns), dtype=np.int64)

    def nbytes(self) -> int:
        return 8 * min(self.most + self.columns, self.columns) * self.columns + 4096

    def add(self, state: Residues, block: Block) -> Residues:
        for piece in pieces(block, 4 * block.n_features):
            if piece.rows and len(state) <= self.most:
                state = self._joined(state, self._residues(piece))
        return state

    def merge(self, left: Residues, right: Residues) -> Residues:
        return left if len(left) > self.most else self._joined(left, right)

    def _residues(self, block: Block) -> Residues:
        x, _ = exact_rows(block, np.arange(block.rows))
        found = residues(x[:, :, self.active]).sum(axis=1) % PRIME
        if not self.intercept:
            return np.asarray(found)
        return np.column_stack([found, np.ones(len(found), dtype=np.int64)])

    def _joined(self, basis: Residues, rows: Residues) -> Residues:
        while len(basis) <= self.most:
            outside = rows[_beyond(basis, rows)]
            if not len(outside):
                break
            few = outside[: self.columns - len(basis) + MORE_ROWS]
            basis = _reduced(np.vstack([basis, few]))
        return basis


def residues(x: Array) -> Residues:
    """Finite floats modulo the prime, of the same shape."""
    mantissa, exponent = np.frexp(x)
    whole = np.ldexp(mantissa, 53).astype(np.int64) % PRIME
    distinct, where = np.unique(exponent, return_inverse=True)
    powers = [pow(2, int(e) - 53, PRIME) for e in distinct]
    return np.asarray(whole * np.array(powers, dtype=np.int64)[where.reshape(x.shape)] % PRIME)


def _beyond(basis: Residues, rows: Residues) -> NDArray[np.bool_]:
    """Which rows (m, k) are no combination of the reduced basis (r, k)."""
    pivots = np.argmax(basis != 0, axis=1)
    others = np.setdiff1d(np.arange(rows.shape[1]), pivots)
    left = rows[:, others]
    for pivot, row in zip(pivots, basis, strict=True):
        left = (left - rows[:, pivot, None] * row[others]) % PRIME
    return np.asarray(left.any(axis=1))


def _reduced(rows: Residues) -> Residues:
    """The reduced echelon form of rows (m, k), without those that are 0: (r, k)."""
    a, rank = rows.copy(), 0
    for column in range(a.shape[1]):
        if rank == len(a):
            break
        found = np.flatnonzero(a[rank:, column])
        if not len(found):
            continue
        a[[rank, rank + found[0]]] = a[[rank + found[0], rank]]
        a[rank] = a[rank] * pow(int(a[rank, column]), -1, PRIME) % PRIME
        factor = a[:, column].copy()
        factor[rank] = 0
        a = (a - factor[:, None] * a[rank]) % PRIME
        rank += 1
    return a[:rank]
