"""The tables; one file a kind, found by their names."""

from w261reg.benchmark.tables.base import Making, Table
from w261reg.registry import discover

TABLES: dict[str, type[Table]] = discover(__name__, __path__, Table)  # type: ignore[type-abstract]

__all__ = ["TABLES", "Making", "Table"]
