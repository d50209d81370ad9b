"""The errors a user can meet, each with the exit code the command line gives it."""

import signal


class InputError(ValueError):
    """What the user gave cannot be used: one line that names the argument, the rule and the value.

    Exit code 2. Raised before anything of the user's is changed.
    """

    exit_code = 2


class Unreachable(InputError):
    """A file system that this process, or the executors, cannot reach; Spark's own reader may."""


class ComputeError(RuntimeError):
    """The computation failed for a reason that is not the user's input. Exit code 1."""

    exit_code = 1


class Terminated(BaseException):
    """A signal asked this process to end. Exit code 128 + its number, as a shell has it."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__("interrupted" if number == signal.SIGINT else f"ended by {name}")
        self.exit_code = 128 + number
