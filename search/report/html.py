"""Blocks of the report, and their rendering as one HTML file that needs no network."""

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
    text: str


@dataclass(frozen=True)
class Picture:
    """A chart with a caption."""

    kind: ClassVar[str] = "picture"
    svg: str
    alt: str
    """Text alternative: what the chart shows, for readers who can't see it."""
    caption: str
    wide: bool = False
    """Whether the chart takes the whole width of the page instead of one half."""

    @property
    def data_url(self) -> str:
        """The SVG as a ``data:`` URL."""
        return _data_url("svg+xml", self.svg.encode())


@dataclass(frozen=True)
class Table:
    """Rows of text and formatted numbers."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Thumbnail:
    """A small image with lines of text below it."""

    pixels: np.ndarray
    """``(h, w, 3)`` uint8."""
    alt: str
    """Text alternative."""
    lines: tuple[str, ...]

    @property
    def data_url(self) -> str:
        """The image as a JPEG in a ``data:`` URL."""
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "JPEG", quality=85)
        return _data_url("jpeg", file.getvalue())


@dataclass(frozen=True)
class Gallery:
    """Thumbnails in a grid."""

    kind: ClassVar[str] = "gallery"
    caption: str
    thumbnails: tuple[Thumbnail, ...]


def _data_url(image_type: str, content: bytes) -> str:
    return f"data:image/{image_type};base64,{base64.b64encode(content).decode()}"


Block = Text | Picture | Table | Gallery


@dataclass(frozen=True)
class Section:
    """A titled part of the page."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """URL fragment that links to the section."""
        return self.title.lower().replace(" ", "-")


def render(title: str, summary: Sequence[str], sections: Sequence[Section]) -> str:
    """Render the page as HTML. ``summary`` has the first paragraphs. All text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("search.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.jinja")
    return page.render(title=title, summary=summary, sections=sections)
