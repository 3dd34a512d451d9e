import numpy as np

from search.report.html import Gallery, Section, Table, Text, Thumbnail, counted, render


def test_all_text_is_escaped() -> None:
    nasty = "<script>alert('x')</script>"
    thumbnail = Thumbnail(np.zeros((4, 6, 3), np.uint8), nasty, (nasty,))
    blocks = (Text(nasty), Table(nasty, (nasty,), ((nasty,),)), Gallery(nasty, (thumbnail,)))
    page = render(nasty, [nasty], [Section(nasty, blocks)])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
