"""Record learning curves of fine-tunes at points of a whole space, for `replay` to search on.

    python -m tests.benchmarks.record_curves [--minutes 60]

Every point is trained to its last epoch on every image set, even if its scores are bad. The script
may be interrupted: it skips points that results/benchmarks/curves has already.
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
"""Image set recorded after the search was finished; no constant of the search was tuned on it."""
SPACE = SearchSpace.load(str(Path(__file__).with_name("curves.toml")))
EPOCHS, POINTS, WORKERS = 9, 512, 2
IMAGES = {"train": 500, "val": 250, "test": 600}
"""Largest number of images per split. A smaller image set is split in the same proportion."""
REPEATED, SEEDS = 8, 3
"""One point in `REPEATED` is trained with `SEEDS` seeds, to measure the variance between seeds."""
KEPT = ("epoch", "train_loss", "val_loss", "val_accuracy")
"""Fields of an epoch's report that are recorded."""


def points() -> list[TrialParams]:
    """Points of a Sobol sequence over the space. Half of them unfreeze less than a quarter."""
    made = []
    for row in qmc.Sobol(len(SPACE.open), seed=0).random(POINTS).tolist():
        values: dict[str, object] = {}
        for (field, dim), place in zip(SPACE.open.items(), row, strict=True):
            if isinstance(dim, Choices):
                values[field] = dim.choices[int(place * len(dim.choices))]
                continue
            share = place**2 if field == "unfreeze" else place  # fewer deep ones, which cost most
            low, high = (math.log(b) if dim.log else b for b in (dim.low, dim.high))
            value = low + share * (high - low)
            values[field] = math.exp(value) if dim.log else value
        made.append(SPACE.params(values, native_image_size={}))
    return made


@lru_cache
def dataset_of(name: str) -> Dataset:
    """``data/NAME`` with stratified splits of at most `IMAGES`. Other images are in no split."""
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
    """Train point ``number``, and return a row per epoch."""
    params, dataset = points()[number], dataset_of(name)
    preprocessing = Preprocessing.of(params.backbone)
    pixels = build_store(
        dataset, preprocessing.pixel_format(params.image_size, params.fit), cache=SCRATCH / "pixels"
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
    """Add rows to an image set's file, and return the number of points that it then has."""
    file = CURVES / f"{name}.parquet"
    before = [pd.read_parquet(file)] if file.exists() else []
    table = pd.concat([*before, pd.DataFrame(rows)]).sort_values(["point", "seed", "epoch"])
    small = table.astype({c: "float32" for c in table.columns if table[c].dtype == "float64"})
    write_atomically(file, partial(small.to_parquet, index=False, compression="zstd"))
    return int(table["point"].nunique())


def known(name: str) -> set[tuple[int, int]]:
    """Pairs of point and seed in an image set's file."""
    file = CURVES / f"{name}.parquet"
    if not file.exists():
        return set()
    table = pd.read_parquet(file, columns=["point", "seed"])
    return set(zip(table["point"].tolist(), table["seed"].tolist(), strict=True))


def describe() -> None:
    """Write the README of the recorded curves."""
    lines = [
        f"Every epoch of {EPOCHS}-epoch fine-tunes without early stopping, at 64 px in float32. "
        "Points are a Sobol sequence over `tests/benchmarks/curves.toml`, the same on every image "
        "set. `unfreeze` is the square of the drawn number, so that a third of the backbone trains "
        f"on average. The seed is 0; one point in {REPEATED} has {SEEDS} seeds. Two fine-tunes ran "
        "at a time, with one thread each.",
        "",
        "| image set | train, val, test images | classes | points | minutes of training | best "
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
        "Limits: three backbones of one family, because no other weights were available offline. "
        "Images are small and few, so validation accuracy is uncertain by 2 to 5 points. "
        "`digits` has enlarged 8x8 images. `seconds` is CPU time on one core of the machine that "
        "recorded the point. Features stored by an earlier point were read instead of computed; "
        "`prefix_seconds` is the time spent on features.",
    ]
    write_table("curves/README", "Recorded curves", "make curves", lines)


def main() -> None:
    """Record points until the time is over, and write the README."""
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
