"""Tools for benchmarks: alternating rounds, medians with ranges, and tables of results."""

import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from trainables.data import Dataset, SplitSpec, survey_images
from trainables.listing import SPLITS

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "results" / "benchmarks"
SCRATCH = Path(os.environ.get("BENCH_SCRATCH", "/tmp/finesweep-bench"))


def alternate(runs: Mapping[str, Callable[[], float]], rounds: int = 3) -> dict[str, list[float]]:
    """Call all runs in turn, ``rounds`` times (A B A B ...). Returns the results of each run."""
    results: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            results[name].append(run())
            print(f"  round {number + 1}, {name}: {results[name][-1]:.4g}", file=sys.stderr)
    return results


def seconds(run: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Median of the values, followed by their range in brackets."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Ratio of two measurements in each round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def write_table(
    name: str, title: str, command: str, lines: Sequence[str], *, rounds: bool = True
) -> None:
    """Write a page to results/benchmarks, with its command, machine and versions, and print it.

    ``rounds`` says that its values are medians over rounds.
    """
    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "timm", "ray", "optuna"))
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    origin = (
        f"Made by `{command}` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores of {_cpu()}, "
        f"Python {platform.python_version()}, {packages}; load average at the end {load}. "
        + ("Values are medians (least to most) over alternating rounds." if rounds else "")
    )
    text = "\n".join([f"# {title}", "", origin, "", *lines, ""])
    TABLES.mkdir(parents=True, exist_ok=True)
    (TABLES / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


def split_folder(name: str, images: int, seed: int = 0) -> tuple[Path, Dataset]:
    """Link about ``images`` images of ``data/NAME`` into train/val/test folders.

    Returns the folder and its dataset.
    """
    folder = SCRATCH / f"{name}-{images}"
    whole = survey_images(
        ROOT / "data" / name, cache=SCRATCH / "survey", split=SplitSpec(seed=seed)
    ).dataset
    if not folder.exists():
        share = min(1.0, images / len(whole))
        for split in SPLITS:
            rows = whole.rows(split)
            for k, class_name in enumerate(whole.classes):
                members = rows[whole.labels[rows] == k]
                (folder / split / class_name).mkdir(parents=True)
                for row in members[: max(2, round(share * len(members)))]:
                    (folder / split / class_name / whole.file(row).name).symlink_to(whole.file(row))
    return folder, survey_images(folder, cache=SCRATCH / "survey").dataset


def fresh(folder: Path) -> Path:
    """Make an empty folder in place of whatever is there, and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
