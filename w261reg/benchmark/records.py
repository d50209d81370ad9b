"""CSV tables that grow row by row: what was written stays when a run is interrupted."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from w261reg.errors import InputError


class Records:
    """A CSV file with these columns; rows are appended and on the disk at once.

    Args:
        path: the file; made with the first row.
        columns: its header.

    Raises:
        InputError: the file is there with other columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = path, tuple(columns)
        self.rows: list[dict[str, str]] = []
        if path.exists():
            self.rows = read_records(path, columns)
            self._end_last_line()

    def has(self, **values: Any) -> bool:
        """Whether there is a row with these values."""
        texts = {key: str(value) for key, value in values.items()}
        return any(texts.items() <= row.items() for row in self.rows)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; None is an empty cell."""
        new = not self.path.exists()
        cells = {key: "" if row.get(key) is None else str(row[key]) for key in self.columns}
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if new:
                writer.writeheader()
            writer.writerow(cells)
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(cells)

    def _end_last_line(self) -> None:
        """Cut off a last line that was not written to its end."""
        content = self.path.read_bytes()
        if content and not content.endswith(b"\n"):
            self.path.write_bytes(content[: content.rfind(b"\n") + 1])
            self.rows = read_records(self.path, self.columns)


def read_records(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file as texts.

    Raises:
        InputError: it is not there, or has other columns.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there: the step before writes it")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != tuple(columns):
            raise InputError(f"{path} has other columns than {', '.join(columns)}")
        return [dict(row) for row in reader]
