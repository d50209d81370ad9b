"""Common ground of the figures: page, colours, labels, and PNG bytes out.

Figures are drawn on `Figure` objects with an Agg canvas. `pyplot` is not used, because it keeps
figures alive in global state and may look for a display.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

# Okabe-Ito colours, told apart by colour-blind readers and, by lightness, in black and white.
BLUE, ORANGE, GREY, INK = "#0072B2", "#E69F00", "#8C8C8C", "#222222"
FONT = "DejaVu Sans"
WIDTH = 7.4  # inches
DPI = 150
# Axes of a diverged run can hold values whose margins overflow a double; those are not drawn.
LARGEST = 1e150
_drawing = threading.Lock()


@dataclass(frozen=True)
class Drawn:
    """A finished figure: file name without ending, PNG bytes, and what it shows in words."""

    name: str
    png: bytes
    alt: str
    caption: str


def render(draw: Callable[[Figure], None], height: float) -> bytes:
    """PNG of what `draw` puts on an empty figure `height` inches high.

    The style is matplotlib's default whatever style the calling program has set, so that the
    same result gives the same bytes; the caller's settings are put back afterwards. They are those
    of the whole process, so one thread draws at a time.
    """
    with _drawing, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": FONT,
                "font.size": 9,
                "axes.titlesize": 10,
                "axes.titlelocation": "left",
                "axes.edgecolor": "#666666",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.grid": True,
                "axes.axisbelow": True,
                "grid.color": "#E3E3E3",
                "text.color": INK,
                "axes.labelcolor": INK,
                "legend.frameon": False,
            }
        )
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.BytesIO()
        # No "Software" entry: it names the matplotlib version, and bytes should not depend on it.
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def headline(figure: Figure, text: str) -> None:
    """Title of the whole figure, at its left edge."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold", parse_math=False)


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    """Code points the font can draw; matplotlib warns about any other."""
    return frozenset(get_font(findfont(FONT)).get_charmap())


def short(name: str, limit: int = 38) -> str:
    """A feature's name that fits on an axis: one line, drawable, cut in the middle.

    The middle goes first because names made by encoders differ at both ends
    ("city=Amsterdam", "city=Rotterdam").
    """
    known = _characters()
    clean = "".join(
        c if ord(c) in known and c.isprintable() else "□" for c in " ".join(name.split())
    )
    if len(clean) <= limit:
        return clean
    head = (limit - 1) // 2
    return f"{clean[:head]}…{clean[len(clean) - (limit - 1 - head) :]}"


def name_ticks(axes: Axes, names: Sequence[str]) -> None:
    """Put names on the vertical axis, first on top, one line each.

    Mathematics is switched off: `$` and `_` in a feature's name are only characters.
    """
    axes.set_yticks(range(len(names)), [short(n) for n in names], fontsize=8, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def drawable(values: Sequence[float | None], positive: bool = False) -> list[float]:
    """Values as floats, NaN (a gap in the figure) for those that cannot be drawn.

    With `positive` zero and negative values are gaps too, as a log axis needs.
    """
    found = []
    for value in values:
        fits = value is not None and math.isfinite(value) and abs(value) < LARGEST
        if positive:
            fits = fits and value is not None and value > 1 / LARGEST
        found.append(float(value) if fits and value is not None else math.nan)
    return found
