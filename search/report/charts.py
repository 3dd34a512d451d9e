"""One style for every chart: safe for the colour-blind, text that stays text."""

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
"""Those of Okabe and Ito but for the yellow and the last two; each is told by its marker too."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#B8BEC5"
MAP = "cividis"
"""Colours of numbers: alike for all eyes, ever lighter."""

_STYLE: Any = {
    "svg.fonttype": "none",  # the reader's fonts, which know every class name
    "svg.hashsalt": "finesweep",  # the same chart is the same file
    "text.parse_math": False,  # a class may be called $5
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
_SIZES = {False: (5.2, 3.7), True: (10.4, 4.2)}
"""Inches, by whether it is wide."""


@contextmanager
def style() -> Iterator[None]:
    """Charts drawn within look alike."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the reader's font has it
        yield


class Chart:
    """A figure to draw in; then a `Picture`."""

    def __init__(self, *, wide: bool = False, height: float | None = None) -> None:
        self._wide = wide
        width, usual = _SIZES[wide]
        self.figure = Figure(figsize=(width, height or usual))
        self.axes: Axes = self.figure.add_subplot()

    def legend(self) -> None:
        """Below the chart, so that it hides nothing, of what has a label."""
        names = self.axes.get_legend_handles_labels()[1]
        columns = max(1, min(3, len(names), 66 // (7 + max(map(len, names), default=0))))
        self.figure.legend(loc="outside lower center", ncols=columns)

    def picture(self, alt: str, caption: str) -> Picture:
        """As it is now."""
        file = io.StringIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None})
        return Picture(file.getvalue(), alt, caption, self._wide)


def shortened(names: Sequence[str], length: int = 28) -> list[str]:
    """Names as charts have room for them: what is too long loses its middle.

    One that begins with an underscore would be left out of legends, so a space goes before it.
    """
    half = length // 2 - 1
    short = [n if len(n) <= length else f"{n[:half]}…{n[-half:]}" for n in names]
    return [f" {name}" if name.startswith("_") else name for name in short]
