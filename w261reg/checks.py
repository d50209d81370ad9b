"""What the first pass found wrong with the data."""

from typing import Any

import numpy as np

from w261reg.aggregators import Summary
from w261reg.blocks import Census
from w261reg.blocks.census import MAX_CLASSES, MAX_LABELS
from w261reg.errors import InputError
from w261reg.losses import Loss
from w261reg.sources import Columns

# a label of more values than these, with fractions among them, is a quantity
MOST_FRACTIONS = 20
# sizes of weights, features and labels whose squares are still numbers
SMALLEST, LARGEST = 1e-152, 1e152
IN_RANGE = f"from {SMALLEST:g} to {LARGEST:g}"
# share of a feature's standard deviation that storage may round its values by
MOST_ROUNDED = 1e-4


def check_census(census: Census, columns: Columns) -> None:
    """Raise InputError for data that could not be read, or has values that are not usable."""
    if census.invalid:
        raise InputError(census.invalid)
    if census.defects:
        raise InputError("; ".join(_defects(census, columns)))
    if census.rows == 0:
        raise InputError("the data has no rows")


def _defects(census: Census, columns: Columns) -> list[str]:
    roles = {columns.sigma: "sigma", columns.group: "noise_group"}
    roles |= {columns.label: "label", columns.weight: "weight"}
    lines = []
    for (column, kind), count in sorted(census.defects.items()):
        role = roles.get(column, "feature")
        noun = "value" if count == 1 else "values"
        lines.append(f"{role} column {column!r} has {count} {kind} {noun} in {census.rows} rows")
    shown = lines[:5]
    if len(lines) > 5:
        shown.append(f"and {len(lines) - 5} more columns")
    return shown


def classes_in(census: Census, columns: Columns, loss: Loss) -> tuple[Any, ...]:
    """The values of a label as classes, sorted, each in its own type.

    Args:
        census: of the label's values.
        columns: which column it is.
        loss: of several classes.

    Raises:
        InputError: they cannot be read, or are no classes.
    """
    check_census(census, columns)
    where, labels = f"label column {columns.label!r}", list(census.labels)
    if not labels:
        raise InputError(f"weight column {columns.weight!r} is 0 in every row")
    more = " or more" if len(labels) == MAX_LABELS else ""
    broken = [value for value in labels if isinstance(value, float) and not value.is_integer()]
    if broken and len(labels) > MOST_FRACTIONS:
        raise InputError(
            f"{where} has {len(labels):,}{more} values with fractions, such as {broken[0]:g}; loss "
            f"{loss.name} needs classes (up to {MOST_FRACTIONS} of them may be fractions)"
        )
    if len(labels) > MAX_CLASSES:
        raise InputError(
            f"{where} has more than {MAX_CLASSES:,} values; loss {loss.name} takes up to "
            f"{MAX_CLASSES:,} classes"
        )
    if len(labels) == 1:
        raise InputError(
            f"{where} has one class only: {_plain(labels[0])}; loss {loss.name} needs two or more"
        )
    return tuple(_integral(value) for value in labels)


def groups_in(census: Census, columns: Columns) -> tuple[Any, ...]:
    """The values of the column of groups, sorted, each in its own type.

    Raises:
        InputError: they cannot be read, or are too many.
    """
    check_census(census, columns)
    if not census.labels:
        raise InputError(f"weight column {columns.weight!r} is 0 in every row")
    if len(census.labels) > MAX_CLASSES:
        raise InputError(
            f"noise_group column {columns.group!r} has more than {MAX_CLASSES:,} values"
        )
    return tuple(_integral(value) for value in census.labels)


def check_summary(summary: Summary, columns: Columns, loss: Loss) -> list[Any] | None:
    """Raise InputError where the rows cannot train this loss; else the classes, if it has any.

    Returns:
        [the value that counts as 0, the value that counts as 1], those of a loss of several
        classes in the order of their codes, or None for a regression.
    """
    check_census(summary.census, columns)
    if summary.rows == 0:
        raise InputError(f"weight column {columns.weight!r} is 0 in every row")
    _check_weights(summary, columns)
    _check_features(summary, columns)
    if not loss.classification:
        _check_label(summary, columns, loss)
        return None
    if loss.multiclass:
        return list(columns.levels or ())
    labels = list(summary.census.labels)
    shown = ", ".join(_plain(value) for value in labels[:6]) + (", ..." if len(labels) > 6 else "")
    where = f"label column {columns.label!r}"
    if len(labels) == 1:
        raise InputError(f"{where} has one class only: {shown}; loss {loss.name} needs two")
    if len(labels) > 2:
        more = " or more" if len(labels) == MAX_LABELS else ""
        raise InputError(
            f"{where} has {len(labels)}{more} values ({shown}); loss {loss.name} needs two classes"
        )
    if columns.positive is None:
        if set(labels) != {0.0, 1.0}:
            raise InputError(
                f"{where} holds {shown}, not 0 and 1: positive must name the value that counts as 1"
            )
        return [0, 1]
    wanted = str(columns.positive) if isinstance(labels[0], str) else float(columns.positive)
    if wanted not in labels:
        raise InputError(f"positive must be a value of {where} ({shown}), not {columns.positive!r}")
    (negative,) = [value for value in labels if value != wanted]
    return [_integral(negative), _integral(wanted)]


def _check_weights(summary: Summary, columns: Columns) -> None:
    """Raise InputError where sums over the rows would leave the range of numbers."""
    if SMALLEST <= summary.weight <= LARGEST:
        return
    if columns.sigma is not None:
        raise InputError(
            f"sigma column {columns.sigma!r}: the sum of weight / sigma^2 is {summary.weight:g} "
            f"and must be {IN_RANGE}: measure the label and sigma in another unit"
        )
    raise InputError(
        f"weight column {columns.weight!r}: the sum of the weights is {summary.weight:g} and must "
        f"be {IN_RANGE}: multiply them by a power of ten, which changes no mean"
    )


def _check_features(summary: Summary, columns: Columns) -> None:
    """Raise InputError for a feature whose squares are no numbers, or that storage has spoilt."""
    low, high, sd = summary.low[:-1], summary.high[:-1], summary.sd()[:-1]
    varies = low < high
    # written so that NaN is refused
    large = varies & ~((np.maximum(np.abs(low), np.abs(high)) <= LARGEST) & (sd <= LARGEST))
    if large.any():
        j = int(np.flatnonzero(large)[0])
        raise InputError(
            f"feature column {columns.names[j]!r} has values from {low[j]:g} to {high[j]:g}, which "
            f"must be of a size up to {LARGEST:g}: measure it in another unit"
        )
    small = varies & (sd > 0) & (sd < SMALLEST)
    if small.any():
        j = int(np.flatnonzero(small)[0])
        raise InputError(
            f"feature column {columns.names[j]!r} has a standard deviation of {sd[j]:g}, which "
            f"must be {IN_RANGE}, or 0: measure it in another unit"
        )
    rounding = summary.census.rounding
    if rounding is None:
        return
    lost = np.sqrt(rounding / summary.weight)
    spoilt = lost > MOST_ROUNDED * sd
    if spoilt.any():
        j = int(np.flatnonzero(spoilt)[0])
        raise InputError(
            f"storage float32 rounds feature column {columns.names[j]!r} by {lost[j]:.2g} a row, "
            f"more than {MOST_ROUNDED:g} of its standard deviation, {sd[j]:.2g} as stored: use "
            "storage float64"
        )


def _check_label(summary: Summary, columns: Columns, loss: Loss) -> None:
    """Raise InputError where a label is not in the loss's range, or its squares are no numbers."""
    low, high = loss.label_range
    least, most = float(summary.low[-1]), float(summary.high[-1])
    where = f"label column {columns.label!r}"
    if least < low or most > high:
        raise InputError(
            f"{where} has values from {least:g} to {most:g}; loss "
            f"{loss.name} needs labels from {low:g} to {high:g}"
        )
    if not max(abs(least), abs(most)) <= LARGEST:
        raise InputError(
            f"{where} has values from {least:g} to {most:g}, which must be of a size up to "
            f"{LARGEST:g}: measure it in another unit"
        )
    sd = float(summary.sd()[-1])
    if least < most and sd < SMALLEST:
        raise InputError(
            f"{where} has a standard deviation of {sd:g}, which must be {IN_RANGE}, or 0: measure "
            "it in another unit"
        )


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> str:
    return str(_integral(value))
