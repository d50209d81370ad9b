"""Which columns are features, label and weight: checked before the first pass."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from w261reg.errors import InputError
from w261reg.sources.columns import (
    Columns,
    is_level,
    is_numeric,
    is_text,
    is_vector,
    plain_type,
)
from w261reg.sources.fields import kind_of, used

log = logging.getLogger("w261reg")
# a column without a name, and the names under which pandas reads and writes its index
ROW_NUMBERS = re.compile(r"\s*|Unnamed: 0|__index_level_\d+__")


def select(
    schema: pa.Schema,
    *,
    features: Sequence[str] | None,
    label: str | None,
    weight: str | None = None,
    sigma: str | None = None,
    group: str | None = None,
    classification: bool = False,
    positive: str | float | None = None,
    levels: tuple[Any, ...] | None = None,
    names: Sequence[str] | None = None,
    vector_names: dict[str, list[str]] | None = None,
) -> Columns:
    """The columns of a problem; by default all others are features.

    Args:
        schema: of the table.
        features, label, weight: column names; a None label is a table to predict.
        sigma, group: columns of the noise, or None.
        classification: the label's values are classes.
        positive: the class that counts as 1.
        levels: the values that are classes of a loss of several; () where they are to be found.
        names: the features' names where they are known (a model's).
        vector_names: the names of the elements of each vector column.

    Raises:
        InputError: a column is missing, or of the wrong type.
    """
    roles = (("label", label), ("weight", weight), ("sigma", sigma), ("noise_group", group))
    taken = {column: role for role, column in reversed(roles) if column is not None}
    beside = used(schema, [(role, column) for role, column in roles if column is not None])
    for role, column in roles[2:]:
        if column is not None and taken[column] != role:
            raise InputError(f"{role} must not be the {taken[column]} column {column!r}")
    if features is None:
        chosen = [name for name in schema.names if name not in taken]
        chosen = _without_row_numbers(chosen)
    else:
        chosen = list(features)
        if twice := [name for name, count in Counter(chosen).items() if count > 1]:
            raise InputError(f"features names column {twice[0]!r} twice")
    if not chosen:
        raise InputError("the data has no feature columns beside label and weight")
    fields = used(schema, [("feature", name) for name in chosen])
    for name in chosen:
        if name in taken:
            raise InputError(f"features must not include the {taken[name]} column {name!r}")
    vector = is_vector(fields[chosen[0]].type)
    for name, field in fields.items():
        if is_vector(field.type):
            if len(chosen) > 1:
                raise InputError(
                    f"features must be numbers, or a single vector column: {name!r} is a vector "
                    f"beside {len(chosen) - 1} other columns; choose with features"
                )
        elif not is_numeric(field.type):
            raise InputError(
                f"feature column {name!r} is not numeric ({kind_of(field)}); choose columns with "
                "features"
            )
    for role, column in (("weight", weight), ("sigma", sigma)):
        if column is not None and not is_numeric(beside[column].type):
            raise InputError(f"{role} column {column!r} is not numeric ({kind_of(beside[column])})")
    if group is not None and not is_level(beside[group].type):
        raise InputError(
            f"noise_group column {group!r} must hold text, integers or booleans, not "
            f"{kind_of(beside[group])}"
        )
    if label is not None:
        if pa.types.is_boolean(plain_type(beside[label].type)):
            positive = {"true": 1.0, "false": 0.0}.get(str(positive).lower(), positive)
        if levels is None:
            _check_label(beside[label], classification, positive)
        else:
            _check_classes(beside[label], levels)
    if names is None:
        known = (vector_names or {}).get(chosen[0]) if vector else chosen
        names = known if known is not None else []
    found = Columns(tuple(chosen), tuple(names), vector, label, weight, classification, positive)
    return replace(found, levels=levels, sigma=sigma, group=group)


def _without_row_numbers(names: list[str]) -> list[str]:
    """The names without those of row numbers that pandas wrote, which are pointed out."""
    numbers = [name for name in names if ROW_NUMBERS.fullmatch(name)]
    if numbers and len(numbers) < len(names):
        log.warning(
            "column %r of the data is left out: it has no name but that of row numbers; features "
            "can name it",
            numbers[0],
        )
        return [name for name in names if name not in numbers]
    return names


def _check_label(field: pa.Field, classification: bool, positive: str | float | None) -> None:
    label, kind, shown = field.name, field.type, kind_of(field)
    if is_text(kind):
        if not classification:
            raise InputError(f"label column {label!r} is not numeric ({shown})")
        if positive is None:
            raise InputError(
                f"label column {label!r} is not numeric ({shown}): positive must name the value "
                "that counts as 1"
            )
    elif not is_numeric(kind):
        raise InputError(f"label column {label!r} is not numeric ({shown})")
    elif positive is not None:
        if not classification:
            raise InputError(f"positive is for classification, not for a regression: {positive!r}")
        try:
            float(positive)
        except ValueError:
            raise InputError(
                f"positive must be a value of the label: {positive!r} is not a number, and label "
                f"column {label!r} is numeric"
            ) from None


def _check_classes(field: pa.Field, levels: tuple[Any, ...]) -> None:
    """Raise InputError where a column does not hold classes, or not of the type of these."""
    label, kind = field.name, field.type
    if not (is_text(kind) or is_numeric(kind)):
        raise InputError(f"label column {label!r} must be text or numbers, not {kind_of(field)}")
    if levels and is_text(kind) != isinstance(levels[0], str):
        shown = ", ".join(map(repr, levels[:3]))
        raise InputError(
            f"label column {label!r} is {kind_of(field)}, unlike the classes of the model: "
            f"{shown}, ..."
        )
