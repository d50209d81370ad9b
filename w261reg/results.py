"""A result folder: the files that w261reg writes into one, and how to tell it from others."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from w261reg.documents import parse_json
from w261reg.errors import InputError

MODEL = "model.json"
FIGURES = ("convergence", "confusion", "coefficients", "difference", "engines")
# the model comes last: a reader that finds it finds all that belongs to it
FILES = (
    *(f"figures/{name}.png" for name in FIGURES),
    "comparison.json",
    "config.toml",
    "history.csv",
    "metrics.json",
    "report.html",
    MODEL,
)
FORMAT_VERSION = 1


def is_model(document: Any) -> bool:
    """Whether a JSON document is a model.json of some version, and not another program's."""
    return (
        isinstance(document, dict)
        and type(document.get("format_version")) is int
        and "coefficients" in document
        and "feature_names" in document
    )


def check_result(out: object, held: list[str], read: Callable[[str], bytes]) -> None:
    """Raise InputError unless a folder that holds something holds a result of ours.

    Args:
        out: the folder, for the message.
        held: names in it.
        read: the bytes of one of its files; OSError where there are none.
    """
    if not held:
        return
    try:
        found = is_model(parse_json(read(MODEL)))
    except (OSError, ValueError):
        found = False
    if not found:
        raise InputError(f"out {out} is a folder that does not hold a result of w261reg")


def check_plain(path: Path) -> None:
    """Raise InputError where one of our names in a folder is a link, or is no file.

    What a link leads to, and what a folder of such a name holds, is not ours to replace.
    """
    for name in ("figures", *FILES):
        place = path / name
        kind = "a folder" if name == "figures" else "a file"
        if place.is_symlink():
            raise InputError(f"out {path} holds {name}, which is a link: remove it first")
        if os.path.lexists(place) and not (
            place.is_dir() if name == "figures" else place.is_file()
        ):
            raise InputError(f"out {path} holds {name}, which is not {kind}: remove it first")
