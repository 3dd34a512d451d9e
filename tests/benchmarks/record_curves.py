"""Learning curves of whole fine-tunes all over a space, on which searches are replayed.

    python -m tests.benchmarks.record_curves [--minutes 60]

Every point is trained to its last epoch on every data set, good or not. A run continues after the
points that results/benchmarks/curves has already, the sets in turn, so it may be interrupted.
"""

import argparse
import math
import multiprocessing
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import qmc

from spaces import Choices, SearchSpace, TrialParams
from tests.benchmarks.measuring import ROOT, SCRATCH, TABLES, write_table
from trainables.data import Dataset, ImageSet, build_store, survey_images
from trainables.evaluation import scores_of
from trainables.files import write_atomically
from trainables.inputs import FeatureLoader, FeatureStore
from trainables.models import Preprocessing, find_weights, split_for_trial
from trainables.process import configure_process
from trainables.training import ComputeSettings, FineTuneSettings, FineTuning, finetune, logits_of

CURVES = TABLES / "curves"
SETS = ("elpv", "foods", "fashion", "digits", "emoji")
UNSEEN = "emoji"
"""Recorded when the search was done: none of its constants was chosen on it."""
SPACE = SearchSpace.load(str(Path(__file__).with_name("curves.toml")))
EPOCHS, POINTS, WORKERS = 9, 512, 2
IMAGES = {"train": 500, "val": 250, "test": 600}
"""At most: a set with fewer is divided in the same proportion."""
REPEATED, SEEDS = 8, 3
"""One point in so many is trained with so many seeds, to see how much of a score is luck."""
KEPT = ("epoch", "train_loss", "val_loss", "val_accuracy")
"""Of an epoch's report."""


def points() -> list[TrialParams]:
    """Points of a Sobol sequence over the space; half of them unfreeze less than a quarter."""
    made = []
    for row in qmc.Sobol(len(SPACE.open), seed=0).random(POINTS).tolist():
        values: dict[str, object] = {}
        for (field, dim), place in zip(SPACE.open.items(), row, strict=True):
            if isinstance(dim, Choices):
                values[field] = dim.choices[int(place * len(dim.choices))]
                continue
            share = place**2 if field == "unfreeze" else place  # deep ones cost most
            low, high = (math.log(b) if dim.log else b for b in (dim.low, dim.high))
            value = low + share * (high - low)
            values[field] = math.exp(value) if dim.log else value
        made.append(SPACE.params(values, native_image_size={}))
    return made


@lru_cache
def dataset_of(name: str) -> Dataset:
    """``data/NAME`` with splits of at most `IMAGES`, stratified; other images are in no split."""
    whole = survey_images(ROOT / "data" / name, cache=SCRATCH / "survey").dataset
    rng, place = np.random.default_rng(0), np.empty(len(whole))
    for k in range(len(whole.classes)):
        members = rng.permutation(np.flatnonzero(whole.labels == k))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    share = min(1.0, len(whole) / sum(IMAGES.values()))
    ends = np.cumsum([0, *(int(share * count) for count in IMAGES.values())])
    order, splits = np.argsort(place, kind="stable"), np.full(len(whole), "", dtype="<U5")
    for split, first, last in zip(IMAGES, ends, ends[1:], strict=False):
        splits[order[first:last]] = split
    return replace(whole, splits=splits)


def record(name: str, number: int, seed: int) -> list[dict[str, object]]:
    """The epochs of point ``number``, a row each."""
    params, dataset = points()[number], dataset_of(name)
    preprocessing = Preprocessing.of(params.backbone)
    pixels = build_store(
        dataset, preprocessing.pixel_format(params.image_size), cache=SCRATCH / "pixels"
    )
    store = FeatureStore(SCRATCH / "features-curves", 2**35)
    tuning = FineTuning(
        params,
        find_weights(params.backbone, "pretrained", cache=SCRATCH / "survey"),
        num_classes=len(dataset.classes),
        train=ImageSet.of(dataset, pixels, "train"),
        val=ImageSet.of(dataset, pixels, "val"),
        settings=FineTuneSettings(max_epochs=EPOCHS, views=4, seed=seed),
        compute=ComputeSettings(precision="fp32", store=store),
    )
    images, split = ImageSet.of(dataset, pixels, "test"), split_for_trial(tuning.model, params)
    kept = store if store.admits(split, len(images), 1, tuning.device) else None
    test = FeatureLoader(images, split, preprocessing, device=tuning.device, store=kept)
    rows: list[dict[str, object]] = []
    began = time.process_time()
    for report in finetune(tuning):
        spent = time.process_time() - began
        tested = scores_of(logits_of(tuning.model, test), images.labels)
        rows.append(
            {"point": number, "seed": seed}
            | {field: getattr(params, field) for field in SPACE.open}
            | {field: getattr(report, field) for field in KEPT}
            | {"test_loss": tested.loss, "test_accuracy": tested.accuracy}
            | {"seconds": spent, "prefix_seconds": spent * report.prefix_seconds / report.seconds}
        )
        began = time.process_time()
    return rows


def keep(name: str, rows: list[dict[str, object]]) -> int:
    """Add rows to the file of a data set; the number of points that it has now."""
    file = CURVES / f"{name}.parquet"
    before = [pd.read_parquet(file)] if file.exists() else []
    table = pd.concat([*before, pd.DataFrame(rows)]).sort_values(["point", "seed", "epoch"])
    small = table.astype({c: "float32" for c in table.columns if table[c].dtype == "float64"})
    write_atomically(file, partial(small.to_parquet, index=False, compression="zstd"))
    return int(table["point"].nunique())


def known(name: str) -> set[tuple[int, int]]:
    """Points and seeds that the file of a data set has."""
    file = CURVES / f"{name}.parquet"
    if not file.exists():
        return set()
    table = pd.read_parquet(file, columns=["point", "seed"])
    return set(zip(table["point"].tolist(), table["seed"].tolist(), strict=True))


def describe() -> None:
    """Write the README beside the curves."""
    lines = [
        f"Every epoch of {EPOCHS}-epoch fine-tunes without early stopping, at Sobol points of "
        "`tests/benchmarks/curves.toml` (the square of the drawn number for `unfreeze`, so that a "
        "third of the backbone trains in the mean), 64 px, float32, one thread, two at a time, "
        f"seed 0; one point in {REPEATED} with {SEEDS} seeds. The same points on every set.",
        "",
        "| set | train, val, test images | classes | points | minutes of training | best "
        "validation accuracy | test accuracy of that epoch | best test accuracy |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in SETS:
        dataset, table = dataset_of(name), pd.read_parquet(CURVES / f"{name}.parquet")
        images = ", ".join(str(len(dataset.rows(split))) for split in ("train", "val", "test"))
        best = table.loc[table["val_accuracy"].idxmax()]
        lines.append(
            f"| {name} | {images} | {len(dataset.classes)} | {table['point'].nunique()} | "
            f"{table['seconds'].sum() / 60:.0f} | {best['val_accuracy']:.4f} | "
            f"{best['test_accuracy']:.4f} | {table['test_accuracy'].max():.4f} |"
        )
    lines += [
        "",
        "Limits: three backbones of one family, for no other weights can be had offline; small "
        "images and small sets, so that validation accuracy is uncertain by two to five points; "
        "`digits` are 8x8 images blown up. `seconds` are the processor's, of one core of the "
        "machine that recorded the point; features that an earlier point had left were read, not "
        "computed (`prefix_seconds` says what was).",
    ]
    write_table("curves/README", "Recorded curves", "make curves", lines)


def main() -> None:
    """Record points until the minutes are over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    CURVES.mkdir(parents=True, exist_ok=True)
    done = {name: known(name) for name in SETS}
    tasks = (
        (name, number, seed)
        for number in range(POINTS)
        for seed in range(1 if number % REPEATED else SEEDS)
        for name in SETS
        if (number, seed) not in done[name]
    )
    pool = ProcessPoolExecutor(
        WORKERS,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=partial(configure_process, threads=1),
    )
    with pool:
        running: dict[Future[list[dict[str, object]]], str] = {}
        while True:
            while len(running) < WORKERS and time.monotonic() < end and (task := next(tasks, None)):
                running[pool.submit(record, *task)] = task[0]
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                print(f"  {name}: {keep(name, future.result())} points", file=sys.stderr)
    describe()


if __name__ == "__main__":
    main()
