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


class Own(str):
    """The name of a user's own term, which has the term with it.

    Two terms of one name are two: each fit has the one it was given. Copied to elsewhere, pickled
    or written down it is text.

    Attributes:
        term: the loss, or the class of the penalty.
        sha256: of the text that defines it.
    """

    term: Any
    sha256: str

    @classmethod
    def of(cls, name: str, term: Any, sha256: str) -> "Own":
        """The name of this term."""
        own = cls(name)
        own.term, own.sha256 = term, sha256
        return own

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)

    def __deepcopy__(self, memo: Any) -> "Own":
        return self


def lookup(kind: str, name: str, terms: Mapping[str, Any]) -> Any:
    """The term called `name`. Raises InputError, naming those there are."""
    if name not in terms:
        raise InputError(f"{kind} must be one of {', '.join(sorted(terms))}, not {name!r}")
    return terms[name]
