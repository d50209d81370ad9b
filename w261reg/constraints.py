"""Linear equality constraints on named coefficients: reading, checking, what follows from what.

Numbers count as the decimals that they are written as, so that it is decided exactly which rows
follow from others, and which contradict each other.
"""

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.documents import toml_file
from w261reg.errors import InputError
from w261reg.files import local_form

Array = NDArray[np.float64]
# names in a file that are no feature's: the intercept, and the right hand side
INTERCEPT, RHS = "intercept", "rhs"
# terms of a constraint that a message shows
MOST_TERMS = 6

# a path, or tables {"rhs": c, "coefficients": {name: a}}, as Settings keep them
Given = str | tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Constraint:
    """sum of coefficients[name] w_name = rhs; row `number`, from 1, of where it is from."""

    number: int
    coefficients: Mapping[str, Fraction]
    rhs: Fraction

    def text(self, most: int | None = None) -> str:
        """As in "a - 2 b = 3", with at most so many terms."""
        terms: list[str] = []
        for name, value in list(self.coefficients.items())[:most]:
            sign = ("-" if value < 0 else "") if not terms else ("- " if value < 0 else "+ ")
            size = "" if abs(value) == 1 else f"{_plain(abs(value))} "
            terms.append(f"{sign}{size}{name}")
        more = " + ..." if most is not None and len(self.coefficients) > most else ""
        return f"{' '.join(terms)}{more} = {_plain(self.rhs)}"


@dataclass(frozen=True)
class Constraints:
    """Some constraints, in their order.

    Attributes:
        source: where they are from, in words.
        rows: at least one, each with a coefficient other than 0.
    """

    source: str
    rows: tuple[Constraint, ...]

    @property
    def homogeneous(self) -> bool:
        """Whether weights 0 satisfy them whatever the intercept."""
        return all(row.rhs == 0 and INTERCEPT not in row.coefficients for row in self.rows)

    def check_names(self, names: Sequence[str], fit_intercept: bool) -> None:
        """Raise InputError where a coefficient is not one of these features' or the intercept."""
        known = set(names)
        for row in self.rows:
            for name in row.coefficients:
                where = f"{self.source}: row {row.number}"
                if name == INTERCEPT and name in known:
                    raise InputError(
                        f"{where} names {name!r}, which is the intercept and a feature, too: "
                        "rename the feature"
                    )
                if name == INTERCEPT and not fit_intercept:
                    raise InputError(f"{where} names the intercept, but fit_intercept is false")
                if name != INTERCEPT and name not in known:
                    raise InputError(
                        f"{where} names {name!r}, which is neither a feature nor {INTERCEPT!r}"
                    )

    def dependent(self, zero: Iterable[str] = ()) -> dict[int, list[int]]:
        """The rows that follow from those before them, and from which: by their positions.

        Args:
            zero: features whose coefficient is 0 anyway.

        Raises:
            InputError: no coefficients satisfy all rows; the message names some that contradict
                each other.
        """
        dropped = set(zero)
        # rows of integers in echelon form: coefficients by name, the right hand side under "", and
        # under k how often given row k is in it, in integers, too
        echelon: list[tuple[str, dict[str | int, int]]] = []
        follows: dict[int, list[int]] = {}
        for k, row in enumerate(self.rows):
            exact = {n: a for n, a in row.coefficients.items() if n not in dropped}
            exact[""] = row.rhs
            unit = math.lcm(*(value.denominator for value in exact.values()))
            left: dict[str | int, int] = {n: int(a * unit) for n, a in exact.items()}
            left[k] = 1
            for pivot, other in echelon:
                if left.get(pivot):
                    left = _eliminated(left, pivot, other)
            pivot = next((n for n, a in left.items() if isinstance(n, str) and n and a), "")
            if pivot:
                echelon.append((pivot, left))
                continue
            used = sorted(n for n, a in left.items() if isinstance(n, int) and a)
            if left.get(""):
                raise InputError(self._contradiction(used, dropped))
            follows[k] = [n for n in used if n != k]
        return follows

    def _contradiction(self, rows: list[int], dropped: set[str]) -> str:
        used = dict.fromkeys(n for k in rows for n in self.rows[k].coefficients if n in dropped)
        why = f" where constant features have coefficient 0 ({', '.join(used)})" if used else ""
        shown = "; ".join(self.rows[k].text(MOST_TERMS) for k in rows[:MOST_TERMS])
        clash = "cannot hold" if len(rows) == 1 else "contradict each other"
        return f"{self.source}: {self.numbers(rows)} {clash}{why}: {shown}"

    def numbers(self, positions: Sequence[int]) -> str:
        """As in "rows 1, 2 and 4"."""
        *most, last = [str(self.rows[k].number) for k in positions]
        return f"rows {', '.join(most)} and {last}" if most else f"row {last}"

    def matrix(self, names: Sequence[str], rows: Sequence[int]) -> tuple[Array, Array, Array]:
        """A (q, n), a (q,) and c (q,) of A w + a b = c, for some rows by their positions."""
        position = {name: j for j, name in enumerate(names)}
        weights, intercept = np.zeros((len(rows), len(names))), np.zeros(len(rows))
        for i, k in enumerate(rows):
            for name, value in self.rows[k].coefficients.items():
                if name == INTERCEPT:
                    intercept[i] = float(value)
                else:
                    weights[i, position[name]] = float(value)
        return weights, intercept, np.array([float(self.rows[k].rhs) for k in rows])


def given_constraints(value: Any) -> Given | None:
    """What a user gave for constraints, as Settings keep it.

    Args:
        value: a path; a pandas DataFrame with a column a coefficient, and rhs; or tables with
            `rhs` and `coefficients`.

    Raises:
        InputError: it is none of these.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        names = list(map(str, value.columns))
        _check_head("constraints", names)
        records = value.set_axis(names, axis="columns").to_dict("records")
        return tuple(_of_cells(record) for record in records)
    if isinstance(value, list | tuple) and all(isinstance(entry, Mapping) for entry in value):
        return tuple(dict(entry) for entry in value)
    raise InputError(
        "constraints must be a path, a DataFrame, or tables with rhs and coefficients, not "
        f"{value!r}"
    )


def read_constraints(given: Given) -> Constraints:
    """The constraints that a user gave.

    Raises:
        InputError: they cannot be read, are no constraints, or contradict each other.
    """
    if not isinstance(given, str):
        found = _of_tables("constraints", given)
    else:
        path = local_form(given, "constraints")
        tables = _read_toml(path) if path.endswith(".toml") else _read_csv(path)
        found = _of_tables(f"constraints {path}", tables)
    found.dependent()
    return found


def _read_toml(path: str) -> list[Any]:
    document = toml_file("constraints", path)
    tables = document.pop("constraint", None)
    if document or not isinstance(tables, list):
        other = f", not {next(iter(document))!r}" if document else ""
        raise InputError(f"constraints {path} must hold [[constraint]] tables alone{other}")
    return tables


def _read_csv(path: str) -> list[Any]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except OSError as error:
        raise InputError(f"constraints {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"constraints {path} is not CSV: {error}") from None
    head = [name.strip() for name in lines[0]] if lines else []
    _check_head(f"constraints {path}", head)
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(head):
            raise InputError(
                f"constraints {path}: row {number} has {len(line)} values for {len(head)} columns"
            )
    return [_of_cells(dict(zip(head, line, strict=True))) for line in lines[1:]]


def _check_head(source: str, head: list[str]) -> None:
    twice = [name for name in head if head.count(name) > 1]
    if twice:
        raise InputError(f"{source} has the column {twice[0]!r} twice")
    if RHS not in head or len(head) < 2 or "" in head:
        raise InputError(
            f"{source} must have a column {RHS!r} and one a coefficient, by its name, not "
            f"{', '.join(head) or 'no header'!r}"
        )


def _of_cells(record: Mapping[str, Any]) -> dict[str, Any]:
    """A table out of a row with a cell a coefficient; an empty cell is 0."""
    cells = {name: value for name, value in record.items() if name != RHS}
    return {RHS: record[RHS], "coefficients": {n: a for n, a in cells.items() if not _empty(a)}}


def _empty(cell: Any) -> bool:
    missing = isinstance(cell, float) and math.isnan(cell)
    return cell is None or missing or (isinstance(cell, str) and not cell.strip())


def _of_tables(source: str, tables: Sequence[Any]) -> Constraints:
    rows = []
    for number, table in enumerate(tables, 1):
        where = f"{source}: row {number}"
        if not isinstance(table, Mapping) or set(table) != {RHS, "coefficients"}:
            shown = ", ".join(map(str, table)) if isinstance(table, Mapping) else repr(table)
            raise InputError(f"{where} must have rhs and coefficients alone, not {shown}")
        if not isinstance(table["coefficients"], Mapping):
            raise InputError(f"{where}: coefficients must be a number a name")
        values = {
            str(name): _exact(f"{where}: coefficient of {name!r}", value)
            for name, value in table["coefficients"].items()
        }
        nonzero = {name: value for name, value in values.items() if value}
        if not nonzero:
            raise InputError(f"{where} has no coefficient other than 0")
        rows.append(Constraint(number, nonzero, _exact(f"{where}: rhs", table[RHS])))
    if not rows:
        raise InputError(f"{source} has no rows")
    return Constraints(source, tuple(rows))


def _exact(what: str, value: Any) -> Fraction:
    """The decimal that a number is written as; of a double, which may have been computed, its 15
    digits: 0.1 + 0.2 is 0.3."""
    text = value.strip() if isinstance(value, str) else repr(value)
    try:
        if isinstance(value, bool) or not isinstance(value, str | Number):
            raise ValueError
        number = float(value)  # type: ignore[arg-type]
        text = text if isinstance(value, str) else f"{number:.15g}"
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} must be a finite number, not {text}") from None
    if not math.isfinite(number):
        raise InputError(f"{what} must be a finite number, not {text}")
    # what is no number of doubles may have more digits than there is memory
    return Fraction(text) if number else Fraction(0)


def _eliminated(
    row: dict[str | int, int], pivot: str, other: dict[str | int, int]
) -> dict[str | int, int]:
    """The combination of two rows that has no `pivot`, in lowest terms."""
    size, share = other[pivot], row[pivot]
    names = dict.fromkeys([*row, *other])
    found = {n: size * row.get(n, 0) - share * other.get(n, 0) for n in names}
    content = math.gcd(*found.values())
    return {n: value // content for n, value in found.items() if value}


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else repr(float(value))
