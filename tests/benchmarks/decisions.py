"""B9, first part: time to propose and record the n-th trial, and the driver's memory at that time.

    python -m tests.benchmarks.decisions [--trials 10000]

Compares Finesweep's searcher (journal on disk; its own sampler, or TPE), Ray's OptunaSearch and
Optuna's TPE alone (both in memory). The space is the default one. There are no workers: trials have
three epochs with scores from a formula. Trials before the timed ones are at random points, because
TPE would take an hour to propose them.
"""

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any

import optuna
import psutil
from ray.tune.result import NODE_IP
from ray.tune.search.optuna import OptunaSearch

from search.cluster import Node
from search.config import SamplerName, SweepConfig, Validation
from search.planning import PreparedPlan
from search.record import SweepPaths, ValidationLogitsStore
from search.trial import Checkpoints, CheckpointWriter, TrialRequest
from search.tuning import Resources
from search.tuning.budget import Budget
from search.tuning.lifecycle import SearchLifecycle
from search.tuning.paused_trials import PausedTrials
from search.tuning.placement import Placement
from search.tuning.searcher import StudySearcher
from search.tuning.study import StudyJournal
from search.tuning.trial_queue import TrialQueue
from spaces import SearchSpace
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, write_table
from trainables.models import Preprocessing
from trainables.training import RoundReport

EPOCHS, WINDOW, VAL_IMAGES = 3, 50, 1000
SPACE = SearchSpace.load("default")


def score(values: dict[str, Any], epoch: int) -> float:
    """Noisy score in [0, 1], highest at a learning rate of 2e-3 and an unfreeze fraction of 0.6."""
    miss = abs(math.log10(float(values["learning_rate"])) + 2.7) + abs(values["unfreeze"] - 0.6)
    return max(0.0, 0.9 - 0.2 * miss) * (1 - 0.5**epoch) + random.uniform(0, 0.02)


def epoch_result(value: float, epoch: int) -> dict[str, Any]:
    """Result of an epoch, as Ray Tune passes it to a searcher."""
    last = epoch == EPOCHS
    report = RoundReport(epoch, epoch, 0.5, 0.5, value, value, value, 1e-3, 0, 0, 0, 1, 1, last)
    return {**report.to_dict(), NODE_IP: "10.0.0.1"}


class Ours:
    """Finesweep's searcher, with its journal on disk."""

    def __init__(self, trials: int, sampler: SamplerName = "mfgp") -> None:
        config = SweepConfig.parse({"data": SCRATCH, "metric": "val_accuracy", "trials": trials})
        native = {name: Preprocessing.of(name) for name in SPACE.backbones}
        prepared = PreparedPlan(config, SPACE, (), {}, native, config.sampler_seed, ())
        paths = SweepPaths(fresh(SCRATCH / "decisions"))
        here = [Node("id", "10.0.0.1", "host", cpus=8, gpus=0)]
        self._sizes = prepared.native_image_size
        budget = Budget(config, lambda params: 0)
        journal = StudyJournal.open(
            paths.journal, SPACE, metric=config.metric, sampler=sampler, seed=0, max_rounds=EPOCHS
        )
        self._queue = TrialQueue(journal, prepared, budget, Validation(VAL_IMAGES))
        lifecycle = SearchLifecycle(
            journal,
            CheckpointWriter(Checkpoints(paths.checkpoints, driver=None)),  # type: ignore[arg-type]
            ValidationLogitsStore(
                paths.validation_logits, config.metric, [], classes=(), digests=()
            ),
            Placement(Resources(1, True, 0, 8), look=lambda: here),
            self._queue,
            PausedTrials(journal, self._queue, most=0, rounds=0),
            paths,
            budget,
        )
        self._searcher = StudySearcher(lifecycle, config.metric)

    def add(self, number: int, values: dict[str, Any]) -> None:
        """Record a finished trial at a given point."""
        self._queue._points.append(SPACE.params(values, native_image_size=self._sizes))
        self.run(number)

    def run(self, number: int) -> None:
        """Propose a trial and record its three epochs."""
        drawn: Any = self._searcher.suggest(str(number))
        values = TrialRequest.from_ray(drawn).params.model_dump()
        for epoch in range(1, EPOCHS):
            self._searcher.on_trial_result(str(number), epoch_result(score(values, epoch), epoch))
        self._searcher.on_trial_complete(str(number), epoch_result(score(values, EPOCHS), EPOCHS))


class Stock:
    """Ray's OptunaSearch, in memory."""

    def __init__(self, trials: int) -> None:
        self._searcher = OptunaSearch(
            SPACE.distributions(),  # type: ignore[arg-type]
            metric="val_accuracy",
            mode="max",
            sampler=optuna.samplers.TPESampler(seed=0),
        )

    def add(self, number: int, values: dict[str, Any]) -> None:
        """Record a finished trial at a given point."""
        scores = [score(values, epoch) for epoch in range(1, EPOCHS + 1)]
        self._searcher.add_evaluated_point(values, scores[-1], intermediate_values=scores)

    def run(self, number: int) -> None:
        """Propose a trial and record its three epochs."""
        values: Any = self._searcher.suggest(str(number))
        for epoch in range(1, EPOCHS + 1):
            result = {**epoch_result(score(values, epoch), epoch), "training_iteration": epoch}
            if epoch < EPOCHS:
                self._searcher.on_trial_result(str(number), result)
        self._searcher.on_trial_complete(str(number), result)


class Raw:
    """Optuna without Ray, in memory."""

    def __init__(self, trials: int) -> None:
        sampler = optuna.samplers.TPESampler(seed=0)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions = SPACE.distributions()

    def add(self, number: int, values: dict[str, Any]) -> None:
        """Record a finished trial at a given point."""
        scores = {epoch: score(values, epoch) for epoch in range(1, EPOCHS + 1)}
        self._study.add_trial(
            optuna.create_trial(
                params=values,
                distributions=self._distributions,
                value=scores[EPOCHS],
                intermediate_values=scores,
            )
        )

    def run(self, number: int) -> None:
        """Propose a trial and record its three epochs."""
        trial = self._study.ask(self._distributions)
        for epoch in range(1, EPOCHS + 1):
            value = score(trial.params, epoch)
            trial.report(value, epoch)
        self._study.tell(trial, value)


KINDS = {"ours": Ours, "tpe": partial(Ours, sampler="tpe"), "stock": Stock, "raw": Raw}


def measure(kind: str, marks: list[int]) -> dict[str, list[float]]:
    """Driver's milliseconds per trial ("ms") and memory in MiB ("mib") after ``marks`` trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    random.seed(0)
    points = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    before = psutil.Process().memory_info().rss
    searcher = KINDS[kind](marks[-1])
    measured: dict[str, list[float]] = {"ms": [], "mib": []}
    number = 0
    for mark in marks:
        while number < mark - WINDOW:
            searcher.add(number, points.ask(SPACE.distributions()).params)
            number += 1
        took = []
        while number < mark:
            start = time.perf_counter()
            searcher.run(number)
            took.append(1000 * (time.perf_counter() - start))
            number += 1
        measured["ms"].append(statistics.median(took))
        measured["mib"].append((psutil.Process().memory_info().rss - before) / 2**20)
        print(f"  {kind} {mark}: {measured['ms'][-1]:.1f} ms", file=sys.stderr)
    return measured


def main() -> None:
    """Measure each searcher in its own process, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--kind", choices=KINDS, help="Measure only this searcher, and print JSON.")
    args = parser.parse_args()
    marks = [n for n in (100, 1_000, 10_000) if n <= args.trials]
    if args.kind:
        print(json.dumps(measure(args.kind, marks)))
        return
    measured = {}
    for kind in KINDS:
        command = [sys.executable, "-m", "tests.benchmarks.decisions", "--kind", kind]
        command += ["--trials", str(args.trials)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        measured[kind] = json.loads(done.stdout)
    named = {
        "ours": "Finesweep",
        "tpe": "Finesweep, `--sampler tpe`",
        "stock": "Ray's OptunaSearch",
        "raw": "Optuna's TPE alone",
    }
    lines = [
        f"Trials of {EPOCHS} epochs in the default space, no workers. Time: what the driver spends "
        f"on one trial, to propose it and to record its {EPOCHS} epochs and its end. It is the "
        f"median of the last {WINDOW} trials up to n; the sampler proposes these, while earlier "
        "trials are at random points. Finesweep writes its journal to disk and syncs it; the "
        "others keep everything in memory.",
        "",
        "| | "
        + " | ".join(f"ms at n = {n}" for n in marks)
        + " | "
        + " | ".join(f"MiB at n = {n}" for n in marks)
        + " |",
        "| --- |" + " --- |" * (2 * len(marks)),
        *(
            f"| {named[kind]} | "
            + " | ".join(f"{value:.1f}" for value in result["ms"])
            + " | "
            + " | ".join(f"{value:.0f}" for value in result["mib"])
            + " |"
            for kind, result in measured.items()
        ),
    ]
    write_table("decisions", "B9: decisions", "python -m tests.benchmarks.decisions", lines)


if __name__ == "__main__":
    main()
