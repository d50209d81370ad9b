"""Work that nobody waits for, until Spark is stopped or the process ends."""

import threading

_started: list[threading.Thread] = []
_lock = threading.Lock()


def start(thread: threading.Thread) -> None:
    """Start a thread; it must not be a daemon, so that the end of the process waits for it."""
    thread.start()
    with _lock:
        _started[:] = [other for other in _started if other.is_alive()] + [thread]


def finish() -> None:
    """Wait for all that was started."""
    for thread in list(_started):
        thread.join()
