"""Finds the terms (losses, penalties, solvers) that live one a file in a package.

`pkgutil` is used because it also lists a package that was imported from a `--py-files` zip,
where the file system cannot be listed.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from w261reg.errors import InputError

T = TypeVar("T")


def discover(package: str, path: Sequence[str], base: type[T]) -> dict[str, type[T]]:
    """Every concrete subclass of `base` defined in a module of `package`, by its `name`."""
    found: dict[str, type[T]] = {}
    for info in sorted(pkgutil.iter_modules(path), key=lambda info: info.name):
        module = importlib.import_module(f"{package}.{info.name}")
        for term in vars(module).values():
            if (
                isinstance(term, type)
                and issubclass(term, base)
                and term.__module__ == module.__name__
                and not getattr(term, "__abstractmethods__", None)
            ):
                found[term.name] = term  # type: ignore[attr-defined]
    return found


def lookup(kind: str, name: str, terms: Mapping[str, Any]) -> Any:
    """The term called `name`. Raises InputError, naming those there are."""
    if name not in terms:
        raise InputError(f"{kind} must be one of {', '.join(sorted(terms))}, not {name!r}")
    return terms[name]
