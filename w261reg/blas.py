"""One BLAS thread: sums in another order give other bits."""

from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks at every loaded library: once a process


def one_blas_thread() -> Any:
    """A context in which BLAS uses one thread: a factor differs between one and two."""
    return _controller().limit(limits=1)
