"""What directions do to the margins of all rows, decided without rounding."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator, pieces
from w261reg.blocks import Block
from w261reg.exact import Integers, integers, scaled

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# rows of a leaf that are checked without rounding, at most: distinct in what a direction sees
MOST_EXACT = 2**14
# weights as floats lose digits below this
SMALL = 1e-290


@dataclass(frozen=True)
class Direction:
    """Along which weights w (n, K) and intercepts b (K,) move: integers, up to a common factor."""

    w: Integers
    b: Integers


@dataclass
class Lowest:
    """Some rows of low margins along a direction, lowest first.

    Attributes:
        score: by which they are ordered (k,).
        x: their features as (k, 2, n), exactly the sum of both.
        y: their labels (k,).
        other: the class (k,) over which the label's own leads by the margin; 0 of one output.
    """

    score: Array
    x: Array
    y: Array
    other: NDArray[np.int64]

    @classmethod
    def none(cls, n: int) -> "Lowest":
        return cls(np.zeros(0), np.zeros((0, 2, n)), np.zeros(0), np.zeros(0, dtype=np.int64))

    def merge(self, right: "Lowest", most: int) -> "Lowest":
        """The lowest of both."""
        return Lowest(
            np.append(self.score, right.score),
            np.concatenate([self.x, right.x]),
            np.append(self.y, right.y),
            np.append(self.other, right.other),
        ).first(most)

    def first(self, most: int) -> "Lowest":
        """The lowest, each row once; ties in the order of their numbers, however rows are cut."""
        found: dict[tuple[float, bytes], int] = {}
        for i, score in enumerate(self.score.tolist()):
            key = self.x[i].tobytes() + self.y[i].tobytes() + self.other[i].tobytes()
            found.setdefault((score, key), i)
        kept = [found[key] for key in sorted(found)[:most]]
        return Lowest(self.score[kept], self.x[kept], self.y[kept], self.other[kept])


@dataclass
class Margins:
    """What is known of the rows' margins along some directions.

    Attributes:
        negative, positive: whether some row's margin is, one a direction.
        open: whether some row's sign is not decided, for too many need integers.
        exact: how many rows did, so far.
        lowest: for each direction, rows of the lowest margins as they are, and in units of the
            terms that they are the sum of.
    """

    negative: NDArray[np.bool_]
    positive: NDArray[np.bool_]
    open: NDArray[np.bool_]
    exact: NDArray[np.int64]
    lowest: list[tuple[Lowest, Lowest]] = field(default_factory=list)


class AlongDirections(Aggregator[Margins]):
    """Signs of margins along directions, and the rows where they are lowest.

    Of one output, a margin is z for label 1 and -z for 0; of K, those of a row are the leads of its
    own class over each other one. Each is computed in floating point with a bound of its rounding;
    where the bound does not tell the sign, in integers.

    Args:
        directions: for n features.
        most: rows to bring home, for each direction and order.
    """

    name = "margins along directions"

    def __init__(self, directions: Sequence[Direction], most: int) -> None:
        self.directions, self.most = list(directions), most

    def zero(self) -> Margins:
        count, n = len(self.directions), len(self.directions[0].w)
        none = np.zeros(count, dtype=bool)
        lowest = [(Lowest.none(n), Lowest.none(n)) for _ in range(count)]
        return Margins(none, none.copy(), none.copy(), np.zeros(count, dtype=np.int64), lowest)

    def nbytes(self) -> int:
        row = 8 * (2 * len(self.directions[0].w) + 3)
        return 4096 + len(self.directions) * (2 * self.most * row + 4096)

    def add(self, state: Margins, block: Block) -> Margins:
        if block.rows == 0:
            return state
        for piece in pieces(block, 4 * self.directions[0].w.shape[1]):
            for d, direction in enumerate(self.directions):
                self._add(state, d, direction, piece)
        return state

    def _add(self, state: Margins, d: int, direction: Direction, block: Block) -> None:
        margin, size = _margins(direction, block)
        near = np.abs(margin) <= (block.n_features + 8) * EPS * size
        decided = np.isfinite(margin) & ~near
        state.negative[d] |= bool((decided & (margin < 0)).any())
        state.positive[d] |= bool((decided & (margin > 0)).any())
        doubtful = np.flatnonzero(near.any(axis=1))
        # a direction that has failed needs no further proof
        if len(doubtful) and not state.negative[d]:
            self._exactly(state, d, direction, block, doubtful, margin)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(size > 0, margin / size, margin)
        plain, relative = state.lowest[d]
        state.lowest[d] = (
            plain.merge(self._rows(block, margin), self.most),
            relative.merge(self._rows(block, share), self.most),
        )

    def _exactly(
        self,
        state: Margins,
        d: int,
        direction: Direction,
        block: Block,
        rows: NDArray[np.int64],
        margin: Array,
    ) -> None:
        """Decide these rows in integers, and give `margin` (b, C) their signs."""
        used = np.flatnonzero((direction.w != 0).any(axis=1))
        x, y = exact_rows(block, rows)
        seen = np.column_stack([x[:, :, used].reshape(len(rows), -1), y])
        distinct, where = np.unique(seen, axis=0, return_inverse=True)
        state.exact[d] += len(distinct)
        if state.exact[d] > MOST_EXACT:
            state.open[d] = True
            return
        both = distinct[:, :-1].reshape(len(distinct), 2, len(used))
        own = Direction(direction.w[used], direction.b)
        sign = np.sign(exact_margins(own, both, distinct[:, -1])).astype(np.float64)
        sign = sign[where.ravel()]
        counts = np.isfinite(margin[rows])
        state.negative[d] |= bool((counts & (sign < 0)).any())
        state.positive[d] |= bool((counts & (sign > 0)).any())
        size = np.maximum(np.abs(margin[rows]), np.finfo(float).tiny)
        margin[rows] = np.where(counts, sign * size, margin[rows])

    def _rows(self, block: Block, score: Array) -> Lowest:
        """The lowest of a block."""
        flat = score.ravel()
        levels = np.unique(flat[np.isfinite(flat)])[: self.most]
        low = np.flatnonzero(flat <= levels[-1]) if len(levels) else np.zeros(0, dtype=np.int64)
        rows, other = np.divmod(low, score.shape[1])
        distinct, where = np.unique(rows, return_inverse=True)
        x, y = exact_rows(block, distinct)
        return Lowest(flat[low], x[where], y[where], other).first(self.most)

    def merge(self, left: Margins, right: Margins) -> Margins:
        left.negative |= right.negative
        left.positive |= right.positive
        left.open |= right.open
        left.lowest = [
            (a.merge(c, self.most), b.merge(d, self.most))
            for (a, b), (c, d) in zip(left.lowest, right.lowest, strict=True)
        ]
        return left


def _margins(direction: Direction, block: Block) -> tuple[Array, Array]:
    """Margins (b, C) in floating point, infinite for the own class, and the size of their terms."""
    (n, outputs), reference = direction.w.shape, block.reference()
    ref, exponent = integers(reference)
    at = ref @ direction.w + (direction.b << -exponent)
    both = np.concatenate([(direction.w << -exponent).ravel(), at])
    floats = scaled(both)
    w, b = floats[:-outputs].reshape(n, outputs), floats[-outputs:]
    size = np.full((block.rows, outputs), np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        z = block.dot(w, reference) + b
        if not ((both != 0) & (np.abs(floats) < SMALL)).any():
            size = block.sizes(np.abs(w), reference) + np.abs(b)
    beyond = ~(np.isfinite(z) & np.isfinite(size))
    z, size = np.where(beyond, 0.0, z), np.where(beyond, np.inf, size)
    if outputs == 1:
        return (2.0 * block.y[:, None] - 1.0) * z, size
    own = block.y.astype(np.int64)[:, None]
    margin = np.take_along_axis(z, own, axis=1) - z
    size = size + np.take_along_axis(size, own, axis=1)
    np.put_along_axis(margin, own, np.inf, axis=1)
    np.put_along_axis(size, own, 0.0, axis=1)
    return margin, size


def exact_margins(direction: Direction, x: Array, y: Array) -> Integers:
    """Margins (k, C) of rows x (k, 2, n), up to a common factor > 0; 1 for the own class."""
    (k, _, n), outputs = x.shape, direction.w.shape[1]
    whole, exponent = integers(x)
    z = (whole[:, 0] + whole[:, 1]) @ direction.w if n else np.zeros((k, outputs), dtype=object)
    z = z + (direction.b << -exponent)
    if outputs == 1:
        return np.where(y > 0.5, 1, -1).astype(object)[:, None] * z
    own = y.astype(np.int64)[:, None]
    margin = np.take_along_axis(z, own, axis=1) - z
    np.put_along_axis(margin, own, 1, axis=1)
    return np.asarray(margin, dtype=object)


def exact_rows(block: Block, rows: NDArray[np.int64]) -> tuple[Array, Array]:
    """Features (k, 2, n) whose exact sum the rows are, and labels (k,).

    Both parts depend on the sum alone: the sum rounded, and what that loses.
    """
    few, reference = block.take(rows), block.reference()
    part = few.design(np.ones(few.rows), reference, np.ones(few.n_features))
    total = part + reference
    # Knuth, *The Art of Computer Programming*, 4.2.2, theorem B
    moved = total - part
    lost = (part - (total - moved)) + (reference - moved)
    return np.stack([total, lost], axis=1), few.y
