"""Test scores of sweeps on few images, with and without cross-validation (`--folds`).

    python -m tests.benchmarks.cross_validation [--seeds 5] [--trials 12]

Whole sweeps, launched as a user would, learn from a few images of each of three sets. All other
images of the set are the test set.
"""

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from search.record import FinalModel, SweepPaths, read_trials
from tests.benchmarks.fixed_trials import link_weights
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, write_table
from trainables.data import survey_images

SETS = ("elpv", "fashion", "emoji")
IMAGES, FOLDS, EPOCHS = 240, 5, 6


def draw(labels: np.ndarray, images: int, seed: int) -> tuple[np.ndarray, ...]:
    """Rows of so many of the ``(n,)`` labels to train (4 in 5) and validate on, and the others."""
    learn, others = train_test_split(
        np.arange(len(labels)), train_size=images, stratify=labels, random_state=seed
    )
    train, val = train_test_split(learn, test_size=0.2, stratify=labels[learn], random_state=seed)
    return train, val, others


def few_images(name: str, seed: int, work: Path) -> Path:
    """Write a CSV with `IMAGES` training and validation images (4:1) and all others as test."""
    dataset = survey_images(ROOT / "data" / name, cache=SCRATCH / "survey").dataset
    table = pd.DataFrame(
        {
            "path": [str(dataset.file(row)) for row in range(len(dataset))],
            "label": np.array(dataset.classes)[dataset.labels],
            "split": "test",
        }
    )
    train, val, _ = draw(dataset.labels, IMAGES, seed)
    table.loc[train, "split"], table.loc[val, "split"] = "train", "val"
    file = work / f"{name}-{seed}.csv"
    table.to_csv(file, index=False)
    return file


@dataclass(frozen=True)
class Outcome:
    """Outcome of a sweep."""

    test: float
    """Test accuracy of the final model."""
    val: float
    """Validation accuracy of the winner."""
    trials: int
    seconds: float
    """Wall time of the search."""


def swept(table: Path, weights: Path, *flags: str) -> Outcome:
    """Launch a sweep as a user would, and delete its folder afterwards."""
    work = table.parent
    shutil.rmtree(work / "results", ignore_errors=True)
    command = [sys.executable, "-m", "search", "launch", str(table), *flags]
    command += ["--space", "demo", "--name", table.stem, "--fix", "image_size=96"]
    command += ["--max-epochs", str(EPOCHS), "--metric", "val_accuracy", "--concurrent", "2"]
    command += ["--weights", str(weights), "--export.formats", "timm"]
    command += ["--results-dir", str(work / "results"), "--cache-dir", str(work / "cache")]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = SweepPaths(work / "results" / table.stem)
    final, trials = FinalModel.read(paths), read_trials(paths.journal)
    searched = sum(trial.repeat is None for trial in trials)
    wall = json.loads(paths.profile.read_text())["stages"]["search"]
    return Outcome(final.test.accuracy, final.winner.val_accuracy, searched, wall)


def by_way(name: str, seed: int, trials: int, weights: Path, work: Path) -> dict[str, Outcome]:
    """Outcome of each validation method, on the images that ``seed`` draws."""
    table = few_images(name, seed, work)
    shared_flags = ("--seed", str(seed))
    outcomes = {"one split": swept(table, weights, *shared_flags, "--trials", str(trials))}
    crossed = swept(table, weights, *shared_flags, "--trials", str(trials), "--folds", str(FOLDS))
    outcomes[f"`--folds {FOLDS}`"] = crossed
    long = ("--time-budget", f"{crossed.seconds:.0f}")
    outcomes["one split, as long"] = swept(table, weights, *shared_flags, *long)
    for way, outcome in outcomes.items():
        print(table.stem, way, outcome, file=sys.stderr)
    return outcomes


def main() -> None:
    """Run every image set, seed and validation method, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=12)
    args = parser.parse_args()
    work, weights = fresh(SCRATCH / "folds"), link_weights(3)
    lines = [
        f"Sweeps of {args.trials} trials of {EPOCHS} epochs at 96 px over the demo space, on "
        f"{IMAGES} images drawn by a seed. One split: 80% of them train and 20% validate. "
        f"`--folds {FOLDS}`: cross-validation on all of them. One split, as long: one split, with "
        "as many trials as fit into the search time of the sweep with folds. The winner is "
        f"retrained on all {IMAGES} images and tested on all others. {args.seeds} seeds: mean "
        "(least to most). Gain: test accuracy minus that of one split with the same seed. "
        "Optimism: the winner's validation accuracy minus its test accuracy.",
    ]
    for name in SETS:
        drawn = [by_way(name, seed, args.trials, weights, work) for seed in range(args.seeds)]
        lines += [
            "",
            f"{name}:",
            "",
            "| method | test accuracy, % | gain, points | optimism, points | trials | search, s |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        base = np.array([outcomes["one split"].test for outcomes in drawn])
        for way in drawn[0]:
            rows = [astuple(outcomes[way]) for outcomes in drawn]
            test, val, trials, took = np.array(rows).T
            cells = [
                _mean_and_range(100 * test, ""),
                _mean_and_range(100 * (test - base)),
                _mean_and_range(100 * (val - test)),
            ]
            cells += [f"{trials.mean():.0f}", f"{took.mean():.0f}"]
            lines.append(f"| {way} | {' | '.join(cells)} |")
    write_table(
        "cross_validation",
        "Cross-validation with few images",
        "python -m tests.benchmarks.cross_validation",
        lines,
        rounds=False,
    )


def _mean_and_range(values: np.ndarray, sign: str = "+") -> str:
    return f"{values.mean():{sign}.1f} ({values.min():{sign}.1f} to {values.max():{sign}.1f})"


if __name__ == "__main__":
    main()
