"""Figures that compare w261reg with pyspark.ml: same answer? at what cost?"""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from w261reg.report.canvas import BLUE, GREY, ORANGE, Drawn, drawable, headline, render, short
from w261reg.report.result import OURS, THEIRS, Result, number
from w261reg.report.text import counted, fmt

ENGINES = (OURS, THEIRS)
COLOURS = {OURS: BLUE, THEIRS: ORANGE}


def draw_difference(result: Result) -> Drawn | None:
    """Difference of each coefficient against the feature's index; None without a comparison."""
    pairs = [
        (c.index, c.other - c.value)
        for c in result.coefficients
        if c.value is not None and c.other is not None
    ]
    largest = max(
        (
            max(abs(c.value or 0), abs(c.other or 0))
            for c in result.coefficients
            if c.value is not None and c.other is not None
        ),
        default=0.0,
    )
    if not pairs or largest == 0:
        return None
    relative = drawable([d / largest for _, d in pairs])
    points = [(i, r) for (i, _), r in zip(pairs, relative, strict=True) if math.isfinite(r)]
    above = [(i, r) for i, r in points if r > 0]
    below = [(i, -r) for i, r in points if r < 0]
    equal = [i for i, r in points if r == 0]
    if not above and not below:
        return None  # a sentence says it: all coefficients are exactly equal
    worst = max(points, key=lambda point: abs(point[1]))[0]
    differ = f"{fmt(len(above) + len(below))} of {counted(len(points), 'coefficient')} differ"
    most = next(c.label for c in result.coefficients if c.index == worst)
    size = 26 if len(points) <= 200 else 8

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        headline(figure, f"{differ}, that of {short(most, 30)} the most")
        # Limits first: markers in the axes' own coordinates do not widen them.
        axes.set_xlim(0, max(i for i, _ in points) + 1)
        for dots, marker, colour, label in (
            (above, "^", ORANGE, f"{THEIRS} larger ({fmt(len(above))})"),
            (below, "v", BLUE, f"{OURS} larger ({fmt(len(below))})"),
        ):
            if dots:
                xs, ys = zip(*dots, strict=True)
                axes.scatter(xs, ys, s=size, color=colour, marker=marker, label=label)
        axes.set_yscale("log")
        if equal:
            # Zero has no place on a log axis, so equal pairs stand on its lower edge.
            axes.scatter(
                equal,
                [0.015] * len(equal),
                s=size,
                transform=axes.get_xaxis_transform(),
                color=GREY,
                marker="o" if len(points) <= 200 else "|",
                label=f"exactly equal ({fmt(len(equal))}), on the edge",
            )
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        axes.set_xlabel("feature, by its number in the coefficient table")
        axes.set_ylabel("|difference| / largest |coefficient|\n(no unit, log scale)")
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)

    alt = (
        f"Scatter chart of coefficients of {THEIRS} minus those of {OURS} against the number of "
        f"the feature: {differ}, that of {most} the most."
    )
    caption = (
        f"Raw coefficients, {THEIRS} minus {OURS}, divided by the largest coefficient in "
        "absolute value of the two models."
    )
    return Drawn("difference", render(draw, 3.3), alt, caption)


def draw_engines(result: Result) -> Drawn | None:
    """Bars of seconds, and of iterations and passes, for both engines; None without seconds."""
    engines: dict[str, Any] = (result.comparison or {}).get("engines") or {}
    if any(not isinstance(engines.get(name), dict) for name in ENGINES):
        return None
    seconds = [number(engines[name].get("seconds")) for name in ENGINES]
    counts = {
        unit: [number(engines[name].get(key)) for name in ENGINES]
        for unit, key in (("iterations", "n_iter"), ("passes", "n_passes"))
    }
    if all(v is None for values in (seconds, *counts.values()) for v in values):
        return None

    def draw(figure: Figure) -> None:
        headline(figure, "Cost of this run: one run each, not a benchmark")
        left, right = figure.subplots(1, 2)
        _bars(left, list(ENGINES), seconds, list(ENGINES), " s")
        left.set_title("Wall time")
        left.set_xlabel("seconds")
        names = [f"{unit}, {name}" for unit in counts for name in ENGINES]
        _bars(right, names, [v for vs in counts.values() for v in vs], list(ENGINES) * 2, "")
        right.set_title("Iterations, and passes over the data")
        right.set_xlabel("count")

    parts = [
        f"{name} {fmt(s, 3)} s, {counted(engines[name].get('n_iter'), 'iteration')}, "
        f"{counted(engines[name].get('n_passes'), 'pass', 'passes')}"
        for name, s in zip(ENGINES, seconds, strict=True)
    ]
    alt = f"Bar charts of the cost of one run each: {'; '.join(parts)}."
    caption = (
        "One run each says little about speed in general, and an iteration need not cost the "
        "same in both engines."
    )
    return Drawn("engines", render(draw, 2.5), alt, caption)


def _bars(
    axes: Axes, names: list[str], values: list[float | None], owners: list[str], unit: str
) -> None:
    """Horizontal bars with their value written at the end; a missing one says so."""
    lengths = [0.0 if math.isnan(v) else v for v in drawable(values)]
    axes.barh(range(len(names)), lengths, 0.6, color=[COLOURS[owner] for owner in owners])
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, max(lengths) * 1.3 or 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    for row, (value, length) in enumerate(zip(values, lengths, strict=True)):
        text = "not reported" if value is None else f"{fmt(value, 3)}{unit}"
        axes.annotate(
            text, (length, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
        )
