"""A setting of the whole process, held for as long as anyone needs it."""

import threading
from collections.abc import Callable


class Held:
    """A context that any number of threads enter and leave in any order.

    The first to enter sets, the last to leave puts back what there was before the first: saving
    and restoring by each alone would leave a wrong setting wherever they overlap, and would take
    it from under those who are still inside.

    Args:
        hold: sets it, and returns what puts back what there was.
    """

    def __init__(self, hold: Callable[[], Callable[[], object]]) -> None:
        self._hold = hold
        self._lock = threading.Lock()
        self._users = 0
        self._put_back: Callable[[], object] = _nothing

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._put_back = self._hold()
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._put_back()


def _nothing() -> None:
    """Before anyone has entered."""
