"""Where the rows come from."""

import os
import re
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from w261reg.errors import InputError
from w261reg.sources.base import Source
from w261reg.sources.columns import Columns
from w261reg.sources.csv import CsvSource
from w261reg.sources.libsvm import LibsvmSource, looks_like
from w261reg.sources.memory import TableSource, array_source, is_pandas_frame
from w261reg.sources.parquet import ParquetSource
from w261reg.sources.paths import find, head
from w261reg.sources.reading import Reading

_ENDINGS = {
    "parquet": r"\.(parquet|pq|parq)$",
    "csv": r"\.csv(\.\w+)?$",
    "libsvm": r"\.(libsvm|svm|svmlight)(\.\w+)?$",
}


def open_path(path: str, reading: Reading | None = None) -> Source:
    """The source behind a path: Parquet, CSV or LIBSVM, by its ending, else by its first bytes.

    Args:
        path: of the table.
        reading: what was said of it, which goes before both.

    Raises:
        InputError: there is nothing there, or it cannot be read.
    """
    reading = reading or Reading()
    files = find(path)
    kind = reading.format or _by_name(files.paths[0]) or _by_content(head(files, size=2**16))
    if kind == "parquet":
        return ParquetSource(files)
    return LibsvmSource(files) if kind == "libsvm" else CsvSource(files, reading)


def _by_name(name: str) -> str | None:
    return next((kind for kind, ending in _ENDINGS.items() if re.search(ending, name)), None)


def _by_content(start: bytes) -> str:
    if start.startswith(b"PAR1"):
        return "parquet"
    return "libsvm" if looks_like(start) else "csv"


def source_of(data: Any, reading: Reading | None = None) -> Source:
    """The source behind a path, a pandas or Arrow table, or a matrix of features.

    Args:
        data: it.
        reading: what was said of a path.

    Raises:
        InputError: it is none of them, or cannot be read.
    """
    if isinstance(data, str | os.PathLike):
        return open_path(os.fspath(data), reading)
    if isinstance(data, pa.Table) or is_pandas_frame(data):
        return TableSource(data)
    if isinstance(data, np.ndarray | list) or sparse.issparse(data):
        return array_source(data, None, None)[0]
    if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "to_frame"):
        raise InputError(
            f"data must be a table, not a {type(data).__name__}: one row is data.to_frame().T"
        )
    raise InputError(
        "data must be a path, a Spark or pandas DataFrame, an Arrow table or a matrix, not "
        f"{type(data).__name__}"
    )


__all__ = ["Columns", "Reading", "Source", "TableSource", "array_source", "open_path", "source_of"]
