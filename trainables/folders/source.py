"""`FolderSource`: a folder of images whose labels follow from the names of folders or files."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces import DataError
from trainables.folders.base import find_base, refuse_empty_classes
from trainables.folders.companions import MASK_REASON, without_companions
from trainables.folders.copied_folders import refuse_copied_folders
from trainables.folders.layout_choice import archives_error, choose_reading
from trainables.folders.layouts import Base, Reading
from trainables.folders.tree import Folder, Tree, file_suffix, scan_tree
from trainables.listing import (
    DataSource,
    Listing,
    ReadOptions,
    Row,
    Unused,
    eval_notes,
    natural_key,
    single_class_error,
)
from trainables.progress import Progress, ignore_progress


class FolderSource(DataSource):
    """A folder whose layout is one of `trainables.folders.layouts`.

    ``scan`` reads its tree; see `scan_tree`.
    """

    def __init__(self, root: Path, scan: Callable[[Path, Sequence[str]], Tree] = scan_tree) -> None:
        self._root, self._scan = root, scan

    def check(self, options: ReadOptions) -> Listing:
        """See `DataSource.check`. Lists all images."""
        return self.read(options, ignore_progress)

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`. Reads the names of all files, and chooses the layout."""
        found = self._understand(options)
        rows = tuple(
            Row(self._root / found.tree.place(path), label, split)
            for path, label, split in found.reading.images
        )
        place = found.base.folder.path
        kind = found.reading.kind + (f", in {place}" if place else "")
        return Listing(self._root, kind, rows, _unused(found), _notes(found, options))

    def _understand(self, options: ReadOptions) -> "_Understood":
        """Scan the folder and choose its layout. Raises `DataError`."""
        tree = self._scan(self._root, options.ignore)
        keep = "" if options.layout == "class-folders" else None
        folder, companions = without_companions(self._root, tree.root, tree.place, keep)
        if not folder.image_count:
            raise self._no_images_error(folder, options)
        base = find_base(self._root, folder, options.layout, options.eval_is)
        reading = choose_reading(self._root, tree.root, base, options.layout)
        refuse_empty_classes(self._root, base, reading)
        refuse_copied_folders(self._root, [image.path for image in reading.images], tree.place)
        return _Understood(tree, tuple(companions), base, reading)

    def _no_images_error(self, folder: Folder, options: ReadOptions) -> DataError:
        if error := archives_error(self._root, folder):
            return error
        if len(folder.folders) == 1 and not options.ignore:
            return single_class_error(folder.folders[0].name)
        return DataError(
            f"No images were found in {self._root}; it needs a folder per class, "
            "or train/val/test with a folder per class in each."
        )


@dataclass(frozen=True)
class _Understood:
    """All files of a folder, and how they are read."""

    tree: Tree
    companions: tuple[str, ...]
    """Paths of masks and annotations."""
    base: Base
    reading: Reading


def _notes(found: _Understood, options: ReadOptions) -> tuple[str, ...]:
    notes = [f"--ignore {pattern!r} matches nothing." for pattern in found.tree.idle_patterns]
    return (*notes, *eval_notes(_split_folders(found), options.eval_is))


def _split_folders(found: _Understood) -> Sequence[str]:
    """Names of the split folders, which may lie in the folders of the classes."""
    if found.reading.layout != "class-split":
        return found.base.split_names
    return [split.name for folder in found.base.folder.with_images for split in folder.with_images]


def _unused(found: _Understood) -> tuple[Unused, ...]:
    """All files and folders that are not in the reading, by reason."""
    used = {image.path for image in found.reading.images}
    companions = set(found.companions)
    reasons: list[tuple[str, str]] = [*found.tree.skipped]
    reasons += [(MASK_REASON, path) for path in found.companions]
    for folder in found.tree.root.walk():
        for name in folder.images:
            if (path := folder.join(name)) not in used and path not in companions:
                reasons.append((_reason_of_image(folder), path))
        for name in folder.others:
            if folder.join(name) not in companions:
                reasons.append((_reason_of_file(name), folder.join(name)))
        if not (folder.folders or folder.images or folder.others) and folder.path:
            reasons.append(("empty folders", folder.path))
    counts = Counter(reason for reason, _ in reasons)
    examples = dict(reversed(reasons))
    return tuple(
        Unused(reason, count, examples[reason])
        for reason, count in sorted(counts.items(), key=lambda item: natural_key(item[0]))
    )


def _reason_of_image(folder: Folder) -> str:
    place = f"in {folder.path}" if folder.path else "beside the folders"
    return f"images {place} that the layout gives no label"


def _reason_of_file(name: str) -> str:
    suffix = file_suffix(name)
    return f"files that are not images ({suffix or 'no suffix'})"
