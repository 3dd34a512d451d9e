"""`FolderSource`: a folder of images whose labels follow from the names of folders."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from spaces import DataError
from trainables.data.image_formats import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from trainables.data.image_formats import is_image
from trainables.data.listing import (
    DataSource,
    Listing,
    ReadOptions,
    Row,
    SplitName,
    Unused,
    eval_note,
    natural_key,
    single_class_error,
    split_name,
)
from trainables.progress import Progress


class FolderSource(DataSource):
    """A folder per class, or train/val/test folders with a folder per class in each."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ignored: Counter[str] = Counter()

    def check(self, options: ReadOptions) -> None:
        """See `DataSource.check`. The folder needs two class folders, or a split folder."""
        self._subfolders()

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`."""
        folders = self._subfolders()
        splits = {folder: split_name(folder.name, options.eval_is) for folder in folders}
        self._ignored = Counter(
            "hidden folders" for p in self._root.iterdir() if p.is_dir() and _is_hidden(p)
        )
        if "train" in splits.values():
            kind = "/".join(f.name for f in folders) + " folders, a folder per class in each"
            rows = self._rows_by_split(splits)
        else:
            kind = "a folder per class"
            rows = self._rows_by_class(folders)
        if not rows:
            raise self._no_images_error()
        notes = (
            (eval_note(options.eval_is),) if any(f.name.lower() == "eval" for f in folders) else ()
        )
        unused = tuple(Unused(why, count, "") for why, count in self._ignored.items() if count)
        return Listing(self._root, kind, tuple(rows), unused, notes)

    def _subfolders(self) -> list[Path]:
        """Subfolders of the root, by name. Raises `DataError` if they can't be classes."""
        folders = [p for p in sorted(self._root.iterdir()) if p.is_dir() and not _is_hidden(p)]
        if not folders:
            raise self._no_images_error()
        if len(folders) == 1 and split_name(folders[0].name, "val") is None:
            raise single_class_error(folders[0].name)
        return folders

    def _rows_by_split(self, splits: dict[Path, SplitName | None]) -> list[Row]:
        others = [folder.name for folder, split in splits.items() if split is None]
        if others:
            raise DataError(
                f"{self._root} has split folders and also {', '.join(others)}; "
                "keep only train, val and test there, or one folder per class."
            )
        rows: list[Row] = []
        for folder, split in splits.items():
            for label in sorted(folder.iterdir()):
                if label.is_dir() and not _is_hidden(label):
                    images = images_below(label, self._ignored)
                    rows += [Row(path, label.name, split) for path in images]
                else:
                    reason = "hidden folders" if label.is_dir() else "files outside classes"
                    self._ignored[reason] += 1
        return rows

    def _rows_by_class(self, folders: Sequence[Path]) -> list[Row]:
        self._refuse_unknown_splits(folders)
        rows: list[Row] = []
        for folder in folders:
            rows += [Row(path, folder.name) for path in images_below(folder, self._ignored)]
        self._ignored["files outside classes"] += sum(p.is_file() for p in self._root.iterdir())
        return rows

    def _refuse_unknown_splits(self, folders: Sequence[Path]) -> None:
        """Raise `DataError` if all folders have the same subfolders, as splits have."""
        inner = [{p.name for p in folder.iterdir() if p.is_dir()} for folder in folders]
        if len(folders) > 1 and inner[0] and all(names == inner[0] for names in inner):
            raise DataError(
                f"The folders {', '.join(f.name for f in folders)} of {self._root} have the same "
                "subfolders; if they are splits, call them train, val and test."
            )

    def _no_images_error(self) -> DataError:
        return DataError(
            f"No images were found in {self._root}; it needs a folder per class, "
            "or train/val/test with a folder per class in each."
        )


def _is_hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))


def images_below(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Images at any depth below ``folder``, by name. Counts skipped files in ``ignored``."""
    for path in sorted(folder.iterdir(), key=lambda p: natural_key(p.name)):
        if _is_hidden(path):
            ignored["hidden folders" if path.is_dir() else "hidden files"] += 1
        elif path.is_dir():
            yield from images_below(path, ignored)
        elif is_image(path):
            yield path
        else:
            ignored["files that are not images"] += 1
