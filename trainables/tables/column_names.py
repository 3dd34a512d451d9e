"""Names of columns that hold images, in all usual spellings."""

import re
from collections.abc import Collection

_IMAGE_NAMES = {
    *("path", "image", "image_path", "filename", "file", "file_name", "filepath", "file_path"),
    *("img", "img_path", "image_file", "image_filename", "image_name", "img_name", "images"),
}
"""Names of columns with images, in lower case."""
_ID_NAMES = {"id", "image_id", "img_id", "file_id", "name", "uid", "id_code"}
"""Names of columns that may hold images' names without an ending, if no other column does."""


def is_image_name(column: str) -> bool:
    """Whether a column's name says that it holds images, such as "imagePath"."""
    return named_like(column, _IMAGE_NAMES)


def is_id_name(column: str) -> bool:
    """Whether a column's name says that it holds ids, which may name images."""
    return named_like(column, _ID_NAMES)


def column_words(column: str) -> list[str]:
    """Words of a column's name in lower case: "imageID" and "image_id" both are image, id."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", column)]


def named_like(column: str, names: Collection[str]) -> bool:
    """Whether a column has one of the names, in any case and with any separator of words."""
    return column.lower() in names or "_".join(column_words(column)) in names
