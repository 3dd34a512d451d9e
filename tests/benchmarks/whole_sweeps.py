"""Test accuracy of Finesweep and of a docs-style sweep after equal wall time.

    python -m tests.benchmarks.whole_sweeps [elpv|foods|fashion] [--seconds 180] [--seeds 3]

Finesweep runs with a time budget. The docs-style sweep (OptunaSearch and ASHA) then gets the wall
time that Finesweep took to scan and decode images and to search. Both search the demo space, and
Finesweep retrains and tests both winners.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from search.record import SweepPaths
from tests.benchmarks.fixed_trials import link_weights
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, split_folder, spread, write_table


def launch(folder: Path, work: Path, *words: str) -> SweepPaths:
    """Run a Finesweep sweep with these flags, and return its paths."""
    command = [sys.executable, "-m", "search", "launch", str(folder), "--space", "demo"]
    command += ["--name", "sweep", "--results-dir", str(fresh(work / "results"))]
    command += ["--cache-dir", str(fresh(work / "cache")), "--concurrent", "2", *words]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return SweepPaths(work / "results" / "sweep")


def tested(paths: SweepPaths) -> tuple[float, float]:
    """Validation accuracy of the winner in the search, and test accuracy of the retrained model."""
    metrics = json.loads(paths.metrics.read_text())
    return metrics["members"][0]["val_accuracy"], metrics["test"]["accuracy"]


def main() -> None:
    """Run both sweeps for every seed, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="elpv", choices=["elpv", "foods", "fashion"])
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    folder, dataset = split_folder(args.data, args.images)
    work, weights = fresh(SCRATCH / "whole"), link_weights(3)
    shared = ["--weights", str(weights), "--max-epochs", str(args.epochs)]
    rows, gains = [], []
    for seed in range(args.seeds):
        ours = launch(
            folder, work, *shared, "--time-budget", str(args.seconds), "--seed", str(seed)
        )
        our_val, our_test = tested(ours)
        out = fresh(work / "docs") / "out.json"
        command = [sys.executable, str(ROOT / "tests/benchmarks/docs_style.py"), str(folder)]
        command += [*shared, "--out", str(out), "--seed", str(seed)]
        stages = json.loads(ours.profile.read_text())["stages"]
        wall = sum(stages[stage] for stage in ("scan", "decode", "search"))
        command += ["--seconds", str(wall)]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        trials = json.loads(out.read_text())["trials"]
        best = max(trials, key=lambda trial: max(value for value, _ in trial["curve"]))
        docs_val = max(value for value, _ in best["curve"])
        point = {**best["config"], "image_size": 96}
        (work / "point.json").write_text(json.dumps([point]))
        words = ["--points", str(work / "point.json"), "--trials", "1", "--seed", str(seed)]
        _, docs_test = tested(launch(folder, work, *shared, *words))
        gains.append(our_test - docs_test)
        rows.append(
            f"| {seed} | {our_val:.4f} | {our_test:.4f} | {wall:.0f} | {len(trials)} | "
            f"{docs_val:.4f} | "
            f"{docs_test:.4f} |"
        )
        print(rows[-1], file=sys.stderr)
    lines = [
        f"Finesweep has a time budget of {args.seconds} s; docs-style has the same wall time. "
        f"{len(dataset.rows('train'))} training and "
        f"{len(dataset.rows('val'))} validation images of {args.data}, trials of {args.epochs} "
        f"epochs at 96 px, two workers; tested on {len(dataset.rows('test'))} images.",
        "",
        "| seed | Finesweep, validation | Finesweep, test | wall time, s | docs-style trials | "
        "docs-style, validation | docs-style, test |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"Gain of Finesweep in test accuracy: {spread((100 * np.array(gains)).tolist(), 3)} "
        "percentage points.",
    ]
    write_table(
        f"whole_sweeps_{args.data}",
        f"Whole sweeps of equal wall time, {args.data}",
        f"python -m tests.benchmarks.whole_sweeps {args.data} --seconds {args.seconds}",
        lines,
    )


if __name__ == "__main__":
    main()
