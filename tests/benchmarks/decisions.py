"""B9, in part: what it takes to decide on the n-th trial, and what the driver holds by then.

    python -m tests.benchmarks.decisions [--trials 10000]

Our searcher with its journal on disk, Ray's OptunaSearch and Optuna's TPE alone, both in memory;
the default space, trials of three epochs whose scores a formula makes up, no workers.
"""

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import optuna
import psutil
from ray.tune.result import NODE_IP
from ray.tune.search.optuna import OptunaSearch

from search.checkpoints import Checkpoints, CheckpointWriter
from search.cluster import Node
from search.config import SweepConfig
from search.draft import Draft
from search.machines import Machines
from search.paths import SweepPaths
from search.resources import Resources
from search.sampler import StudySearcher
from search.study import StudyJournal
from search.trial import PARAMS
from spaces import SearchSpace
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, write_table
from trainables.model import Preprocessing
from trainables.report import EpochReport

EPOCHS, WINDOW = 3, 50
SPACE = SearchSpace.load("default")
KINDS = ("ours", "stock", "raw")


def score(values: dict[str, Any], epoch: int) -> float:
    """Between 0 and 1, best at a rate of 2e-3 and an unfreeze of 0.6, with some noise."""
    miss = abs(math.log10(float(values["learning_rate"])) + 2.7) + abs(values["unfreeze"] - 0.6)
    return max(0.0, 0.9 - 0.2 * miss) * (1 - 0.5**epoch) + random.uniform(0, 0.02)


def told(value: float, epoch: int) -> dict[str, Any]:
    """An epoch as Ray tells it."""
    last = epoch == EPOCHS
    report = EpochReport(epoch, 0.5, 0.5, value, value, value, 1e-3, 0, 0, 0, 1, 1, last)
    return {**report.to_dict(), NODE_IP: "10.0.0.1"}


def ours(trials: int) -> Callable[[int], None]:
    """One whole trial by our searcher."""
    config = SweepConfig.parse({"data": SCRATCH, "trials": trials + 1})
    draft = Draft(config, SPACE, (), {}, {name: Preprocessing.of(name) for name in SPACE.backbones})
    paths = SweepPaths(fresh(SCRATCH / "decisions"))
    here = [Node("id", "10.0.0.1", "host", cpus=8, gpus=0)]
    searcher = StudySearcher(
        StudyJournal(paths.journal, metric=config.metric, seed=0),
        CheckpointWriter(Checkpoints(paths.checkpoints, home=None)),  # type: ignore[arg-type]
        Machines(Resources(1, True, 0, 8), look=lambda: here),
        paths,
        draft,
    )

    def trial(number: int) -> None:
        drawn: Any = searcher.suggest(str(number))
        values = drawn[PARAMS].model_dump()
        for epoch in range(1, EPOCHS):
            searcher.on_trial_result(str(number), told(score(values, epoch), epoch))
        searcher.on_trial_complete(str(number), told(score(values, EPOCHS), EPOCHS))

    return trial


def stock(trials: int) -> Callable[[int], None]:
    """One whole trial by Ray's."""
    searcher = OptunaSearch(
        SPACE.distributions(),  # type: ignore[arg-type]
        metric="val_accuracy",
        mode="max",
        sampler=optuna.samplers.TPESampler(seed=0),
    )

    def trial(number: int) -> None:
        values: Any = searcher.suggest(str(number))
        for epoch in range(1, EPOCHS):
            result = {**told(score(values, epoch), epoch), "training_iteration": epoch}
            searcher.on_trial_result(str(number), result)
        result = {**told(score(values, EPOCHS), EPOCHS), "training_iteration": EPOCHS}
        searcher.on_trial_complete(str(number), result)

    return trial


def raw(trials: int) -> Callable[[int], None]:
    """One whole trial by Optuna alone."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    distributions = SPACE.distributions()

    def trial(number: int) -> None:
        asked = study.ask(distributions)
        for epoch in range(1, EPOCHS + 1):
            value = score(asked.params, epoch)
            asked.report(value, epoch)
        study.tell(asked, value)

    return trial


def measure(kind: str, trials: int, marks: list[int]) -> dict[str, Any]:
    """Milliseconds of a whole trial's bookkeeping and mebibytes, at each of ``marks``."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    random.seed(0)
    before = psutil.Process().memory_info().rss
    trial = {"ours": ours, "stock": stock, "raw": raw}[kind](trials)
    took: list[float] = []
    found: dict[str, Any] = {"ms": [], "mib": []}
    began = time.perf_counter()
    for number in range(trials):
        start = time.perf_counter()
        trial(number)
        took.append(1000 * (time.perf_counter() - start))
        if number + 1 in marks:
            found["ms"].append(statistics.median(took[-WINDOW:]))
            found["mib"].append((psutil.Process().memory_info().rss - before) / 2**20)
            print(f"  {kind} {number + 1}: {found['ms'][-1]:.1f} ms", file=sys.stderr)
    return {**found, "seconds": time.perf_counter() - began}


def main() -> None:
    """Each kind in a process of its own, one after another."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--kind", choices=KINDS, help="This one alone, as JSON.")
    args = parser.parse_args()
    marks = [n for n in (100, 1_000, 10_000) if n <= args.trials]
    if args.kind:
        print(json.dumps(measure(args.kind, args.trials, marks)))
        return
    found = {}
    for kind in KINDS:
        command = [sys.executable, "-m", "tests.benchmarks.decisions", "--kind", kind]
        command += ["--trials", str(args.trials)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        found[kind] = json.loads(done.stdout)
    named = {"ours": "Finesweep", "stock": "Ray's OptunaSearch", "raw": "Optuna's TPE alone"}
    lines = [
        f"{args.trials} trials of {EPOCHS} epochs of the default space, no workers. Milliseconds "
        f"are of all that a trial asks of the driver: proposing it and recording its {EPOCHS} "
        f"epochs and its end; the median of the last {WINDOW}. Ours writes its journal to disk, "
        "the others keep all in memory.",
        "",
        "| | "
        + " | ".join(f"ms at n = {n}" for n in marks)
        + " | "
        + " | ".join(f"MiB at n = {n}" for n in marks)
        + " | seconds in all |",
        "| --- |" + " --- |" * (2 * len(marks) + 1),
        *(
            f"| {named[kind]} | "
            + " | ".join(f"{value:.1f}" for value in result["ms"])
            + " | "
            + " | ".join(f"{value:.0f}" for value in result["mib"])
            + f" | {result['seconds']:.0f} |"
            for kind, result in found.items()
        ),
    ]
    write_table("decisions", "B9: decisions", "python -m tests.benchmarks.decisions", lines)


if __name__ == "__main__":
    main()
