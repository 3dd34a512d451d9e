"""What `--folds` does to the test where images are few, beside as much time spent on more trials.

    python -m tests.benchmarks.cross_validation [--seeds 5] [--trials 12]

Whole sweeps, as a user would launch them, on a few images of three sets; all others are the test.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from search.final import FinalModel
from search.paths import SweepPaths
from search.study import read_trials
from tests.benchmarks.fixed_trials import link_weights
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, write_table
from trainables.survey import survey

SETS = ("elpv", "fashion", "emoji")
IMAGES, FOLDS, EPOCHS = 240, 5, 6


def few_images(name: str, seed: int, work: Path) -> Path:
    """A table of `IMAGES` to train and validate on, four to one, and of the others as the test."""
    dataset = survey(ROOT / "data" / name, cache=SCRATCH / "survey").dataset
    table = pd.DataFrame(
        {
            "path": [str(dataset.file(row)) for row in range(len(dataset))],
            "label": np.array(dataset.classes)[dataset.labels],
            "split": "test",
        }
    )
    learn, _ = train_test_split(
        table.index, train_size=IMAGES, stratify=table["label"], random_state=seed
    )
    train, val = train_test_split(
        learn, test_size=0.2, stratify=table["label"][learn], random_state=seed
    )
    table.loc[train, "split"], table.loc[val, "split"] = "train", "val"
    file = work / f"{name}-{seed}.csv"
    table.to_csv(file, index=False)
    return file


def swept(table: Path, way: str, flags: list[str], weights: Path) -> tuple[float, float, float]:
    """Test accuracy of what a sweep hands over, the winner's in validation, seconds of trials."""
    work = table.parent
    command = [sys.executable, "-m", "search", "launch", str(table), *flags]
    command += ["--space", "demo", "--name", f"{table.stem}-{way}", "--image-size", "96"]
    command += ["--max-epochs", str(EPOCHS), "--metric", "val_accuracy", "--concurrent", "2"]
    command += ["--weights", str(weights), "--export.formats", "timm"]
    command += ["--results-dir", str(work / "results"), "--cache-dir", str(work / "cache")]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = SweepPaths(work / "results" / f"{table.stem}-{way}")
    final, trials = FinalModel.read(paths), read_trials(paths.journal)
    return final.test.accuracy, final.members[0].val_accuracy, sum(t.seconds for t in trials)


def main() -> None:
    """Every set, seed and way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=12)
    args = parser.parse_args()
    work, weights = fresh(SCRATCH / "folds"), link_weights(3)
    ways = {
        "one split": ["--trials", str(args.trials)],
        f"--folds {FOLDS}": ["--trials", str(args.trials), "--folds", str(FOLDS)],
        "one split, more trials": ["--trials", str(FOLDS * args.trials)],
    }
    lines = [
        f"Sweeps of {args.trials} trials (more: {FOLDS * args.trials}) of {EPOCHS} epochs at 96 px "
        f"over the demo space, on {IMAGES} images drawn by a seed: four in five to train on and "
        f"one to validate on, or {FOLDS} folds of them; the winner is retrained on all of them, "
        f"and the test is every other image. {args.seeds} seeds: mean (least to most); differences "
        "are from one split, seed by seed. Above the test: how much better the winner looked in "
        "validation than it was.",
    ]
    for name in SETS:
        found: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
        for seed in range(args.seeds):
            table = few_images(name, seed, work)
            for k, (way, flags) in enumerate(ways.items()):
                result = swept(table, str(k), [*flags, "--seed", str(seed)], weights)
                found[way].append(result)
                print(name, seed, way, *(f"{v:.4f}" for v in result), file=sys.stderr)
        lines += [
            "",
            f"{name}:",
            "",
            "| way | test accuracy, % | points more | above the test, points | seconds of trials |",
            "| --- | --- | --- | --- | --- |",
        ]
        base = np.array(found["one split"])
        for way, results in found.items():
            told, seen, took = np.array(results).T
            more = 100 * (told - base[:, 0])
            cells = [f"{c.mean():.1f} ({c.min():.1f} to {c.max():.1f})" for c in [100 * told]]
            cells += [
                f"{c.mean():+.1f} ({c.min():+.1f} to {c.max():+.1f})"
                for c in [more, 100 * (seen - told)]
            ]
            lines.append(f"| {way} | {' | '.join(cells)} | {took.mean():.0f} |")
    write_table(
        "cross_validation",
        "Cross-validation of trials where images are few",
        "python -m tests.benchmarks.cross_validation",
        lines,
        rounds=False,
    )


if __name__ == "__main__":
    main()
