"""From results.csv to summary.csv and ratios.csv.

Ratios are taken within a repeat, where both engines met the same machine, and then summarised; the
baseline of every row is w261reg cold, and of warm rows also w261reg warm.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from w261reg.benchmark.calibration import CALIBRATION, WITHIN, relative_gap
from w261reg.benchmark.calibration import COLUMNS as CALIBRATION_COLUMNS
from w261reg.benchmark.records import read_records
from w261reg.benchmark.run import COLUMNS, RESULTS
from w261reg.files import replace_file

BASELINE: Final = "w261reg"
SUMMARY: Final = "summary.csv"
RATIOS: Final = "ratios.csv"
SUMMARY_COLUMNS: Final = (
    "problem", "engine", "temperature", "repeats", "seconds", "low", "high", "objective", "gap",
    "reached", "iterations", "passes", "peak_mb", "tol", "errors", "error",
)  # fmt: skip
RATIO_COLUMNS: Final = (
    "problem", "engine", "temperature", "baseline", "repeats", "ratio", "low", "high",
)  # fmt: skip

Row = dict[str, str]
Key = tuple[str, str, str]


def analyse(out: Path) -> list[dict[str, Any]]:
    """Write summary.csv and ratios.csv beside results.csv; returns the summary's rows."""
    rows = read_records(out / RESULTS, COLUMNS)
    calibration = out / CALIBRATION
    tried = read_records(calibration, CALIBRATION_COLUMNS) if calibration.is_file() else []
    summary, ratios = summarise(rows, tried), ratios_of(rows)
    _write(out / SUMMARY, SUMMARY_COLUMNS, summary)
    _write(out / RATIOS, RATIO_COLUMNS, ratios)
    return summary


def summarise(rows: Iterable[Row], tried: Iterable[Row] = ()) -> list[dict[str, Any]]:
    """Median, least and largest seconds of each problem, engine and temperature.

    Gaps are those of the worst repeat above the best objective of all engines on the problem, which
    may have been one of the calibration's, `tried`.
    """
    rows = list(rows)
    best: dict[str, float] = defaultdict(lambda: math.inf)
    for row in (*rows, *tried):
        best[row["problem"]] = min(best[row["problem"]], _number(row["objective"], math.inf))
    found = []
    for (problem, engine, temperature), group in _grouped(rows).items():
        good = [row for row in group if not row["error"]]
        seconds = [float(row["seconds"]) for row in good]
        objective = max((float(row["objective"]) for row in good), default=math.nan)
        gap = relative_gap(objective, best[problem])
        errors = [row["error"] for row in group if row["error"]]
        last = good[-1] if good else defaultdict(str)
        found.append(
            {
                "problem": problem,
                "engine": engine,
                "temperature": temperature,
                "repeats": len(good),
                "seconds": median(seconds) if seconds else math.nan,
                "low": min(seconds, default=math.nan),
                "high": max(seconds, default=math.nan),
                "objective": objective,
                "gap": gap,
                "reached": gap <= WITHIN,
                "iterations": last["iterations"],
                "passes": last["passes"],
                "peak_mb": max((float(row["peak_mb"]) for row in good), default=math.nan),
                "tol": last["tol"],
                "errors": len(errors),
                "error": errors[0] if errors else "",
            }
        )
    return found


def ratios_of(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Seconds of an engine over those of w261reg in the same repeat: median, least, largest."""
    good = [row for row in rows if not row["error"]]
    ours = {
        (row["problem"], row["repeat"], row["temperature"]): float(row["seconds"])
        for row in good
        if row["engine"] == BASELINE
    }
    found = []
    for (problem, engine, temperature), group in _grouped(good).items():
        for baseline in ("cold", "warm") if temperature == "warm" else ("cold",):
            if engine == BASELINE and baseline == temperature:
                continue
            values = [
                float(row["seconds"]) / ours[problem, row["repeat"], baseline]
                for row in group
                if (problem, row["repeat"], baseline) in ours
            ]
            if values:
                found.append(
                    {
                        "problem": problem,
                        "engine": engine,
                        "temperature": temperature,
                        "baseline": baseline,
                        "repeats": len(values),
                        "ratio": median(values),
                        "low": min(values),
                        "high": max(values),
                    }
                )
    return found


def _grouped(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """By problem, engine and temperature, in the order of their first rows."""
    groups: dict[Key, list[Row]] = {}
    order: dict[str, int] = {}
    for row in rows:
        order.setdefault(row["problem"], len(order))
        groups.setdefault((row["problem"], row["engine"], row["temperature"]), []).append(row)
    return dict(sorted(groups.items(), key=lambda item: order[item[0][0]]))


def _number(text: str, missing: float) -> float:
    return float(text) if text else missing


def _write(path: Path, columns: Sequence[str], rows: list[dict[str, Any]]) -> None:
    with replace_file(path, True) as partial, partial.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, columns)
        writer.writeheader()
        writer.writerows(rows)
