"""How well a model predicts, in one pass."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block
from w261reg.losses import Loss

Array = NDArray[np.float64]
# distinct scores kept apart before they are put into bins: exact AUC for as many rows
MAX_SCORES = 2**16
# bins: so many for each power of two of |z| from 2^LEAST on, for either sign
PER_OCTAVE, LEAST, OCTAVES = 512, -20, 50
HALF = PER_OCTAVE * OCTAVES


@dataclass
class Ranks:
    """Weight of negatives and positives by score: at each score, or where they are many in bins.

    Bins are of equal width relative to the score, so that they are finest around probability 0.5
    whatever the scale; rows of one bin count as ties. For scores of a smooth density that moves the
    AUC by less than 1e-6: about the square of a bin's width.

    Attributes:
        keys: the order-preserving integers of the scores, ascending (k,); empty with bins.
        counts: at each key (k, 2); empty with bins.
        bins: (2, 2 HALF), or None.
    """

    keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    counts: Array = field(default_factory=lambda: np.zeros((0, 2)))
    bins: Array | None = None

    @classmethod
    def of(cls, z: Array, label: NDArray[np.bool_], s: Array, binned: bool) -> "Ranks":
        """Those of some rows, each argument (b,)."""
        if binned:
            place = bin_of(z) + np.where(label, 2 * HALF, 0)
            return cls(bins=_histogram(place, s, 4 * HALF).reshape(2, -1))
        counts = np.where(label[:, None], [0.0, 1.0], [1.0, 0.0]) * s[:, None]
        return cls(*_group(ordered_key(z), counts))

    def merge(self, right: "Ranks") -> "Ranks":
        """Both sets of rows; changes `self`."""
        if self.bins is None and not len(self.keys):
            return right
        if self.bins is None and right.bins is None:
            keys = np.concatenate([self.keys, right.keys])
            keys, counts = _group(keys, np.concatenate([self.counts, right.counts]))
            if len(keys) <= MAX_SCORES:
                return Ranks(keys, counts)
        bins = self._binned()
        bins += right._binned()
        return Ranks(bins=bins)

    def _binned(self) -> Array:
        if self.bins is not None:
            return self.bins
        place = bin_of(score_of(self.keys))
        return np.stack([_histogram(place, own, 2 * HALF) for own in self.counts.T])

    def auc(self) -> float:
        """Area under the ROC curve: P(a positive outranks a negative), ties counting half."""
        negative, positive = self.counts.T if self.bins is None else self.bins
        below = np.cumsum(negative) - negative
        pairs = negative.sum() * positive.sum()
        return float(positive @ (below + negative / 2) / pairs) if pairs > 0 else float("nan")


def _histogram(place: NDArray[np.int64], s: Array, bins: int) -> Array:
    return np.bincount(place, s, bins).astype(np.float64, copy=False)


def bin_of(z: Array) -> NDArray[np.int64]:
    """The bin of each score, 0 to 2 HALF - 1, ascending."""
    largest = np.nextafter(2.0 ** (LEAST + OCTAVES), 0)
    size = np.clip(np.abs(z), 2.0**LEAST, largest)
    # the exponent and the first digits of a float64 are an integer that grows with it
    dropped = 52 - PER_OCTAVE.bit_length() + 1
    place = (size.view(np.int64) >> dropped) - (np.float64(2.0**LEAST).view(np.int64) >> dropped)
    return np.where(z < 0, HALF - 1 - place, HALF + place)


def _group(keys: NDArray[np.uint64], counts: Array) -> tuple[NDArray[np.uint64], Array]:
    """Ascending, each key once, with the sums of its counts."""
    order = np.argsort(keys, kind="stable")  # finds the sorted runs of a merge
    keys, counts = keys[order], counts[order]
    new = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    if new.all():
        return keys, counts
    first = np.flatnonzero(new)
    return keys[first], np.add.reduceat(counts, first, axis=0)


def ordered_key(z: Array) -> NDArray[np.uint64]:
    """Integers in the order of the floats z."""
    bits = np.ascontiguousarray(z + 0.0).view(np.uint64)  # + 0.0 makes -0.0 and 0.0 one score
    negative = bits >> np.uint64(63) == 1
    return np.where(negative, ~bits, bits | np.uint64(1 << 63))


def score_of(keys: NDArray[np.uint64]) -> Array:
    """The floats of such integers."""
    positive = keys >> np.uint64(63) == 1
    return np.where(positive, keys ^ np.uint64(1 << 63), ~keys).view(np.float64)


@dataclass
class ClassSums:
    """Sums of a classifier's scores."""

    rows: int = 0
    weight: float = 0.0
    loss: float = 0.0
    confusion: Array = field(default_factory=lambda: np.zeros((2, 2)))  # [label, prediction]
    ranks: Ranks = field(default_factory=Ranks)


class _Scores:
    """The linear predictor of a block under w (n,), intercept b."""

    def __init__(self, loss: Loss, w: Array, b: float) -> None:
        self.loss, self.w, self.b = loss, w, b

    def predictor(self, block: Block) -> Array:
        """z = X w + b, (b, 1)."""
        return block.dot(self.w[:, None], np.zeros_like(self.w)) + self.b


class ClassificationScores(_Scores, Aggregator[ClassSums]):
    """Mean loss, AUC, accuracy, precision and recall (the second class is where z > 0).

    Args:
        loss, w, b: of the model.
        rows: of the table, where that is known: more than MAX_SCORES are not sorted at first.
    """

    name = "classification scores"

    def __init__(self, loss: Loss, w: Array, b: float, rows: int = 0) -> None:
        super().__init__(loss, w, b)
        self.binned = rows > MAX_SCORES

    def zero(self) -> ClassSums:
        return ClassSums()

    def add(self, state: ClassSums, block: Block) -> ClassSums:
        if block.rows == 0:
            return state
        z = self.predictor(block)
        s = block.weight
        label = block.y > 0.5
        cell = 2 * label.astype(np.int64) + (z[:, 0] > 0)
        confusion = _histogram(cell, s, 4).reshape(2, 2)
        ranks = Ranks.of(z[:, 0], label, s, self.binned)
        loss = float(s @ self.loss.value(block.y, z)[:, 0])
        own = ClassSums(block.rows, float(s.sum()), loss, confusion, ranks)
        return self.merge(state, own)

    def merge(self, left: ClassSums, right: ClassSums) -> ClassSums:
        return ClassSums(
            left.rows + right.rows,
            left.weight + right.weight,
            left.loss + right.loss,
            left.confusion + right.confusion,
            left.ranks.merge(right.ranks),
        )

    @staticmethod
    def moments(state: ClassSums) -> tuple[float, float, float, float]:
        """S, mean loss, and mean and variance of the label."""
        share = float(state.confusion[1].sum()) / state.weight
        return state.weight, state.loss / state.weight, share, share * (1 - share)

    def nbytes(self) -> int:
        return max(24 * MAX_SCORES, 32 * HALF) + 4096

    def metrics(self, state: ClassSums) -> dict[str, float]:
        """The metrics by name; NaN where a denominator is 0."""
        (_, fp), (fn, tp) = state.confusion
        return {
            "rows": state.rows,
            self.loss.metric: state.loss / state.weight,
            "auc": state.ranks.auc(),
            "accuracy": float(np.trace(state.confusion)) / state.weight,
            "precision": float(tp / (tp + fp)) if tp + fp > 0 else float("nan"),
            "recall": float(tp / (tp + fn)) if tp + fn > 0 else float("nan"),
        }


@dataclass
class RegressionSums:
    """Sums of a regression's scores; the label's mean and spread by pairwise merging."""

    rows: int = 0
    weight: float = 0.0
    squares: float = 0.0
    absolute: float = 0.0
    y_mean: float = 0.0
    y_squares: float = 0.0


class RegressionScores(_Scores, Aggregator[RegressionSums]):
    """Mean squared and absolute error and R2 = 1 - sum (y - z)^2 / sum (y - mean y)^2."""

    name = "regression scores"

    def zero(self) -> RegressionSums:
        return RegressionSums()

    def add(self, state: RegressionSums, block: Block) -> RegressionSums:
        if block.rows == 0:
            return state
        s, y = block.weight, block.y
        error = self.loss.mean(self.predictor(block))[:, 0] - y
        weight = float(s.sum())
        mean = float(s @ y) / weight
        own = RegressionSums(
            block.rows,
            weight,
            float(s @ error**2),
            float(s @ np.abs(error)),
            mean,
            float(s @ (y - mean) ** 2),
        )
        return self.merge(state, own)

    def merge(self, left: RegressionSums, right: RegressionSums) -> RegressionSums:
        if left.rows == 0 or right.rows == 0:
            return left if right.rows == 0 else right
        weight = left.weight + right.weight
        delta = right.y_mean - left.y_mean
        share = right.weight / weight
        return RegressionSums(
            left.rows + right.rows,
            weight,
            left.squares + right.squares,
            left.absolute + right.absolute,
            left.y_mean + delta * share,
            left.y_squares + right.y_squares + delta**2 * left.weight * share,
        )

    @staticmethod
    def moments(state: RegressionSums) -> tuple[float, float, float, float]:
        """S, mean loss (half the square), and mean and variance of the label."""
        weight = state.weight
        return weight, state.squares / weight / 2, state.y_mean, state.y_squares / weight

    @staticmethod
    def metrics(state: RegressionSums) -> dict[str, float]:
        """The metrics by name; R2 is NaN for a constant label."""
        mse = state.squares / state.weight
        varies = state.y_squares > 0
        return {
            "rows": state.rows,
            "mse": mse,
            "rmse": mse**0.5,
            "mae": state.absolute / state.weight,
            "r2": 1 - state.squares / state.y_squares if varies else float("nan"),
        }
