"""The figures: what is drawn, and that it is the same each time."""

import math
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tests.report.helpers import (
    HISTORY,
    comparison,
    drawn,
    model,
    report,
    result,
)
from w261reg.report import canvas, figures_of, write_report
from w261reg.report.canvas import short
from w261reg.report.result import read_result

PNG = b"\x89PNG\r\n\x1a\n"


def test_figures_are_the_files_and_the_same_each_time(tmp_path: Path) -> None:
    folder = result(tmp_path, compared=True)
    write_report(folder)
    figures = figures_of(folder)
    assert list(figures) == ["convergence", "coefficients", "difference", "engines"]
    for name, png in figures.items():
        assert png.startswith(PNG) and b"Software" not in png
        assert (folder / "figures" / f"{name}.png").read_bytes() == png


def test_figures_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    folder = result(tmp_path, compared=True)
    write_report(folder)
    (folder / "comparison.json").unlink()
    write_report(folder)
    assert drawn(folder) == ["coefficients", "convergence"]


def test_matplotlib_settings_are_neither_used_nor_changed(tmp_path: Path) -> None:
    folder = result(tmp_path)
    plain = figures_of(folder)
    with matplotlib.rc_context({"axes.facecolor": "black", "lines.linewidth": 9.0}):
        before = dict(matplotlib.rcParams)
        assert figures_of(folder) == plain
        assert dict(matplotlib.rcParams) == before


def test_empty_cells_and_nan_in_history(tmp_path: Path) -> None:
    lines = "0,nan,,,2,\n1,,0.5,,,0.2\n2,0.5,1e-3,1,4,inf\n3,0.4,,1,5,0.3\n4,1e300,1e-5,1,6,0.4\n"
    folder = result(tmp_path, history=HISTORY.splitlines()[0] + "\n" + lines)
    assert read_result(folder).history["objective"][2:4] == [0.5, 0.4]
    report(folder)
    assert "convergence" in drawn(folder)
    empty = result(tmp_path / "e", history=HISTORY.splitlines()[0] + "\n,,,,,\n,,,,,\n")
    assert "too few finite values" in report(empty).text
    assert "convergence" not in drawn(empty)


def test_equal_coefficients_have_no_difference_figure(tmp_path: Path) -> None:
    other = comparison(model(), shift=0.0) | {"max_coefficient_difference": 0.0}
    folder = result(tmp_path, compared=other)
    assert "The coefficients are exactly equal." in report(folder).text
    assert drawn(folder) == ["coefficients", "convergence", "engines"]


def test_names_on_axes_are_short_and_drawable(tmp_path: Path) -> None:
    assert short("x" * 80) == "x" * 18 + "…" + "x" * 19
    assert short("one\n two\t") == "one two"
    assert short("日本\u200b") == "□□□"
    names = ["$\\frac{$", "日本", "a\nb", "n" * 80]
    folder = result(tmp_path, model(feature_names=names, coefficients=[1.0, -2.0, 3.0, 4.0]))
    assert report(folder).row("日本")[1] == "日本"  # a warning on the way would be an error
    assert "coefficients" in drawn(folder)


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_figures_have_labels_scales_and_the_tolerance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(canvas, "FigureCanvasAgg", figures.append)
    figures_of(result(tmp_path, compared=True))
    monkeypatch.undo()
    convergence, bars, difference, engines = (figure.axes for figure in figures)
    assert all(figure.get_suptitle() for figure in figures)
    assert all(axes.get_xlabel() for figure in figures for axes in figure.axes)
    assert [axes.get_yscale() for axes in convergence] == ["log", "log"]
    residual, gap = (
        [np.asarray(line.get_ydata(), dtype=float).tolist() for line in axes.lines]
        for axes in convergence
    )
    assert residual == [[0.5, 1e-3, 1e-6, 3.2e-9], [1e-8, 1e-8]]
    assert gap[0][:2] == pytest.approx([0.2578012346, 0.0178012346]) and math.isnan(gap[0][3])
    # x0 and x2 are not zero: two bars each, standardized, the largest on top
    assert widths(bars[0]) == pytest.approx([3, 1, 3, 1])
    assert figures[1].get_suptitle().endswith("2 of 4 coefficients exactly zero")
    assert difference[0].get_yscale() == "log" and difference[0].get_xlim() == (0, 5)
    assert widths(engines[0]) == [1.25, 4.75]
    assert "one run each, not a benchmark" in figures[3].get_suptitle()
    assert [text.get_text() for text in engines[1].texts] == ["5", "33", "7", "not reported"]
