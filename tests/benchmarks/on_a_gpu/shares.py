"""Searches whose trials hold different shares of a GPU."""

from functools import partial
from pathlib import Path

from tests.benchmarks.measuring import alternate, spread
from tests.benchmarks.on_a_gpu.searches import Point, SearchRun, run_search

TRIALS, EPOCHS = 8, 6
UNFREEZE = (0.0, 0.25, 0.5, 1.0)
SHARES = {
    "measured": ["--gpus-per-trial", "auto"],
    "a whole card": ["--gpus-per-trial", "1"],
    "measured, no feature kept": ["--gpus-per-trial", "auto", "--features", "off"],
}
"""Flags of each variant of the search: the trials' share of the GPU, and stored features."""


def points() -> list[Point]:
    """Points of the trials, all of them different, so that no trial finds another's features."""
    return [
        {
            "backbone": "resnet50",
            "image_size": 224,
            "batch_size": 64,
            "unfreeze": UNFREEZE[k % len(UNFREEZE)],
            "augment": 0.2 if k < len(UNFREEZE) else 0.4,
        }
        for k in range(TRIALS)
    ]


def shares(data: Path, rounds: int) -> list[str]:
    """G3 and G5: time and GPU utilization of a search with each variant of `SHARES`."""

    def search(share: str, epochs: int = EPOCHS) -> SearchRun:
        return run_search(data, points(), [*SHARES[share], "--no-retrain"], epochs=epochs)

    search("measured", epochs=1)  # untimed: files and libraries are then in the page cache
    runs: dict[str, list[SearchRun]] = {share: [] for share in SHARES}

    def seconds_of(share: str) -> float:
        runs[share].append(search(share))
        assert all(trial.status == "completed" for trial in runs[share][-1].trials)
        return runs[share][-1].seconds

    alternate({share: partial(seconds_of, share) for share in SHARES}, rounds)
    lines = [
        f"G3 and G5: a search of {TRIALS} distinct trials of {EPOCHS} epochs, ResNet-50 at 224 px, "
        "batch 64, a quarter of the trials at each unfreeze fraction. An untimed sweep ran first.",
        "",
        "| GPU share of a trial | search, s | share of time in kernels | trials at a time |",
        "| --- | --- | --- | --- |",
    ]
    for share, measured in runs.items():
        seconds = spread([run.seconds for run in measured])
        kernels = spread([run.kernel_share for run in measured], 2)
        lines.append(f"| {share} | {seconds} | {kernels} | {measured[-1].allocation} |")
    return lines
