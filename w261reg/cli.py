"""The command line: arguments, exit codes, and what is printed."""

import os
from collections.abc import Sequence
from typing import Any

from w261reg import console
from w261reg.arguments import parser
from w261reg.config import Settings, read_toml
from w261reg.errors import ComputeError, InputError, Terminated
from w261reg.model import Model, dumps, plain
from w261reg.saved import load
from w261reg.solvers import Status
from w261reg.sources import Reading

OK, FAILED, BAD_INPUT, NOT_SOLVED = 0, 1, 2, 3
# options of the command line itself, beside the settings
_OWN = ("out", "overwrite", "strict", "standard_scaler")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Errors are one line on standard error. W261REG_DEBUG=1 shows the trace of a failure.
    """
    try:
        arguments = vars(parser().parse_args(argv))
    except SystemExit as stop:
        return int(stop.code or 0)
    command = arguments.pop("command")
    console.start_logging()
    try:
        code: int = _COMMANDS[command](arguments)
        return code
    except (InputError, ComputeError) as error:
        if os.environ.get("W261REG_DEBUG"):
            raise
        console.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    except Terminated as stop:
        console.error(str(stop))
        return stop.exit_code
    except Exception as error:
        if os.environ.get("W261REG_DEBUG"):
            raise
        line = (str(error).strip().splitlines() or [""])[0]
        console.error(
            f"internal error: {type(error).__name__}: {line} (W261REG_DEBUG=1 shows the trace)"
        )
        return FAILED


# --- commands -----------------------------------------------------------------------------------


def _train(arguments: dict[str, Any]) -> int:
    from w261reg.workflows import train_to

    settings, own = _settings(arguments)
    model = train_to(settings, own["out"], own["overwrite"])
    console.show_model(model, own["out"])
    return _code(model, own["strict"])


def _compare(arguments: dict[str, Any]) -> int:
    from w261reg.workflows import compare_to

    settings, own = _settings(arguments)
    model, result = compare_to(settings, own["out"], own["overwrite"], own["standard_scaler"])
    console.show_model(model, own["out"])
    console.show_comparison(result)
    return _code(model, own["strict"])


def _check_gradient(arguments: dict[str, Any]) -> int:
    from w261reg.workflows import check_gradient

    for name in ("data", "label"):
        if not arguments.get(name):
            raise InputError(f"{name} is required: {'a path' if name == 'data' else 'a column'}")
    check = check_gradient(arguments.pop("data"), **arguments)
    print(check)
    return OK if check.ok else FAILED


def _predict(arguments: dict[str, Any]) -> int:
    from w261reg.workflows import predict_to

    model = load(arguments["model"], arguments["loss"])
    rows = predict_to(
        model,
        arguments["data"],
        arguments["out"],
        arguments["overwrite"],
        arguments["master"],
        arguments["prediction_column"],
        arguments["ignore_unknown"],
        _reading(arguments),
    )
    print(f"{rows:,} rows with predictions in {arguments['out']}")
    return OK


def _evaluate(arguments: dict[str, Any]) -> int:
    from w261reg.workflows import evaluate

    model = load(arguments["model"], arguments["loss"])
    metrics = evaluate(
        model,
        arguments["data"],
        arguments["label"],
        arguments["weight"],
        arguments["master"],
        arguments["sigma"],
        arguments["ignore_unknown"],
        _reading(arguments),
    )
    print(dumps(plain(metrics)), end="")
    return OK


def _benchmark(arguments: dict[str, Any]) -> int:
    from w261reg.benchmark.processes import terminable
    from w261reg.benchmark.steps import benchmark, listing

    if arguments.pop("list", False):
        print(listing())
        return OK
    out = arguments.pop("out", None)
    if not out:
        raise InputError("out is required: a folder")
    with terminable():
        table = benchmark(out, arguments)
    if table:
        print(table)
    return OK


_COMMANDS = {
    "train": _train,
    "compare": _compare,
    "predict": _predict,
    "evaluate": _evaluate,
    "check-gradient": _check_gradient,
    "benchmark": _benchmark,
}


def _code(model: Model, strict: bool) -> int:
    if model.status == Status.CONVERGED:
        return OK
    console.warn(f"{model.status}: {model.message}")
    if model.status == Status.MAX_ITER and not strict:
        return OK
    return NOT_SOLVED


def _reading(arguments: dict[str, Any]) -> Reading:
    """How a model's table is to be read."""
    names = ("format", "delimiter", "null_values")
    return Reading.checked(**{name: arguments.get(name) for name in names})


def _settings(arguments: dict[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """The settings and the command's own options; the command line wins over --config."""
    config = arguments.pop("config", None)
    values = {**(read_toml(config) if config else {}), **arguments}
    own: dict[str, Any] = {"overwrite": False, "strict": False, "standard_scaler": False}
    own.update({key: values.pop(key) for key in _OWN if key in values})
    for key in ("overwrite", "strict", "standard_scaler"):
        if not isinstance(own[key], bool):
            raise InputError(f"{key} must be true or false, not {own[key]!r}")
    for name, value in (("data", values.get("data")), ("out", own.get("out"))):
        if not isinstance(value, str) or not value:
            raise InputError(f"{name} is required: a path")
    return Settings.of(values), own
