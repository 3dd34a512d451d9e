"""What a page is made of, and the page: one HTML file that opens without a network."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jinja2
import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    words: str


@dataclass(frozen=True)
class Picture:
    """A chart."""

    kind: ClassVar[str] = "picture"
    svg: str
    alt: str
    """What it shows, for who can't see it."""
    caption: str
    wide: bool = False
    """Whether it takes the page's whole width, and not a half."""

    @property
    def source(self) -> str:
        """As an address that holds all of it."""
        return _address("svg+xml", self.svg.encode())


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Thumbnail:
    """A small image, and what is to be said of it."""

    pixels: np.ndarray
    """``(h, w, 3)`` uint8."""
    alt: str
    words: tuple[str, ...]
    """Lines below it."""

    @property
    def source(self) -> str:
        """As an address that holds all of it."""
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "JPEG", quality=85)
        return _address("jpeg", file.getvalue())


@dataclass(frozen=True)
class Gallery:
    """Small images side by side."""

    kind: ClassVar[str] = "gallery"
    caption: str
    thumbnails: tuple[Thumbnail, ...]


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


Block = Text | Picture | Table | Gallery


@dataclass(frozen=True)
class Section:
    """A chapter of the page."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """What a link to it ends in."""
        return self.title.lower().replace(" ", "-")


def render(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """The page as HTML; ``lead`` is sentences. Names are shown as they are written, never run."""
    loader = jinja2.PackageLoader("search.report", ".")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.jinja")
    return page.render(title=title, lead=lead, sections=sections)
