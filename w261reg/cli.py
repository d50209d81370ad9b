"""The command line: signals, errors, and the exit code of each.

It imports nothing heavy by itself: a signal is to find its handler from the first moment on.
"""

import os
from collections.abc import Callable, Sequence

from w261reg import signals
from w261reg.errors import ComputeError, InputError, Terminated

FAILED = 1


def main(argv: Sequence[str] | None = None, last: bool | None = None) -> int:
    """Run the command line; returns the exit code.

    Errors are one line on standard error. W261REG_DEBUG=1 shows the trace of a failure.

    Args:
        argv: the arguments; None is those of this process.
        last: the process ends with it, so that signals are handled until it has ended; None is
            true for this process's own arguments.
    """
    return guarded(lambda: _command(argv), argv is None if last is None else last)


def guarded(work: Callable[[], int], last: bool) -> int:
    """The exit code of some work: its own, or that of the error or the signal that ended it."""
    with signals.handled(last):
        try:
            code = _caught(work)
        except Terminated:
            code = FAILED
        number = signals.came()
        if number is None:
            return code
        stop = Terminated(number)
        with signals.held_back():  # said once, whatever comes now
            if signals.to_say():
                _say(str(stop))
        return stop.exit_code


def _command(argv: Sequence[str] | None) -> int:
    from w261reg import console
    from w261reg.arguments import parser
    from w261reg.commands import COMMANDS

    try:
        arguments = vars(parser().parse_args(argv))
    except SystemExit as stop:
        return int(stop.code or 0)
    command = arguments.pop("command")
    console.start_logging()
    with signals.working():
        return COMMANDS[command](arguments)


def _caught(work: Callable[[], int]) -> int:
    try:
        return work()
    except (InputError, ComputeError) as error:
        if _debugged():
            raise
        code, line = error.exit_code, str(error)
    except KeyboardInterrupt:  # where another handles SIGINT
        code, line = 130, "interrupted"
    except Exception as error:
        if _debugged():
            raise
        first = (str(error).strip().splitlines() or [""])[0]
        how = f"internal error: {type(error).__name__}: {first}"
        code, line = FAILED, f"{how} (W261REG_DEBUG=1 shows the trace)"
    if signals.came() is None:
        _say(line)
    return code


def _debugged() -> bool:
    """Whether a trace is wanted; that of what a signal brought down says nothing."""
    return bool(os.environ.get("W261REG_DEBUG")) and signals.came() is None


def _say(line: str) -> None:
    from w261reg import console

    console.error(line)
