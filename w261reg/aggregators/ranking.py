"""How a model ranks two classes: rows by score, exactly or in cells, and the area under the curve.

The area under the ROC curve is P(a positive's score > a negative's) + P(both are equal)/2. What a
pass can carry of millions of distinct scores is their number in cells, disjoint ranges of scores.
Pairs of rows in different cells are in a known order; pairs in one cell are not, unless it holds
one score or one class only. So the area lies within half the share of those pairs, and a further
pass looks into the cells that they are in, see `plan`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Keys = NDArray[np.uint64]
Places = NDArray[np.int64]
# distinct scores kept apart before they are put into bins
MAX_SCORES = 2**16
# bins: so many for each power of two of |z| from 2^LEAST on, for either sign
PER_OCTAVE, LEAST, OCTAVES = 128, -32, 48
HALF = PER_OCTAVE * OCTAVES
# the area is as good as exact where it is known to this
TOLERANCE = 1e-9
# rows that a further pass takes one by one, and cells that it cuts others into
MOST_ROWS, MOST_CELLS = 2**19, 2**17
# a further pass that leaves more than this share of the error is not worth its time
WORTHWHILE = 0.25
NO_KEY = np.uint64(2**64 - 1)


@dataclass
class Cells:
    """Disjoint ranges of scores, ascending, none empty, and what is in them.

    Attributes:
        low, high: the smallest and the largest score in each, as `ordered_key`s (k,).
        counts: weight of the negatives and of the positives (k, 2).
        rows: (k,), no fewer than the distinct scores.
    """

    low: Keys = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    high: Keys = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    counts: Array = field(default_factory=lambda: np.zeros((0, 2)))
    rows: Places = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def _by_class(self) -> Array | None:
        """`counts` near 1, by a power of two a class; None for one class, or a score of NaN."""
        largest = self.counts.max(axis=0, initial=0.0)
        if not (largest > 0).all() or self.high[-1] == NO_KEY:
            return None
        return np.ldexp(self.counts, -np.frexp(largest)[1])

    def auc(self) -> float:
        """The area, with pairs of one cell as ties; NaN for one class, or a score that is NaN."""
        counts = self._by_class()
        if counts is None:
            return float("nan")
        negative, positive = counts.T
        below = np.cumsum(negative) - negative
        return float(positive @ (below + negative / 2) / (negative.sum() * positive.sum()))

    def doubt(self) -> Array:
        """How far the pairs in each cell may move the area, (k,): it is right to their sum."""
        counts = self._by_class()
        if counts is None:
            return np.zeros(len(self.low))
        negative, positive = (counts / counts.sum(axis=0)).T
        return np.where(self.low < self.high, negative * positive / 2, 0.0)

    def with_finer(self, finer: "Cells", chosen: NDArray[np.bool_]) -> "Cells":
        """With `finer` in the place of the chosen ones (k,)."""
        rest = ~chosen
        low = np.concatenate([self.low[rest], finer.low])
        order = np.argsort(low, kind="stable")
        return Cells(
            low[order],
            np.concatenate([self.high[rest], finer.high])[order],
            np.concatenate([self.counts[rest], finer.counts])[order],
            np.concatenate([self.rows[rest], finer.rows])[order],
        )


@dataclass
class Exact:
    """Weight of negatives and positives at each score, ascending: keys (k,) and counts (k, 2)."""

    keys: Keys = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    counts: Array = field(default_factory=lambda: np.zeros((0, 2)))

    @classmethod
    def of(cls, keys: Keys, label: NDArray[np.bool_], s: Array) -> "Exact":
        """Those of some rows, each argument (b,)."""
        return cls._grouped(keys, np.where(label[:, None], [0.0, 1.0], [1.0, 0.0]) * s[:, None])

    @classmethod
    def _grouped(cls, keys: Keys, counts: Array) -> "Exact":
        order = np.argsort(keys, kind="stable")  # finds the sorted runs of a merge
        keys, counts = keys[order], counts[order]
        new = np.ones(len(keys), dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=new[1:])
        if new.all():
            return cls(keys, counts)
        first = np.flatnonzero(new)
        return cls(keys[first], np.add.reduceat(counts, first, axis=0))

    def merge(self, right: "Exact") -> "Exact":
        """Both sets of rows."""
        if not len(self.keys) or not len(right.keys):
            return self if len(self.keys) else right
        keys = np.concatenate([self.keys, right.keys])
        return self._grouped(keys, np.concatenate([self.counts, right.counts]))

    def cells(self) -> Cells:
        """A cell for each score."""
        return Cells(self.keys, self.keys, self.counts, np.ones(len(self.keys), dtype=np.int64))


@dataclass
class Grid:
    """Weight of negatives and positives in cells that are known beforehand.

    Attributes:
        counts: (2, k).
        rows: no fewer than the distinct scores (k,).
        low, high: the smallest and the largest key in each (k,); `NO_KEY` and 0 in an empty one.
    """

    counts: Array
    rows: Places
    low: Keys
    high: Keys

    @classmethod
    def empty(cls, cells: int) -> "Grid":
        """That of no rows."""
        low, high = np.full(cells, NO_KEY), np.zeros(cells, dtype=np.uint64)
        return cls(np.zeros((2, cells)), np.zeros(cells, dtype=np.int64), low, high)

    def add(self, place: Places, keys: Keys, label: NDArray[np.bool_], s: Array) -> None:
        """Add rows, at their places (b,): keys, whether positive, and weights, (b,) each."""
        cells = len(self.rows)
        self.counts += np.bincount(place + cells * label, s, 2 * cells).reshape(2, cells)
        self.rows += np.bincount(place, minlength=cells)
        np.minimum.at(self.low, place, keys)
        np.maximum.at(self.high, place, keys)

    def merge(self, right: "Grid") -> "Grid":
        """Both sets of rows; changes `self`."""
        self.counts += right.counts
        self.rows += right.rows
        np.minimum(self.low, right.low, out=self.low)
        np.maximum(self.high, right.high, out=self.high)
        return self

    def cells(self) -> Cells:
        """Those with rows."""
        own = np.flatnonzero(self.rows)
        return Cells(self.low[own], self.high[own], self.counts.T[own], self.rows[own])


@dataclass(frozen=True)
class Scale:
    """Where scores are expected: bins are relative to (z - middle) / 2^exponent."""

    middle: float = 0.0
    exponent: int = 0

    def bin_of(self, z: Array) -> Places:
        """The bin of each score, 0 to 2 HALF - 1: the larger score is never in a lower one."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            away = np.ldexp(z - self.middle, -self.exponent)
        return bin_of(away)


@dataclass
class Ranks:
    """All rows by score: exact up to MAX_SCORES distinct scores, else in bins.

    Whether they are in bins is decided by the number of distinct scores, and the bin of a score by
    the score alone, so that neither hangs on how the rows were cut. Bins are of equal width
    relative to a score's distance from the middle: at every scale about it they tell apart what
    differs by 1/128.

    Attributes:
        exact: None with bins.
        bins: None without.
    """

    exact: Exact | None = field(default_factory=Exact)
    bins: Grid | None = None

    def add(
        self, z: Array, label: NDArray[np.bool_], s: Array, scale: Scale, binned: bool
    ) -> "Ranks":
        """With some rows, each argument (b,); changes `self`.

        Args:
            z, label, s: scores, whether positive, and weights.
            scale: the same for all rows.
            binned: whether there are more than MAX_SCORES rows, which are not sorted then.
        """
        keys = ordered_key(z)
        if self.bins is None and not binned:
            return self.merge(Ranks(Exact.of(keys, label, s)), scale)
        bins = self._bins(scale)
        bins.add(scale.bin_of(z), keys, label, s)
        return Ranks(None, bins)

    def merge(self, right: "Ranks", scale: Scale) -> "Ranks":
        """Both sets of rows; may change `self`."""
        if self.exact is not None and right.exact is not None:
            both = self.exact.merge(right.exact)
            if len(both.keys) <= MAX_SCORES:
                return Ranks(both)
            return Ranks(None, _binned(both, scale))
        return Ranks(None, self._bins(scale).merge(right._bins(scale)))

    def _bins(self, scale: Scale) -> Grid:
        if self.bins is not None:
            return self.bins
        assert self.exact is not None
        return _binned(self.exact, scale)

    def cells(self) -> Cells:
        """The rows' scores as far as they are known."""
        if self.exact is not None:
            return self.exact.cells()
        assert self.bins is not None
        return self.bins.cells()


def _binned(exact: Exact, scale: Scale) -> Grid:
    bins, place = Grid.empty(2 * HALF), scale.bin_of(score_of(exact.keys))
    for label, own in ((False, exact.counts[:, 0]), (True, exact.counts[:, 1])):
        there = own > 0
        bins.add(place[there], exact.keys[there], np.full(there.sum(), label), own[there])
    return bins


@dataclass(frozen=True)
class Plan:
    """What a further pass looks into.

    Attributes:
        chosen: which of the cells (k,).
        low, high: of those, ascending (c,).
        parts: into how many cells each is cut (c,); None is row by row.
        rows: in them.
    """

    chosen: NDArray[np.bool_]
    low: Keys
    high: Keys
    parts: Places | None
    rows: int

    @property
    def total(self) -> int:
        """How many cells they are cut into."""
        assert self.parts is not None
        return int(self.parts.sum())

    def zero(self) -> Exact | Grid:
        """The state of no rows."""
        return Exact() if self.parts is None else Grid.empty(self.total)

    def add(
        self, state: Exact | Grid, keys: Keys, label: NDArray[np.bool_], s: Array
    ) -> Exact | Grid:
        """The state with some rows, each (b,): those whose scores are in the cells count."""
        cell = np.searchsorted(self.low, keys, side="right") - 1
        own = np.flatnonzero((cell >= 0) & (keys <= self.high[cell]))
        keys, cell, label, s = keys[own], cell[own], label[own], s[own]
        if isinstance(state, Exact):
            return state.merge(Exact.of(keys, label, s))
        assert self.parts is not None
        first = np.cumsum(self.parts) - self.parts
        width = (self.high - self.low) // self.parts.astype(np.uint64) + np.uint64(1)
        within = ((keys - self.low[cell]) // width[cell]).astype(np.int64)
        state.add(first[cell] + within, keys, label, s)
        return state

    def nbytes(self) -> int:
        """An upper bound of a state's size."""
        return 24 * self.rows if self.parts is None else 40 * self.total


def plan(cells: Cells) -> Plan | None:
    """What a further pass should look into; None where the area is known, or no pass is worth it.

    All cells in doubt are taken row by row, or those with the most pairs a row, if what is left is
    within TOLERANCE. Where these are too many rows, the cells are cut into MOST_CELLS: k_i parts
    leave about a k_i-th of a cell's pairs, so the sum of those is least for k_i in proportion to
    the square root of the pairs.
    """
    doubt = cells.doubt()
    whole = float(doubt.sum())
    if whole <= TOLERANCE:
        return None
    order = np.argsort(-doubt / np.maximum(cells.rows, 1), kind="stable")
    left = np.append(np.cumsum(doubt[order][::-1])[::-1][1:], 0.0)  # after so many and one
    taken = np.cumsum(cells.rows[order])
    fit = int(np.searchsorted(taken, MOST_ROWS, side="right"))  # how many may be taken
    every = int(np.count_nonzero(doubt))
    enough = every if every <= fit else int(np.argmax(left <= TOLERANCE / 2)) + 1
    exact = order[: min(enough, fit)]
    remains = float(left[len(exact) - 1]) if len(exact) else whole
    in_doubt = np.flatnonzero(doubt)
    roots = np.sqrt(doubt[in_doubt])
    parts = np.maximum((MOST_CELLS * (roots / roots.sum())).astype(np.int64), 1)
    cut = float(np.sum(doubt[in_doubt] / parts))
    if min(remains, cut) > WORTHWHILE * whole:
        return None
    by_row = remains <= max(cut, TOLERANCE)
    chosen = np.zeros(len(doubt), dtype=bool)
    chosen[exact if by_row else in_doubt[parts > 1]] = True
    return Plan(
        chosen,
        cells.low[chosen],
        cells.high[chosen],
        None if by_row else parts[parts > 1],
        int(cells.rows[chosen].sum()),
    )


def refined(cells: Cells, plan: Plan, found: Exact | Grid) -> Cells:
    """The cells, with what a further pass found in the place of those it looked into."""
    return cells.with_finer(found.cells(), plan.chosen)


def bin_of(z: Array) -> Places:
    """The bin of each score on its scale, ascending; NaN is in the last."""
    largest = float(np.nextafter(2.0 ** (LEAST + OCTAVES), 0))
    size = np.clip(np.nan_to_num(np.abs(z), nan=largest), 2.0**LEAST, largest)
    # the exponent and the first digits of a float64 are an integer that grows with it
    dropped = 52 - PER_OCTAVE.bit_length() + 1
    place = (size.view(np.int64) >> dropped) - (np.float64(2.0**LEAST).view(np.int64) >> dropped)
    return np.where(z < 0, HALF - 1 - place, HALF + place)


def ordered_key(z: Array) -> Keys:
    """Integers in the order of the floats z; that of NaN is `NO_KEY`, beyond infinity."""
    bits = np.ascontiguousarray(z + 0.0).view(np.uint64)  # + 0.0 makes -0.0 and 0.0 one score
    negative = bits >> np.uint64(63) == 1
    keys = np.where(negative, ~bits, bits | np.uint64(1 << 63))
    return np.where(np.isnan(z), NO_KEY, keys)


def score_of(keys: Keys) -> Array:
    """The floats of such integers."""
    positive = keys >> np.uint64(63) == 1
    return np.where(positive, keys ^ np.uint64(1 << 63), ~keys).view(np.float64)
