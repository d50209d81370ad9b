"""Predictions appended to a table, batch by batch; runs in tasks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from w261reg.blas import one_blas_thread
from w261reg.blocks import Block
from w261reg.errors import InputError
from w261reg.losses import Loss
from w261reg.sources.columns import Columns, is_numeric, is_vector, to_block

Array = NDArray[np.float64]
PREDICTION, PROBABILITY = "prediction", "probability"


@dataclass(frozen=True)
class Predictor:
    """What a task needs of a model: small, and without the report's baggage.

    Attributes:
        w, intercept: (n,) and b; of K classes (n, K) and (K,).
        loss: whose mean is predicted.
        classes: the values of the codes 0, 1, ..., or None.
    """

    w: Array
    intercept: float | Array
    loss: Loss
    classes: tuple[Any, ...] | None

    @property
    def probabilistic(self) -> bool:
        """Whether the model says how probable a class is."""
        return self.loss.probabilistic

    @one_blas_thread()
    def linear(self, block: Block) -> Array:
        """z = X w + b, (b,); of K classes (b, K)."""
        if self.loss.multiclass:
            return block.dot(self.w, np.zeros(len(self.w))) + self.intercept
        return block.dot(self.w[:, None], np.zeros_like(self.w))[:, 0] + self.intercept

    def outputs(self, block: Block) -> dict[str, Array | list[Any]]:
        """The columns to append: prediction and, where the loss gives it, the probability of the
        second class, or of each of several."""
        z = self.linear(block)
        mean = self.loss.mean(z)
        if self.classes is None:
            return {PREDICTION: mean}
        codes = z.argmax(axis=1) if self.loss.multiclass else (z > 0).astype(int)
        values = np.array(self.classes, dtype=object)[codes]
        if not self.probabilistic:
            return {PREDICTION: values.tolist()}
        if self.loss.multiclass:
            names = probability_names(self.classes)
            return {PREDICTION: values.tolist(), **dict(zip(names, mean.T, strict=True))}
        return {PREDICTION: values.tolist(), PROBABILITY: mean}

    def types(self) -> dict[str, pa.DataType]:
        """The Arrow types of `outputs`, the same for every batch."""
        if self.classes is None:
            return {PREDICTION: pa.float64()}
        kind = pa.array(list(self.classes)).type
        if not self.probabilistic:
            return {PREDICTION: kind}
        names = probability_names(self.classes) if self.loss.multiclass else [PROBABILITY]
        return {PREDICTION: kind, **dict.fromkeys(names, pa.float64())}

    def append(self, batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
        """The batch with the predictions appended.

        Raises:
            InputError: a feature is null, NaN or infinite.
        """
        block = to_block(batch.select(list(dict.fromkeys(columns.columns))), columns)
        if block.census.defects:
            (column, kind), count = sorted(block.census.defects.items())[0]
            raise InputError(
                f"feature column {column!r} has {count} {kind} "
                f"value{'s' * (count > 1)} in {block.census.rows} rows"
            )
        arrays = list(batch.columns)
        fields = list(batch.schema)
        kinds = self.types()
        for name, values in self.outputs(block).items():
            fields.append(pa.field(name, kinds[name]))
            arrays.append(pa.array(values, kinds[name]))
        return pa.record_batch(arrays, schema=pa.schema(fields))


def feature_columns(schema: pa.Schema, names: Sequence[str], vector: str | None) -> Columns:
    """Where a model finds its features in a table.

    Args:
        schema: of the table.
        names: the model's features (n,).
        vector: the vector column it was trained on, or None.

    Raises:
        InputError: a feature is missing, or not numeric.
    """
    vectors = [field.name for field in schema if is_vector(field.type)]
    if vector in vectors:
        return Columns((str(vector),), tuple(names), vector=True)
    missing = [name for name in names if name not in schema.names]
    if not missing:
        for name in names:
            if not is_numeric(kind := schema.field(name).type):
                raise InputError(f"feature column {name!r} is not numeric ({kind})")
        return Columns(tuple(names), tuple(names))
    if len(vectors) == 1:
        return Columns((vectors[0],), tuple(names), vector=True)
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise InputError(f"feature column {missing[0]!r}{more} of the model is not in the data")


def probability_names(classes: Sequence[Any]) -> list[str]:
    """A column a class: probability_<class>.

    Spark tells names apart by more than their case, and control characters have no place in them:
    where that makes a name unusable, all are numbered by their class instead, from 0.
    """
    texts = [str(value) for value in classes]
    usable = len({text.lower() for text in texts}) == len(texts)
    if not usable or not all(text.isprintable() for text in texts):
        texts = [str(code) for code in range(len(texts))]
    return [f"{PROBABILITY}_{text}" for text in texts]


def check_free(schema: pa.Schema, names: Iterable[str] = ()) -> None:
    """Raise InputError where the table already has a column that would be appended.

    Args:
        schema: of the table.
        names: further columns of this model.
    """
    for name in dict.fromkeys((PREDICTION, PROBABILITY, *names)):
        if name in schema.names:
            raise InputError(f"the data already has a column {name!r}; rename it")
