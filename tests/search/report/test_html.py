import numpy as np

from search.report.html import Gallery, Section, Table, Text, Thumbnail, render


def test_all_text_is_escaped() -> None:
    nasty = "<script>alert('x')</script>"
    thumbnail = Thumbnail(np.zeros((4, 6, 3), np.uint8), nasty, (nasty,))
    blocks = (Text(nasty), Table(nasty, (nasty,), ((nasty,),)), Gallery(nasty, (thumbnail,)))
    page = render(nasty, [nasty], [Section(nasty, blocks)])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8
