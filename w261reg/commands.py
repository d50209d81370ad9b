"""The commands of the command line: from arguments to an exit code."""

from collections.abc import Callable
from typing import Any

from w261reg import console
from w261reg.config import Settings, read_toml
from w261reg.errors import InputError
from w261reg.model import Model, dumps, plain
from w261reg.own import would_execute
from w261reg.saved import load
from w261reg.solvers import Status
from w261reg.sources import Reading

OK, FAILED, NOT_SOLVED = 0, 1, 3
# options of the command line itself, beside the settings
_OWN = ("out", "overwrite", "strict", "standard_scaler")


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

    model = _loaded(arguments)
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

    model = _loaded(arguments)
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
    from w261reg.benchmark.steps import benchmark, listing

    if arguments.pop("list", False):
        print(listing())
        return OK
    out = arguments.pop("out", None)
    if not out:
        raise InputError("out is required: a folder")
    table = benchmark(out, arguments)
    if table:
        print(table)
    return OK


COMMANDS: dict[str, Callable[[dict[str, Any]], int]] = {
    "train": _train,
    "compare": _compare,
    "predict": _predict,
    "evaluate": _evaluate,
    "check-gradient": _check_gradient,
    "benchmark": _benchmark,
}


def _loaded(arguments: dict[str, Any]) -> Model:
    """The model of the arguments, whose loss is to be had."""
    model = load(arguments["model"], arguments["loss"], arguments["trust"])
    model.check_loss()
    return model


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
    config, trust = arguments.pop("config", None), arguments.pop("trust", False)
    given = read_toml(config) if config else {}
    for key in ("loss", "penalty"):
        if key not in arguments and not trust and would_execute(key, given.get(key)):
            raise InputError(
                f"config {config} names code as {key}, {given[key]}, which is executed only if you "
                f"say so: --trust, or name it again, --{key} FILE.py:NAME"
            )
    values = {**given, **arguments}
    own: dict[str, Any] = {"overwrite": False, "strict": False, "standard_scaler": False}
    own.update({key: values.pop(key) for key in _OWN if key in values})
    for key in ("overwrite", "strict", "standard_scaler"):
        if not isinstance(own[key], bool):
            raise InputError(f"{key} must be true or false, not {own[key]!r}")
    for name, value in (("data", values.get("data")), ("out", own.get("out"))):
        if not isinstance(value, str) or not value:
            raise InputError(f"{name} is required: a path")
    return Settings.of(values), own
