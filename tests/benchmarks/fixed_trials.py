"""B1: the same twenty trials by Finesweep and by a docs-style Ray Tune script.

    python -m tests.benchmarks.fixed_trials [elpv|fashion] [--images 800] [--rounds 3]

40% head only, 30% a quarter, 10% a half, 20% all of an EfficientNet-Lite, without early stopping;
whole processes from a cold start and an empty cache, two workers each.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

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
    """The points of the twenty trials, in a random order."""
    rng = np.random.default_rng(seed)
    made = [
        {
            "backbone": f"tf_efficientnet_lite{int(rng.integers(2))}",
            "unfreeze": depth,
            "learning_rate": float(np.exp(rng.uniform(np.log(1e-3), np.log(5e-3)))),
            "backbone_lr_scale": 0.1,
            "weight_decay": 1e-3,
            "dropout": float(rng.uniform(0, 0.3)),
            "augment": float(rng.uniform(0, 0.5)),
            "image_size": 96,
        }
        for depth in DEPTHS
    ]
    return [made[i] for i in rng.permutation(len(made))]


def link_weights(count: int) -> Path:
    """A folder with the ImageNet weights of the first EfficientNet-Lites."""
    folder = fresh(SCRATCH / "weights")
    for k in range(count):
        found = find_weights(f"tf_efficientnet_lite{k}", "pretrained", cache=SCRATCH / "survey")
        assert found.file is not None
        (folder / f"{found.backbone}.safetensors").symlink_to(found.file)
    return folder


def main() -> None:
    """Run the rounds and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="elpv", choices=["elpv", "foods", "fashion"])
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    folder, dataset = split_folder(args.data, args.images)
    work = fresh(SCRATCH / "fixed_trials")
    (work / "points.json").write_text(json.dumps(points()))
    weights = link_weights(2)
    first: dict[str, list[float]] = {"ours": [], "docs": []}
    scores: dict[str, list[dict[float, list[float]]]] = {"ours": [], "docs": []}
    busy: dict[str, list[dict[float, float]]] = {"ours": [], "docs": [], "bare": []}
    trials = [TrialParams.parse(point) for point in points()]

    def ours() -> float:
        fresh(work / "cache")
        fresh(work / "results")
        command = [sys.executable, "-m", "search", "launch", str(folder), "--space", "demo"]
        command += ["--points", str(work / "points.json"), "--trials", "20", "--stopping", "none"]
        command += ["--max-epochs", str(args.epochs), "--name", "ours", "--no-retrain"]
        command += ["--weights", str(weights), "--cache-dir", str(work / "cache")]
        command += ["--results-dir", str(work / "results"), "--concurrent", "2"]
        began, wall = _wall(command)
        first["ours"].append(first_result(work / "results" / "ours" / "sweep.log", began))
        by_depth: dict[float, list[float]] = {}
        time_by_depth: dict[float, float] = {}
        for trial in read_trials(SweepPaths(work / "results" / "ours").journal):
            best = max(report.val_accuracy for report in trial.reports)
            by_depth.setdefault(trial.params.unfreeze, []).append(best)
            time_by_depth[trial.params.unfreeze] = (
                time_by_depth.get(trial.params.unfreeze, 0.0) + trial.seconds
            )
        scores["ours"].append(by_depth)
        busy["ours"].append(time_by_depth)
        return wall

    def docs() -> float:
        out = fresh(work / "docs") / "out.json"
        command = [sys.executable, str(ROOT / "tests/benchmarks/docs_style.py"), str(folder)]
        command += ["--weights", str(weights), "--points", str(work / "points.json")]
        command += ["--max-epochs", str(args.epochs), "--out", str(out)]
        began, wall = _wall(command)
        sweep = json.loads(out.read_text())
        starts = min(when for trial in sweep["trials"] for _, when in trial["curve"])
        first["docs"].append(sweep["began"] + starts - began)
        by_depth: dict[float, list[float]] = {}
        time_by_depth: dict[float, float] = {}
        for trial in sweep["trials"]:
            depth = trial["config"]["unfreeze"]
            by_depth.setdefault(depth, []).append(max(value for value, _ in trial["curve"]))
            times = [when for _, when in trial["curve"]]
            per_epoch = (times[-1] - times[0]) / max(len(times) - 1, 1)
            time_by_depth[depth] = time_by_depth.get(depth, 0.0) + per_epoch * len(times)
        scores["docs"].append(by_depth)
        busy["docs"].append(time_by_depth)
        return wall

    def bare() -> float:
        times = bare_times(
            trials,
            train=len(dataset.rows("train")),
            val=len(dataset.rows("val")),
            classes=len(dataset.classes),
            epochs=args.epochs,
        )
        time_by_depth: dict[float, float] = {}
        for params, spent in zip(trials, times, strict=True):
            time_by_depth[params.unfreeze] = time_by_depth.get(params.unfreeze, 0.0) + spent
        busy["bare"].append(time_by_depth)
        return sum(times) / WORKERS

    found = alternate({"docs": docs, "ours": ours, "bare": bare}, args.rounds)
    faster = ratios(found["docs"], found["ours"])
    lines = [
        f"Twenty trials of {args.epochs} epochs on {len(dataset.rows('train'))} training images of "
        f"{args.data} ({len(dataset.classes)} classes) at 96 px, EfficientNet-Lite 0 and 1.",
        "",
        "| | wall seconds |",
        "| --- | --- |",
        f"| docs-style Ray Tune script | {spread(found['docs'])} |",
        f"| Finesweep | {spread(found['ours'])} |",
        f"| bare loop without Ray, images or a store: the floor | {spread(found['bare'])} |",
        f"| **times as fast** (aim: 3) | **{spread(faster, 3)}** |",
        f"| first result, docs-style (B4) | {spread(first['docs'], 3)} |",
        f"| first result, Finesweep | {spread(first['ours'], 3)} |",
        f"| **times as soon** (aim: 1.5) | **{spread(ratios(first['docs'], first['ours']), 3)}** |",
        "",
        "Epochs alone, and what they came to:",
        "",
        "| trials | times as fast as docs-style | the bare loop is | validation accuracy, "
        "docs-style | Finesweep |",
        "| --- | --- | --- | --- | --- |",
    ]
    for depth in sorted(set(DEPTHS)):
        gain, floor = (
            spread([d[depth] / o[depth] for d, o in zip(busy["docs"], busy[name], strict=True)], 3)
            for name in ("ours", "bare")
        )
        means = [
            statistics.mean(statistics.mean(run[depth]) for run in scores[name])
            for name in ("docs", "ours")
        ]
        count = DEPTHS.count(depth)
        scored = f"{means[0]:.4f} | {means[1]:.4f}"
        lines.append(f"| {count} at unfreeze {depth:g} | {gain} | {floor} | {scored} |")
    both = [
        statistics.mean(v for run in scores[name] for values in run.values() for v in values)
        for name in ("docs", "ours")
    ]
    lines.append(f"| all | | | {both[0]:.4f} | {both[1]:.4f} |")
    write_table(
        f"fixed_trials_{args.data}",
        f"B1: twenty fixed trials, {args.data}",
        f"python -m tests.benchmarks.fixed_trials {args.data} --images {args.images}",
        lines,
    )


def first_result(log: Path, began: float) -> float:
    """Seconds from ``began`` to the first epoch in a sweep's log."""
    line = next(x for x in log.read_text(encoding="utf-8").splitlines() if " epoch 1: " in x)
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp() - began


def _wall(command: list[str]) -> tuple[float, float]:
    """The time at which a command began, and the seconds that it took."""
    began = time.time()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return began, time.time() - began


if __name__ == "__main__":
    main()
