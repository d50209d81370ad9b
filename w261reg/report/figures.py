"""Figures of one result: the way to the answer, and the answer."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from w261reg.report.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Drawn,
    drawable,
    headline,
    name_ticks,
    render,
)
from w261reg.report.classes import centred, draw_classes, draw_confusion
from w261reg.report.engines import draw_difference, draw_engines
from w261reg.report.result import OURS, THEIRS, Result, number
from w261reg.report.text import counted, fmt

NAMES = ("convergence", "confusion", "coefficients", "difference", "engines")
MOST_BARS = 25
RELATIVE = "log share of the feature, relative to the mean of the classes"


def draw_all(result: Result) -> list[Drawn]:
    """Every figure that makes sense for this result, in reading order."""
    drawn = (
        draw_convergence(result),
        draw_confusion(result),
        draw_coefficients(result),
        draw_difference(result),
        draw_engines(result),
    )
    return [figure for figure in drawn if figure is not None]


def draw_convergence(result: Result) -> Drawn | None:
    """Residual, and objective above the best one, against passes; None below two points."""
    history = result.history
    if result.n_history < 2:
        return None
    passes, unit = history["passes"], "passes over the data"
    if len({p for p in passes if math.isfinite(p)}) < 2:
        passes, unit = history["iteration"], "iteration"
    residuals = drawable(history["residual"], positive=True)
    objectives = drawable(history["objective"])
    best = min((v for v in objectives if math.isfinite(v)), default=math.nan)
    gaps = drawable([v - best for v in objectives], positive=True)
    panels = [
        (values, is_residual)
        for values, is_residual in ((residuals, True), (gaps, False))
        if _points(passes, values) >= 2
    ]
    if not panels:
        return None
    tol = number(result.model.get("tol"))

    def draw(figure: Figure) -> None:
        headline(figure, _convergence_title(result, residuals))
        grid = figure.subplots(1, len(panels), squeeze=False, sharex=True)[0]
        # The labels of the right panel's axis would touch the curve of the left one.
        figure.set_layout_engine("constrained", wspace=0.06)
        for axes, (values, is_residual) in zip(grid, panels, strict=True):
            _curve(axes, passes, values)
            axes.set_xlabel(unit)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
            if is_residual:
                axes.set_title("How far from optimal")
                axes.set_ylabel("optimality residual (no unit, log scale)")
                if tol is not None and tol > 0:
                    axes.axhline(tol, color=INK, linestyle="--", linewidth=1)
                    axes.annotate(
                        f"tolerance {fmt(tol, 2)}",
                        (0.02, tol),
                        xycoords=axes.get_yaxis_transform(),
                        xytext=(0, 3),
                        textcoords="offset points",
                        fontsize=8,
                    )
            else:
                axes.set_title("Objective still to be gained")
                axes.set_ylabel("objective minus best (log scale)")

    ends = [v for v in residuals if math.isfinite(v)]
    fall = f" from {fmt(ends[0], 2)} to {fmt(ends[-1], 2)}" if ends else ""
    alt = f"Line charts against {unit}: the optimality residual goes{fall}"
    alt += f"; the tolerance is {fmt(tol, 2)}." if tol is not None else "."
    caption = (
        "On these log scales a straight falling line means a constant factor "
        f"{'an iteration' if unit == 'iteration' else 'a pass'}. The best "
        "point of this run is not on the right-hand panel: its difference is zero."
    )
    return Drawn("convergence", render(draw, 3.4), alt, caption if len(panels) == 2 else "")


def _points(xs: list[float], ys: list[float]) -> int:
    return sum(math.isfinite(x) and math.isfinite(y) for x, y in zip(xs, ys, strict=True))


def _curve(axes: Axes, passes: list[float], values: list[float]) -> None:
    # Without marks at the points a gap on both sides would make a lone value invisible.
    marker = "o" if len(values) <= 60 else "."
    axes.plot(passes, values, color=BLUE, marker=marker, markersize=3.5, linewidth=1.4)
    axes.set_yscale("log")
    seen = [v for v in values if math.isfinite(v)]
    if max(seen) > 1e3 * min(seen):
        axes.minorticks_off()  # decades are enough, and a narrower range needs what lies between


def _convergence_title(result: Result, residuals: list[float]) -> str:
    ends = [v for v in residuals if math.isfinite(v)]
    if len(ends) < 2:
        return "Convergence"
    verb = "fell" if ends[-1] < ends[0] else "rose" if ends[-1] > ends[0] else "stayed"
    passes = result.model.get("n_passes")
    within = f" in {counted(passes, 'pass', 'passes')}" if number(passes) is not None else ""
    return f"The residual {verb} from {fmt(ends[0], 2)} to {fmt(ends[-1], 2)}{within}"


def draw_coefficients(result: Result) -> Drawn | None:
    """Bars of the largest coefficients, ours and pyspark.ml's if compared; None if all are zero.

    Of a few classes, a map of features by classes.
    """
    if (mapped := draw_classes(result)) is not None:
        return mapped
    everything = result.coefficients
    # Without standard deviations raw coefficients are the only ones there are.
    raw = all(c.sd is None for c in everything)
    compared = any(c.other is not None for c in everything)
    apart = centred(result)
    ours = apart or drawable([c.value if raw else c.standardized for c in everything])
    theirs = drawable([c.other if raw else c.other_standardized for c in everything])
    size = [max(_size(a), _size(b)) for a, b in zip(ours, theirs, strict=True)]
    order = sorted((i for i, s in enumerate(size) if s > 0), key=lambda i: (-size[i], i))
    chosen = order[:MOST_BARS]
    if not chosen:
        return None
    solved = result.is_solution

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        headline(figure, _coefficients_title(result, len(chosen), len(order)))
        height = 0.38 if compared else 0.7
        shift = height / 2 if compared else 0.0
        rows = range(len(chosen))
        axes.barh(
            [r - shift for r in rows],
            [ours[i] for i in chosen],
            height,
            color=BLUE if solved else "white",
            edgecolor=BLUE if solved else GREY,
            hatch=None if solved else "////",
            linewidth=0.6,
            label=_engine_label(OURS, [c.value for c in everything]),
        )
        if compared:
            axes.barh(
                [r + shift for r in rows],
                [theirs[i] for i in chosen],
                height,
                color=ORANGE,
                edgecolor=ORANGE,
                linewidth=0.6,
                label=_engine_label(THEIRS, [c.other for c in everything]),
            )
            figure.legend(loc="outside lower center", ncols=2, fontsize=8)
        axes.axvline(0, color=INK, linewidth=0.8)
        name_ticks(axes, [everything[i].label for i in chosen])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.set_xlabel(RELATIVE if apart else _coefficient_unit(result, raw))

    top = everything[chosen[0]]
    value = fmt(ours[chosen[0]]) if math.isfinite(ours[chosen[0]]) else fmt(None)
    alt = ("" if solved else "Not a solution. ") + (
        f"Bar chart of the {counted(len(chosen), 'largest coefficient')}, "
        f"led by {top.label} with {value}."
    )
    caption = (
        "Logarithms of the features' shares in each class, relative to the mean of the classes."
        if apart
        else "Raw coefficients: the model holds no standard deviations."
        if raw
        else "Standardized: the coefficient times the feature's standard deviation, so that "
        "features in different units can be compared."
    )
    # Bars keep their thickness whatever their number; the rest is title, axis and legend.
    high = 1.35 + (0.29 if compared else 0.21) * len(chosen) + (0.25 if compared else 0)
    return Drawn("coefficients", render(draw, high), alt, caption)


def _size(value: float) -> float:
    return abs(value) if math.isfinite(value) else 0.0


def _coefficients_title(result: Result, n_shown: int, n_nonzero: int) -> str:
    zeros = sum(c.value == 0 for c in result.coefficients)
    counts = f"{fmt(zeros)} of {counted(len(result.coefficients), 'coefficient')} exactly zero"
    if not result.is_solution:
        return f"NOT A SOLUTION, last point reached ({counts})"
    if n_shown < n_nonzero:
        return f"The {n_shown} largest coefficients; {counts}"
    return f"Coefficients, largest first; {counts}"


def _engine_label(engine: str, values: list[float | None]) -> str:
    return f"{engine} ({fmt(sum(v == 0 for v in values))} exactly zero)"


def _coefficient_unit(result: Result, raw: bool) -> str:
    loss = result.model.get("loss")
    unit = {"mse": "label units", "bxe": "log-odds", "cxe": "log-odds"}.get(str(loss), "score")
    if raw:
        return f"coefficient ({unit} per unit of the feature)"
    return f"standardized coefficient ({unit} per standard deviation of the feature)"
