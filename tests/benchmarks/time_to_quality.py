"""B11: wall time until Finesweep reaches the best score of a docs-style sweep.

The docs-style sweep (OptunaSearch and ASHA) runs a fixed number of trials. Finesweep runs until it
reaches the same score, at most for the wall time of the docs-style sweep.

python -m tests.benchmarks.time_to_quality [elpv|foods|fashion] [--images 800] [--seeds 3]
"""

import argparse
import json
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tests.benchmarks.fixed_trials import link_weights
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, split_folder, spread, write_table

_EPOCH = re.compile(r"(\S+ \S+),(\d+) INFO trial (\d+) epoch \d+: val_accuracy ([\d.]+)")


def reached(log: Path, began: float, target: float) -> float | None:
    """Seconds from ``began`` until a sweep's log first has a score of ``target`` or more."""
    for when, milliseconds, _, value in _EPOCH.findall(log.read_text(encoding="utf-8")):
        if float(value) >= target - 5e-5:
            return datetime.fromisoformat(when).timestamp() + int(milliseconds) / 1000 - began
    return None


def race(command: Sequence[str], log: Path, target: float, limit: float) -> float | None:
    """Run a sweep until it reaches ``target``, at most for ``limit`` seconds.

    Returns the seconds that it took; None if it did not reach the target.
    """
    began = time.time()
    quiet = subprocess.DEVNULL
    sweep = subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet)
    when = None
    while when is None and time.time() - began < limit:
        if sweep.poll() is not None:
            raise RuntimeError(f"the sweep ended by itself with {sweep.returncode}; see {log}")
        time.sleep(0.5)
        when = reached(log, began, target) if log.exists() else None
    sweep.send_signal(signal.SIGINT)
    sweep.wait()
    return when


def main() -> None:
    """Run a docs-style sweep and Finesweep for each seed, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="elpv", choices=["elpv", "foods", "fashion"])
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    folder, dataset = split_folder(args.data, args.images)
    work, weights = fresh(SCRATCH / "quality"), link_weights(3)
    shared = ["--trials", str(args.trials), "--max-epochs", str(args.epochs)]
    rows, shares = [], []
    for seed in range(args.seeds):
        out = fresh(work / "docs") / "out.json"
        command = [sys.executable, str(ROOT / "tests/benchmarks/docs_style.py"), str(folder)]
        command += ["--weights", str(weights), "--out", str(out), "--seed", str(seed), *shared]
        began = time.time()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        docs_wall = time.time() - began
        trials = json.loads(out.read_text())["trials"]
        target = max(value for trial in trials for value, _ in trial["curve"])

        results = fresh(work / "results")
        command = [sys.executable, "-m", "search", "launch", str(folder), "--space", "demo"]
        command += ["--name", "ours", "--no-retrain", "--asha.reduction-factor", "4"]
        command += ["--trials", "1000", "--max-epochs", str(args.epochs)]
        command += ["--seed", str(seed), "--weights", str(weights), "--results-dir", str(results)]
        command += ["--cache-dir", str(fresh(work / "cache")), "--concurrent", "2"]
        when = race(command, results / "ours" / "sweep.log", target, docs_wall)
        shares.append((when or math.inf) / docs_wall)
        seconds_text = f"{when:.0f}" if when else "not reached"
        rows.append(
            f"| {seed} | {target:.4f} | {docs_wall:.0f} | {seconds_text} | {shares[-1]:.2f} |"
        )
        print(rows[-1], file=sys.stderr)
    lines = [
        f"Docs-style: {args.trials} trials of at most {args.epochs} epochs on "
        f"{len(dataset.rows('train'))} training images of {args.data}, the demo space at 96 px, "
        "ASHA (grace 1, reduction 4), two workers, a new process with an empty cache. Finesweep "
        "has the same settings, except that it runs until it reaches the best score of docs-style, "
        "at most for the same wall time.",
        "",
        "| seed | best validation accuracy, docs-style | wall time, docs-style, s | Finesweep "
        "reaches that accuracy after, s | share |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"Finesweep's time over the wall time of docs-style: **{spread(shares, 2)}**; the aim is "
        "0.2.",
    ]
    write_table(
        f"time_to_quality_{args.data}",
        f"B11: time to quality, {args.data}",
        f"python -m tests.benchmarks.time_to_quality {args.data} --images {args.images}",
        lines,
    )


if __name__ == "__main__":
    main()
