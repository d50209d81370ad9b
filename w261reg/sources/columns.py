"""From Arrow record batches, which every source gives, to blocks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from w261reg.blocks import Block, Census, DenseBlock, SparseBlock
from w261reg.blocks.census import MAX_LABELS
from w261reg.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are what.

    Attributes:
        columns: the feature columns: numbers, or a single one of vectors or lists.
        names: the features' names (n,); empty in tasks that do not need those of a vector.
        vector: whether the features are one vector or list column.
        label, weight: column names, or None.
        classes: whether the label's values are classes, to be counted.
        positive: the label value that counts as 1; None takes the numbers as they are.
        levels: of a loss of several classes: the label's values, whose codes 0 to K - 1 are y;
            () before they are found. None for other losses.
        count: n where `names` is empty.
        sigma: column of the standard deviation of each row's noise, or None.
        group: column of the groups of rows of equal noise, or None. Blocks then have one further
            column, behind the features: the position of the row's group in `groups`.
        groups: the values of `group`, in order.
        positions: of the features among the elements of the vectors, where these are more, or in
            another order; () is all as they are.
        stored: elements of the vectors, where `positions` are given.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    vector: bool = False
    label: str | None = None
    weight: str | None = None
    classes: bool = False
    positive: str | float | None = None
    levels: tuple[Any, ...] | None = None
    count: int = 0
    sigma: str | None = None
    group: str | None = None
    groups: tuple[Any, ...] = ()
    positions: tuple[int, ...] = ()
    stored: int = 0

    @property
    def n_features(self) -> int:
        """n."""
        return len(self.names) or self.count

    @property
    def width(self) -> int:
        """Columns of a block."""
        return self.n_features + (self.group is not None)

    @property
    def beside(self) -> list[str]:
        """The columns that say something of the rows beside their features."""
        roles = (self.label, self.weight, self.sigma, self.group)
        return [column for column in roles if column is not None]

    def for_tasks(self) -> "Columns":
        """The same without the names of a vector's elements, of which there may be millions."""
        return replace(self, names=(), count=len(self.names)) if self.vector else self

    @property
    def needed(self) -> list[str]:
        """All columns that are read, each once."""
        return list(dict.fromkeys([*self.columns, *self.beside]))

    def values_of(self, column: str) -> "Columns":
        """That column as a label, with the weight and without features, to find its values."""
        alone = replace(self, columns=(), names=(), vector=False, count=0)
        return alone._bare(label=column, weight=self.weight, classes=True, levels=())

    def without_label(self) -> "Columns":
        """The same features, for prediction."""
        return self._bare(label=None, weight=None, classes=False, levels=None)

    def _bare(self, **changes: Any) -> "Columns":
        return replace(self, positive=None, sigma=None, group=None, groups=(), **changes)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values, where a dictionary of them is stored."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a feature."""
    kind = plain_type(kind)
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds strings."""
    kind = plain_type(kind)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()


def is_level(kind: pa.DataType) -> bool:
    """Whether a column of this type can name groups of rows."""
    kind = plain_type(kind)
    return is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def is_vector(kind: pa.DataType) -> bool:
    """Whether a column of this type holds a vector a row: a list, or pyspark.ml's struct."""
    if pa.types.is_struct(kind):
        return {kind.field(i).name for i in range(kind.num_fields)} >= {"indices", "values"}
    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return is_list and is_numeric(kind.value_type)


def to_block(batch: pa.RecordBatch, columns: Columns) -> Block:
    """The block of a record batch. A batch with defects gives no rows, only their census.

    Raises:
        InputError: vectors of the wrong length.
    """
    batch = _decoded(batch)
    rows = _rows(batch, columns)
    if columns.vector:
        block = _of_vectors(batch, columns, rows)
    else:
        block = _of_numbers(batch, columns, rows)
    if rows.defects:
        nothing = np.zeros(0)
        census = Census(batch.num_rows, rows.defects)
        return DenseBlock.of(np.zeros((0, columns.width)), nothing, nothing, census)
    return block


def _decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with dictionaries replaced by their values."""
    if not any(pa.types.is_dictionary(kind) for kind in batch.schema.types):
        return batch
    arrays = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.record_batch(arrays, names=batch.schema.names)


@dataclass(frozen=True)
class _Rows:
    """What a batch says of its rows beside their features.

    Attributes:
        y, weight: of the rows of positive weight.
        used: which these are; None is all.
        census: without defects.
        defects: found so far; the features' are added.
        codes: of the groups of the same rows, where there are groups.
    """

    y: Array
    weight: Array
    used: NDArray[np.bool_] | None
    census: Census
    defects: dict[tuple[str, str], int]
    codes: Array | None = None


def _rows(batch: pa.RecordBatch, columns: Columns) -> _Rows:
    defects: dict[tuple[str, str], int] = {}
    count = batch.num_rows
    y, weight, census = np.zeros(count), np.ones(count), Census(count)
    if columns.label is not None:
        y = _label(batch.column(columns.label), columns, defects)
    if columns.weight is not None:
        weight = _numbers(batch.column(columns.weight), columns.weight, defects)
        if (negative := int((weight < 0).sum())) > 0:
            defects[columns.weight, "negative"] = negative
    own = weight
    if columns.sigma is not None:
        sigma = _sigma(batch.column(columns.sigma), columns.sigma, own, defects)
        if not defects:
            log_sigma = float(own[own > 0] @ np.log(sigma[own > 0]))
            census = replace(census, counted=float(own.sum()), log_sigma=log_sigma)
            weight = own / sigma / sigma
    positive = own > 0
    used = None if positive.all() else positive
    if used is not None:
        y, weight = y[used], weight[used]
    if columns.classes and columns.label is not None and not defects:
        label = batch.column(columns.label)
        label = label if used is None else label.filter(pa.array(used))
        census = replace(census, labels=_classes(label, columns.levels is not None))
        if columns.levels:
            y = _codes(label, columns)
    groups = None
    if columns.group is not None:
        group = batch.column(columns.group)
        groups = _groups(group if used is None else group.filter(pa.array(used)), columns, defects)
    return _Rows(y, weight, used, census, defects, groups)


def _sigma(
    column: pa.Array, name: str, weight: Array, defects: dict[tuple[str, str], int]
) -> Array:
    """The standard deviations; all must be > 0, and s/sigma^2 a number."""
    sigma = _numbers(column, name, defects)
    if (short := int(((sigma <= 0) & np.isfinite(sigma)).sum())) > 0:
        defects[name, "non-positive"] = short
    with np.errstate(all="ignore"):
        precision = weight / sigma / sigma
        extreme = (sigma > 0) & (weight > 0) & ~((precision > 0) & np.isfinite(precision))
    if (count := int((extreme & np.isfinite(sigma)).sum())) > 0:
        defects[name, "extreme"] = count
    return sigma


def _groups(column: pa.Array, columns: Columns, defects: dict[tuple[str, str], int]) -> Array:
    """The position of the group of each row of positive weight (b,)."""
    assert columns.group is not None
    if column.null_count:
        defects[columns.group, "null"] = column.null_count
    if is_text(column.type):
        column = pc.cast(column, pa.string())
    found = pc.index_in(column, pa.array(columns.groups, column.type))
    if (unknown := found.null_count - column.null_count) > 0:
        defects[columns.group, "unknown"] = unknown
    return plain(pc.fill_null(found, 0)).astype(np.float64)


def _of_vectors(batch: pa.RecordBatch, columns: Columns, rows: _Rows) -> Block:
    name = columns.columns[0]
    column = batch.column(name)
    x = vectors(column, columns.stored or columns.n_features, name)
    if columns.positions:
        x = x[:, list(columns.positions)]
    _count(rows.defects, name, 0, np.ravel(x.data if isinstance(x, sparse.csr_array) else x))
    if column.null_count:
        rows.defects[name, "null"] = column.null_count
    y, weight, codes = rows.y, rows.weight, rows.codes
    if rows.defects:  # rows may be missing in x, and none is used
        x, y, weight = x[:0], y[:0], weight[:0]
        codes = None if codes is None else codes[:0]
    elif rows.used is not None:
        x = x[rows.used]
    if codes is not None and isinstance(x, sparse.csr_array):
        x = sparse.csr_array(sparse.hstack([x, sparse.csr_array(codes[:, None])], format="csr"))
    elif codes is not None:
        x = np.column_stack([np.asarray(x), codes])
    if isinstance(x, sparse.csr_array):
        return SparseBlock.of(x, y, weight, rows.census)
    return DenseBlock.of(x, y, weight, rows.census)


def _of_numbers(batch: pa.RecordBatch, columns: Columns, rows: _Rows) -> Block:
    def each() -> Iterator[Array]:
        for name in columns.columns:
            values = _float(batch.column(name))
            if rows.used is not None:
                if not np.isfinite(values).all():  # also where the weight is 0
                    _count(rows.defects, name, batch.column(name).null_count, values)
                values = values[rows.used]
            yield values
        if rows.codes is not None:
            yield rows.codes

    n = len(columns.columns) + (rows.codes is not None)
    block = DenseBlock.of_columns(each(), n, rows.y, rows.weight, rows.census)
    if block.bounds is not None and not np.isfinite(block.bounds).all():
        for name in columns.columns:
            _count(rows.defects, name, batch.column(name).null_count, _float(batch.column(name)))
    return block


def _float(column: pa.Array) -> Array:
    """As float64, nulls as NaN."""
    if column.type != pa.float64():
        column = pc.cast(column, pa.float64(), safe=False)
    return plain(pc.fill_null(column, float("nan")) if column.null_count else column)


def plain(column: pa.Array) -> NDArray[Any]:
    """The values of a column of numbers without nulls, where they lie.

    `to_numpy` would import pandas, which costs each worker half a second.
    """
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.uint8())
    kind = np.dtype(str(column.type).replace("double", "float64"))
    buffer = column.buffers()[1]
    if len(column) == 0 or buffer is None:
        return np.zeros(0, dtype=kind)
    start = column.offset * kind.itemsize
    return np.frombuffer(buffer, dtype=kind, count=len(column), offset=start)


def _numbers(column: pa.Array, name: str, defects: dict[tuple[str, str], int]) -> Array:
    values = _float(column)
    _count(defects, name, column.null_count, values)
    return values


def _count(
    defects: dict[tuple[str, str], int], name: str, nulls: int, values: NDArray[np.float64]
) -> None:
    """Note the nulls, NaNs and infinities of a column; nulls have become NaN in `values`."""
    if nulls:
        defects[name, "null"] = nulls
    nans = int(np.isnan(values).sum()) - nulls
    if nans > 0:
        defects[name, "NaN"] = nans
    infinite = int(np.isinf(values).sum())
    if infinite:
        defects[name, "infinite"] = infinite


def _label(column: pa.Array, columns: Columns, defects: dict[tuple[str, str], int]) -> Array:
    assert columns.label is not None
    if is_text(column.type):
        if column.null_count:
            defects[columns.label, "null"] = column.null_count
        if columns.positive is None:
            return np.zeros(len(column))  # `_codes` tells them apart
        text = pc.cast(column, pa.string())
        equal = pc.equal(text, pa.scalar(str(columns.positive), pa.string()))
        return plain(pc.fill_null(equal, False)).astype(np.float64)
    values = _numbers(column, columns.label, defects)
    if columns.positive is not None:
        return (values == float(columns.positive)).astype(float)
    return values


def _codes(column: pa.Array, columns: Columns) -> Array:
    """The positions of a label's values in the levels. Raises InputError where one is not there."""
    levels = list(columns.levels or ())
    if is_text(column.type):
        found = pc.index_in(pc.cast(column, pa.string()), value_set=pa.array(levels, pa.string()))
        codes = plain(pc.fill_null(found, -1)).astype(np.int64)
        known = codes >= 0
    else:
        exact = pa.types.is_integer(column.type) and all(type(own) is int for own in levels)
        values = plain(column) if exact else _float(column)
        there = np.array(levels, dtype=None if exact else np.float64)
        codes = np.minimum(np.searchsorted(there, values), len(there) - 1)
        known = there[codes] == values
    if not known.all():
        value = column[int(np.flatnonzero(~known)[0])].as_py()
        shown = ", ".join(map(str, levels[:6])) + (", ..." if len(levels) > 6 else "")
        raise InputError(
            f"label column {columns.label!r} has the value {value!r}, which the model does not "
            f"know: {shown}"
        )
    return codes.astype(np.float64)


def _classes(column: pa.Array, typed: bool) -> Mapping[Any, int]:
    """Rows by label value: text and numbers or, if `typed`, also integers and truth values."""
    whole = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
    if is_text(column.type):
        column = pc.cast(column, pa.string())
    elif not (typed and whole):
        column = pc.cast(column, pa.float64(), safe=False)
    counts = {item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist()}
    return dict(sorted(counts.items())[:MAX_LABELS])


def vectors(column: pa.Array, width: int, name: str) -> Array | sparse.csr_array:
    """A column of vectors as a matrix (b, width): CSR if any row is sparse.

    Args:
        column: lists, or structs with indices and values (pyspark.ml's also have type and size;
            its dense rows have no indices).
        width: n.
        name: the column's, for errors.

    Raises:
        InputError: a row has another length.
    """
    if column.null_count:  # counted by the caller; their rows are never used
        column = column.filter(pc.is_valid(column))
    rows = len(column)
    if not pa.types.is_struct(column.type):
        flat = _float(column.flatten())
        if len(flat) != rows * width or not _all_equal(pc.list_value_length(column), width):
            raise InputError(f"column {name!r} must hold lists of {width} numbers in every row")
        return flat.reshape(rows, width).copy()
    indices, values = pc.struct_field(column, "indices"), pc.struct_field(column, "values")
    lengths = plain(pc.fill_null(pc.list_value_length(values), 0)).astype(np.int64)
    flat = _float(values.flatten())
    is_sparse = plain(pc.is_valid(indices)).astype(bool)
    if "size" in {field.name for field in column.type}:
        sizes = pc.struct_field(column, "size")
        declared = np.where(is_sparse, plain(pc.fill_null(sizes, -1)), lengths)
        if (declared != width).any():
            raise InputError(f"column {name!r} must hold vectors of {width} numbers in every row")
    if not is_sparse.any():
        return flat.reshape(rows, width).copy()
    at = np.empty(len(flat), dtype=np.int32)
    from_sparse = np.repeat(is_sparse, lengths)
    at[from_sparse] = plain(indices.flatten())
    dense_rows = int((~is_sparse).sum())
    at[~from_sparse] = np.tile(np.arange(width, dtype=np.int32), dense_rows)
    if len(at) and (at.min() < 0 or at.max() >= width):
        raise InputError(
            f"column {name!r} must have feature indices below {width}, not {int(at.max())}"
        )
    pointer = np.concatenate([[0], np.cumsum(lengths)])
    matrix = sparse.csr_array((flat.copy(), at, pointer), shape=(rows, width))
    matrix.sum_duplicates()
    return matrix


def _all_equal(lengths: pa.Array, width: int) -> bool:
    return bool(pc.all(pc.equal(lengths, width)).as_py() in (True, None))
