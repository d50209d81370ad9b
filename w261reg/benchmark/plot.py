"""From summary.csv and ratios.csv to figures and report.html."""

import base64
import json
import math
import pkgutil
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from w261reg.benchmark.analysis import (
    BASELINE,
    RATIO_COLUMNS,
    RATIOS,
    SUMMARY,
    SUMMARY_COLUMNS,
)
from w261reg.benchmark.problems import PROBLEMS
from w261reg.benchmark.records import read_records
from w261reg.benchmark.run import COLUMNS, MICRO, MICRO_COLUMNS, RESULTS
from w261reg.files import replace_file
from w261reg.report.canvas import BLUE, GREY, ORANGE, headline, name_ticks, render

Row = dict[str, str]
REPORT: Final = "report.html"


def plot(out: Path) -> Path:
    """Write figures/*.png and report.html into the folder; returns the page's path."""
    results = read_records(out / RESULTS, COLUMNS)
    summary = read_records(out / SUMMARY, SUMMARY_COLUMNS)
    ratios = read_records(out / RATIOS, RATIO_COLUMNS)
    micro = read_records(out / MICRO, MICRO_COLUMNS) if (out / MICRO).is_file() else []
    sections = []
    (out / "figures").mkdir(exist_ok=True)
    for problem in dict.fromkeys(row["problem"] for row in summary):
        rows = [row for row in summary if row["problem"] == problem]
        png = draw(problem, rows)
        if png is not None:
            (out / "figures" / f"{problem}.png").write_bytes(png)
        sections.append(
            {
                "name": problem,
                "about": _about(problem, results),
                "figure": png and base64.b64encode(png).decode("ascii"),
                "rows": [_cells(row, ratios) for row in rows],
            }
        )
    page = _render(
        sections=sections, machines=_machines(results), versions=_versions(results), micro=micro
    )
    with replace_file(out / REPORT, True) as partial:
        partial.write_text(page, encoding="utf-8")
    return out / REPORT


def draw(problem: str, rows: list[Row]) -> bytes | None:
    """Seconds by engine, median with least and largest, on a log axis; None without times."""
    shown = [row for row in rows if math.isfinite(float(row["seconds"]))]
    if not shown:
        return None
    shown.sort(key=lambda row: float(row["seconds"]))

    def fill(figure: Figure) -> None:
        headline(figure, f"{problem}: seconds to the same objective")
        axes = figure.subplots()
        for place, row in enumerate(shown):
            color = BLUE if row["engine"].split(":")[0] == BASELINE else ORANGE
            color = color if row["reached"] == "True" else GREY
            hollow = "white" if row["temperature"] == "warm" else color
            axes.plot([float(row["low"]), float(row["high"])], [place] * 2, color=color)
            axes.plot(float(row["seconds"]), place, "o", color=color, markerfacecolor=hollow)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("seconds from the file to the coefficients (log scale)")
        name_ticks(axes, [f"{row['engine']}, {row['temperature']}" for row in shown])
        marks = [(BLUE, BLUE, "w261reg"), (ORANGE, ORANGE, "others"),
                 (GREY, GREY, "objective not reached"), ("#222222", "white", "warm")]  # fmt: skip
        handles = [
            Line2D([], [], color=edge, marker="o", linestyle="", markerfacecolor=face, label=label)
            for edge, face, label in marks
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)

    return render(fill, 1.6 + 0.28 * len(shown))


# --- texts --------------------------------------------------------------------------------------


def table(out: Path) -> str:
    """The summary in plain text, one line a row."""
    ratios = read_records(out / RATIOS, RATIO_COLUMNS)
    cells = [
        [row["problem"], *_cells(row, ratios)]
        for row in read_records(out / SUMMARY, SUMMARY_COLUMNS)
    ]
    lines = [["problem", *HEADS], *cells]
    lines = [[*line[:-1], line[-1][:60]] for line in lines]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k in (0, 1, 2) else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


HEADS: Final = (
    "engine", "fit", "seconds", "min..max", "/ w261reg cold", "/ warm", "gap", "iterations",
    "passes", "MiB", "note",
)  # fmt: skip


def _cells(row: Row, ratios: list[Row]) -> list[str]:
    key = ("problem", "engine", "temperature")
    own = [r for r in ratios if all(r[k] == row[k] for k in key)]
    by = {r["baseline"]: f"{float(r['ratio']):.2f}" for r in own}
    note = row["error"] or ("" if row["reached"] == "True" else "objective not reached")
    return [
        row["engine"],
        row["temperature"],
        _number(row["seconds"], ".2f"),
        f"{_number(row['low'], '.2f')}..{_number(row['high'], '.2f')}",
        by.get("cold", ""),
        by.get("warm", ""),
        _number(row["gap"], ".0e"),
        row["iterations"],
        row["passes"],
        _number(row["peak_mb"], ".0f"),
        note,
    ]


def _number(text: str, form: str) -> str:
    value = float(text or "nan")
    return format(value, form) if math.isfinite(value) else "-"


def _about(problem: str, results: list[Row]) -> str:
    row = next(r for r in results if r["problem"] == problem)
    size = f"{int(row['rows']):,} rows, {int(row['features']):,} features"
    if float(row["nnz"]) < 0.5 * int(row["features"]):
        size += f", {float(row['nnz']):.3g} non-zeros a row"
    known = PROBLEMS.get(problem)
    if known is None:
        return size
    strengths = f"loss {known.loss}, l1 = {known.l1:g}, l2 = {known.l2:g}"
    return f"{known.about}: {size}; {strengths}"


def _machines(results: list[Row]) -> list[str]:
    found = {
        f"{r['cores']} cores, {r['memory_gb']} GiB, {r['cpu']}, {r['os']}": None for r in results
    }
    masters = {f"Spark's master {r['master']}": None for r in results if r["master"]}
    return [*found, *masters]


def _versions(results: list[Row]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for row in results:
        versions = json.loads(row["versions"] or "{}")
        if versions:
            text = ", ".join(f"{name} {version}" for name, version in versions.items())
            found.setdefault(row["engine"], text)
    return list(found.items())


def _render(**context: Any) -> str:
    template = _text("w261reg.benchmark", "report.html.j2")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = Markup(_text("w261reg.report", "style.css"))
    return environment.from_string(template).render(style=style, heads=HEADS, **context)


def _text(package: str, name: str) -> str:
    """A file of a package, also when it sits in a zip."""
    data = pkgutil.get_data(package, name)
    if data is None:
        raise FileNotFoundError(f"{name} is missing from {package}")
    return data.decode("utf-8")
