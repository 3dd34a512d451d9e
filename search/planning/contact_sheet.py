"""Contact sheet: a picture of some images of each class and split, as the model gets them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spaces import DataError
from spaces.wording import counted
from trainables.data import Dataset
from trainables.images import PixelFormat, read_rgb
from trainables.listing import SPLITS

TILE_PX = 96
"""Side of each image in the picture."""
LABEL_PX = 180
"""Width of the column of class names."""
HEADER_PX = 28
"""Height of the row of split names."""
IMAGES_PER_SPLIT = 5
"""Largest number of images that are drawn for each class and split."""
MAX_CLASSES = 100
"""Largest number of classes that are drawn. A last row counts the other classes."""


def draw_contact_sheet(dataset: Dataset, pixel_format: PixelFormat, file: Path) -> None:
    """Write a picture with a row for each class and a block of images for each split.

    Every image is decoded and resized to ``pixel_format``, to show what resizing loses, and is then
    drawn in `TILE_PX` by `TILE_PX` pixels. The images of a block are spread evenly over the class.
    Raises `DataError` if an image can't be read any more.
    """
    drawn = dataset.classes[:MAX_CLASSES]
    more = len(dataset.classes) - len(drawn)
    block_px = IMAGES_PER_SPLIT * TILE_PX
    width = LABEL_PX + len(SPLITS) * block_px
    height = HEADER_PX + TILE_PX * len(drawn) + HEADER_PX * bool(more)
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, split in enumerate(SPLITS):
        left = LABEL_PX + column * block_px
        pen.text(
            (left + 4, 5), f"{split}: {counted(len(dataset.rows(split)), 'image')}", "black", font
        )
        for number in range(len(drawn)):
            top = HEADER_PX + number * TILE_PX
            rows = dataset.rows(split)
            rows = rows[dataset.labels[rows] == number]
            for place, row in enumerate(_spread(rows, IMAGES_PER_SPLIT)):
                tile = _tile(dataset.file(row), pixel_format)
                sheet.paste(tile, (left + place * TILE_PX, top))
    for number, name in enumerate(drawn):
        pen.text((4, HEADER_PX + number * TILE_PX + 4), _fitted(name, font), "black", font)
    if more:
        rest = f"and {more} more class{'es' if more > 1 else ''}"
        pen.text((4, height - HEADER_PX + 5), rest, "black", font)
    sheet.save(file)


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of ``rows``, ``(m,)`` int64, evenly spaced."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round())
    return rows[places.astype(np.int64)]


def _tile(file: Path, pixel_format: PixelFormat) -> Image.Image:
    try:
        image = read_rgb(file, side=pixel_format.side)
    except OSError as error:
        raise DataError(f"{file} can't be read any more ({error.strerror or error}).") from None
    return Image.fromarray(pixel_format.resize(image)).resize((TILE_PX, TILE_PX))


def _fitted(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """A class name, shortened to the width of its column."""
    printable = name.encode("utf-8", "replace").decode()
    while font.getlength(printable) > LABEL_PX - 8:
        printable = printable.rstrip("…")[:-1] + "…"
    return printable
