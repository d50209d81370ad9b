"""Tables in this process: Arrow, pandas, and numpy or scipy arrays."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source, leaf_rows
from w261reg.sources.columns import Columns


def is_pandas_frame(data: Any) -> bool:
    """Whether this is a pandas DataFrame; does not import pandas, which costs each worker 0.4 s."""
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "set_axis")


class TableSource(Source):
    """An Arrow table, or a pandas DataFrame."""

    def __init__(self, table: Any) -> None:
        if is_pandas_frame(table):
            named = table.set_axis([str(name) for name in table.columns], axis=1)
            table = pa.Table.from_pandas(named, preserve_index=False)
        self.table: pa.Table = table
        self.schema = self.table.schema.remove_metadata()
        self.rows = self.table.num_rows
        self.description = f"table of {self.rows} rows"

    def handles(self, width: int) -> list[Handle]:
        size = leaf_rows(width)
        return [(start, size) for start in range(0, self.table.num_rows, size)]

    def values_per_row(self, columns: Columns) -> int:
        n, rows = len(columns.names), self.table.num_rows
        column = self.table.column(columns.columns[0]) if columns.vector else None
        if column is None or not pa.types.is_struct(column.type) or rows == 0:
            return n
        values = pc.list_value_length(pc.struct_field(column, "values"))
        return max(1, min(n, -(-(pc.sum(values).as_py() or 0) // rows)))

    def read(
        self, handles: Sequence[Handle], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        table = self.table if columns is None else self.table.select(list(columns))
        for position, (start, size) in enumerate(handles):
            batches = table.slice(start, size).combine_chunks().to_batches()
            if batches:
                yield position, batches[0]


def array_source(
    x: Any, label: Any, weight: Any, **beside: Any
) -> tuple[TableSource, str | None, str | None]:
    """A table of arrays: features X (m, n) as vectors, labels (m,) and weights (m,) or None.

    `beside` are further columns (m,) or None by name.

    Returns:
        The source and the names of its label and weight columns.

    Raises:
        InputError: shapes that do not fit.
    """
    if sparse.issparse(x):
        # a copy: sum_duplicates sorts the indices in place
        matrix = sparse.csr_array(cast(Any, x), dtype=np.float64, copy=True)
        matrix.sum_duplicates()
        rows, width = matrix.shape
        pointer = pa.array(matrix.indptr, pa.int32())
        parts = [
            pa.repeat(pa.scalar(width, pa.int32()), rows),
            pa.ListArray.from_arrays(pointer, pa.array(matrix.indices, pa.int32())),
            pa.ListArray.from_arrays(pointer, pa.array(matrix.data)),
        ]
        features = pa.StructArray.from_arrays(parts, ["size", "indices", "values"])
    else:
        try:
            dense = np.asarray(x, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("data must be a matrix of numbers, (rows, features)") from None
        if dense.ndim != 2:
            raise InputError(f"data must be a matrix (rows, features), not of shape {dense.shape}")
        if dense.shape[1] == 0:
            raise InputError("data must have at least one feature, not shape (rows, 0)")
        rows, width = dense.shape
        flat = pa.array(np.ascontiguousarray(dense).ravel())
        features = pa.FixedSizeListArray.from_arrays(flat, max(width, 1))
    columns: dict[str, Any] = {"features": features}
    for name, values in {"label": label, "weight": weight, **beside}.items():
        if values is None:
            continue
        array = np.asarray(values)
        if array.shape != (rows,):
            raise InputError(f"{name} must have one value a row ({rows}), not shape {array.shape}")
        columns[name] = pa.array(array)
    table = pa.table(columns)
    return (
        TableSource(table),
        "label" if label is not None else None,
        "weight" if weight is not None else None,
    )
