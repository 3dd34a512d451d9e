"""`ArchiveSource`: images in tar archives, whose labels lie beside them or follow from folders."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spaces.wording import counted
from trainables.archives.member_tree import member_tree
from trainables.archives.shards import find_archives, read_shards
from trainables.archives.webdataset import has_samples, read_webdataset
from trainables.folders import FolderSource, scan_tree
from trainables.images import ARCHIVE_SUFFIX
from trainables.listing import DataSource, Listing, ReadOptions
from trainables.progress import Progress, ignore_progress

_COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Suffixes of compressed archives, in lower case."""


def has_archives(data: Path, ignore: Sequence[str] = ()) -> bool:
    """Whether ``data`` is a tar archive, or a folder of them without images beside them.

    A compressed archive counts as one, so that it is told why it can't be read. Archives are looked
    for in the folder and up to two folders deep.
    """
    if not data.is_dir():
        return data.name.lower().endswith((ARCHIVE_SUFFIX, *_COMPRESSED_SUFFIXES))
    patterns = (f"{depth}*{ARCHIVE_SUFFIX}" for depth in ("", "*/", "*/*/"))
    return any(any(data.glob(pattern)) for pattern in patterns) and bool(
        find_archives(scan_tree(data, ignore))
    )


class ArchiveSource(DataSource):
    """A tar archive, or a folder of them: a WebDataset, or folders of images in archives."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def check(self, options: ReadOptions) -> Listing:
        """See `DataSource.check`. Lists all images."""
        return self.read(options, ignore_progress)

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`. Reads the headers of all archives, and the labels in them."""
        shards = read_shards(self._root, options.ignore)
        if has_samples(shards):
            return read_webdataset(shards, options)
        source = FolderSource(self._root, lambda root, ignore: member_tree(shards))
        listing = source.read(options, progress)
        archives = counted(len(shards.shards), "tar archive")
        notes = (*shards.notes, *listing.notes)
        return replace(listing, kind=f"{listing.kind}, in {archives}", notes=notes)
