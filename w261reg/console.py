"""What the command line prints: log lines, a live line per iteration, and the answers."""

import logging
import sys
from typing import Any

import numpy as np

from w261reg.errors import one_line, printable
from w261reg.model import Model

MOST_OF_A_LINE = 1000  # characters


class _Handler(logging.StreamHandler[Any]):
    """Plain lines; on a terminal, an iteration's line replaces the one before."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.terminal = sys.stderr.isatty()
        self.open = False

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if self.terminal and getattr(record, "live", False):
            self.stream.write(f"\r\x1b[K{text}")
            self.open = True
        else:
            self.stream.write(("\n" if self.open else "") + text + "\n")
            self.open = False
        self.stream.flush()


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = {logging.WARNING: "warning: ", logging.ERROR: "w261reg: error: "}
        return prefix.get(record.levelno, "") + one_line(record.getMessage(), MOST_OF_A_LINE)


def start_logging() -> None:
    """Send the library's log to standard error."""
    logger = logging.getLogger("w261reg")
    logger.handlers[:] = [handler := _Handler()]
    handler.setFormatter(_Formatter())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # what py4j logs while an interrupt tears it down would reach the terminal by the root logger
    logging.getLogger().addHandler(logging.NullHandler())


def error(text: str) -> None:
    """One line."""
    logging.getLogger("w261reg").error("%s", one_line(" ".join(text.split())))


def warn(text: str) -> None:
    """One line."""
    logging.getLogger("w261reg").warning("%s", text)


def show_model(model: Model, out: str) -> None:
    """The lines that matter, and where the rest is."""
    print(model.summary())
    print(f"report: {out}/report.html")


def show_comparison(result: dict[str, Any]) -> None:
    """Both engines side by side."""
    engines = result["engines"]
    names = list(engines)
    rows: list[tuple[str, list[Any]]] = [
        ("objective", [f"{engines[n]['objective']:.12g}" for n in names]),
    ]
    metrics = engines[names[0]]["metrics"]
    rows += [
        (m, [f"{engines[n]['metrics'][m]:.6g}" for n in names])
        for m in metrics
        if m not in ("rows", "confusion")
    ]
    rows += [
        ("intercept", [_intercept(engines[n]["intercept"]) for n in names]),
        ("iterations", [str(engines[n]["n_iter"]) for n in names]),
        ("passes", [_or_dash(engines[n]["n_passes"]) for n in names]),
        ("seconds", [f"{engines[n]['seconds']:.2f}" for n in names]),
    ]
    coefficients = result["coefficients"]
    shown = sorted(coefficients, key=lambda c: -abs(c[names[0]] or 0.0))[:10]
    rows += [(f"  {printable(_name(c)[:24])}", [_number(c[n]) for n in names]) for c in shown]
    print(f"{'':26}" + "".join(f"{name:>20}" for name in names))
    for label, cells in rows:
        print(f"{label:26}" + "".join(f"{cell:>20}" for cell in cells))
    if len(coefficients) > len(shown):
        print(f"  ... and {len(coefficients) - len(shown)} more coefficients in comparison.json")
    print(
        f"largest difference of a coefficient: {result['max_coefficient_difference']:.2g} of the "
        f"largest; objective, pyspark.ml - w261reg: {result['objective_difference']:.3g}"
    )
    print(result["note"])


def _number(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.8g}"


def _name(coefficient: dict[str, Any]) -> str:
    of = f" [{coefficient['class']}]" if "class" in coefficient else ""
    return f"{coefficient['feature']}{of}"


def _intercept(value: Any) -> str:
    """A number, or how many there are."""
    return f"{value:.8g}" if np.ndim(value) == 0 else f"{len(value)}, one a class"


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)
