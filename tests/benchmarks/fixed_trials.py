"""B1: time of the same twenty trials in Finesweep and in a docs-style Ray Tune script.

    python -m tests.benchmarks.fixed_trials [elpv|fashion] [--images 800] [--rounds 3]

The trials fine-tune EfficientNet-Lites without early stopping: 40% head only, and 30%, 10% and 20%
with a quarter, half and all of the backbone. Each side runs as a new process with an empty cache
and two workers.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from search.record import SweepPaths, read_trials
from spaces import TrialParams
from tests.benchmarks.bare_loop import WORKERS, bare_times
from tests.benchmarks.measuring import (
    ROOT,
    SCRATCH,
    alternate,
    fresh,
    ratios,
    split_folder,
    spread,
    write_table,
)
from trainables.models import find_weights

DEPTHS = [0.0] * 8 + [0.25] * 6 + [0.5] * 2 + [1.0] * 4


def points(seed: int = 0) -> list[dict[str, object]]:
    """Points of the twenty trials, in random order."""
    rng = np.random.default_rng(seed)
    trials = [
        {
            "backbone": f"tf_efficientnet_lite{int(rng.integers(2))}",
            "unfreeze": depth,
            "learning_rate": float(np.exp(rng.uniform(np.log(1e-3), np.log(5e-3)))),
            "backbone_lr_scale": 0.1,
            "weight_decay": 1e-3,
            "dropout": float(rng.uniform(0, 0.3)),
            "augment": float(rng.uniform(0, 0.5)),
            "image_size": 96,
            "head_start": "zero",
        }
        for depth in DEPTHS
    ]
    return [trials[i] for i in rng.permutation(len(trials))]


def link_weights(count: int) -> Path:
    """Folder with links to the ImageNet weights of EfficientNet-Lite 0 to ``count - 1``."""
    folder = fresh(SCRATCH / "weights")
    for k in range(count):
        weights = find_weights(f"tf_efficientnet_lite{k}", "pretrained", cache=SCRATCH / "survey")
        assert weights.file is not None
        (folder / f"{weights.backbone}.safetensors").symlink_to(weights.file)
    return folder


@dataclass
class Measured:
    """Measurements of one side (Finesweep, docs-style or bare loop); one list entry per round."""

    first_result: list[float] = field(default_factory=list)
    """Seconds from the start of the process to the result of the first epoch."""
    scores: list[dict[float, list[float]]] = field(default_factory=list)
    """Best validation accuracy of each trial, by unfreeze fraction."""
    busy: list[dict[float, float]] = field(default_factory=list)
    """Total seconds of the trials' epochs, by unfreeze fraction."""

    def add(self, trials: Iterable[tuple[float, float | None, float]]) -> None:
        """Add one round. Each trial is (unfreeze fraction, best score or None, seconds)."""
        scores: dict[float, list[float]] = {}
        busy: dict[float, float] = {}
        for depth, score, seconds in trials:
            if score is not None:
                scores.setdefault(depth, []).append(score)
            busy[depth] = busy.get(depth, 0.0) + seconds
        self.scores.append(scores)
        self.busy.append(busy)

    def mean_score(self, depth: float) -> float:
        """Mean score of the trials with an unfreeze fraction, over all rounds."""
        return statistics.mean(statistics.mean(scores[depth]) for scores in self.scores)

    def mean_of_all(self) -> float:
        """Mean score of all trials of all rounds."""
        return statistics.mean(
            score for scores in self.scores for values in scores.values() for score in values
        )


class FixedTrials:
    """Runs the twenty trials in Finesweep, in the docs-style script and in a bare loop."""

    def __init__(self, data: str, images: int, epochs: int) -> None:
        self._folder, self.dataset = split_folder(data, images)
        self._work = fresh(SCRATCH / "fixed_trials")
        (self._work / "points.json").write_text(json.dumps(points()))
        self._weights, self.epochs = link_weights(2), epochs
        self.sides = {name: Measured() for name in ("ours", "docs", "bare")}

    def ours(self) -> float:
        """Run the trials in Finesweep, and return the wall seconds."""
        work = self._work
        fresh(work / "cache")
        fresh(work / "results")
        command = [sys.executable, "-m", "search", "launch", str(self._folder), "--space", "demo"]
        command += ["--points", str(work / "points.json"), "--trials", "20", "--stopping", "none"]
        command += ["--max-epochs", str(self.epochs), "--name", "ours", "--no-retrain"]
        command += ["--weights", str(self._weights), "--cache-dir", str(work / "cache")]
        command += ["--results-dir", str(work / "results"), "--concurrent", "2"]
        began, wall = _wall(command)
        side = self.sides["ours"]
        side.first_result.append(first_result(work / "results" / "ours" / "sweep.log", began))
        side.add(
            (trial.params.unfreeze, max(r.val_accuracy for r in trial.reports), trial.seconds)
            for trial in read_trials(SweepPaths(work / "results" / "ours").journal)
        )
        return wall

    def docs(self) -> float:
        """Run the trials in the docs-style script, and return the wall seconds."""
        out = fresh(self._work / "docs") / "out.json"
        command = [sys.executable, str(ROOT / "tests/benchmarks/docs_style.py"), str(self._folder)]
        command += ["--weights", str(self._weights), "--points", str(self._work / "points.json")]
        command += ["--max-epochs", str(self.epochs), "--out", str(out)]
        began, wall = _wall(command)
        sweep = json.loads(out.read_text())
        first = min(when for trial in sweep["trials"] for _, when in trial["curve"])
        side = self.sides["docs"]
        side.first_result.append(sweep["began"] + first - began)
        side.add(
            (trial["config"]["unfreeze"], max(v for v, _ in trial["curve"]), _epoch_seconds(trial))
            for trial in sweep["trials"]
        )
        return wall

    def bare(self) -> float:
        """Run the bare loops, and return their total seconds divided by the number of workers."""
        trials = [TrialParams.parse(point) for point in points()]
        times = bare_times(
            trials,
            train=len(self.dataset.rows("train")),
            val=len(self.dataset.rows("val")),
            classes=len(self.dataset.classes),
            epochs=self.epochs,
        )
        unfreeze = [params.unfreeze for params in trials]
        self.sides["bare"].add(
            (depth, None, seconds) for depth, seconds in zip(unfreeze, times, strict=True)
        )
        return sum(times) / WORKERS


def main() -> None:
    """Run the rounds and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="elpv", choices=["elpv", "foods", "fashion"])
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    runs = FixedTrials(args.data, args.images, args.epochs)
    walls = alternate({"docs": runs.docs, "ours": runs.ours, "bare": runs.bare}, args.rounds)
    dataset = runs.dataset
    lines = [
        f"Twenty trials of {args.epochs} epochs on {len(dataset.rows('train'))} training images of "
        f"{args.data} ({len(dataset.classes)} classes) at 96 px, EfficientNet-Lite 0 and 1.",
        "",
        *wall_lines(walls, runs.sides),
        "",
        "The epochs alone, and the scores reached:",
        "",
        *depth_lines(runs.sides),
    ]
    write_table(
        f"fixed_trials_{args.data}",
        f"B1: twenty fixed trials, {args.data}",
        f"python -m tests.benchmarks.fixed_trials {args.data} --images {args.images}",
        lines,
    )


def wall_lines(walls: dict[str, list[float]], sides: dict[str, Measured]) -> list[str]:
    """Table of the wall time and the time to the first result."""
    faster = ratios(walls["docs"], walls["ours"])
    docs, ours = sides["docs"].first_result, sides["ours"].first_result
    return [
        "| | wall seconds |",
        "| --- | --- |",
        f"| docs-style Ray Tune script | {spread(walls['docs'])} |",
        f"| Finesweep | {spread(walls['ours'])} |",
        f"| bare loop without Ray, images or stored features | {spread(walls['bare'])} |",
        f"| **speed-up of Finesweep** (aim: 3) | **{spread(faster, 3)}** |",
        f"| first result, docs-style (B4) | {spread(docs, 3)} |",
        f"| first result, Finesweep | {spread(ours, 3)} |",
        f"| **speed-up of the first result** (aim: 1.5) | **{spread(ratios(docs, ours), 3)}** |",
    ]


def depth_lines(sides: dict[str, Measured]) -> list[str]:
    """Table of speed and validation accuracy by unfreeze fraction."""
    docs, ours = sides["docs"], sides["ours"]
    lines = [
        "| trials | speed-up over docs-style, Finesweep | bare loop | validation accuracy, "
        "docs-style | Finesweep |",
        "| --- | --- | --- | --- | --- |",
    ]
    for depth in sorted(set(DEPTHS)):
        gain, floor = (
            spread([d[depth] / o[depth] for d, o in zip(docs.busy, side.busy, strict=True)], 3)
            for side in (ours, sides["bare"])
        )
        scores = f"{docs.mean_score(depth):.4f} | {ours.mean_score(depth):.4f}"
        lines.append(
            f"| {DEPTHS.count(depth)} at unfreeze {depth:g} | {gain} | {floor} | {scores} |"
        )
    lines.append(f"| all | | | {docs.mean_of_all():.4f} | {ours.mean_of_all():.4f} |")
    return lines


def first_result(log: Path, began: float) -> float:
    """Seconds from ``began`` to the first finished epoch in a sweep's log."""
    line = next(x for x in log.read_text(encoding="utf-8").splitlines() if " epoch 1: " in x)
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp() - began


def _epoch_seconds(trial: dict[str, Any]) -> float:
    """Seconds of a docs-style trial's epochs; the first is estimated by the mean of the others."""
    times = [when for _, when in trial["curve"]]
    return (times[-1] - times[0]) / max(len(times) - 1, 1) * len(times)


def _wall(command: list[str]) -> tuple[float, float]:
    """Run a command, and return the time at which it began and the seconds that it took."""
    began = time.time()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return began, time.time() - began


if __name__ == "__main__":
    main()
