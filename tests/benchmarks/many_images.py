"""Time and memory of the manifest of many images, made without files.

    python -m tests.benchmarks.many_images [--counts 20000 200000 1000000]

Each count has a process of its own. It invents a folder of images in 20 classes and their scan
results; one image in 50 is a near copy of another one. Then it does what a launch does between the
scan and the first trial, and what a trial's worker does with the dataset.
"""

import argparse
import multiprocessing
import pickle
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.benchmarks.measuring import SCRATCH, fresh, write_table
from trainables.data import Dataset, SplitSpec
from trainables.data.near_copies import Appearance
from trainables.data.scan_results import ScannedImage, read_results, write_results
from trainables.data.survey import survey_of
from trainables.evaluation import fold_numbers
from trainables.listing import Listing, ReadOptions, Row

CLASSES, NEAR_COPY_SHARE = 20, 0.02
ROOT = Path("/images/of/a/factory")

INTRODUCTION = (
    "Seconds of each stage between the scan and the first trial, and the largest memory of the "
    "process so far: images, their names and scan results are invented (20 classes; one in 50 is "
    "a near copy of another). A process per column. A worker's row is the memory that the dataset "
    "adds to its process."
)

Stages = dict[str, tuple[float, float]]
"""Seconds of each stage, and the peak of the process's memory in MiB after it."""


def measure(count: int) -> Stages:
    """Run every stage for ``count`` images."""
    stages: Stages = {"nothing: the imports": (0.0, _peak_mib())}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        stages[name] = (time.perf_counter() - began, _peak_mib())

    folder = fresh(SCRATCH / "many_images" / str(count))
    with stage("listing and scan results, invented"):
        listing, scanned = _invented(count)
    with stage("scan results, written"):
        stamps = [(k, k, k) for k in range(count)]
        write_results(folder / "opened.parquet", zip(_names(listing), stamps, scanned, strict=True))
        del stamps
    with stage("scan results, read"):
        again = sum(1 for _ in read_results(folder / "opened.parquet"))
        assert again == count
    with stage("copies, near copies, splits"):
        survey = survey_of(listing, scanned, options=ReadOptions(), split=SplitSpec())
        del listing, scanned
    dataset = survey.dataset
    with stage("manifest, written"):
        dataset.write(folder / "dataset.json", folder / "split.csv")
    with stage("manifest, read"):
        Dataset.read(folder / "dataset.json", folder / "split.csv")
    with stage("five folds"):
        rows = dataset.rows("train", "val")
        fold_numbers(
            dataset.labels[rows], digests=dataset.digests_at(rows), units=dataset.units_at(rows)
        )
    pickled = folder / "dataset.pickle"
    pickled.write_bytes(pickle.dumps(dataset, protocol=5))
    return stages


def read_in_worker(count: int) -> Stages:
    """Read the dataset as a trial's worker does."""
    before, began = _peak_mib(), time.perf_counter()
    file = SCRATCH / "many_images" / str(count) / "dataset.pickle"
    pickle.loads(file.read_bytes())
    return {"a worker's dataset": (time.perf_counter() - began, _peak_mib() - before)}


def _peak_mib() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _names(listing: Listing) -> Iterator[str]:
    return (str(row.path) for row in listing.rows)


def _invented(count: int) -> tuple[Listing, list[ScannedImage]]:
    """Rows and scan results of images that don't exist."""
    rng = np.random.default_rng(0)
    rows = tuple(
        Row(ROOT / f"class_{k % CLASSES:02}" / f"IMG_{k:07}.jpg", f"class_{k % CLASSES:02}")
        for k in range(count)
    )
    hashes = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    thumbnails = rng.integers(0, 256, (count, 192), dtype=np.uint8)
    for k in rng.choice(np.arange(1, count), int(NEAR_COPY_SHARE * count), replace=False):
        hashes[k], thumbnails[k] = hashes[k - 1], thumbnails[k - 1]
    scanned = [
        ScannedImage(
            digest=f"{k:024x}",
            pixels=f"{k:024x}",
            appearance=Appearance(hashes[k].tobytes(), thumbnails[k].tobytes()),
        )
        for k in range(count)
    ]
    return Listing(ROOT, "a folder per class", rows), scanned


def main() -> None:
    """Measure every count, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--counts", nargs="+", type=int, default=[20_000, 200_000, 1_000_000])
    counts = parser.parse_args().counts
    stages: dict[int, Stages] = {}
    for count in counts:
        for run in (measure, read_in_worker):
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, context) as alone:
                stages.setdefault(count, {}).update(alone.submit(run, count).result())
    lines = [
        f"| | {' | '.join(f'{count:,} images' for count in counts)} |",
        "| --- |" + " --- |" * len(counts),
    ]
    for name in stages[counts[0]]:
        cells = [
            f"{stages[count][name][0]:.1f} s, {stages[count][name][1]:,.0f} MiB" for count in counts
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    write_table(
        "many_images",
        "The manifest of many images",
        "python -m tests.benchmarks.many_images",
        [INTRODUCTION, "", *lines],
        rounds=False,
    )


if __name__ == "__main__":
    main()
