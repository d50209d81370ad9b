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
from w261reg.sources.libsvm import LINE, LibsvmSource
from w261reg.sources.memory import TableSource, array_source, is_pandas_frame
from w261reg.sources.parquet import ParquetSource
from w261reg.sources.paths import find, head


def open_path(path: str) -> Source:
    """The source behind a path: Parquet, CSV or LIBSVM, by its ending, else by its first bytes.

    Raises:
        InputError: there is nothing there, or it cannot be read.
    """
    files = find(path)
    name = files.paths[0]
    if re.search(r"\.(parquet|pq|parq)$", name):
        return ParquetSource(files)
    if re.search(r"\.csv(\.\w+)?$", name):
        return CsvSource(files)
    if re.search(r"\.(libsvm|svm|svmlight)(\.\w+)?$", name):
        return LibsvmSource(files)
    start = head(files, size=2**16)
    if start.startswith(b"PAR1"):
        return ParquetSource(files)
    first = next((line for line in start.split(b"\n") if line.strip()), b"")
    return LibsvmSource(files) if LINE.match(first) else CsvSource(files)


def source_of(data: Any) -> Source:
    """The source behind a path, a pandas or Arrow table, or a matrix of features.

    Raises:
        InputError: it is none of them, or cannot be read.
    """
    if isinstance(data, str | os.PathLike):
        return open_path(os.fspath(data))
    if isinstance(data, pa.Table) or is_pandas_frame(data):
        return TableSource(data)
    if isinstance(data, np.ndarray | list) or sparse.issparse(data):
        return array_source(data, None, None)[0]
    raise InputError(
        "data must be a path, a Spark or pandas DataFrame, an Arrow table or a matrix, not "
        f"{type(data).__name__}"
    )


__all__ = ["Columns", "Source", "TableSource", "array_source", "open_path", "source_of"]
