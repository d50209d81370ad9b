"""How well a model predicts, in one pass."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.aggregators.ranking import (
    HALF,
    MAX_SCORES,
    Cells,
    Exact,
    Grid,
    Plan,
    Ranks,
    Scale,
    ordered_key,
)
from w261reg.aggregators.summary import Summary
from w261reg.blocks import Block
from w261reg.blocks.dense import origin_of
from w261reg.losses import Loss

Array = NDArray[np.float64]


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


@dataclass(frozen=True)
class Expected:
    """What is known of a table beforehand, so that its scores are told apart where they lie.

    Attributes:
        rows: of the table; 0 is not known.
        centre: scores are (x - centre)'w: the means, where x - centre is exact, else 0 (n,).
        mean, sd: of the features (n,).
    """

    rows: int
    centre: Array
    mean: Array
    sd: Array

    @classmethod
    def unknown(cls, n: int, rows: int = 0) -> "Expected":
        """Of n features nothing is known."""
        return cls(rows, np.zeros(n), np.zeros(n), np.zeros(n))

    @classmethod
    def of(cls, summary: Summary) -> "Expected":
        """What the first pass tells."""
        # where `origin_of` is not 0, any difference of two values is exact; the mean lies between
        low, high = summary.low[:-1], summary.high[:-1]
        near = origin_of(low, high) != 0
        centre = np.where(near, np.clip(summary.mean, low, high), 0.0)
        return cls(summary.rows, centre, summary.mean, summary.sd()[:-1])

    def scale(self, w: Array) -> Scale:
        """Where the scores of a model lie, and how far they spread at most."""
        with np.errstate(over="ignore", invalid="ignore"):
            middle = float((self.mean - self.centre) @ w)
            spread = float(np.abs(w) @ self.sd)
        if not (np.isfinite(middle) and 0 < spread < np.inf):
            return Scale()
        return Scale(middle, int(np.frexp(spread)[1]))


class ClassificationScores(_Scores, Aggregator[ClassSums]):
    """Mean loss, AUC, accuracy, precision and recall (the second class is where z > 0).

    The order of the rows is that of (x - centre)'w, taken row by row: what the intercept and the
    means would round away still counts, and equal rows are ties wherever they lie.

    Args:
        loss, w, b: of the model.
        expected: what is known of the table.
    """

    name = "classification scores"

    def __init__(self, loss: Loss, w: Array, b: float, expected: Expected | None = None) -> None:
        super().__init__(loss, w, b)
        expected = Expected.unknown(len(w)) if expected is None else expected
        self.centre, self.scale = expected.centre, expected.scale(w)
        self.binned = expected.rows > MAX_SCORES

    def zero(self) -> ClassSums:
        return ClassSums()

    def add(self, state: ClassSums, block: Block) -> ClassSums:
        with np.errstate(over="ignore", invalid="ignore"):
            if block.rows == 0:
                return state
            z = self.predictor(block)
            s = block.weight
            label = block.y > 0.5
            cell = 2 * label.astype(np.int64) + (z[:, 0] > 0)
            confusion = np.bincount(cell, s, 4).astype(np.float64, copy=False).reshape(2, 2)
            order = block.row_dot(self.w, self.centre)
            loss = float(s @ self.loss.value(block.y, z)[:, 0])
            return ClassSums(
                state.rows + block.rows,
                state.weight + float(s.sum()),
                state.loss + loss,
                state.confusion + confusion,
                state.ranks.add(order, label, s, self.scale, self.binned),
            )

    def merge(self, left: ClassSums, right: ClassSums) -> ClassSums:
        return ClassSums(
            left.rows + right.rows,
            left.weight + right.weight,
            left.loss + right.loss,
            left.confusion + right.confusion,
            left.ranks.merge(right.ranks, self.scale),
        )

    @staticmethod
    def moments(state: ClassSums) -> tuple[float, float, float, float, Array]:
        """S, mean loss, mean and variance of the label, and the classes' shares (2,)."""
        shares = state.confusion.sum(axis=1) / state.weight
        mean, variance = float(shares[1]), float(shares.prod())
        return state.weight, state.loss / state.weight, mean, variance, shares

    def nbytes(self) -> int:
        return max(24 * MAX_SCORES, 80 * HALF) + 4096

    def metrics(self, state: ClassSums, cells: Cells | None = None) -> dict[str, float]:
        """The metrics by name; NaN where a denominator is 0.

        Args:
            state: of all rows.
            cells: the rows' scores, where further passes know more of them than `state`.
        """
        (_, fp), (fn, tp) = state.confusion
        cells = state.ranks.cells() if cells is None else cells
        error = float(cells.doubt().sum())
        return {
            "rows": state.rows,
            self.loss.metric: state.loss / state.weight,
            "auc": cells.auc(),
            **({"auc_error": error} if error > 0 else {}),
            "accuracy": float(np.trace(state.confusion)) / state.weight,
            "precision": float(tp / (tp + fp)) if tp + fp > 0 else float("nan"),
            "recall": float(tp / (tp + fn)) if tp + fn > 0 else float("nan"),
        }


class RankAgain(Aggregator[Exact | Grid]):
    """A further look at the scores that the rows of two classes have in common.

    Args:
        scores: the model's.
        plan: which.
    """

    name = "scores in doubt"

    def __init__(self, scores: ClassificationScores, plan: Plan) -> None:
        self.w, self.centre, self.plan = scores.w, scores.centre, plan

    def zero(self) -> Exact | Grid:
        return self.plan.zero()

    def add(self, state: Exact | Grid, block: Block) -> Exact | Grid:
        with np.errstate(over="ignore", invalid="ignore"):
            if block.rows == 0:
                return state
            keys = ordered_key(block.row_dot(self.w, self.centre))
            return self.plan.add(state, keys, block.y > 0.5, block.weight)

    def merge(self, left: Exact | Grid, right: Exact | Grid) -> Exact | Grid:
        return left.merge(right)  # type: ignore[arg-type]  # both are of the plan's kind

    def nbytes(self) -> int:
        return self.plan.nbytes() + 4096


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
        with np.errstate(over="ignore", invalid="ignore"):
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
            left.y_squares + right.y_squares + delta * delta * left.weight * share,
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
