"""How well a model of several classes predicts, in one pass."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator, pieces
from w261reg.blocks import Block
from w261reg.losses import Loss

Array = NDArray[np.float64]
# classes up to which the confusion matrix is one of the metrics
MOST_CONFUSED = 20


@dataclass
class ConfusionSums:
    """Sums of a classifier's scores; confusion[label, prediction] is (K, K)."""

    rows: int
    weight: float
    loss: float
    confusion: Array


class MulticlassScores(Aggregator[ConfusionSums]):
    """Mean loss and the confusion matrix; the class of the largest z is predicted.

    Args:
        loss: of K classes.
        w, b: of the model, (n, K) and (K,).
    """

    name = "classification scores"

    def __init__(self, loss: Loss, w: Array, b: Array) -> None:
        self.loss, self.w, self.b = loss, w, b

    def zero(self) -> ConfusionSums:
        k = self.loss.outputs
        return ConfusionSums(0, 0.0, 0.0, np.zeros((k, k)))

    def add(self, state: ConfusionSums, block: Block) -> ConfusionSums:
        # rows far beyond those of the training may overflow
        with np.errstate(over="ignore", invalid="ignore"):
            k, centre = self.loss.outputs, np.zeros(len(self.w))
            for piece in pieces(block, k):
                if piece.rows == 0:
                    continue
                y, s = piece.y, piece.weight
                z = piece.dot(self.w, centre) + self.b
                cell = y.astype(np.int64) * k + z.argmax(axis=1)
                confusion = np.bincount(cell, s, k * k).astype(np.float64, copy=False).reshape(k, k)
                loss = float(s @ self.loss.value(y, z)[:, 0])
                state = self.merge(
                    state, ConfusionSums(piece.rows, float(s.sum()), loss, confusion)
                )
            return state

    def merge(self, left: ConfusionSums, right: ConfusionSums) -> ConfusionSums:
        return ConfusionSums(
            left.rows + right.rows,
            left.weight + right.weight,
            left.loss + right.loss,
            left.confusion + right.confusion,
        )

    @staticmethod
    def moments(state: ConfusionSums) -> tuple[float, float, float, float, Array]:
        """S, mean loss, no mean and variance of the label, and the classes' shares (K,)."""
        shares = state.confusion.sum(axis=1) / state.weight
        return state.weight, state.loss / state.weight, float("nan"), float("nan"), shares

    def metrics(self, state: ConfusionSums) -> dict[str, Any]:
        """The metrics by name, as scikit-learn and pyspark.ml have them; of few classes the matrix.

        Precision of class k is hits_k / predicted_k, its recall hits_k / labelled_k, its f1 their
        harmonic mean, 0 where the denominator is. `_macro` is the mean over the classes that are
        labels or predictions here, `_weighted` that by labels.
        """
        hits = np.diagonal(state.confusion)
        labelled, predicted = state.confusion.sum(axis=1), state.confusion.sum(axis=0)
        seen, share = labelled + predicted > 0, labelled / state.weight
        found: dict[str, Any] = {
            "rows": state.rows,
            self.loss.metric: state.loss / state.weight,
            "accuracy": float(hits.sum()) / state.weight,
        }
        for name, above, below in (
            ("precision", hits, predicted),
            ("recall", hits, labelled),
            ("f1", 2 * hits, labelled + predicted),
        ):
            each = np.divide(above, below, out=np.zeros(len(hits)), where=below > 0)
            found[f"{name}_macro"] = float(each[seen].mean())
            found[f"{name}_weighted"] = float(share @ each)
        if len(hits) <= MOST_CONFUSED:
            found["confusion"] = state.confusion.tolist()
        return found
