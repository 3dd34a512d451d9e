"""Regret of whole searches on worlds that nobody here recorded, beside random search and TPE.

    python -m tests.benchmarks.worlds [--folder DIR] [--seeds 50] [--workers 4] [--only PART...]

Reads every world of a folder: Parquet files of TaskSet and folders of LCBench's surrogate model, as
shared/curves has them. Without a folder, the image sets of results/benchmarks/curves are read too.
The budgets are as long as random search with ASHA takes for 20, 60 and 200 trials.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.benchmarks.measuring import ROOT, write_table
from tests.benchmarks.worlds.image_set import image_sets
from tests.benchmarks.worlds.lcbench import tasks
from tests.benchmarks.worlds.simulation import RIVALS, STRATEGIES, Search, strategy
from tests.benchmarks.worlds.taskset import PREFIX, TaskSet
from tests.benchmarks.worlds.world import World

SHARED = ROOT.parent / "shared" / "curves"
"""Folder of the curves that came with the project."""
WORTH = (20, 60, 200)
"""Budgets, as numbers of trials of random search with ASHA."""
OWN = tuple(name for name in STRATEGIES if name not in RIVALS)
"""Strategies that are compared to the better rival."""
_BUDGET_SEEDS = 20


def worlds_of(folder: Path) -> Iterator[World]:
    """Every world of a folder, whose files may lie in folders of it."""
    for file in sorted(folder.rglob("*.parquet")):
        if {f"{PREFIX}learning_rate", "valid_loss"} <= set(pq.read_schema(file).names):
            yield TaskSet.read(file)
    for file in sorted(folder.rglob("model.onnx")):
        yield from tasks(file.parent)


def budgets(world: World, workers: int) -> list[float]:
    """Budgets of `WORTH` in seconds, ascending: means over few searches may not be."""
    means = []
    for trials in WORTH:
        searches = (
            Search(world, strategy(RIVALS[0], world, seed), seed=seed, workers=workers)
            for seed in range(10_000, 10_000 + _BUDGET_SEEDS)
        )
        means.append(float(np.mean([search.seconds_of(trials) for search in searches])))
    return sorted(means)


def regrets_of(world: World, seeds: int, workers: int) -> dict[str, np.ndarray]:
    """Regrets ``(seeds, budgets)`` of each strategy on a world."""
    seconds = budgets(world, workers)

    def one(name: str, seed: int) -> list[float]:
        chosen = strategy(name, world, seed)
        return Search(world, chosen, seed=seed, workers=workers).regrets(seconds)

    return {name: np.array([one(name, seed) for seed in range(seeds)]) for name in STRATEGIES}


def ratios(regrets: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean regrets of `OWN` over that of the better rival, ``(strategies, budgets)``."""
    own, rivals = (
        np.array([regrets[name].mean(axis=0) for name in names]) for names in (OWN, RIVALS)
    )
    return np.asarray(own / np.maximum(rivals.min(axis=0), 1e-9))


_WORLDS: list[World] = []
"""Worlds that the processes of the pool inherit."""


def _run(task: tuple[int, int, int]) -> tuple[int, dict[str, np.ndarray], float]:
    """Run every strategy on one world; also returns the seconds that it took."""
    place, seeds, workers = task
    began = time.monotonic()
    found = regrets_of(_WORLDS[place], seeds, workers)
    return place, found, time.monotonic() - began


def main() -> None:
    """Run every strategy on every world, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=[""])
    args = parser.parse_args()
    worlds = [*worlds_of(args.folder or SHARED), *([] if args.folder else image_sets())]
    _WORLDS.extend(w for w in worlds if any(part in w.name for part in args.only))
    if not _WORLDS:
        raise SystemExit(f"{args.folder or SHARED} has no world: no TaskSet file, no model.onnx.")
    results: dict[int, dict[str, np.ndarray]] = {}
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        work = [(place, args.seeds, args.workers) for place in range(len(_WORLDS))]
        for place, found, seconds in pool.imap_unordered(_run, work):
            results[place] = found
            shares = "; ".join(map(_spaced, ratios(found)))
            print(f"{_WORLDS[place].name}: {shares} ({seconds:.0f} s)", file=sys.stderr, flush=True)
    command = f"python -m tests.benchmarks.worlds --seeds {args.seeds} --workers {args.workers}"
    command += f" --only {' '.join(args.only)}" if any(args.only) else ""
    lines = table_lines([(_WORLDS[place], found) for place, found in sorted(results.items())])
    name = "worlds" if args.folder is None else f"worlds_{args.folder.resolve().name}"
    write_table(name, "Searches on curves of others", command, lines)


def table_lines(results: Sequence[tuple[World, Mapping[str, np.ndarray]]]) -> list[str]:
    """A row for each world, and the means over worlds."""
    lines = [
        "Mean regret in test score at budgets as long as random search with Ray's ASHA takes for "
        + ", ".join(map(str, WORTH))
        + " trials; then ours over that of the better rival. TaskSet: minus the logarithm of the "
        "loss, and a proposal is mapped to the nearest recorded point, which hurts samplers that "
        "exploit. LCBench: balanced accuracy of YAHPO Gym's surrogate, without noise. No starting "
        "points, nothing confirmed. Rivals stop with Ray's ASHA, reduction factor 3.",
        "",
        "| world | seen | "
        + " | ".join([*STRATEGIES, *(f"{n} over the better rival" for n in OWN)]),
        "| --- |" + " --- |" * (1 + len(STRATEGIES) + len(OWN)),
    ]
    shares = [ratios(found) for _, found in results]
    for (world, found), share in zip(results, shares, strict=True):
        cells = [" ".join(f"{r:.4f}" for r in found[s].mean(axis=0)) for s in STRATEGIES]
        cells += map(_spaced, share)
        lines.append(f"| {world.name} | {'yes' if world.is_seen else ''} | {' | '.join(cells)} |")
    lines.append("")
    for title, wanted in (("that constants were chosen on", True), ("that were kept back", False)):
        pairs = zip(results, shares, strict=True)
        some = np.array([share for (world, _), share in pairs if world.is_seen is wanted])
        for name, of_one in zip(OWN, some.swapaxes(0, 1) if len(some) else (), strict=False):
            lines.append(
                f"- {name}, {len(some)} worlds {title}: mean {_spaced(of_one.mean(axis=0))}, of "
                f"all budgets {of_one.mean():.2f}; highest {of_one.max():.2f}; "
                f"{np.mean(of_one > 1.1):.0%} above 1.1 (aim: 0.7 in the mean, 1.1 at most)."
            )
    return lines


def _spaced(shares: np.ndarray) -> str:
    return " ".join(f"{share:.2f}" for share in shares)


if __name__ == "__main__":
    main()
