"""A sweep on one GPU, and the docs-style script with one trial at a time on the same GPU."""

import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spaces import SearchSpace
from tests.benchmarks.measuring import SCRATCH, alternate, ratios, spread
from tests.benchmarks.on_a_gpu.searches import Point, SearchRun, kernel_share, run_search
from trainables.data import survey_images

TRIALS, EPOCHS = 16, 2
DOCS_STYLE_TRIALS, DOCS_STYLE_EPOCHS = 4, 2
"""Fewer, because they are slower: what is compared is images per second. DINOv2 at 224 px, the
sixth backbone, needs an option that the docs-style script lacks."""


def points() -> list[Point]:
    """Points at random depths and strengths of augmentation, over the backbones of `default`."""
    backbones = SearchSpace.load("default").backbones
    draw = random.Random(0)
    return [
        {
            "backbone": backbones[k % len(backbones)],
            "image_size": 224,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "unfreeze": draw.random(),
            "augment": draw.random(),
        }
        for k in range(TRIALS)
    ]


def against_docs_style(data: Path, rounds: int) -> list[str]:
    """Images per second of a sweep and of the docs-style script, over the same points."""
    ours: list[SearchRun] = []
    kernels: dict[str, list[float]] = {"docs-style": [], "docs-style, bfloat16": []}

    def sweep() -> float:
        run = run_search(data, points(), ["--no-retrain"] if ours else [], epochs=EPOCHS)
        ours.append(run)
        return run.images_per_second

    def docs_style(name: str, *, bfloat16: bool) -> float:
        with kernel_share() as samples:
            rate, seconds = _run_docs_style(data, points()[:DOCS_STYLE_TRIALS], bfloat16=bfloat16)
        busy = samples[-int(4 * seconds) :]
        kernels[name].append(sum(busy) / max(1, len(busy)))
        return rate

    rates = alternate(
        {
            "Finesweep": sweep,
            "docs-style": lambda: docs_style("docs-style", bfloat16=False),
            "docs-style, bfloat16": lambda: docs_style("docs-style, bfloat16", bfloat16=True),
        },
        rounds,
    )
    busy = {"Finesweep": [run.kernel_share for run in ours], **kernels}
    lines = [
        f"A search of {TRIALS} trials of {EPOCHS} epochs on {ours[0].train_images} training "
        "images: the backbones of the preset `default`, untrained, at 224 px and batch 32, at "
        "random depths and strengths of augmentation, no early stopping. The docs-style script "
        f"runs the first {DOCS_STYLE_TRIALS} of the same points for {DOCS_STYLE_EPOCHS} epochs, "
        "one at a time on the whole GPU, with all cores for its DataLoader; in its second row it "
        "trains in bfloat16 autocast. Images/s are all images trained on per second of the search, "
        "without the start of Ray; validation and the start of trials count.",
        "",
        "| | images/s | Finesweep is times as fast | share of time in kernels |",
        "| --- | --- | --- | --- |",
    ]
    for name, measured in rates.items():
        times = spread(ratios(rates["Finesweep"], measured), 3)
        lines.append(f"| {name} | {spread(measured)} | **{times}** | {spread(busy[name], 2)} |")
    statuses = [sorted(trial.status for trial in run.trials) for run in ours]
    stages = {name: round(seconds, 1) for name, seconds in ours[0].stages.items()}
    lines += [
        "",
        f"Finesweep: {ours[-1].allocation}. Trials that completed: "
        + ", ".join(f"{names.count('completed')} of {len(names)}" for names in statuses)
        + f". Seconds of the stages of the first: {stages}.",
    ]
    return lines


def _run_docs_style(data: Path, points: Sequence[Point], *, bfloat16: bool) -> tuple[float, float]:
    """Run the docs-style script in a process; returns its images per second and its seconds."""
    dataset = survey_images(data, cache=SCRATCH / "survey").dataset
    images = len(points) * DOCS_STYLE_EPOCHS * len(dataset.rows("train"))
    context = multiprocessing.get_context("spawn")
    took = context.Queue()
    worker = context.Process(target=_docs_style, args=(data, points, bfloat16, took))
    worker.start()
    worker.join()
    seconds = took.get(timeout=1)
    return images / seconds, seconds


def _docs_style(data: Path, points: Sequence[Point], bfloat16: bool, took: Any) -> None:
    """Put the seconds that the script takes into ``took``, without those of Ray's start."""
    import ray
    from ray import tune

    from tests.benchmarks import docs_style

    cores = os.cpu_count() or 1
    shared = {
        "data": str(data),
        "weights": None,
        "max_epochs": DOCS_STYLE_EPOCHS,
        "loader_workers": cores - 1,
        "bfloat16": bfloat16,
        "plain": True,
        "weight_decay": 1e-3,
        "dropout": 0.1,
        "backbone_lr_scale": 0.1,
    }

    def trainable(config: dict) -> None:  # type: ignore[type-arg]
        docs_style.train({**shared, **config["point"]})

    ray.init(address="local", num_gpus=1, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        began = time.perf_counter()
        results = tune.Tuner(
            tune.with_resources(trainable, {"gpu": 1, "cpu": cores}),
            param_space={"point": tune.grid_search(list(points))},
            tune_config=tune.TuneConfig(metric="val_accuracy", mode="max"),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        seconds = time.perf_counter() - began
    if results.errors:
        raise SystemExit(str(results.errors[0]))
    took.put(seconds)
