"""How well a model predicts, in one pass."""

from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block
from w261reg.losses import Loss

Array = NDArray[np.float64]
# distinct scores kept apart before neighbours are put together: exact AUC for as many rows
MAX_SCORES = 2**16


@dataclass
class Ranks:
    """Weight of negatives and positives at each distinct score, by ascending key.

    The key is the order-preserving integer of the score's float64, without its last `dropped` bits.
    """

    dropped: int = 0
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    counts: Array = field(default_factory=lambda: np.zeros((0, 2)))

    def merge(self, right: "Ranks") -> "Ranks":
        """Both sets of rows; drops bits until at most MAX_SCORES keys are left."""
        dropped = max(self.dropped, right.dropped)
        keys = np.concatenate(
            [
                self.keys >> np.uint64(dropped - self.dropped),
                right.keys >> np.uint64(dropped - right.dropped),
            ]
        )
        counts = np.concatenate([self.counts, right.counts])
        keys, counts = _group(keys, counts)
        if len(keys) > MAX_SCORES:
            apart = keys[1:] ^ keys[:-1]  # two neighbours stay apart until these bits are dropped

            def too_many(bits: int) -> bool:
                return bool(np.count_nonzero(apart >> np.uint64(bits)) >= MAX_SCORES)

            bits = bisect_left(range(64), True, key=lambda n: not too_many(n))
            keys, counts = _add_up(keys >> np.uint64(bits), counts)
            dropped += bits
        return Ranks(dropped, keys, counts)

    def auc(self) -> float:
        """Area under the ROC curve: P(a positive outranks a negative), ties counting half."""
        negative, positive = self.counts[:, 0], self.counts[:, 1]
        below = np.cumsum(negative) - negative
        pairs = negative.sum() * positive.sum()
        return float(positive @ (below + negative / 2) / pairs) if pairs > 0 else float("nan")


def _group(keys: NDArray[np.uint64], counts: Array) -> tuple[NDArray[np.uint64], Array]:
    """Ascending, each key once."""
    order = np.argsort(keys, kind="stable")  # finds the sorted runs of a merge
    return _add_up(keys[order], counts[order])


def _add_up(keys: NDArray[np.uint64], counts: Array) -> tuple[NDArray[np.uint64], Array]:
    """Each of some ascending keys once, with the sums of its counts."""
    new = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    if new.all():
        return keys, counts
    first = np.flatnonzero(new)
    # a sum over rows of two columns takes ten times as long as two sums
    sums = [np.add.reduceat(np.ascontiguousarray(column), first) for column in counts.T]
    return keys[first], np.stack(sums, axis=1)


def ordered_key(z: Array) -> NDArray[np.uint64]:
    """Integers in the order of the floats z."""
    bits = np.ascontiguousarray(z + 0.0).view(np.uint64)  # + 0.0 makes -0.0 and 0.0 one score
    negative = bits >> np.uint64(63) == 1
    return np.where(negative, ~bits, bits | np.uint64(1 << 63))


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
    """Log loss, AUC, accuracy, precision and recall (threshold: probability 0.5)."""

    name = "classification scores"

    def zero(self) -> ClassSums:
        return ClassSums()

    def add(self, state: ClassSums, block: Block) -> ClassSums:
        if block.rows == 0:
            return state
        z = self.predictor(block)
        s = block.weight
        label = block.y > 0.5
        confusion = np.zeros((2, 2))
        np.add.at(confusion, (label.astype(int), (z[:, 0] > 0).astype(int)), s)
        counts = np.where(label[:, None], [0.0, 1.0], [1.0, 0.0]) * s[:, None]
        keys, counts = _group(ordered_key(z[:, 0]), counts)
        loss = float(s @ self.loss.value(block.y, z)[:, 0])
        own = ClassSums(block.rows, float(s.sum()), loss, confusion, Ranks(0, keys, counts))
        return self.merge(state, own)

    def merge(self, left: ClassSums, right: ClassSums) -> ClassSums:
        return ClassSums(
            left.rows + right.rows,
            left.weight + right.weight,
            left.loss + right.loss,
            left.confusion + right.confusion,
            left.ranks.merge(right.ranks),
        )

    def nbytes(self) -> int:
        return 24 * MAX_SCORES + 4096

    @staticmethod
    def metrics(state: ClassSums) -> dict[str, float]:
        """The metrics by name; NaN where a denominator is 0."""
        (_, fp), (fn, tp) = state.confusion
        return {
            "rows": state.rows,
            "log_loss": state.loss / state.weight,
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
        error = self.predictor(block)[:, 0] - y
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
