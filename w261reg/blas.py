"""One BLAS thread: sums in another order give other bits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from w261reg.held import Held


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, and a decorator, in which BLAS uses one thread: two give other bits.

    Any number of threads may be inside, and each has one BLAS thread until it leaves: a BLAS has
    one number for the whole process. OpenMP has one for each thread that calls it.
    """
    with _blas:
        put_back = _limited("openmp")
        try:
            yield
        finally:
            put_back()


@lru_cache(maxsize=1)
def _libraries() -> dict[str, ThreadpoolController]:
    """Those that are loaded, by their kind; looking takes a while: once a process."""
    found = ThreadpoolController()
    return {kind: found.select(user_api=kind) for kind in ("blas", "openmp")}


def _limited(kind: str) -> Callable[[], object]:
    """Sets the libraries of a kind to one thread; returns what puts their numbers back."""
    libraries = _libraries()[kind]
    if not libraries.lib_controllers:
        return _nothing
    put_back: Callable[[], object] = libraries.limit(limits=1).restore_original_limits
    return put_back


def _nothing() -> None:
    """There is no such library."""


_blas = Held(lambda: _limited("blas"))
