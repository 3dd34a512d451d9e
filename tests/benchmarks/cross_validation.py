"""Test scores with and without `--folds` where images are few, after searches of equal length.

    python -m tests.benchmarks.cross_validation [--seeds 5] [--trials 12]

Whole sweeps, as a user would launch them, on a few images of three sets; all the other images are
the test.
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


def few_images(name: str, seed: int, work: Path) -> Path:
    """A CSV of `IMAGES` training and validation images (4:1), and of all others as the test."""
    dataset = survey_images(ROOT / "data" / name, cache=SCRATCH / "survey").dataset
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


@dataclass(frozen=True)
class Outcome:
    """Scores of a sweep, in the search and in the test."""

    test: float
    """Accuracy of what it hands over."""
    val: float
    """The winner's in validation."""
    trials: int
    seconds: float
    """Wall time of the search."""


def swept(table: Path, weights: Path, *flags: str) -> Outcome:
    """Launch a sweep as a user would, and delete its folder afterwards."""
    work = table.parent
    shutil.rmtree(work / "results", ignore_errors=True)
    command = [sys.executable, "-m", "search", "launch", str(table), *flags]
    command += ["--space", "demo", "--name", table.stem, "--image-size", "96"]
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
    """The outcome of each way of validating, on one draw of images."""
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
    """Run every image set, seed and way, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=12)
    args = parser.parse_args()
    work, weights = fresh(SCRATCH / "folds"), link_weights(3)
    lines = [
        f"Sweeps of {args.trials} trials of {EPOCHS} epochs at 96 px over the demo space, on "
        f"{IMAGES} images drawn by a seed: four in five to train on and one to validate on, or "
        f"{FOLDS} folds of them; and as many trials as fit into the time that the search with "
        "folds took. The winner is retrained on all of them, and the test is every other image. "
        f"{args.seeds} seeds: mean (least to most). Points more are than one split has, seed by "
        "seed; too kind is by how much the winner looked better in validation than in the test.",
    ]
    for name in SETS:
        drawn = [by_way(name, seed, args.trials, weights, work) for seed in range(args.seeds)]
        lines += [
            "",
            f"{name}:",
            "",
            "| way | test accuracy, % | points more | too kind, points | trials | search, s |",
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
        "Cross-validation of trials where images are few",
        "python -m tests.benchmarks.cross_validation",
        lines,
        rounds=False,
    )


def _mean_and_range(values: np.ndarray, sign: str = "+") -> str:
    return f"{values.mean():{sign}.1f} ({values.min():{sign}.1f} to {values.max():{sign}.1f})"


if __name__ == "__main__":
    main()
