"""The session that is made here; without one, as another thread may have stopped it."""

from typing import Any, cast

import pytest

from w261reg.session import wake_workers


class Stopped:
    """A context that answers so many calls, and then says in a page of trace that it is stopped."""

    defaultParallelism = property(lambda self: self.answer(4))

    def __init__(self, answers: int) -> None:
        self.answers = answers

    def answer(self, value: Any) -> Any:
        self.answers -= 1
        if self.answers < 0:
            raise RuntimeError("Cannot call methods on a stopped SparkContext.\n\tat org.apache")
        return value

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.answer(self)


@pytest.mark.parametrize("answers", range(8))
def test_a_session_that_is_stopped_wakes_nobody(answers: int) -> None:
    """What is refused at once stops the session while its workers are still being started."""
    wake_workers(cast(Any, Stopped(answers)))
