"""Data sources: images in a folder, table, archive, Hugging Face dataset or object store."""

from pathlib import Path

from spaces import DataError
from spaces.wording import counted
from trainables.archives import ArchiveSource, has_archives
from trainables.data.classes import class_names
from trainables.data.groups import groups_of_rows
from trainables.data.split_spec import SplitSpec, refuse_small_classes
from trainables.files import printable
from trainables.folders import FolderSource
from trainables.images import is_image
from trainables.listing import DataSource, Listing, ReadOptions, reconcile_labels
from trainables.progress import Progress, ignore_progress
from trainables.tables import (
    HUB_SCHEME,
    HuggingFaceSource,
    ParquetFolderSource,
    TableSource,
    find_shards,
    is_saved_dataset,
)

_GIVE = "give a folder, a table or an archive."
"""End of the errors about data that are none of these."""


def read_source(
    data: Path | str,
    *,
    cache: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress = ignore_progress,
) -> Listing:
    """List the images of ``data`` without opening them.

    A `Path` is a folder, a table, tar archives, Parquet files or a saved Hugging Face dataset. A
    string is an address: ``hf://OWNER/NAME`` on the Hugging Face Hub, or ``s3://BUCKET/PREFIX`` in
    an object store.
    Images from Hugging Face datasets and object stores are copied below ``cache``; every call
    updates the copy.

    Raises `DataError`, or `ConfigError` if an address is malformed.
    """
    source = _source_of(data.absolute() if isinstance(data, Path) else data, cache, options)
    listing = source.read(options, progress)
    _refuse_names_that_are_not_utf8(listing)
    return reconcile_labels(listing, merge=options.merge_labels)


def check_source(
    data: Path | str,
    *,
    cache: Path,
    options: ReadOptions = ReadOptions(),
    split: SplitSpec = SplitSpec(),
) -> None:
    """Raise the errors of `survey_images` that can be found without opening images.

    A folder, a table, archives and Parquet files are read as a whole, except images, which takes
    about a second for 60,000 files. Of other sources, nothing is copied or extracted: mistakes in
    their labels and splits are not found.

    Raises `DataError`, or `ConfigError` if an address is malformed.
    """
    listing = _source_of(data, cache, options).check(options)
    if listing is None:
        return
    _refuse_names_that_are_not_utf8(listing)
    rows = reconcile_labels(listing, merge=options.merge_labels).rows
    class_names(rows)
    groups = groups_of_rows(rows, listing.root, options)
    units = [row.path if group is None else group for row, group in zip(rows, groups, strict=True)]
    refuse_small_classes(rows, units, split, has_groups=any(groups))


def _refuse_names_that_are_not_utf8(listing: Listing) -> None:
    """Raise `DataError` if the tables of a sweep could not hold the path or label of an image."""
    named = ((str(row.path), f"{row.path} {row.label}") for row in listing.rows)
    if wrong := [path for path, names in named if printable(names) != names]:
        raise DataError(
            f"The paths or classes of {counted(len(wrong), 'image')} are not UTF-8, such as "
            f"{printable(wrong[0])}; rename them, or leave them out with --ignore."
        )


def _source_of(data: Path | str, cache: Path, options: ReadOptions) -> DataSource:
    """`DataSource` for ``data``. Raises `DataError` or `ConfigError` if there is none."""
    if isinstance(data, str):
        if data.startswith(HUB_SCHEME):
            return HuggingFaceSource(data, cache)
        return ObjectStoreSource(data, cache)
    if not data.exists():
        raise DataError(f"The data {str(data)!r} does not exist; {_GIVE}")
    if data.is_file():
        if has_archives(data):
            return ArchiveSource(data)
        if is_image(data):
            raise DataError(f"The data {str(data)!r} is one image; {_GIVE}")
        return TableSource(data)
    if is_saved_dataset(data):
        return HuggingFaceSource(data, cache)
    if find_shards(data, options.ignore):
        return ParquetFolderSource(data)
    return ArchiveSource(data) if has_archives(data, options.ignore) else FolderSource(data)


class ObjectStoreSource(DataSource):
    """A folder, table, archives or Parquet files in an object store: read from a local copy.

    Raises `ConfigError` if the address is malformed.
    """

    def __init__(self, address: str, cache: Path) -> None:
        from trainables.data.object_store import RemoteData  # slow to import; most data are local

        self._address, self._cache = address, cache
        self._remote = RemoteData(address, cache)

    def check(self, options: ReadOptions) -> None:
        """See `DataSource.check`. The address must exist."""
        self._remote.check()

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`. Updates the local copy first."""
        self._remote.synchronize(progress)
        copy = self._remote.local_path
        try:
            source = self._local_source(copy, options)
            listing = source.read(options, ignore_progress)
        except DataError as error:
            raise DataError(str(error).replace(str(copy), self._address)) from None
        if isinstance(source, TableSource):
            paths = [row.path for row in listing.rows]
            listed = [path for path in paths if not path.is_relative_to(copy)]
            self._remote.synchronize_images(listed, progress)
        return listing

    def _local_source(self, copy: Path, options: ReadOptions) -> DataSource:
        """Source for the local copy. The images that a table lists are not in it yet."""
        if copy.is_file() and not has_archives(copy):
            return TableSource(copy, is_remote=True)
        return _source_of(copy, self._cache.absolute(), options)
