"""Ten fixed trials on small image sets: best validation accuracy, ours and a docs-style script's.

    python -m tests.benchmarks.few_images FOLDER... [--images 200] [--epochs 4] [--seeds 1]

The points are the first ten of `fixed_trials`, at 128 px and batch 32. Every FOLDER has a folder
per class; images of a class are drawn for training and validation at random. The docs-style script
runs as it is, and as people write it first ("plain": PyTorch's own initial head, and BatchNorm of
frozen layers trained along). No Ray: each trial runs alone on one thread.
"""

import argparse
import multiprocessing
import statistics
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from spaces import TrialParams
from spaces.wording import counted
from tests.benchmarks.fixed_trials import link_weights, points
from tests.benchmarks.measuring import SCRATCH, fresh, write_table
from trainables.data import Dataset, ImageSet, build_store, survey_images
from trainables.models import Preprocessing, find_weights
from trainables.process import configure_process
from trainables.training import ComputeSettings, FineTuneSettings, FineTuning, finetune

POINTS, IMAGE_SIZE, WORKERS = 10, 128, 2
INTRODUCTION = (
    "Mean of the best validation accuracies of ten fixed trials ({epochs} epochs, batch 32, 128 "
    "px, at most {images} training images, {seeds}): the docs-style script (docs), ours, or "
    "ours with the values in the head of a column. flowers, sign and brain are the public "
    "repositories martinwestin/flower_classification, ardamavi/Sign-Language-Digits-Dataset and "
    "MohamedAliHabib/Brain-Tumor-Detection; nothing was chosen on them."
)


@dataclass(frozen=True)
class Task:
    """One trial of one side."""

    folder: Path
    images: int
    side: str
    """ "docs", "plain", or values of parameters of ours, such as "batchnorm=frozen"."""
    point: int
    epochs: int
    seed: int


@lru_cache
def dataset_of(folder: Path, images: int) -> Dataset:
    """Images of a folder: ``images`` to train on, as many others at most to validate on."""
    whole = survey_images(folder, cache=SCRATCH / "survey").dataset
    rng, place = np.random.default_rng(0), np.empty(len(whole))
    for k in range(len(whole.classes)):
        members = rng.permutation(np.flatnonzero(whole.labels == k))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    train = min(images, len(whole) // 2)
    order, splits = np.argsort(place, kind="stable"), np.full(len(whole), "", dtype="<U5")
    splits[order[:train]], splits[order[train : 2 * train]] = "train", "val"
    return replace(whole, splits=splits)


def best_accuracy(task: Task) -> float:
    """Best validation accuracy over the epochs of a trial."""
    run = _docs if task.side in ("docs", "plain") else _ours
    return run(task)


def _ours(task: Task) -> float:
    given = dict(pair.split("=") for pair in task.side.split(",") if "=" in pair)
    fixed = {"image_size": IMAGE_SIZE, "head_start": "solved"}
    values = {**points()[task.point], **fixed, **given}
    dataset = dataset_of(task.folder, task.images)
    return best_validation_accuracy(values, dataset, epochs=task.epochs, seed=task.seed)


def best_validation_accuracy(
    values: Mapping[str, object], dataset: Dataset, *, epochs: int, seed: int
) -> float:
    """Best validation accuracy over the epochs of a fine-tune of ours with these parameters."""
    params = TrialParams.parse(dict(values))
    pixel_format = Preprocessing.of(params.backbone).pixel_format(params.image_size, params.fit)
    pixels = build_store(dataset, pixel_format, cache=SCRATCH / "pixels")
    tuning = FineTuning(
        params,
        find_weights(params.backbone, "pretrained", cache=SCRATCH / "survey"),
        num_classes=len(dataset.classes),
        train=ImageSet.of(dataset, pixels, "train"),
        val=ImageSet.of(dataset, pixels, "val"),
        settings=FineTuneSettings(max_epochs=epochs, seed=seed),
        compute=ComputeSettings(precision="fp32"),
    )
    return max(report.val_accuracy for report in finetune(tuning))


def _docs(task: Task) -> float:
    from ray import tune

    from tests.benchmarks import docs_style

    accuracies: list[float] = []
    tune.report = lambda metrics: accuracies.append(metrics["val_accuracy"])
    docs_style.train(
        {
            "data": str(_folder(task)),
            "weights": str(SCRATCH / "weights"),
            "max_epochs": task.epochs,
            "batch_size": 32,
            "seed": task.seed,
            "plain": task.side == "plain",
            **points()[task.point],
            "image_size": IMAGE_SIZE,
        }
    )
    return max(accuracies)


def _folder(task: Task) -> Path:
    """The images as train and val folders, for torchvision's `ImageFolder`."""
    return SCRATCH / "few_images" / f"{task.folder.name}-{task.images}"


def link_images(folder: Path, images: int) -> None:
    """Make the folders of `_folder`, with links to the images."""
    dataset = dataset_of(folder, images)
    target = fresh(SCRATCH / "few_images" / f"{folder.name}-{images}")
    for split in ("train", "val"):
        for name in dataset.classes:
            (target / split / name).mkdir(parents=True)
        for row in dataset.rows(split):
            file = dataset.file(row)
            link = target / split / dataset.classes[dataset.labels[row]] / f"{row}{file.suffix}"
            link.symlink_to(file)


def main() -> None:
    """Run all trials, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--sides", nargs="+", default=["docs", "plain", "ours"])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--table", default="few_images")
    args = parser.parse_args()
    folders = [folder.absolute() for folder in args.folders]
    link_weights(2)
    for folder in folders:
        link_images(folder, args.images)
    tasks = [
        Task(folder, args.images, side, point, args.epochs, seed)
        for folder in folders
        for point in range(POINTS)
        for side in args.sides
        for seed in range(args.seeds)
    ]
    context = multiprocessing.get_context("spawn")
    initializer = partial(configure_process, threads=1)
    reached: dict[tuple[Path, str], list[float]] = defaultdict(list)
    with ProcessPoolExecutor(WORKERS, context, initializer) as pool:
        for task, accuracy in zip(tasks, pool.map(best_accuracy, tasks), strict=True):
            reached[task.folder, task.side].append(accuracy)
            print(task.folder.name, task.side, task.point, f"{accuracy:.3f}", flush=True)
    write_table(
        args.table,
        "Ten fixed trials on few images",
        "python -m tests.benchmarks.few_images FOLDER...",
        [
            INTRODUCTION.format(
                epochs=args.epochs, images=args.images, seeds=counted(args.seeds, "seed")
            ),
            "",
            *table_lines(reached, folders, args.sides),
        ],
        rounds=False,
    )


def table_lines(
    reached: dict[tuple[Path, str], list[float]], folders: list[Path], sides: list[str]
) -> list[str]:
    """Mean of the best validation accuracies by image set and side."""
    lines = [f"| set | {' | '.join(sides)} |", "| --- |" + " --- |" * len(sides)]
    means = {key: statistics.mean(values) for key, values in reached.items()}
    for folder in folders:
        cells = " | ".join(f"{means[folder, side]:.3f}" for side in sides)
        lines.append(f"| {folder.name} | {cells} |")
    totals = [statistics.mean(means[folder, side] for folder in folders) for side in sides]
    lines.append(f"| mean | {' | '.join(f'{total:.3f}' for total in totals)} |")
    lines += [
        "",
        f"| unfreeze, all sets | {' | '.join(sides)} |",
        "| --- |" + " --- |" * len(sides),
    ]
    depth_of = [float(str(point["unfreeze"])) for point in points()[:POINTS]]
    for depth in sorted(set(depth_of)):
        cells = []
        for side in sides:
            runs = [np.reshape(reached[folder, side], (POINTS, -1)) for folder in folders]
            at_depth = np.hstack(runs)[np.array(depth_of) == depth]
            cells.append(f"{at_depth.mean():.3f}")
        lines.append(f"| {depth:g} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
