"""What a source is: a table in leaves, which tasks can read on their own."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

import pyarrow as pa

from w261reg.sources.columns import Columns

# a leaf's features take about this many bytes as float64: it is a task's unit of memory
LEAF_BYTES = 2**24
TEXT_LEAF_BYTES = 2**24

Handle = Any


class Source(ABC):
    """A table whose rows have a fixed order, cut into leaves by the data alone.

    A source travels to the tasks, so it holds descriptions only. Leaves are numbered from 0 in the
    order of `handles`.

    Attributes:
        schema: names and types of the columns.
        description: for logs.
        width_costs_a_pass: `vector_width` looks at all of the data.
        rows: of the table, where that is known without reading it; else None.
        positional: the features have no names, so that a model finds them by their positions.
    """

    schema: pa.Schema
    description: str
    width_costs_a_pass: bool = False
    rows: int | None = None
    positional: bool = False

    @abstractmethod
    def handles(self, width: int) -> list[Handle]:
        """What each leaf is read by, in order, for a table of `width` features."""

    @abstractmethod
    def read(
        self, handles: Sequence[Handle], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of some leaves: (position in `handles`, batch), ascending.

        Args:
            handles: of the leaves.
            columns: the columns wanted; None is all.
            numeric: those of them that must be numbers (a text format then parses them so).

        Raises:
            InputError: the data cannot be read as this table.
        """

    def through(
        self, handles: Sequence[Handle], features: Sequence[str], text: bool
    ) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """The rows of some leaves that predictions are appended to: (features, all columns).

        Args:
            handles: of the leaves.
            features: the columns that must be numbers.
            text: all columns keep the text they were written as, where they were, features too.

        Raises:
            InputError: the data cannot be read as this table.
        """
        positions = [self.schema.names.index(name) for name in features]
        for _, batch in self.read(handles, None, features):
            arrays = [batch.column(j) for j in positions]
            yield pa.record_batch(arrays, names=list(features)), batch

    def for_model(self, features: int, ignore_unknown: bool) -> Self:
        """This table as a model of so many features reads it.

        Args:
            features: how many the model has.
            ignore_unknown: leave others out where the format has no names for them.
        """
        return self

    def vector_names(self, column: str) -> list[str] | None:
        """The names that the table itself has for the elements of a vector column, if it has."""
        return None

    def heads(self, handles: Sequence[Handle]) -> Sequence[Handle]:
        """Those of these leaves of which the first rows are cheap to read alone."""
        return handles

    def weigh(self, handle: Handle) -> float:
        """How much work a leaf is, beside the others: bytes, or 1 each."""
        return 1.0

    def values_per_row(self, columns: Columns) -> int:
        """Numbers stored a row: what leaves are cut by. Fewer than n where vectors are sparse."""
        return len(columns.names)

    def vector_width(self, column: str, run: Any = map) -> int:
        """Length of the vectors in a column; found in the first row that has one.

        Args:
            column: the vector column.
            run: `map` or a distributed one, for a source that has to look at every leaf.
        """
        for position, batch in self.read(self.handles(1), [column], []):
            del position
            for value in batch.column(column):
                row = value.as_py()
                if isinstance(row, dict):
                    return int(row["size"]) if row.get("size") else len(row["values"])
                if row is not None:
                    return len(row)
        return 0


def leaf_rows(width: int) -> int:
    """Rows of a leaf: a power of two, so that the cuts depend on the number of features only."""
    return int(1 << max(10, min(18, (LEAF_BYTES // (8 * max(1, width))).bit_length() - 1)))
