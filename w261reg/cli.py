"""The command line: arguments, exit codes, and what is printed."""

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from w261reg import console
from w261reg._version import __version__
from w261reg.config import Settings, penalty_options, read_toml
from w261reg.conventions import CONVENTIONS
from w261reg.errors import ComputeError, InputError
from w261reg.losses import LOSSES
from w261reg.model import Model, dumps, load, plain
from w261reg.penalties import PENALTIES
from w261reg.solvers import SOLVERS, Status

OK, FAILED, BAD_INPUT, NOT_SOLVED = 0, 1, 2, 3
# options of the command line itself, beside the settings
_OWN = ("out", "overwrite", "strict", "standard_scaler")

EPILOG = """exit codes:
  0  converged, or stopped by max_iter (a warning says so)
  1  a failure of w261reg or of Spark
  2  bad input or usage
  3  diverged or separated (the model is written with that status); with --strict anything but converged
"""


class _Parser(argparse.ArgumentParser):
    """Errors of usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Errors are one line on standard error. W261REG_DEBUG=1 shows the trace of a failure.
    """
    try:
        arguments = vars(_parser().parse_args(argv))
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


def _predict(arguments: dict[str, Any]) -> int:
    from w261reg.workflows import predict_to

    model = load(arguments["model"])
    rows = predict_to(
        model, arguments["data"], arguments["out"], arguments["overwrite"], arguments["master"]
    )
    print(f"{rows:,} rows with predictions in {arguments['out']}")
    return OK


def _evaluate(arguments: dict[str, Any]) -> int:
    from w261reg.workflows import evaluate

    model = load(arguments["model"])
    metrics = evaluate(
        model, arguments["data"], arguments["label"], arguments["weight"], arguments["master"]
    )
    print(dumps(plain(metrics)), end="")
    return OK


_COMMANDS = {"train": _train, "compare": _compare, "predict": _predict, "evaluate": _evaluate}


def _code(model: Model, strict: bool) -> int:
    if model.status == Status.CONVERGED:
        return OK
    console.warn(f"{model.status}: {model.message}")
    if model.status == Status.MAX_ITER and not strict:
        return OK
    return NOT_SOLVED


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


# --- the parser ---------------------------------------------------------------------------------


def _parser() -> _Parser:
    parser = _Parser(
        prog="w261reg",
        description="Regularized linear models, trained by map-reduce on Spark.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"w261reg {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = _command(commands, "train", "fit a model; writes a result folder with a report")
    _add_settings(train)
    compare = _command(commands, "compare", "train, and fit the same problem with pyspark.ml")
    _add_settings(compare)
    compare.add_argument(
        "--standard-scaler",
        action="store_true",
        default=argparse.SUPPRESS,
        help="standardize for pyspark.ml by StandardScaler(withMean=True) in front of the estimator",
    )
    predict = _command(commands, "predict", "append predictions to a table")
    predict.add_argument("model", metavar="MODEL", help="a result folder or its model.json")
    predict.add_argument("data", metavar="DATA", help="the table: Parquet, CSV or LIBSVM")
    predict.add_argument("--out", required=True, metavar="PATH", help="a .csv or .parquet file")
    predict.add_argument("--overwrite", action="store_true", help="replace PATH if it exists")
    predict.add_argument("--master", metavar="URL", help=_MASTER)
    evaluate = _command(commands, "evaluate", "print a model's metrics on a table as JSON")
    evaluate.add_argument("model", metavar="MODEL", help="a result folder or its model.json")
    evaluate.add_argument("data", metavar="DATA", help="the table: Parquet, CSV or LIBSVM")
    evaluate.add_argument("--label", required=True, metavar="COL", help="label column")
    evaluate.add_argument("--weight", metavar="COL", help="column of row weights")
    evaluate.add_argument("--master", metavar="URL", help=_MASTER)
    return parser


_MASTER = "Spark's master; default: spark-submit's, else local[*,4]"


def _command(commands: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=None,
    )
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Options of `train` and `compare`; one that is not given stays out of the namespace."""

    def add(group: Any, *names: str, **options: Any) -> None:
        group.add_argument(*names, default=argparse.SUPPRESS, **options)

    data = parser.add_argument_group("data")
    add(data, "data", nargs="?", metavar="DATA", help="Parquet file or folder, CSV with header, or "
        "LIBSVM")  # fmt: skip
    add(data, "--label", metavar="COL", help="column to predict")
    add(data, "--positive", metavar="VALUE", help="label value that counts as 1; needed where the "
        "label is not 0 and 1")  # fmt: skip
    add(data, "--features", metavar="C1,C2,...", help="feature columns; default: all others")
    add(data, "--weight", metavar="COL", help="column of row weights >= 0")

    problem = parser.add_argument_group("problem")
    titles = "; ".join(f"{name}: {kind.title}" for name, kind in sorted(LOSSES.items()))
    add(problem, "--loss", metavar="|".join(sorted(LOSSES)), help=titles)
    add(problem, "--reg-param", type=_number, metavar="R", help="strength of the penalty, in the "
        "convention's terms; default 0")  # fmt: skip
    add(problem, "--elastic-net-param", type=_number, metavar="A", help="mix: 0 is L2 (default), 1 "
        "is L1")  # fmt: skip
    for option, name in penalty_options().items():
        flag = "--" + option.replace("_", "-")
        add(problem, flag, dest=option, type=_number, metavar="G", help=PENALTIES[name].help)
    add(problem, "--no-intercept", dest="fit_intercept", action="store_false", help="fit no "
        "intercept; it is never penalised")  # fmt: skip
    about = "; ".join(f"{name}: {c.about}" for name, c in CONVENTIONS.items())
    add(problem, "--convention", metavar="|".join(CONVENTIONS), help="what R and the step size mean "
        f"(default spark). {about}")  # fmt: skip
    add(problem, "--standardization", action=argparse.BooleanOptionalAction, help="penalise weights "
        "times standard deviations; default: the convention's habit")  # fmt: skip

    solver = parser.add_argument_group("solver")
    kinds = "; ".join(f"{name}: {kind.about}" for name, kind in sorted(SOLVERS.items()))
    add(
        solver,
        "--solver",
        metavar="|".join(["auto", *sorted(SOLVERS)]),
        help=f"default auto. {kinds}",
    )
    add(solver, "--step-size", type=_number, metavar="S", help="fixed step of gradient descent, in "
        "the convention's terms; default: Armijo's rule")  # fmt: skip
    add(solver, "--max-iter", type=_integer, metavar="N", help="the most iterations; default 100")
    add(solver, "--tol", type=_number, metavar="E", help="scale-free optimality residual at which "
        "to stop; default 1e-9")  # fmt: skip
    add(solver, "--warm-start", metavar="MODEL", help="start from this model's coefficients")

    run = parser.add_argument_group("run")
    add(run, "--out", metavar="DIR", help="result folder: model.json, history.csv, metrics.json, "
        "config.toml, report.html, figures")  # fmt: skip
    add(run, "--overwrite", action="store_true", help="replace DIR if it is a result")
    add(run, "--strict", action="store_true", help="exit code 3 unless converged")
    add(run, "--config", metavar="FILE.toml", help="any of these options in TOML, with underscores; "
        "the command line wins")  # fmt: skip
    add(run, "--master", metavar="URL", help=_MASTER)
    add(run, "--aggregation-depth", type=_integer, metavar="D", help="levels of merging in a pass; "
        "default: by the number and size of the shares")  # fmt: skip


def _number(text: str) -> Any:
    """A number if it is one: what it must be is said once, where settings are checked."""
    try:
        return float(text)
    except ValueError:
        return text


def _integer(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text
