"""`Chart`: a Matplotlib figure in a common style, safe for colour-blind readers."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search.report.html import Picture

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A5195", "#4D4D4D")
"""Colours of categories: six colours of Okabe and Ito (2008), then two of our own."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Markers of categories, one for each colour, so that colour is never the only distinction."""
GREY = "#B8BEC5"
COLOUR_MAP = "cividis"
"""Colour map of numbers: perceptually uniform, also for colour-blind readers."""

_STYLE: Any = {
    "svg.fonttype": "none",  # keep text as text: the browser's fonts can show any class name
    "svg.hashsalt": "finesweep",  # the same chart gives the same file
    "text.parse_math": False,  # a class may be named "$5"
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E9ED",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.constrained_layout.use": True,
}
_SIZES_INCHES = {False: (5.2, 3.7), True: (10.4, 4.2)}
"""Width and height of a chart, by whether it is wide."""


@contextmanager
def chart_style() -> Iterator[None]:
    """Context in which charts are drawn in the common style."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the browser has the glyph
        yield


class Chart:
    """A figure with one pair of axes; `picture` turns it into a block of the report.

    A ``wide`` chart takes the whole width of the page. ``height_inches`` replaces the usual height.
    """

    def __init__(self, *, wide: bool = False, height_inches: float | None = None) -> None:
        self._wide = wide
        width, usual_height = _SIZES_INCHES[wide]
        self.figure = Figure(figsize=(width, height_inches or usual_height))
        self.axes: Axes = self.figure.add_subplot()

    def legend(self) -> None:
        """Add a legend of all labelled artists below the axes, where it hides nothing."""
        names = self.axes.get_legend_handles_labels()[1]
        columns = max(1, min(3, len(names), 66 // (7 + max(map(len, names), default=0))))
        self.figure.legend(loc="outside lower center", ncols=columns)

    def picture(self, alt: str, caption: str) -> Picture:
        """The figure as an SVG, with its text alternative and caption."""
        file = io.StringIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None})
        return Picture(file.getvalue(), alt, caption, self._wide)


def shorten(names: Sequence[str], length: int = 28) -> list[str]:
    """Shorten names to ``length`` characters: an ellipsis replaces the middle of a longer name.

    A name that begins with an underscore gets a space before it: Matplotlib leaves labels with a
    leading underscore out of legends.
    """
    half = length // 2 - 1
    short = [n if len(n) <= length else f"{n[:half]}…{n[-half:]}" for n in names]
    return [f" {name}" if name.startswith("_") else name for name in short]
