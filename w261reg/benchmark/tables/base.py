"""What a table of the benchmark is: a Parquet file that is made once."""

import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w261reg.benchmark.problems import BINARY, REAL, VECTOR

Array = NDArray[np.float64]
LABELS: Final = (REAL, BINARY)
# as many as tasks of a large cluster want to share, and few enough for a small memory
ROW_GROUP_ROWS: Final = 131_072


@dataclass(frozen=True)
class Making:
    """How tables are made.

    Attributes:
        scale: factor of the number of rows, in (0, 1] for a trial, above 1 for a large cluster.
        seed: of the generated ones.
        row_group_rows: rows of a row group.
        sources: paths of real tables by the table's name.
    """

    scale: float = 1.0
    seed: int = 0
    row_group_rows: int = ROW_GROUP_ROWS
    sources: tuple[tuple[str, str], ...] = ()

    def source(self, name: str) -> str | None:
        """The path given for a table."""
        return dict(self.sources).get(name)

    def rows(self, rows: int) -> int:
        """Rows after scaling, at least 100: fewer make no problem."""
        return max(100, round(rows * self.scale))


class Table(ABC):
    """A table, found by its `name`; `about` says what it is."""

    name: ClassVar[str]
    about: ClassVar[str]

    def missing(self, making: Making) -> str:
        """Why it cannot be made here, or ""."""
        return ""

    @abstractmethod
    def file_name(self, making: Making) -> str:
        """Tells apart all that can be made from different `making`."""

    @abstractmethod
    def write(self, path: Path, making: Making) -> None:
        """Write the Parquet file."""

    def make(self, folder: Path, making: Making) -> Path:
        """The file in `folder`, made if it is not there; it appears whole or not at all."""
        path = folder / self.file_name(making)
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".table-", dir=folder) as partial:
                self.write(Path(partial) / "table", making)
                os.replace(Path(partial) / "table", path)
        return path


def write_parquet(path: Path, batches: Iterable[pa.RecordBatch], row_group_rows: int) -> None:
    """Write batches of one schema in row groups of `row_group_rows`; holds one group at a time."""
    writer: pq.ParquetWriter | None = None
    try:
        for group in _regrouped(batches, row_group_rows):
            if writer is None:
                # a dictionary of numbers that hardly repeat would only be given up again
                writer = pq.ParquetWriter(path, group.schema, use_dictionary=False)
            writer.write_table(group, row_group_size=row_group_rows)
    finally:
        if writer is not None:
            writer.close()


def _regrouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= rows:
            cut = rows - count
            yield pa.Table.from_batches([*held, batch.slice(0, cut)])
            batch, held, count = batch.slice(cut), [], 0
        if batch.num_rows:
            held.append(batch)
            count += batch.num_rows
    if held:
        yield pa.Table.from_batches(held)


# --- the vector column of pyspark.ml ------------------------------------------------------------

_VECTOR_TYPE = pa.struct(
    [
        pa.field("type", pa.int8(), nullable=False),
        pa.field("size", pa.int32()),
        pa.field("indices", pa.list_(pa.field("element", pa.int32(), nullable=False))),
        pa.field("values", pa.list_(pa.field("element", pa.float64(), nullable=False))),
    ]
)


def vector_schema(labels: Iterable[str]) -> pa.Schema:
    """`features` and the labels; Spark's own metadata makes its reader see VectorUDT."""

    def field(name: str, kind: Any, nullable: bool) -> dict[str, Any]:
        return {"name": name, "type": kind, "nullable": nullable, "metadata": {}}

    def array(kind: str) -> dict[str, Any]:
        return {"type": "array", "elementType": kind, "containsNull": False}

    parts = [
        field("type", "byte", False),
        field("size", "integer", True),
        field("indices", array("integer"), True),
        field("values", array("double"), True),
    ]
    udt = {
        "type": "udt",
        "class": "org.apache.spark.ml.linalg.VectorUDT",
        "pyClass": "pyspark.ml.linalg.VectorUDT",
        "sqlType": {"type": "struct", "fields": parts},
    }
    labels = list(labels)
    row = {
        "type": "struct",
        "fields": [field(VECTOR, udt, True), *(field(name, "double", True) for name in labels)],
    }
    fields = [pa.field(VECTOR, _VECTOR_TYPE), *(pa.field(name, pa.float64()) for name in labels)]
    key = "org.apache.spark.sql.parquet.row.metadata"
    return pa.schema(fields, metadata={key: json.dumps(row)})


def vector_batch(x: Any, labels: dict[str, Array]) -> pa.RecordBatch:
    """Rows x (m, n), CSR, as sparse vectors, with label columns (m,)."""
    rows, width = x.shape
    offsets = pa.array(x.indptr.astype(np.int32))
    kinds = [_VECTOR_TYPE.field(i).type for i in range(4)]
    vectors = pa.StructArray.from_arrays(
        [
            pa.array(np.zeros(rows, np.int8)),
            pa.array(np.full(rows, width, np.int32)),
            pa.ListArray.from_arrays(offsets, x.indices.astype(np.int32), type=kinds[2]),
            pa.ListArray.from_arrays(offsets, x.data.astype(float), type=kinds[3]),
        ],
        fields=list(_VECTOR_TYPE),
    )
    arrays = [vectors, *(pa.array(y) for y in labels.values())]
    return pa.RecordBatch.from_arrays(arrays, schema=vector_schema(labels))
