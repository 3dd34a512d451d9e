"""Images in a folder, tar and Parquet shards: seconds of a scan, and images/s of an epoch.

``python -m tests.benchmarks.archives`` needs the webdataset library, which is no dependency of
Finesweep: ``pip install --target DIR webdataset``, and DIR on the PYTHONPATH.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import webdataset as wds
from PIL import Image
from torch.utils.data import DataLoader

from tests.benchmarks.measuring import (
    ROOT,
    SCRATCH,
    alternate,
    fresh,
    ratios,
    seconds,
    spread,
    write_table,
)
from trainables.data import Dataset, OriginalImages, PixelStore, build_store, survey_images
from trainables.images import PixelFormat

BATCH_SIZE = 64
IMAGES_PER_SHARD = 500
FORM = PixelFormat(96, "bicubic")
PARQUET_KINDS: dict[str, dict[str, Any]] = {
    "Parquet, compressed": {"row_group_size": 100},
    "Parquet, not compressed": {
        "compression": "none",
        "use_dictionary": False,
        "use_content_defined_chunking": True,
    },
}
"""Options of pyarrow for each kind of shard: as older releases of the datasets library write them,
with snappy, and as release 5 does."""
WORKERS = 2
"""DataLoader's processes."""


def write_shards(folder: Path, shards: Path) -> None:
    """Write the images of a folder per class as a WebDataset, in the folder's order."""
    classes = sorted(path.name for path in folder.iterdir())
    (fresh(shards) / "classnames.txt").write_text("\n".join(classes))
    with wds.ShardWriter(str(shards / "set-%06d.tar"), IMAGES_PER_SHARD, verbose=0) as writer:
        for file in sorted(folder.glob("*/*")):
            key = f"{file.parent.name}/{file.stem}".replace(".", "-")
            image = {file.suffix[1:].lower(): file.read_bytes()}
            writer.write({"__key__": key, "cls": classes.index(file.parent.name), **image})


def write_parquet(folder: Path, shards: Path, options: dict[str, Any]) -> None:
    """Write the images of a folder per class as Parquet files, in the folder's order."""
    classes = sorted(path.name for path in folder.iterdir())
    files = sorted(folder.glob("*/*"))
    count = -(-len(files) // IMAGES_PER_SHARD)
    features = {"label": {"_type": "ClassLabel", "names": classes}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    fresh(shards)
    for number in range(count):
        part = files[number * IMAGES_PER_SHARD : (number + 1) * IMAGES_PER_SHARD]
        images = [{"bytes": file.read_bytes(), "path": file.name} for file in part]
        labels = [classes.index(file.parent.name) for file in part]
        table = pa.table({"image": images, "label": labels}).replace_schema_metadata(metadata)
        pq.write_table(table, shards / f"set-{number:05d}-of-{count:05d}.parquet", **options)


def scan_seconds(data: Path) -> float:
    """Seconds of a survey with an empty cache."""
    cache = fresh(SCRATCH / "archives-cache")
    return seconds(lambda: survey_images(data, cache=cache))


def images_per_second(count: int, epoch: Callable[[], int]) -> float:
    """Images per second of a call that returns how many it has read."""
    began = time.perf_counter()
    read = epoch()
    assert read == count, (read, count)
    return count / (time.perf_counter() - began)


def epoch_of(store: PixelStore, count: int) -> int:
    """Read all images of a store in shuffled batches, as training does."""
    rows = np.random.default_rng(0).permutation(count)
    batches = (rows[start : start + BATCH_SIZE] for start in range(0, count, BATCH_SIZE))
    return sum(len(store.read(batch)) for batch in batches)


def to_pixels(image: Image.Image) -> torch.Tensor:
    """What the other side makes of a decoded image: the same resizing as ours."""
    return torch.from_numpy(FORM.resize(image.convert("RGB"))).permute(2, 0, 1)


def webdataset_epoch(shards: Path, workers: int) -> int:
    """Read all images with webdataset, decoded by Pillow, in a DataLoader."""
    urls = [str(path) for path in sorted(shards.glob("*.tar"))]
    pipeline = (
        wds.WebDataset(urls, shardshuffle=len(urls), seed=0)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("png;jpg;jpeg;bmp", "cls", handler=wds.reraise_exception)
        .map_tuple(to_pixels, int)
    )
    loader = DataLoader(pipeline, batch_size=BATCH_SIZE, num_workers=workers)
    return sum(len(images) for images, _ in loader)


def same_numbers(folder: Path, shards: Path) -> Dataset:
    """Assert that both give the same rows, splits, hashes and pixels. Returns the folder's."""
    cache = fresh(SCRATCH / "archives-cache")
    ours, other = survey_images(folder, cache=cache), survey_images(shards, cache=cache)
    here, there = ours.dataset, other.dataset
    assert here.fingerprint == there.fingerprint and here.digests == there.digests
    assert (here.splits == there.splits).all() and (here.labels == there.labels).all()
    assert here.units == there.units
    rows = np.arange(len(here))
    pixels = OriginalImages(here, FORM).read(rows), OriginalImages(there, FORM).read(rows)
    assert pixels[0].equal(pixels[1])
    return here


def measure(name: str) -> list[str]:
    """Lines of the table for one image set."""
    folder, shards = ROOT / "data" / name, SCRATCH / f"{name}-shards"
    write_shards(folder, shards)
    packed = {"tar": shards}
    for number, (kind, options) in enumerate(PARQUET_KINDS.items()):
        packed[kind] = SCRATCH / f"{name}-parquet-{number}"
        write_parquet(folder, packed[kind], options)
    for data in packed.values():
        dataset = same_numbers(folder, data)
    scans = alternate(
        {label: partial(scan_seconds, data) for label, data in {"folder": folder, **packed}.items()}
    )
    cache = SCRATCH / "archives-cache"
    count = len(dataset)
    stores: dict[str, PixelStore] = {
        "folder, decoded at each reading": OriginalImages(dataset, FORM),
        **{
            f"{label}, decoded at each reading": OriginalImages(
                survey_images(data, cache=cache).dataset, FORM
            )
            for label, data in packed.items()
        },
        "our store of decoded pixels": build_store(dataset, FORM, cache=cache),
    }
    total = len(list(folder.glob("*/*")))
    epochs = alternate(
        {
            **{
                label: partial(images_per_second, count, partial(epoch_of, store, count))
                for label, store in stores.items()
            },
            "webdataset, this process": partial(
                images_per_second, total, partial(webdataset_epoch, shards, 0)
            ),
            f"webdataset, {WORKERS} workers": partial(
                images_per_second, total, partial(webdataset_epoch, shards, WORKERS)
            ),
        }
    )
    lines = [
        f"| {name} | scan of the {label}, empty cache | {spread(values, 3)} s |"
        for label, values in scans.items()
    ]
    lines += [f"| {name} | {label} | {spread(v, 3)} images/s |" for label, v in epochs.items()]
    lines += [
        f"| {name} | scan: {label} / folder | {spread(ratios(scans[label], scans['folder']), 3)} |"
        for label in packed
    ]
    return lines


def main() -> None:
    """Measure the image sets that are named, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["fashion", "elpv"])
    sets = parser.parse_args().sets
    lines = [line for name in sets for line in measure(name)]
    write_table(
        "archives",
        "Images in tar and Parquet shards, read where they lie",
        "python -m tests.benchmarks.archives",
        [
            f"webdataset {version('webdataset')}, pillow {version('pillow')}; {FORM.side} px, "
            f"batches of {BATCH_SIZE}, shards of {IMAGES_PER_SHARD} images made by webdataset's "
            f"writer, and as many in a Parquet file; {torch.get_num_threads()} threads on "
            f"{len(os.sched_getaffinity(0))} CPUs. "
            "Folder, tar and Parquet gave the same rows, splits, hashes and pixels. The compressed "
            "Parquet files have row groups of 100 images, each of which is decompressed from its "
            "beginning; the others have one group. An epoch of webdataset "
            "shuffles the shards and a buffer of 1,000 samples, decodes with Pillow and resizes as "
            "we do, with one thread a process; ours is a full shuffle with all threads, and leaves "
            "out copies. Files are in the page cache. Where the load is above the number of CPUs, "
            "compare within a round only.",
            "",
            "| images | what | median (least to most) |",
            "| --- | --- | --- |",
            *lines,
        ],
    )


if __name__ == "__main__":
    main()
