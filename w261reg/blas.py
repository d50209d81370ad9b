"""One BLAS thread: sums in another order give other bits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from w261reg.held import Held


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, and a decorator, in which BLAS uses one thread: two give other bits.

    Any number of threads may be inside, and each has one BLAS thread until it leaves. Some
    libraries have one number for the whole process; others, as OpenMP, one for each thread.
    """
    with _shared:
        put_back = _limit(_libraries()[1])
        try:
            yield
        finally:
            put_back()


@lru_cache(maxsize=1)
def _libraries() -> tuple[Sequence[Any], Sequence[Any]]:
    """Those of a number for the process, and those of one a thread; looked for once a process."""
    found = ThreadpoolController().lib_controllers
    shared = [
        own
        for own in found
        if own.internal_api in ("openblas", "blis", "flexiblas")
        and getattr(own, "threading_layer", None) != "openmp"
    ]
    return shared, [own for own in found if own not in shared]


def _limit(libraries: Sequence[Any]) -> Callable[[], object]:
    """Sets these to one thread; returns what puts their numbers back."""
    before = [(own, own.get_num_threads()) for own in libraries]
    for own in libraries:
        _set(own, 1)

    def put_back() -> None:
        for own, number in before:
            _set(own, number)

    return put_back


def _set(library: Any, number: int) -> None:
    """The number, whichever thread asks: threadpoolctl 3.8 hears one thread of a process alone."""
    getattr(library, "_real_set_num_threads", library.set_num_threads)(number)


_shared = Held(lambda: _limit(_libraries()[0]))
