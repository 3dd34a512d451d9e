"""WebDataset: tar archives of samples, read as a table with one image per row."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spaces import DataError
from spaces.errors import first_line
from spaces.wording import counted, name_some
from trainables.archives.samples import Sample, sample_values, samples_of
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
    describe_columns,
    labelled_rows,
    sum_unused,
    without_repeats,
)

CLASS_COLUMN = "cls"
"""Column with the labels, by the format's convention."""
_NAME_FILES = ("classnames.txt", "classes.txt", "class_names.txt")
"""Files beside the archives with the name of a class in each line."""
_INFO_FILES = ("dataset_info.json", "_info.json", "info.json")
"""Files beside the archives with Hugging Face's description of the columns."""


def has_samples(shards: Shards) -> bool:
    """Whether files beside the images tell their labels, by the first archive with images."""
    for shard in shards.shards:
        samples = samples_of(shard)
        if any(sample.images for sample in samples):
            return any(sample.has_labels for sample in samples)
    return False


def read_webdataset(shards: Shards, options: ReadOptions) -> Listing:
    """List the images of a WebDataset without opening them.

    The label is the sample's ``.cls`` file, or else a ``.txt`` file or a field of its ``.json``
    file, chosen as in tables. Splits are those in the names of the archives or of their folders.

    Raises `DataError`.
    """
    if options.image_root:
        raise DataError(f"The images of {shards.root} are inside it; leave out --image-root.")
    by_split = _shards_by_split(shards, options)
    samples = {shard: samples_of(shard) for shard in shards.shards}
    image_columns = _image_columns([s for found in samples.values() for s in found])
    parts = []
    for split, members in by_split.items():
        part = {shard: samples[shard] for shard in members}
        parts.append(_list_part(shards, part, image_columns, split, options))
    notes = [*shards.notes, *(note for part in parts for note in part.notes)]
    if list(by_split) != [None]:
        notes += eval_notes((shard.folder for shard in shards.shards), options.eval_is)
    archives = counted(len(shards.shards), "tar archive")
    return Listing(
        shards.root,
        f"a WebDataset in {archives} ({parts[0].kind})",
        tuple(row for part in parts for row in part.rows),
        (*sum_unused([item for part in parts for item in part.unused]), *_unused(shards, samples)),
        tuple(dict.fromkeys(notes)),
    )


def _list_part(
    shards: Shards,
    part: Mapping[Shard, Sequence[Sample]],
    image_columns: Mapping[str, str],
    split: SplitName | None,
    options: ReadOptions,
) -> Listing:
    """Listing of the archives of one split."""
    source = shards.root
    table = _table(shards, part, image_columns)
    chosen = replace(options, image_column=_image_column(table, image_columns, options, source))
    if options.label_column is None and CLASS_COLUMN in table.frame:
        chosen = replace(chosen, label_column=CLASS_COLUMN)
    columns = choose_columns(table, chosen, source, has_split=split is not None)
    table, note = _with_class_names(table, columns.label, shards)
    labelled = labelled_rows(table, columns, source, split=split, eval_is=options.eval_is)
    places = table.texts(columns.image)
    paths = [source / places[row.number] for row in labelled.rows]
    rows, repeated = without_repeats(paths, labelled.rows, source)
    unused = (*labelled.unused, *repeated)
    return Listing(source, describe_columns(columns), tuple(rows), unused, (*labelled.notes, *note))


def _table(
    shards: Shards, part: Mapping[Shard, Sequence[Sample]], image_columns: Mapping[str, str]
) -> Table:
    """Table of all samples with an image. Images are given by their paths below the source."""
    import pandas as pd  # slow to import, and most data are folders

    records: list[dict[str, Any]] = []
    for shard, samples in part.items():
        with_images = [sample for sample in samples if sample.images]
        try:
            values = sample_values(shards.root / shard.path, with_images)
            for sample, record in zip(with_images, values, strict=True):
                images = {image_columns[e]: shard.join(n) for e, n in sample.images.items()}
                records.append(record | images)
        except ValueError as error:
            raise DataError(f"{first_line(error).rstrip('.')}; make its archive again.") from None
    if not records:
        raise DataError(f"{shards.root} has archives without an image; add images or remove them.")
    return Table(pd.DataFrame(records, dtype=object))


def _image_columns(samples: Sequence[Sample]) -> dict[str, str]:
    """Column of the images with each extension: one for all, unless a sample has several images."""
    extensions = Counter(extension for sample in samples for extension in sample.images)
    if len(extensions) > 1 and all(len(sample.images) < 2 for sample in samples):
        return dict.fromkeys(extensions, "image")
    return {extension: extension for extension in extensions}


def _image_column(
    table: Table, image_columns: Mapping[str, str], options: ReadOptions, source: Path
) -> str:
    """Column of the images: the only one, or the one that the user names."""
    candidates = sorted(set(image_columns.values()) & set(table.frame.columns))
    if options.image_column or len(candidates) == 1:
        return options.image_column or candidates[0]
    raise choice_error("the images", candidates, "--image-column", source, table)


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
    return replace(table, frame=frame), (note,)


def _class_names(shards: Shards, label: str) -> tuple[Path, list[str]] | None:
    """File with the names of the classes in the order of their numbers, and the names."""
    folder = shards.root if shards.root.is_dir() else shards.root.parent
    for name in _NAME_FILES:
        if (file := folder / name).is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            return file, [line.strip() for line in lines if line.strip()]
    for name in _INFO_FILES:
        if (file := folder / name).is_file() and (names := _described_names(file, label)):
            return file, names
    return None


def _described_names(file: Path, label: str) -> list[str]:
    """Names of the classes of a column in Hugging Face's description; empty if it has none."""
    try:
        features = json.loads(file.read_text(encoding="utf-8")).get("features", {})
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


def _unused(shards: Shards, samples: Mapping[Shard, Sequence[Sample]]) -> list[Unused]:
    """Samples without an image, files of other kinds, and what was passed over."""
    reasons = [*shards.beside.skipped, *shards.skipped]
    beside = [path for path in shards.beside_paths if path not in (*_NAME_FILES, *_INFO_FILES)]
    reasons += [("files beside the archives", path) for path in beside]
    for shard, found in samples.items():
        for sample in found:
            if not sample.images:
                reasons.append(("samples without an image", shard.join(sample.key)))
            reasons += [("files that are not images", shard.join(name)) for name in sample.others]
    examples = dict(reversed(reasons))
    counts = Counter(reason for reason, _ in reasons)
    return [Unused(reason, count, examples[reason]) for reason, count in counts.items()]
