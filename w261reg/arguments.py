"""The command line's options: names, help, and nothing else."""

import argparse
from typing import Any, NoReturn

from w261reg._version import __version__
from w261reg.config import COLLECT_BYTES, STORAGES, penalty_options
from w261reg.conventions import CONVENTIONS
from w261reg.losses import LOSSES
from w261reg.penalties import PENALTIES
from w261reg.solvers import SOLVERS
from w261reg.sources.reading import FORMATS

USAGE_ERROR = 2

EPILOG = """exit codes:
  0  converged, or stopped by max_iter (a warning says so)
  1  a failure of w261reg or of Spark
  2  bad input or usage
  3  diverged or separated (the model is written with that status);
     with --strict, anything but converged
"""
EPILOG_OTHERS = """exit codes: 0 done, 1 a failure of w261reg or of Spark, 2 bad input or usage
"""
EPILOG_CHECK = """exit codes:
  0  gradient and Hessian agree with the differences
  1  they do not, or a failure of w261reg or of Spark
  2  bad input or usage
"""
MASTER = "Spark's master; default: spark-submit's, else local[*,4]"
ANEW = "the model's own loss, which is executed; needed where its file has moved or changed"
TRUST = "execute the Python file that the model names as its loss; without it that is refused"
TABLE = "Parquet file or folder, CSV with header, or LIBSVM"


class _Parser(argparse.ArgumentParser):
    """Errors of usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"w261reg: error: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands. A setting that is not given stays out of the namespace."""
    top = _Parser(
        prog="w261reg",
        description="Regularized linear models, trained by map-reduce on Spark.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"w261reg {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = _command(commands, "train", "fit a model; writes a result folder with a report")
    _add_settings(train)

    compare = _command(commands, "compare", "train, and fit the same problem with pyspark.ml")
    _add_settings(compare)
    about = "standardize for pyspark.ml by StandardScaler(withMean=True) before the estimator"
    _option(compare, "--standard-scaler", about, action="store_true")

    predict = _command(commands, "predict", "append predictions to a table", EPILOG_OTHERS)
    predict.add_argument("model", metavar="MODEL", help="a result folder or its model.json")
    predict.add_argument("data", metavar="DATA", help=TABLE)
    predict.add_argument("--out", required=True, metavar="PATH", help="a .csv or .parquet file")
    about = "of the predictions, and how those of probabilities then begin; default prediction"
    predict.add_argument("--prediction-column", metavar="COL", help=about)
    _add_known(predict)
    predict.add_argument("--overwrite", action="store_true", help="replace PATH if it exists")
    predict.add_argument("--loss", metavar="FILE.py:NAME", help=ANEW)
    predict.add_argument("--trust", action="store_true", help=TRUST)
    predict.add_argument("--master", metavar="URL", help=MASTER)

    evaluate = _command(
        commands, "evaluate", "print a model's metrics on a table as JSON", EPILOG_OTHERS
    )
    evaluate.add_argument("model", metavar="MODEL", help="a result folder or its model.json")
    evaluate.add_argument("data", metavar="DATA", help=TABLE)
    evaluate.add_argument("--label", required=True, metavar="COL", help="label column")
    evaluate.add_argument("--weight", metavar="COL", help="column of row weights")
    about = "column of the standard deviation of each row's noise, for loss mse"
    evaluate.add_argument("--sigma", metavar="COL", help=about)
    _add_known(evaluate)
    evaluate.add_argument("--loss", metavar="FILE.py:NAME", help=ANEW)
    evaluate.add_argument("--trust", action="store_true", help=TRUST)
    evaluate.add_argument("--master", metavar="URL", help=MASTER)

    about = "compare gradient and Hessian of a problem with differences of its values"
    check = _command(commands, "check-gradient", about, EPILOG_CHECK)
    _add_data(check)
    _add_problem(check.add_argument_group("problem"))
    about = "check at this model's coefficients; default: at a random point"
    _option(check, "--at", about, metavar="MODEL")
    _option(check, "--seed", "of the random point; default 0", type=_integer, metavar="N")
    _option(check, "--master", MASTER, metavar="URL")

    about = "measure engines on the same problems; goes on with an earlier run in DIR"
    _add_benchmark(_command(commands, "benchmark", about, EPILOG_OTHERS))
    return top


def _command(commands: Any, name: str, about: str, epilog: str = EPILOG) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return added


def _option(group: Any, flag: str, about: str, **options: Any) -> None:
    group.add_argument(flag, help=about, default=argparse.SUPPRESS, **options)


def _add_settings(command: argparse.ArgumentParser) -> None:
    _add_data(command)
    problem = command.add_argument_group("problem")
    _add_problem(problem)
    about = (
        "column of groups of rows (text, integers or booleans), for loss mse: each group's noise "
        "has a variance of its own, which is estimated together with the coefficients"
    )
    _option(problem, "--noise-group", about, metavar="COL")
    _add_constraints(problem)
    _add_solver(command.add_argument_group("solver"))
    _add_run(command.add_argument_group("run"))


def _add_data(command: argparse.ArgumentParser) -> None:
    data = command.add_argument_group("data")
    _option(data, "data", TABLE, nargs="?", metavar="DATA")
    _add_reading(data)
    _option(data, "--label", "column to predict", metavar="COL")
    about = "label value that counts as 1, of two classes; needed where the label is not 0 and 1"
    _option(data, "--positive", about, metavar="VALUE")
    _option(data, "--features", "feature columns; default: all others", metavar="C1,C2,...")
    _option(data, "--weight", "column of row weights >= 0", metavar="COL")
    about = (
        "column of the standard deviation of each row's noise, > 0, for loss mse: a row counts "
        "1/sigma^2, and the model has standard errors"
    )
    _option(data, "--sigma", about, metavar="COL")


def _add_known(command: argparse.ArgumentParser) -> None:
    """How the table of a model is read."""
    _add_reading(command)
    about = "leave out feature indices of LIBSVM above those of the model; default: refuse them"
    command.add_argument("--ignore-unknown", action="store_true", help=about)


def _add_reading(group: Any) -> None:
    about = "default: by DATA's name, else by its first lines"
    _option(group, "--format", about, metavar="|".join(FORMATS))
    _option(group, "--delimiter", "between the fields of CSV; default a comma; \\t is a tab",
            metavar="CHAR")  # fmt: skip
    about = "texts of CSV that mean a missing value, beside an empty field, NA, null and the like"
    _option(group, "--null-values", about, metavar="V1,V2,...")


def _add_problem(group: Any) -> None:
    about = "; ".join(f"{name}: {loss.title}" for name, loss in sorted(LOSSES.items()))
    about += "; or a loss of your own: the class NAME in a Python file (see README)"
    _option(group, "--loss", about, metavar="|".join([*sorted(LOSSES), "FILE.py:NAME"]))
    about = "strength of the penalty, in the convention's terms; default 0"
    _option(group, "--reg-param", about, type=_number, metavar="R")
    about = "mix of the penalty: 0 is L2 (default), 1 is L1"
    _option(group, "--elastic-net-param", about, type=_number, metavar="A")
    about = "naive_bayes: added to each count, >= 0 (Laplace's rule); default 1"
    _option(group, "--smoothing", about, type=_number, metavar="A")
    for option, name in penalty_options().items():
        flag = "--" + option.replace("_", "-")
        _option(group, flag, PENALTIES[name].help, dest=option, type=_number, metavar="G")
        if (order := PENALTIES[name].order_option) is not None:
            flag = "--" + order.replace("_", "-")
            about = PENALTIES[name].order_help
            _option(group, flag, about, dest=order, metavar="F1,F2,...")
    about = "a penalty of your own, beside the others: the class NAME in a Python file"
    _option(group, "--penalty", about, metavar="FILE.py:NAME")
    _option(group, "--penalty-param", "its strength", type=_number, metavar="G")
    about = "fit no intercept; it is never penalised"
    _option(group, "--no-intercept", about, dest="fit_intercept", action="store_false")
    about = "; ".join(f"{name}: {convention.about}" for name, convention in CONVENTIONS.items())
    about = f"what R and the step size mean (default spark). {about}"
    _option(group, "--convention", about, metavar="|".join(CONVENTIONS))
    about = "penalise weights times standard deviations; default: the convention's habit"
    _option(group, "--standardization", about, action=argparse.BooleanOptionalAction)


def _add_constraints(group: Any) -> None:
    about = (
        "linear equality constraints on coefficients, for loss mse, bxe and squared_hinge without "
        "an L1 part: CSV with a column for each coefficient named (a feature, or intercept) and "
        "the column rhs, a row a constraint, as in a,b,rhs / 1,-2,0 for w_a - 2 w_b = 0; or TOML "
        "(see README)"
    )
    _option(group, "--constraints", about, metavar="FILE")


def _add_solver(group: Any) -> None:
    about = "; ".join(f"{name}: {solver.about}" for name, solver in sorted(SOLVERS.items()))
    names = "|".join(["auto", *sorted(SOLVERS)])
    _option(group, "--solver", f"default auto. {about}", metavar=names)
    _add_steps(group)
    _option(group, "--max-iter", "the most iterations; default 100", type=_integer, metavar="N")
    about = "scale-free optimality residual at which to stop; of pegasos the gap; default 1e-9"
    _option(group, "--tol", about, type=_number, metavar="E")
    _option(group, "--warm-start", "start from this model's coefficients", metavar="MODEL")


def _add_steps(group: Any) -> None:
    about = (
        "step of gradient descent, in the convention's terms; default: gd by Armijo's rule, "
        "adagrad 0.1, adam 0.001, others 1 over the largest curvature or a bound of it"
    )
    _option(group, "--step-size", about, type=_number, metavar="S")
    rules = list(dict.fromkeys(rule for s in SOLVERS.values() for rule in s.step_rules))
    about = (
        "step t = 1, 2, ... of gradient descent: S (constant, the default), S/t (inverse), "
        "S/sqrt(t) (inverse_sqrt), or a line search (armijo: gd alone, its default without S)"
    )
    _option(group, "--step-rule", about, metavar="|".join(rules))
    about = (
        "rows of a mini-batch of sgd (default 32), momentum, nesterov, adagrad or adam (default "
        "all rows); an iteration is then a pass, in which each part of the data takes steps of its "
        "own, and the parts' coefficients are averaged"
    )
    _option(group, "--batch-rows", about, type=_integer, metavar="B")
    about = "of the order in which mini-batches take the rows; default 0"
    _option(group, "--seed", about, type=_integer, metavar="N")


def _add_run(group: Any) -> None:
    about = (
        "result folder: model.json, metrics.json, history.csv, config.toml, report.html, figures"
    )
    _option(group, "--out", about, metavar="DIR")
    _option(group, "--overwrite", "replace DIR if it is a result", action="store_true")
    _option(group, "--strict", "exit code 3 unless converged", action="store_true")
    about = "any of these options in TOML, with underscores; the command line wins"
    _option(group, "--config", about, metavar="FILE.toml")
    about = "execute the Python files that --config names as loss or penalty; else that is refused"
    _option(group, "--trust", about, action="store_true")
    _option(group, "--master", MASTER, metavar="URL")
    about = "how packed features are stored: float64 (default), or float32 at half the size"
    _option(group, "--storage", about, metavar="|".join(STORAGES))
    about = (
        f"solve tables of up to so many packed bytes on the driver; default {COLLECT_BYTES}, "
        "0 is never"
    )
    _option(group, "--collect-bytes", about, type=_integer, metavar="B")
    about = "levels of merging in a pass; default: by the number and size of the shares"
    _option(group, "--aggregation-depth", about, type=_integer, metavar="D")


def _add_benchmark(command: argparse.ArgumentParser) -> None:
    _option(command, "--out", "folder of the results, with a report", metavar="DIR")
    _option(command, "--list", "list problems and engines", action="store_true")
    _option(command, "--problems", "default: all", metavar="P1,P2,...")
    _option(command, "--engines", "default: those that --list marks", metavar="E1,E2,...")
    _option(command, "--repeats", "processes each; default 3", type=_integer, metavar="N")
    _option(command, "--scale", "factor of the rows; default 1", type=_number, metavar="F")
    _option(command, "--seed", "of generated tables; default 0", type=_integer, metavar="N")
    about = "rows of a row group of the tables; default 131072"
    _option(command, "--row-group-rows", about, type=_integer, metavar="N")
    _option(command, "--data", "folder of the tables; default: DIR/data", metavar="DATA")
    _option(command, "--a9a", "the LIBSVM file a9a", metavar="PATH")
    _option(command, "--flights-3m", "flights-3m.parquet", dest="flights3m", metavar="PATH")
    _option(
        command, "--blas", "native BLAS for the JVM; default: one that is found", metavar="PATH"
    )
    _option(command, "--master", MASTER, metavar="URL")
    about = "a Spark property; again for more. A local master's JVM gets half the memory by default"
    _option(command, "--conf", about, action="append", metavar="KEY=VALUE")
    _option(command, "--timeout", "seconds a process may take; default 3600", type=_number,
            metavar="S")  # fmt: skip
    _option(command, "--no-micro", "do not measure kernels", dest="micro", action="store_false")
    _option(command, "--steps", "of run,analyse,plot; default: all", metavar="S1,S2,...")


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
