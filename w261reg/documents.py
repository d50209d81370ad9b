"""JSON and TOML out of files that anyone may have written: plain values, or one line."""

import json
import math
import os
import re
import tomllib
from typing import Any

from w261reg.errors import InputError

# what is read at most: a model of ten million features has some 500 MB, a configuration few lines
MOST_JSON, MOST_TOML = 2**31, 2**26
# nothing in our files is nested deeper
MOST_LEVELS = 16
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def too_deep(document: Any) -> bool:
    """Whether a document is nested deeper than any of ours."""
    level = [document]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def too_long(document: Any) -> bool:
    """Whether an integer in a document, which is not deep, has more than the 64 bits of TOML's."""
    if isinstance(document, dict | list):
        inner = document.values() if isinstance(document, dict) else document
        return any(too_long(value) for value in inner)
    return isinstance(document, int) and not -(2**63) <= document < 2**63


def read_bytes(what: str, path: str | os.PathLike[str], most: int) -> bytes:
    """A file's bytes.

    Args:
        what: it is, for errors.
        path: of the file.
        most: bytes it may have.

    Raises:
        InputError: it is missing, cannot be read, or is longer.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:  # a ValueError of a path with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{what} {path} cannot be read: {reason}") from None
    if len(data) > most:
        raise InputError(f"{what} {path} cannot be read: it has more than {most:,} bytes")
    return data


def parse_json(data: bytes) -> Any:
    """The document in some bytes, which can be written back; null where a number is not finite.

    Raises:
        ValueError: it is not JSON, or not such: it holds half a surrogate pair, or what is nested
            deeper than any of ours. The reason is short.
    """
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_null, parse_float=_double)
        if isinstance(document, dict | list) and too_deep(document):
            raise RecursionError
        if _ESCAPED_SURROGATE.search(data):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except UnicodeEncodeError:
        raise ValueError("it has half a surrogate pair") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(_reason(error)) from None
    return document


def json_file(what: str, path: str | os.PathLike[str]) -> Any:
    """A JSON file. Raises InputError where it cannot be read or is not JSON, as `toml_file`."""
    data = read_bytes(what, path, MOST_JSON)
    try:
        return parse_json(data)
    except ValueError as error:
        raise InputError(f"{what} {path} is not valid JSON: {error}") from None


def toml_file(what: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """A TOML file.

    Args:
        what: it is, for errors.
        path: of the file.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    data = read_bytes(what, path, MOST_TOML)
    try:
        document = tomllib.loads(data.decode("utf-8"))
        if too_deep(document):
            raise RecursionError
        if too_long(document):
            raise ValueError("an integer is beyond 64 bits")
        return document
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:
        reason = _reason(error)
    raise InputError(f"{what} {path} is not TOML: {reason}")


def _null(_: str) -> None:
    """What NaN and Infinity are, which are no JSON: null, as we write them."""


def _double(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _reason(error: ValueError) -> str:
    """In a few words: Python's own, but where they speak of its settings."""
    text = str(error)
    return "an integer has too many digits" if "integer string conversion" in text else text
