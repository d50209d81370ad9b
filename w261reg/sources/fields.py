"""What a schema says of its columns beside their types: kept in the fields' metadata."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from w261reg.errors import InputError

_UNUSABLE, _SHOWN = b"w261reg.unusable", b"w261reg.shown"


def unusable(field: pa.Field, why: str) -> pa.Field:
    """The field of a column that may be there, but not be used: `why` follows its name."""
    return field.with_metadata({**(field.metadata or {}), _UNUSABLE: why.encode()})


def shown_as(field: pa.Field, kind: str) -> pa.Field:
    """The field of a column whose type a user would rather know as `kind`."""
    return field.with_metadata({**(field.metadata or {}), _SHOWN: kind.encode()})


def why_unusable(field: pa.Field) -> str:
    """Why a column may not be used; "" where it may."""
    return (field.metadata or {}).get(_UNUSABLE, b"").decode()


def kind_of(field: pa.Field) -> str:
    """A column's type, for messages."""
    return (field.metadata or {}).get(_SHOWN, str(field.type).encode()).decode()


def used(schema: pa.Schema, roles: Sequence[tuple[str, str]]) -> dict[str, pa.Field]:
    """The fields of the columns that are used, by name.

    Args:
        schema: of the table.
        roles: (role, name) of the columns.

    Raises:
        InputError: one is not there, is there twice, or may not be used.
    """
    counts = Counter(schema.names)
    positions = {name: j for j, name in enumerate(schema.names)}
    found = {}
    for role, name in roles:
        if counts[name] == 0:
            raise InputError(f"{role} column {name!r} is not in the data: {listed(schema.names)}")
        if counts[name] > 1:
            raise InputError(
                f"the data has two columns named {name!r}: rename one, or choose others with "
                "features"
            )
        field = schema.field(positions[name])
        if why := why_unusable(field):
            raise InputError(f"{role} column {name!r} {why}")
        found[name] = field
    return found


def listed(names: Sequence[str]) -> str:
    """`it has a, b, ...`; a name that could be misread stands in quotes."""
    plain = [name if name.isprintable() and name == name.strip() != "" else repr(name)
             for name in names[:12]]  # fmt: skip
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"it has {', '.join(text[:60] for text in plain)}" + more
