"""Whether a cone of integer vectors contains another vector: an exact simplex method."""

import numpy as np

from w261reg.exact import Integers

# pivots without progress after which Bland's rule, which cannot cycle, takes over
MOST_IDLE = 20


class Cone:
    """x >= 0 with sum_i x_i a_i = target, for integer vectors a_i (r,) that come one by one.

    The first phase of the revised simplex method (Chvatal 1983, *Linear Programming*, 7 and 8):
    sum_i x_i a_i + sum_j s_j (+-e_j) = target with s >= 0, and the sum of s is minimised. The basis
    is inverted in integers, as adjugate and determinant (Edmonds 1967, *Systems of Distinct
    Representatives and Linear Algebra*), so nothing is rounded. At the minimum either all s are 0,
    or `outside` is a vector v with v'a_i >= 0 for all i and v'target < 0 (Farkas' lemma); and
    where further a_i are added, the basis that there is stays feasible.

    Attributes:
        vectors: the a_i.
    """

    def __init__(self, target: Integers) -> None:
        r = len(target)
        sign = np.array([1 if value >= 0 else -1 for value in target.tolist()], dtype=object)
        self.vectors: list[Integers] = []
        # which a_i a place of the basis has; -1 is one of the s
        self._basis = np.full(r, -1, dtype=np.int64)
        self._adjugate = np.zeros((r, r), dtype=object)
        np.fill_diagonal(self._adjugate, sign)
        self._level = np.asarray(sign * target, dtype=object)  # the basis' values times determinant
        self._determinant = 1
        self._idle = 0

    def add(self, vector: Integers) -> None:
        """One more a_i."""
        self.vectors.append(vector)

    @property
    def outside(self) -> Integers | None:
        """v (r,) with v'a_i >= 0 for all i and v'target < 0 after `solve`; None where there is
        none, for the target lies in the cone."""
        left = self._basis < 0
        if not self._level[left].any():
            return None
        return np.asarray(-self._adjugate[left].sum(axis=0), dtype=object)

    def used(self) -> list[int]:
        """Which a_i have x_i > 0."""
        return [int(i) for i, x in zip(self._basis, self._level, strict=True) if i >= 0 and x > 0]

    def solve(self) -> None:
        """Pivot until the sum of s is least."""
        if not self.vectors:
            return
        matrix = np.array(self.vectors, dtype=object)
        size = np.array([max(1, *map(abs, row)) for row in matrix.tolist()], dtype=object)
        while True:
            left = self._basis < 0
            if not self._level[left].any():
                return
            gain = matrix @ self._adjugate[left].sum(axis=0)
            enters = np.flatnonzero(gain > 0)
            if len(enters) == 0:
                return
            if self._idle <= MOST_IDLE:
                enters = enters[[int(np.argmax(_shares(gain[enters], size[enters])))]]
            self._pivot(int(enters[0]), matrix[enters[0]])

    def _pivot(self, entering: int, vector: Integers) -> None:
        column = self._adjugate @ vector
        best = -1
        for i in np.flatnonzero(column > 0).tolist():
            if best >= 0:
                own, least = self._level[i] * column[best], self._level[best] * column[i]
                if own > least or (own == least and self._basis[i] >= self._basis[best]):
                    continue
            best = i
        # the sum of s falls along a vector that enters, so one of the s is in its way
        assert best >= 0
        self._idle = self._idle + 1 if self._level[best] == 0 else 0
        pivot, old = column[best], self._determinant
        own_row, own_level = self._adjugate[best].copy(), self._level[best]
        self._adjugate = (pivot * self._adjugate - np.multiply.outer(column, own_row)) // old
        self._level = (pivot * self._level - column * own_level) // old
        self._adjugate[best], self._level[best] = own_row, own_level
        self._determinant = pivot
        self._basis[best] = entering


def _shares(gain: Integers, size: Integers) -> np.ndarray:
    """gain / size up to a common factor, as floats."""
    down = max(0, max(value.bit_length() for value in gain.tolist()) - 500)
    return np.array([(g >> down) / s for g, s in zip(gain.tolist(), size.tolist(), strict=True)])
