import html

import numpy as np
import pytest

from search.report.charts import Chart, shortened, style
from search.report.html import Gallery, Section, Table, Text, Thumbnail, render


def test_names_are_shown_as_they_are_written_and_never_run() -> None:
    nasty = "<script>alert('x')</script>"
    thumbnail = Thumbnail(np.zeros((4, 6, 3), np.uint8), nasty, (nasty,))
    blocks = (Text(nasty), Table(nasty, (nasty,), ((nasty,),)), Gallery(nasty, (thumbnail,)))
    page = render(nasty, [nasty], [Section(nasty, blocks)])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8


def test_a_chart_keeps_its_text_as_text_in_any_language_and_is_the_same_twice() -> None:
    drawn = []
    for _ in range(2):
        with style():
            chart = Chart()
            chart.axes.plot([1, 2], [3, 4], label="健康な葉")
            chart.axes.set(xlabel="épithélium")
            chart.legend()
            drawn.append(chart.picture("two points", "a line").svg)
    assert "健康な葉" in drawn[0]
    assert "épithélium" in drawn[0]
    assert drawn[0] == drawn[1]


def test_long_names_lose_their_middle() -> None:
    assert shortened(["short", "x" * 40 + "_end"], 12) == ["short", "xxxxx…x_end"]


@pytest.mark.parametrize("name", ["_background", "$5 & $10", "a<b>", "100%"])
def test_every_class_name_is_in_the_legend_as_it_is(name: str) -> None:
    with style():
        chart = Chart()
        chart.axes.plot([1, 2], [3, 4], label=shortened([name])[0])
        chart.legend()
        svg = chart.picture("a line", "a line").svg
    assert html.escape(name, quote=False) in svg
