"""How a table is to be read, where its name and content do not say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from w261reg.errors import InputError

FORMATS = ("csv", "libsvm", "parquet")
TAB = ("\\t", "tab")


@dataclass(frozen=True)
class Reading:
    """What a user says of a file.

    Attributes:
        format: one of FORMATS; None is by the name, else by the first lines.
        delimiter: of CSV; None is a comma.
        null_values: texts of CSV that mean a missing value, beside the usual ones.
    """

    format: str | None = None
    delimiter: str | None = None
    null_values: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Any) -> Self:
        """Those among settings, or any object with `format`, `delimiter` and `null_values`."""
        return cls.checked(given.format, given.delimiter, given.null_values)

    @classmethod
    def checked(
        cls,
        format: str | None = None,
        delimiter: str | None = None,
        null_values: str | Sequence[str] | None = None,
    ) -> Self:
        """As given, checked.

        Raises:
            InputError: a value breaks its rule.
        """
        if format is not None and format not in FORMATS:
            raise InputError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
        if delimiter in TAB:
            delimiter = "\t"
        if delimiter is not None and (
            len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'
        ):
            raise InputError(
                f"delimiter must be one ASCII character (\\t is a tab), not {delimiter!r}"
            )
        if isinstance(null_values, str):
            null_values = null_values.split(",")
        return cls(format, delimiter, tuple(null_values or ()))
