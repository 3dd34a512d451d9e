"""WebDataset: tar archives of samples, read as a table with one image per row."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spaces import DataError
from spaces.errors import first_line
from spaces.wording import counted, name_some
from trainables.archives.samples import sample_values, samples_of
from trainables.archives.shards import Shard, Shards
from trainables.listing import (
    Listing,
    ReadOptions,
    SplitName,
    Unused,
    eval_notes,
    folder_splits,
)
from trainables.tables import (
    Table,
    choice_error,
    choose_columns,
    class_labels,
    decode_text,
    describe_columns,
    labelled_rows,
    sum_unused,
    without_repeats,
)

if TYPE_CHECKING:
    import pandas as pd

CLASS_COLUMN = "cls"
"""Column with the labels, by the format's convention."""
_NAME_FILES = ("classnames.txt", "classes.txt", "class_names.txt")
"""Files beside the archives with the name of a class in each line."""
_INFO_FILES = ("dataset_info.json", "_info.json", "info.json")
"""Files beside the archives with Hugging Face's description of the columns."""


def has_samples(shards: Shards) -> bool:
    """Whether a file beside an image tells its label; shards of a test set may have none."""
    return any(sample.has_labels for shard in shards.shards for sample in samples_of(shard))


def read_webdataset(shards: Shards, options: ReadOptions) -> Listing:
    """List the images of a WebDataset without opening them.

    The label is the sample's ``.cls`` file, or else a ``.txt`` file or a field of its ``.json``
    file, chosen as in tables. Splits are those in the names of the archives or of their folders.

    Raises `DataError`.
    """
    if options.image_root:
        raise DataError(f"The images of {shards.root} are inside it; leave out --image-root.")
    by_split = _shards_by_split(shards, options)
    contents = {shard: _read_shard(shards.root, shard) for shard in shards.shards}
    extensions = sorted({extension for found in contents.values() for extension in found.images})
    read, images = _with_one_image([found.frame for found in contents.values()], extensions)
    frames = dict(zip(contents, read, strict=True))
    fields = [name for frame in read for name in frame.columns if name not in images]
    parts = [
        _list_part(shards, [frames[shard] for shard in members], images, fields, split, options)
        for split, members in by_split.items()
    ]
    notes = [*shards.notes, *(note for part in parts for note in part.notes)]
    if list(by_split) != [None]:
        notes += eval_notes((shard.folder for shard in shards.shards), options.eval_is)
    passed_over = [pair for found in contents.values() for pair in found.passed_over]
    return Listing(
        shards.root,
        f"a WebDataset in {counted(len(contents), 'tar archive')} ({parts[0].kind})",
        tuple(row for part in parts for row in part.rows),
        (*sum_unused([u for part in parts for u in part.unused]), *_unused(shards, passed_over)),
        tuple(dict.fromkeys(notes)),
    )


@dataclass(frozen=True)
class _Content:
    """Samples of one archive, without the contents of images."""

    frame: "pd.DataFrame"
    """Row of each sample with an image: the image's path below the source in the column of its
    extension, and what the files beside it say."""
    images: frozenset[str]
    """Columns of images."""
    passed_over: list[tuple[str, str]]
    """Reason and path of each file and sample that is not used."""


def _read_shard(root: Path, shard: Shard) -> _Content:
    """Samples of an archive. Raises `DataError` if a JSON file is malformed."""
    import pandas as pd  # slow to import, and most data are folders

    samples = samples_of(shard)
    used = [sample for sample in samples if sample.images]
    passed_over = [("samples without an image", shard.join(s.key)) for s in samples if not s.images]
    passed_over += [
        ("files that are not images", shard.join(name)) for s in samples for name in s.others
    ]
    try:
        records = [
            values | {extension: shard.join(name) for extension, name in sample.images.items()}
            for sample, values in zip(used, sample_values(root / shard.path, used), strict=True)
        ]
    except ValueError as error:
        raise DataError(f"{first_line(error).rstrip('.')}; make its archive again.") from None
    images = frozenset(extension for sample in used for extension in sample.images)
    return _Content(pd.DataFrame(records, dtype=object), images, passed_over)


def _with_one_image(
    frames: "Sequence[pd.DataFrame]", extensions: Sequence[str]
) -> "tuple[list[pd.DataFrame], list[str]]":
    """Frames and their columns of images: one, called "image", if no sample has several images."""
    pairs = [(frame, [e for e in extensions if e in frame]) for frame in frames]
    if len(extensions) < 2 or any((frame[own].count(axis=1) > 1).any() for frame, own in pairs):
        return list(frames), list(extensions)
    merged = [
        frame.drop(columns=own).assign(image=frame[own].bfill(axis=1).iloc[:, 0]) if own else frame
        for frame, own in pairs
    ]
    return merged, ["image"]


def _list_part(
    shards: Shards,
    frames: "Sequence[pd.DataFrame]",
    images: Sequence[str],
    fields: Sequence[str],
    split: SplitName | None,
    options: ReadOptions,
) -> Listing:
    """Listing of the archives of one split.

    ``fields`` are the columns of all splits; those that this one lacks are empty.
    """
    import pandas as pd

    source = shards.root
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        raise DataError(f"{source} has archives without an image; add images or remove them.")
    frame = pd.concat(filled, ignore_index=True)
    table = Table(frame.reindex(columns=list(dict.fromkeys([*frame.columns, *fields]))))
    own = [column for column in images if column in table.frame]
    image = options.image_column or own[0]
    if len(own) > 1 and options.image_column is None:
        raise choice_error("the images", own, "--image-column", source, table)
    label = options.label_column or (CLASS_COLUMN if CLASS_COLUMN in table.frame else None)
    chosen = replace(options, image_column=image, label_column=label)
    columns = choose_columns(table, chosen, source, has_split=split is not None)
    table, note = _with_class_names(table, columns.label, shards)
    labelled = labelled_rows(table, columns, source, split=split, eval_is=options.eval_is)
    places = table.texts(columns.image)
    paths = [source / places[row.number] for row in labelled.rows]
    rows, repeated = without_repeats(paths, labelled.rows, source)
    unused = (*labelled.unused, *repeated)
    return Listing(source, describe_columns(columns), tuple(rows), unused, (*labelled.notes, *note))


def _with_class_names(
    table: Table, label: str | None, shards: Shards
) -> tuple[Table, tuple[str, ...]]:
    """Table whose numbers of classes are names, if a file beside the archives has them."""
    numbers = table.texts(label) if label else []
    if label is None or not all(number.isdecimal() for number in numbers if number):
        return table, ()
    found = _class_names(shards, label)
    if found is None:
        return table, ()
    file, names = found
    try:
        labels = class_labels([int(n) if n else None for n in numbers], names)
    except ValueError as error:
        raise DataError(f"{file} does not fit {shards.root}: {error}; correct it.") from None
    frame = table.frame.copy()
    frame[label] = labels
    note = f"The numbers of the classes are replaced by their names in {file.name}."
    if not any(number and int(number) == 0 for number in numbers):
        note += (
            f" No image has the number 0, which is called {names[0]!r} there; if your numbers "
            "begin at 1, add a line at the beginning of the file."
        )
    return replace(table, frame=frame), (note,)


def _class_names(shards: Shards, label: str) -> tuple[Path, list[str]] | None:
    """File with the names of the classes in the order of their numbers, and the names."""
    folder = shards.root if shards.root.is_dir() else shards.root.parent
    for name in _NAME_FILES:
        if (file := folder / name).is_file():
            lines = decode_text(file.read_bytes())[0].splitlines()
            return file, [line.strip() for line in lines if line.strip()]
    for name in _INFO_FILES:
        if (file := folder / name).is_file() and (names := _described_names(file, label)):
            return file, names
    return None


def _described_names(file: Path, label: str) -> list[str]:
    """Names of the classes of a column in Hugging Face's description; empty if it has none."""
    try:
        features = json.loads(file.read_bytes()).get("features", {})
        names = features.get(label, {}).get("names", [])
    except (ValueError, AttributeError):
        return []
    return [str(name) for name in names]


def _shards_by_split(shards: Shards, options: ReadOptions) -> dict[SplitName | None, list[Shard]]:
    """Archives by the split in their names, or in those of their folders; by None without one.

    Raises `DataError` if only some of them name a split.
    """
    parts = {shard: shard.folder.split("/") for shard in shards.shards}
    splits: dict[Shard, SplitName | None] = dict.fromkeys(shards.shards)
    for depth in range(max(map(len, parts.values()))):
        names = {shard: path[depth] for shard, path in parts.items() if depth < len(path)}
        found = folder_splits(sorted(set(names.values())), options.eval_is)
        if any(found.values()):
            splits |= {shard: found[name] for shard, name in names.items()}
            break
    by_split: dict[SplitName | None, list[Shard]] = defaultdict(list)
    for shard, split in splits.items():
        by_split[split].append(shard)
    if None in by_split and len(by_split) > 1:
        others = name_some([shard.path for shard in by_split[None]], 3)
        raise DataError(
            f"{shards.root} has archives of splits and also {others}; call their splits train, val "
            f"and test, or leave them out with --ignore {by_split[None][0].path!r}."
        )
    return dict(by_split)


def _unused(shards: Shards, passed_over: Sequence[tuple[str, str]]) -> list[Unused]:
    """What was passed over in archives and beside them, by reason."""
    beside = [path for path in shards.beside_paths if path not in (*_NAME_FILES, *_INFO_FILES)]
    reasons = [*shards.beside.skipped, *shards.skipped]
    reasons += [("files beside the archives", path) for path in beside]
    reasons += passed_over
    examples = dict(reversed(reasons))
    counts = Counter(reason for reason, _ in reasons)
    return [Unused(reason, count, examples[reason]) for reason, count in counts.items()]
