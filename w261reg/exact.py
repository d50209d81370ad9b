"""Arithmetic without rounding: floats as integers, and linear algebra of integers.

Matrices are arrays of Python's integers (dtype object), so that no number is too long.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.object_]


def integers(x: Array) -> tuple[Integers, int]:
    """Finite floats as (i, e) with x = i 2^e, exactly; e is an int of at most 0."""
    mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
    whole = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    exponent = exponent.astype(np.int64) - 53
    used = x != 0
    least = min(0, int(np.min(exponent[used], initial=0)))
    shift = np.where(used, exponent - least, 0).astype(object)
    return np.asarray(whole << shift, dtype=object), least


def of_fractions(values: Sequence[Fraction]) -> list[int]:
    """A positive multiple of a vector whose entries are integers without a common factor."""
    scale = math.lcm(*(value.denominator for value in values)) if values else 1
    return without_factor([int(value * scale) for value in values])


def without_factor(values: Sequence[int]) -> list[int]:
    """The vector divided by its greatest common divisor."""
    factor = math.gcd(*values)
    return [value // factor for value in values] if factor > 1 else list(values)


def null_space(rows: Integers) -> Integers:
    """A basis of {v: rows v = 0} for rows (k, r): (r, r - rank), columns of integers.

    Gauss and Jordan without fractions (Bareiss 1968, *Sylvester's Identity and Multistep
    Integer-Preserving Gaussian Elimination*).
    """
    left = [np.array(row, dtype=object) for row in rows.tolist()]
    r = rows.shape[1]
    pivots: list[int] = []
    done: list[Integers] = []
    last = 1
    for column in range(r):
        place = next((i for i, row in enumerate(left) if row[column] != 0), None)
        if place is None:
            continue
        pivot = left.pop(place)
        head = pivot[column]
        left = [(head * row - row[column] * pivot) // last for row in left]
        done = [(head * row - row[column] * pivot) // last for row in done] + [pivot]
        left = [row for row in left if row.any()]
        pivots.append(column)
        last = head
    free = [column for column in range(r) if column not in pivots]
    basis = np.zeros((r, len(free)), dtype=object)
    for k, column in enumerate(free):
        vector = [0] * r
        vector[column] = last
        for own, row in zip(pivots, done, strict=True):
            vector[own] = -row[column]  # all rows have the same pivot
        basis[:, k] = without_factor(vector if last > 0 else [-value for value in vector])
    return basis


def scaled(values: Integers, most: int = 0) -> Any:
    """Integers as floats times one power of two, the largest about 2^most, each rounded once."""
    largest = max((abs(value) for value in values.ravel().tolist()), default=0)
    down = largest.bit_length() - most
    divide = [_divided(value, down) for value in values.ravel().tolist()]
    return np.array(divide, dtype=np.float64).reshape(values.shape)


def _divided(value: int, down: int) -> float:
    """value / 2^down."""
    return value / (1 << down) if down >= 0 else float(value << -down)
