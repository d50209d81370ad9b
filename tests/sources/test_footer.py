"""What is read of a Parquet file's footer without pyarrow."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w261reg.sources.footer import values_of

ROWS = 300
TABLE = pa.table(
    {
        "x": np.arange(ROWS, dtype=float),
        "v": [None if i % 7 == 0 else list(range(i % 40)) for i in range(ROWS)],
        "s": [{"a": i, "b": [str(i)] * (i % 3), "t": i % 2 == 0} for i in range(ROWS)],
        "m": pa.array([[(i, i)] for i in range(ROWS)], pa.map_(pa.int16(), pa.int64())),
    }
)
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "groups": {"row_group_size": 7},
    "index": {"write_page_index": True, "row_group_size": 100},
    "sums": {"write_page_checksum": True, "data_page_version": "2.0"},
    "no statistics": {"write_statistics": False},
}


class Sized(io.BytesIO):
    def size(self) -> int:
        return len(self.getvalue())


@pytest.mark.parametrize("rows", [ROWS, 0])
@pytest.mark.parametrize("way", WAYS)
def test_values_are_those_that_pyarrow_finds(tmp_path: Path, way: str, rows: int) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE[:rows], path, **WAYS[way])
    groups = pq.ParquetFile(path).metadata
    wanted = [
        [groups.row_group(g).column(j).num_values for j in range(groups.num_columns)]
        for g in range(groups.num_row_groups)
    ]
    with pa.OSFile(str(path)) as file:
        assert values_of(file) == wanted


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1" * 3, b"\0" * 40 + b"\x05\0\0\0PAR1", b"\xff\xff\xff\x7fPAR1"]
)
def test_no_footer(content: bytes) -> None:
    with pytest.raises((ValueError, IndexError, KeyError)):
        values_of(Sized(content))


def test_a_damaged_footer_ends(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=100)
    whole = (tmp_path / "t.parquet").read_bytes()
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for seed in range(500):
        generator = np.random.default_rng(seed)
        data = bytearray(whole)
        for at in generator.integers(start, len(data), size=1 + seed % 3):
            data[at] = generator.integers(256)
        try:
            found = values_of(Sized(bytes(data)))
        except (ValueError, IndexError, KeyError, TypeError, RecursionError):
            continue
        assert all(type(count) is int for group in found for count in group)
