import html

import pytest

from search.report.charts import Chart, chart_style, shorten


def test_a_chart_is_reproducible_and_keeps_its_text_as_text_in_any_language() -> None:
    svgs = []
    for _ in range(2):
        with chart_style():
            chart = Chart()
            chart.axes.plot([1, 2], [3, 4], label="健康な葉")
            chart.axes.set(xlabel="épithélium")
            chart.legend()
            svgs.append(chart.picture("two points", "a line").svg)
    assert "健康な葉" in svgs[0]
    assert "épithélium" in svgs[0]
    assert svgs[0] == svgs[1]


def test_long_names_are_shortened_in_the_middle() -> None:
    assert shorten(["short", "x" * 40 + "_end"], 12) == ["short", "xxxxx…x_end"]


@pytest.mark.parametrize("name", ["_background", "$5 & $10", "a<b>", "100%"])
def test_every_class_name_is_in_the_legend_as_it_is(name: str) -> None:
    with chart_style():
        chart = Chart()
        chart.axes.plot([1, 2], [3, 4], label=shorten([name])[0])
        chart.legend()
        svg = chart.picture("a line", "a line").svg
    assert html.escape(name, quote=False) in svg
