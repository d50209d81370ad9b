"""Every table in data/ says where it comes from, and is still what it says."""

import csv
import hashlib
import re
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "data"
SUFFIX = ".SOURCE.txt"
TABLES = sorted(p for p in DATA.iterdir() if not p.name.startswith(".") and SUFFIX not in p.name)
SOURCES = sorted(DATA.glob(f"*{SUFFIX}"))


def stated(table: Path) -> dict[str, str]:
    """The facts `rows`, `columns` and `sha256` that a table's source file states."""
    text = table.with_name(table.stem + SUFFIX).read_text(encoding="utf-8")
    return dict(re.findall(r"^(rows|columns|sha256): (\S+)$", text, flags=re.MULTILINE))


def test_tables_and_sources_pair_up() -> None:
    assert TABLES
    assert [t.stem for t in TABLES] == [s.name.removesuffix(SUFFIX) for s in SOURCES]


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_source_states_origin_and_licence(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert re.search(r"^Origin: \S", text, flags=re.MULTILINE)
    assert re.search(r"^Licence: \S", text, flags=re.MULTILINE)


@pytest.mark.parametrize("table", TABLES, ids=lambda p: p.name)
def test_bytes_are_those_stated(table: Path) -> None:
    assert hashlib.sha256(table.read_bytes()).hexdigest() == stated(table)["sha256"]


@pytest.mark.parametrize("table", TABLES, ids=lambda p: p.name)
def test_shape_is_that_stated(table: Path) -> None:
    with table.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    assert len(rows) == int(stated(table)["rows"])
    assert {len(row) for row in [header, *rows]} == {int(stated(table)["columns"])}
