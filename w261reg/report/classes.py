"""Coefficients of several classes: features by classes, as a table and as a figure."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w261reg.report.canvas import Drawn, drawable, headline, name_ticks, render, short
from w261reg.report.result import Coefficient, Result
from w261reg.report.text import class_names, counted, fmt, is_counted

# classes that have a column each: of a table, and of a figure; numbers stand in the cells of fewer
MOST_COLUMNS, MOST_CELLS, NUMBERED = 8, 20, 8
MOST_FEATURES = 20


def by_feature(result: Result) -> list[list[Coefficient]]:
    """The coefficients of each feature, one a class; [] for a model of one output."""
    found = result.coefficients
    n = len({c.index for c in found})
    if not found or found[0].class_name is None:
        return []
    return [found[j::n] for j in range(n)]


def relative(row: list[Coefficient], centred: bool) -> list[float]:
    """What tells the classes of a feature apart: standardized where that is known.

    Args:
        row: the feature's coefficients.
        centred: relative to their mean; probabilities do not change where all change alike.
    """
    raw = all(c.sd is None for c in row)
    values = drawable([c.value if raw else c.standardized for c in row])
    if centred:
        middle = sum(values) / len(values)
        values = [value - middle for value in values]
    return values


def size(values: list[float]) -> float:
    """The largest in absolute value; -1 where none is a number."""
    return max((abs(v) for v in values if math.isfinite(v)), default=-1.0)


def centred(result: Result) -> list[float] | None:
    """Logarithms of shares, relative to the mean of the classes; None for other coefficients."""
    rows = by_feature(result)
    if not rows or not is_counted(result.model):
        return None
    columns = zip(*[relative(row, centred=True) for row in rows], strict=True)
    return [value for column in columns for value in column]


def class_columns(result: Result) -> tuple[list[str], list[list[str]], list[float]] | None:
    """Heads, rows and sizes of a table with a column a class; None where it has no room for one."""
    rows = by_feature(result)
    if not rows or len(rows[0]) > MOST_COLUMNS or any(c.other is not None for c in rows[0]):
        return None
    sd = any(c.sd is not None for row in rows for c in row)
    heads = ["#", "Feature", *[str(c.class_name) for c in rows[0]], *["Sd of feature"][: int(sd)]]
    cells = [
        [
            str(row[0].index),
            row[0].feature,
            *[fmt(c.value, 6) for c in row],
            *[fmt(row[0].sd, 4)][: int(sd)],
        ]
        for row in rows
    ]
    about_mean = is_counted(result.model)
    return heads, cells, [size(relative(row, about_mean)) for row in rows]


def draw_classes(result: Result) -> Drawn | None:
    """A map of the largest coefficients, features by classes; None where bars say it better."""
    rows = by_feature(result)
    if not rows or len(rows[0]) > MOST_CELLS or any(c.other is not None for c in rows[0]):
        return None
    about_mean = is_counted(result.model)
    values = [relative(row, about_mean) for row in rows]
    order = sorted(
        (j for j in range(len(rows)) if size(values[j]) > 0), key=lambda j: (-size(values[j]), j)
    )
    chosen = order[:MOST_FEATURES]
    if not chosen:
        return None
    most = size(values[chosen[0]])
    classes = [str(c.class_name) for c in rows[0]]
    raw = all(c.sd is None for c in rows[chosen[0]])
    solved = result.is_solution

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        headline(figure, _title(result, len(chosen), len(rows)))
        shown = [values[j] for j in chosen]
        image = axes.imshow(shown, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
        axes.grid(visible=False)
        name_ticks(axes, [rows[j][0].feature for j in chosen])
        axes.set_ylim(len(chosen) - 0.5, -0.5)
        _class_ticks(axes, classes)
        if len(classes) <= NUMBERED:
            for i, own in enumerate(shown):
                for k, value in enumerate(own):
                    dark = abs(value) > 0.65 * most
                    axes.text(
                        k,
                        i,
                        fmt(value, 3),
                        ha="center",
                        va="center",
                        fontsize=7.5,
                        color="white" if dark else "#222222",
                    )
        bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
        bar.set_label(_unit(raw, about_mean), fontsize=8)
        bar.ax.tick_params(labelsize=7.5)
        bar.outline.set_visible(False)

    top = max(zip(values[chosen[0]], classes, strict=True), key=lambda pair: _known(pair[0]))
    alt = ("" if solved else "Not a solution. ") + (
        f"Map of the coefficients of {counted(len(chosen), 'feature')} by "
        f"{counted(len(classes), 'class', 'classes')}, led by {rows[chosen[0]][0].feature} for "
        f"{top[1]} with {fmt(top[0])}."
    )
    caption = "A feature above 0 speaks for the class, below 0 against it. " + (
        "Logarithms of the features' shares, relative to the mean of the classes."
        if about_mean
        else "Raw coefficients: the model holds no standard deviations."
        if raw
        else "Standardized: the coefficient times the feature's standard deviation, so that "
        "features in different units can be compared."
    )
    return Drawn(
        "coefficients", render(draw, 1.2 + 0.26 * len(chosen) + _upright(classes)), alt, caption
    )


def draw_confusion(result: Result) -> Drawn | None:
    """Labels by predictions on the training rows; None where there is no such matrix."""
    classes = class_names(result.model)
    matrix = (result.metrics.get("train") or {}).get("confusion")
    if not classes or not isinstance(matrix, list) or len(matrix) != len(classes):
        return None
    counts = [drawable(row) for row in matrix]
    if any(not math.isfinite(value) for row in counts for value in row):
        return None
    totals = [sum(row) for row in counts]
    shares = [
        [value / total if total else 0.0 for value in row]
        for row, total in zip(counts, totals, strict=True)
    ]
    right = sum(row[k] for k, row in enumerate(counts)) / sum(totals)
    pairs = [(counts[i][k], i, k) for i in range(len(counts)) for k in range(len(counts)) if i != k]
    most, label, other = max(pairs)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        headline(figure, f"{fmt(100 * right, 3)} % of the training rows are predicted right")
        axes.imshow(shares, cmap="Purples", vmin=0.0, vmax=1.0, aspect="auto")
        axes.grid(visible=False)
        names = [short(name, 16) for name in classes]
        name_ticks(axes, names)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        _class_ticks(axes, classes)
        axes.set_ylabel("label")
        axes.set_xlabel("prediction")
        size = 8.0 if len(classes) <= NUMBERED else 6.0
        for i, row in enumerate(counts):
            for k, value in enumerate(row):
                colour = "white" if shares[i][k] > 0.6 else "#222222"
                axes.text(
                    k, i, fmt(value, 3), ha="center", va="center", fontsize=size, color=colour
                )

    alt = (
        f"Map of {counted(len(classes), 'label', 'labels')} by predictions: {fmt(100 * right, 3)} "
        f"% of the rows lie on the diagonal"
    )
    alt += (
        f"; most often {classes[label]} is taken for {classes[other]}, by weight {fmt(most, 4)}."
        if most > 0
        else "."
    )
    caption = (
        "Weight of the training rows by label and prediction; the shade is the share of the "
        "label's rows."
    )
    return Drawn(
        "confusion", render(draw, 1.4 + 0.3 * len(classes) + _upright(classes)), alt, caption
    )


def _upright(classes: list[str]) -> float:
    """Inches that the classes' names take below the axis where they do not fit abreast."""
    longest = min(16, max(map(len, classes)))
    return 0.08 * longest if longest * len(classes) > 60 else 0.0


def _class_ticks(axes: Axes, classes: list[str]) -> None:
    """The classes on the horizontal axis, upright where they are long."""
    axes.set_xticks(
        range(len(classes)),
        [short(name, 16) for name in classes],
        fontsize=8,
        rotation=90 if _upright(classes) else 0,
        parse_math=False,
    )
    axes.tick_params(axis="x", length=0)


def _known(value: float) -> float:
    return abs(value) if math.isfinite(value) else -1.0


def _title(result: Result, n_shown: int, n: int) -> str:
    if not result.is_solution:
        return "NOT A SOLUTION, last point reached"
    if is_counted(result.model):
        what = "Which features tell the classes apart"
    else:
        zeros = sum(c.value == 0 for c in result.coefficients)
        what = f"{fmt(zeros)} of {counted(len(result.coefficients), 'coefficient')} exactly zero"
    return (
        what
        if n_shown == n
        else f"The {n_shown} features of most weight; {what[:1].lower()}{what[1:]}"
    )


def _unit(raw: bool, about_mean: bool) -> str:
    if about_mean:
        return "log share, relative to the classes' mean"
    return "log-odds per unit" if raw else "log-odds per standard deviation"
