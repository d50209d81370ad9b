"""Predictions appended to a table, batch by batch; runs in tasks."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from w261reg.blas import one_blas_thread
from w261reg.blocks import Block
from w261reg.errors import InputError
from w261reg.losses import Loss
from w261reg.sources.columns import Columns, is_numeric, is_vector, to_block
from w261reg.sources.fields import kind_of, listed, used

log = logging.getLogger("w261reg")
Array = NDArray[np.float64]
PREDICTION, PROBABILITY = "prediction", "probability"


@dataclass(frozen=True)
class Predictor:
    """What a task needs of a model: small, and without the report's baggage.

    Attributes:
        w, intercept: (n,) and b; of K classes (n, K) and (K,).
        loss: whose mean is predicted.
        classes: the values of the codes 0, 1, ..., or None.
        prediction, probability: names of the columns that are appended.
    """

    w: Array
    intercept: float | Array
    loss: Loss
    classes: tuple[Any, ...] | None
    prediction: str = PREDICTION
    probability: str = PROBABILITY

    def named(
        self, name: str | None, taken: Sequence[str], features: Sequence[str], fold: bool = False
    ) -> Self:
        """The same with names for its columns that a table has room for.

        Args:
            name: of the prediction, as the user wants it, which the others then begin with; None is
                `prediction`, or where that, or `probability`, is a feature, the same with a number.
            taken: names of the table's columns.
            features: those of them that the model reads.
            fold: upper and lower case are the same, as in Spark.

        Raises:
            InputError: the table has such a column already.
        """
        key = str.lower if fold else str
        held = {key(column) for column in taken}
        needed = {key(column) for column in features}
        if name is not None:
            if not isinstance(name, str) or not name:
                raise InputError(f"prediction_column must be a name, not {name!r}")
            own = replace(self, prediction=name, probability=f"{name}_{PROBABILITY}")
            if clash := [column for column in own.types() if key(column) in held]:
                raise InputError(f"prediction_column {name!r}: the data has a column {clash[0]!r}")
            return own
        own = self
        clash = [column for column in own.types() if key(column) in held]
        if clash and not {key(column) for column in clash} & needed:
            raise InputError(
                f"the data already has a column {clash[0]!r}: give another name with "
                "prediction_column"
            )
        for number in count(2):
            if not any(key(column) in held for column in own.types()):
                break
            own = replace(
                self,
                prediction=f"{PREDICTION}_{number}",
                probability=f"{PROBABILITY}_{number}",
            )
        if clash:
            log.warning(
                "%s is a feature of the model: predictions are in column %s",
                clash[0],
                ", ".join(own.types()),
            )
        return own

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
            return {self.prediction: mean}
        codes = z.argmax(axis=1) if self.loss.multiclass else (z > 0).astype(int)
        values = np.array(self.classes, dtype=object)[codes]
        if not self.probabilistic:
            return {self.prediction: values.tolist()}
        if self.loss.multiclass:
            names = probability_names(self.classes, self.probability)
            return {self.prediction: values.tolist(), **dict(zip(names, mean.T, strict=True))}
        return {self.prediction: values.tolist(), self.probability: mean}

    def types(self) -> dict[str, pa.DataType]:
        """The Arrow types of `outputs`, the same for every batch."""
        if self.classes is None:
            return {self.prediction: pa.float64()}
        kind = pa.array(list(self.classes)).type
        if not self.probabilistic:
            return {self.prediction: kind}
        names = [self.probability]
        if self.loss.multiclass:
            names = probability_names(self.classes, self.probability)
        return {self.prediction: kind, **dict.fromkeys(names, pa.float64())}

    def predict(self, features: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
        """The predictions for a batch of features.

        Raises:
            InputError: a feature is null, NaN or infinite.
        """
        block = to_block(features, columns)
        if block.census.defects:
            (column, kind), found = sorted(block.census.defects.items())[0]
            raise InputError(
                f"feature column {column!r} has {found} {kind} "
                f"value{'s' * (found > 1)} in {block.census.rows} rows"
            )
        kinds, outputs = self.types(), self.outputs(block)
        arrays = [pa.array(outputs[name], kind) for name, kind in kinds.items()]
        return pa.record_batch(arrays, schema=pa.schema(list(kinds.items())))

    def append(
        self, features: pa.RecordBatch, columns: Columns, rows: pa.RecordBatch
    ) -> pa.RecordBatch:
        """The rows with the predictions for their features appended. Raises as `predict`."""
        found = self.predict(features, columns)
        schema = pa.schema([*rows.schema, *found.schema], metadata=rows.schema.metadata)
        return pa.record_batch([*rows.columns, *found.columns], schema=schema)


def feature_columns(
    schema: pa.Schema,
    names: Sequence[str],
    vector: str | None,
    positional: bool = False,
    stored: Callable[[str], list[str] | None] = lambda column: None,
) -> Columns:
    """Where a model finds its features in a table.

    By their names; by positions only in vectors without names, of a model that was trained on
    vectors or of a table that has no others.

    Args:
        schema: of the table.
        names: the model's features (n,).
        vector: the vector column it was trained on, or None.
        positional: the table has no names of features.
        stored: the names of the elements of a vector column, or None where they have none.

    Raises:
        InputError: a feature is missing, or not numeric.
    """
    vectors = [field.name for field in schema if is_vector(field.type)]
    if vector in vectors:
        return _in_vector(str(vector), names, vector, stored(str(vector)))
    there = set(schema.names)
    missing = [name for name in names if name not in there]
    if not missing:
        for name, field in used(schema, [("feature", name) for name in names]).items():
            if not is_numeric(field.type):
                raise InputError(f"feature column {name!r} is not numeric ({kind_of(field)})")
        return Columns(tuple(names), tuple(names))
    if len(vectors) == 1:
        own = stored(vectors[0])
        if positional or vector is not None or (own and set(names) <= set(own)):
            return _in_vector(vectors[0], names, vector, own)
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise InputError(
        f"feature column {missing[0]!r}{more} of the model is not in the data: "
        f"{listed(schema.names)}"
    )


def _in_vector(
    column: str, names: Sequence[str], trained: str | None, stored: list[str] | None
) -> Columns:
    """The features among the elements of a vector column."""
    found = Columns((column,), tuple(names), vector=True)
    if stored is None or list(names) == stored:
        return found
    at = {name: j for j, name in enumerate(stored)}
    missing = [name for name in names if name not in at]
    if len(missing) == len(names) and _generated(names, trained):
        return found
    if missing:
        raise InputError(
            f"feature {missing[0]!r} of the model is not in the vector column {column!r}: "
            f"{listed(stored)}"
        )
    return replace(found, positions=tuple(at[name] for name in names), stored=len(stored))


def _generated(names: Sequence[str], vector: str | None) -> bool:
    """Whether these are the names of elements that had none, which say their positions."""
    return all(name == f"x{j}" for j, name in enumerate(names, 1)) or all(
        name == f"{vector}_{j}" for j, name in enumerate(names)
    )


def probability_names(classes: Sequence[Any], probability: str = PROBABILITY) -> list[str]:
    """A column a class: probability_<class>.

    Spark tells names apart by more than their case, and control characters have no place in them:
    where that makes a name unusable, all are numbered by their class instead, from 0.
    """
    texts = [str(value) for value in classes]
    usable = len({text.lower() for text in texts}) == len(texts)
    if not usable or not all(text.isprintable() for text in texts):
        texts = [str(code) for code in range(len(texts))]
    return [f"{probability}_{text}" for text in texts]
