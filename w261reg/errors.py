"""The errors a user can meet, each with the exit code the command line gives it."""

import re
import signal

# characters that move a cursor, set colours, turn the direction of text or end a line; and halves
# of surrogate pairs, which nothing can write
_COMMANDS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
MOST = 400  # characters of a message


def printable(text: str) -> str:
    """Text of anybody's as data: what would command a terminal or a page is written out."""
    return _COMMANDS.sub(lambda found: ascii(found.group())[1:-1], text)


def one_line(text: str, most: int = MOST) -> str:
    """Text as one printable line of so many characters at most, cut in the middle."""
    return _cut(printable(" ".join(_cut(text, most).splitlines())), most)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 5]} ... {text[-end:]}"


class InputError(ValueError):
    """What the user gave cannot be used: one line that names the argument, the rule and the value.

    Exit code 2. Raised before anything of the user's is changed.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class Unreachable(InputError):
    """A file system that this process, or the executors, cannot reach; Spark's own reader may."""


class ComputeError(RuntimeError):
    """The computation failed for a reason that is not the user's input. Exit code 1."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class Terminated(BaseException):
    """A signal asked this process to end. Exit code 128 + its number, as a shell has it."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__("interrupted" if number == signal.SIGINT else f"ended by {name}")
        self.exit_code = 128 + number
