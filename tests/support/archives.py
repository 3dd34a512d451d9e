"""Tar archives of small images and other files."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image


def image_bytes(colour: int) -> bytes:
    """A PNG of 20 x 20 pixels of one grey value (0 to 255)."""
    buffer = io.BytesIO()
    Image.new("L", (20, 20), colour).save(buffer, "png")
    return buffer.getvalue()


def write_tar(
    file: Path, contents: Mapping[str, bytes | str], tar_format: int = tarfile.PAX_FORMAT
) -> Path:
    """Write a tar archive with these contents by name, and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w", format=tar_format) as archive:
        for name, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mtime = 1.5  # as the webdataset library does: pax needs a header more for it
            archive.addfile(member, io.BytesIO(data))
    return file


def write_shard(file: Path, labels: Mapping[str, str], first: int = 0) -> Path:
    """Write a WebDataset's shard with an image and a ``.cls`` file for each label by its key.

    The images' colours count from ``first``.
    """
    contents: dict[str, bytes | str] = {}
    for number, (key, label) in enumerate(labels.items(), start=first):
        contents |= {f"{key}.png": image_bytes(number), f"{key}.cls": label}
    return write_tar(file, contents)


def pack(folder: Path, file: Path) -> Path:
    """Write all files below a folder, in the order of their paths, into a tar archive."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in found}
    return write_tar(file, contents)
