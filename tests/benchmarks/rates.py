"""Learning rates of the backbone by BatchNorm mode and depth, on few images.

    python -m tests.benchmarks.rates FOLDER... [--images 200] [--epochs 6]

Every FOLDER has a folder per class. The head's rate is 2e-3 in all trials; they differ in the
statistics that BatchNorm normalises by, in the depth, and in the rate of the backbone. No Ray: each
trial runs alone on one thread.
"""

import argparse
import itertools
import multiprocessing
import statistics
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks.few_images import WORKERS, best_validation_accuracy, dataset_of
from tests.benchmarks.fixed_trials import link_weights
from tests.benchmarks.measuring import write_table
from trainables.process import configure_process

HEAD_RATE = 2e-3
BACKBONE_RATES = (4e-5, 1.5e-4, 5e-4, 2e-3)
DEPTHS = (0.25, 0.5, 1.0)
MODES = ("frozen", "batch")


@dataclass(frozen=True)
class Task:
    """One trial."""

    folder: Path
    images: int
    epochs: int
    mode: str
    depth: float
    rate: float
    """Peak learning rate of the backbone."""


def best_accuracy(task: Task) -> float:
    """Best validation accuracy over the epochs of a trial."""
    values = {
        "backbone": "tf_efficientnet_lite0",
        "image_size": 96,
        "unfreeze": task.depth,
        "learning_rate": HEAD_RATE,
        "backbone_lr_scale": task.rate / HEAD_RATE,
        "batchnorm": task.mode,
        "augment": 0.2,
        "dropout": 0.2,
    }
    dataset = dataset_of(task.folder, task.images)
    return best_validation_accuracy(values, dataset, epochs=task.epochs, seed=0)


def main() -> None:
    """Run all trials, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    link_weights(1)
    tasks = [
        Task(folder.absolute(), args.images, args.epochs, mode, depth, rate)
        for folder in args.folders
        for depth, rate, mode in itertools.product(DEPTHS, BACKBONE_RATES, MODES)
    ]
    reached: dict[tuple[str, float, float], list[float]] = defaultdict(list)
    context = multiprocessing.get_context("spawn")
    initializer = partial(configure_process, threads=1)
    with ProcessPoolExecutor(WORKERS, context, initializer) as pool:
        for task, accuracy in zip(tasks, pool.map(best_accuracy, tasks), strict=True):
            reached[task.mode, task.depth, task.rate].append(accuracy)
            print(task, f"{accuracy:.3f}", flush=True)
    names = ", ".join(folder.name for folder in args.folders)
    lines = [
        f"Best validation accuracy of tf_efficientnet_lite0 at 96 px, mean (least to most) over "
        f"{names}: at most {args.images} training images each, {args.epochs} epochs, AdamW, a "
        f"rate of {HEAD_RATE:g} for the head.",
        "",
        "| BatchNorm | unfreeze | " + " | ".join(f"{r:g}" for r in BACKBONE_RATES) + " |",
        "| --- | --- |" + " --- |" * len(BACKBONE_RATES),
    ]
    for mode, depth in itertools.product(MODES, DEPTHS):
        cells = []
        for rate in BACKBONE_RATES:
            each = reached[mode, depth, rate]
            cells.append(f"{statistics.mean(each):.3f} ({min(each):.2f} to {max(each):.2f})")
        lines.append(f"| {mode} | {depth:g} | {' | '.join(cells)} |")
    write_table(
        "rates",
        "Rates of the backbone by BatchNorm mode",
        "python -m tests.benchmarks.rates FOLDER...",
        lines,
        rounds=False,
    )


if __name__ == "__main__":
    main()
