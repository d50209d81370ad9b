"""Tables in this process: Arrow, pandas, and numpy or scipy arrays."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source, leaf_rows
from w261reg.sources.columns import Columns
from w261reg.sources.fields import unusable


def is_pandas_frame(data: Any) -> bool:
    """Whether this is a pandas DataFrame, or one of a class of its own, as of geopandas.

    Does not import pandas, which costs each worker 0.4 s.
    """
    homes = {kind.__module__.partition(".")[0] for kind in type(data).__mro__}
    return "pandas" in homes and hasattr(data, "columns")


def as_text(data: Any, names: Any) -> Any:
    """A name, or names, of a DataFrame's columns as the text that they are called by here.

    What is no name of a column stays as it is, for those who check names.
    """
    if names is None or isinstance(names, str) or not is_pandas_frame(data):
        return names
    try:
        if names in data.columns:
            return str(names)
    except TypeError:  # not hashable: several
        pass
    if isinstance(names, list | tuple) or type(names).__name__ in ("Index", "ndarray"):
        return [as_text(data, name) for name in names]
    return names


def beside(frame: Any, found: pa.Table) -> Any:
    """A DataFrame with the columns of a table of as many rows, on the frame's own index."""
    import pandas as pd

    new = found.to_pandas()
    new.index = frame.index
    if frame.columns.nlevels > 1:
        rest = ("",) * (frame.columns.nlevels - 1)
        new.columns = pd.MultiIndex.from_tuples([(name, *rest) for name in new.columns])
    new.columns.names = frame.columns.names
    return pd.concat([frame, new], axis=1)


def to_pandas(table: pa.Table) -> Any:
    """A DataFrame of a table, with the index that pandas wrote of it.

    Integers of which some are missing stay integers, and what pandas has no type for stays Arrow's.
    """
    import pandas as pd

    try:
        frame = table.to_pandas()
    except Exception:  # of any type: pytz has its own
        odd = {column.type for column in table.columns if not _has_form(column)}

        def form(kind: pa.DataType) -> Any:
            return pd.ArrowDtype(kind) if kind in odd else None

        try:
            frame = table.to_pandas(types_mapper=form)
        except Exception:  # what was written of the table for pandas may say anything
            table = table.replace_schema_metadata(None)
            frame = table.to_pandas(types_mapper=form)
    whole = {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
    }
    index = _index_columns(table)
    columns = [own for name, own in zip(table.column_names, table.columns, strict=True)
               if name not in index]  # fmt: skip
    for position, column in enumerate(columns):
        if column.null_count and column.type in whole:
            frame.isetitem(position, column.to_pandas(types_mapper=whole.get).array)
    return frame


def _index_columns(table: pa.Table) -> set[str]:
    """The columns that are the index of a table's DataFrame, by what pandas wrote."""
    written = (table.schema.metadata or {}).get(b"pandas")
    index = json.loads(written)["index_columns"] if written else []
    return {name for name in index if isinstance(name, str)}


def _has_form(column: pa.ChunkedArray) -> bool:
    """Whether pandas has a type for a column: not for unions, or times of nanoseconds."""
    try:
        column.to_pandas()
    except Exception:
        return False
    return True


class TableSource(Source):
    """An Arrow table, or a pandas DataFrame."""

    def __init__(self, table: Any) -> None:
        if is_pandas_frame(table):
            table = _of_pandas(table)
        self.table: pa.Table = table
        self.schema = self.table.schema.remove_metadata()
        self.rows = self.table.num_rows
        self.description = f"table of {self.rows} rows"

    def handles(self, width: int) -> list[Handle]:
        size = leaf_rows(width)
        return [(start, size) for start in range(0, self.table.num_rows, size)]

    def values_per_row(self, columns: Columns) -> int:
        n, rows = len(columns.names), self.table.num_rows
        column = None
        if columns.vector:
            column = self.table.column(self.schema.names.index(columns.columns[0]))
        if column is None or not pa.types.is_struct(column.type) or rows == 0:
            return n
        values = pc.list_value_length(pc.struct_field(column, "values"))
        return max(1, min(n, -(-(pc.sum(values).as_py() or 0) // rows)))

    def read(
        self, handles: Sequence[Handle], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        table, names = self.table, self.schema.names
        if columns is not None:
            table = table.select([names.index(name) for name in columns])
        for position, (start, size) in enumerate(handles):
            batches = table.slice(start, size).combine_chunks().to_batches()
            if batches:
                yield position, batches[0]


def _of_pandas(frame: Any) -> pa.Table:
    """An Arrow table of a DataFrame's columns, of which odd ones may not be used."""
    fields, arrays = [], []
    for position, name in enumerate(frame.columns):
        field, array = _of_series(str(name), frame.iloc[:, position])
        fields.append(field)
        arrays.append(array)
    if not arrays:
        raise InputError("the table has no columns")
    return pa.table(arrays, schema=pa.schema(fields))


def _of_series(name: str, series: Any) -> tuple[pa.Field, pa.Array]:
    try:
        if getattr(series.dtype, "kind", "O") in "biuf" and isinstance(series.dtype, np.dtype):
            array = pa.array(native(series.to_numpy()), from_pandas=True)
        else:
            array = pa.array(series, from_pandas=True)
        return pa.field(name, array.type), array
    except Exception:  # of any type: a column of objects runs their code
        pass
    try:
        values = np.asarray(series)
        if values.dtype.kind in "biuf":  # a dtype of an extension
            array = pa.array(native(values), from_pandas=True)
            return pa.field(name, array.type), array
    except Exception:
        pass
    field = unusable(pa.field(name, pa.binary()), f"holds {series.dtype} values, no numbers")
    return field, pa.nulls(len(series), pa.binary())


def native(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers in this machine's byte order, and of a type that Arrow has."""
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        return values.astype(np.float64)
    if values.dtype.isnative:
        return values
    return values.astype(values.dtype.newbyteorder("="))


def _column(name: str, values: Any, rows: int) -> pa.Array:
    """Labels, weights or the like as an Arrow array; what is masked is missing."""
    array = np.asanyarray(values)
    if array.shape != (rows,):
        raise InputError(f"{name} must have one value a row ({rows}), not shape {array.shape}")
    if array.dtype.kind == "c":
        raise InputError(f"{name} must be real numbers, not {array.dtype}")
    mask = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
    try:
        # in a column of objects, None, NaN and pandas' NA are missing
        return pa.array(native(np.asarray(array)), mask=mask, from_pandas=array.dtype.kind == "O")
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be numbers or text, not {array.dtype}") from None


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
        _check_real(cast(Any, x).dtype)
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
            given: Any = np.asanyarray(x)
            _check_real(given.dtype)
            if isinstance(given, np.ma.MaskedArray):  # what is masked is missing
                given = given.astype(np.float64).filled(np.nan)  # type: ignore[attr-defined]
            dense = np.asarray(given, dtype=np.float64)
        except InputError:
            raise
        except (TypeError, ValueError, OverflowError):
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
        if values is not None:
            columns[name] = _column(name, values, rows)
    source = TableSource(pa.table(columns))
    source.positional = True
    return (
        source,
        "label" if label is not None else None,
        "weight" if weight is not None else None,
    )


def _check_real(dtype: Any) -> None:
    if np.dtype(dtype).kind in "cmMSU":  # numpy would make numbers of times and text
        raise InputError(f"data must be a matrix of real numbers, not {dtype}")
