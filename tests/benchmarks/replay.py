"""B7: whole searches on recorded curves, by the very sampler and stopping rule that sweeps run.

    python -m tests.benchmarks.replay [--model forest] [--seeds 50] [--ablation]

A simulated trial takes the seconds that its point took, and reports epoch by epoch to the study,
the sampler and the stopping rule of a sweep; nothing else is simulated. A search is worth the test
accuracy, its luck left out, of the trial and epoch that it would hand over; its regret is what the
best point of the space has more.
"""

import argparse
import heapq
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from optuna.storages import InMemoryStorage

from search.agenda import Agenda
from search.budget import Budget
from search.config import SweepConfig
from search.draft import Draft
from search.points import best_points, in_turn
from search.stopping import stopping_rule
from search.study import StudyJournal
from search.trial import NUMBER, REPEAT
from spaces import TrialParams
from tests.benchmarks.measuring import write_table
from tests.benchmarks.record_curves import EPOCHS, SETS, SPACE
from tests.benchmarks.worlds import MODELS, Curve, World, world
from trainables.report import EpochReport, best_of

WORTH = {"small": 20, "medium": 60, "large": 200}
"""Budgets: as long as so many trials of random + ASHA take."""
ENDLESS = 10**6
BEFORE = 20_000
"""Seeds of searches on other sets, which a prior comes from, begin here."""
NOBODY: Any = None


@dataclass(frozen=True)
class Strategy:
    """A way to search: settings of a sweep, and what no setting says."""

    settings: dict[str, Any] = field(default_factory=dict)
    stock: bool = False
    """Tell the study as Ray's OptunaSearch does: all are complete, with their last value."""
    spares: bool = True
    """Whether a weak trial that may yet lead goes on."""
    prior: bool = False
    """Begin with the best points of searches on the other sets."""

    def draft(self, trials: int, earlier: Sequence[TrialParams]) -> Draft:
        """Of a sweep that knows the best points of ``earlier`` ones."""
        given = {"data": "nowhere", "trials": trials, "max_epochs": EPOCHS, "confirm": 0}
        config = SweepConfig.parse({**given, **self.settings})
        starts = SPACE.starts(native_image_size={}) if config.starts else []
        return Draft(config, SPACE, (*earlier, *starts), {}, {})


def of(**settings: Any) -> Strategy:
    """Settings of a sweep."""
    return Strategy(settings)


STRATEGIES = {
    "ours": of(),
    "random + ASHA": of(sampler="random", starts=False),
    "stock OptunaSearch + ASHA": Strategy({"sampler": "tpe", "starts": False}, stock=True),
    "random + Hyperband": of(sampler="random", starts=False, stopping="hyperband"),
    "random, no stopping": of(sampler="random", starts=False, stopping="none"),
}
ABLATION = {
    "ours": of(),
    "ours without starts": of(starts=False),
    "ours, none spared": Strategy(spares=False),
    "ours, TPE": of(sampler="tpe"),
    "ours, random": of(sampler="random"),
    "ours, no stopping": of(stopping="none"),
    "ours, median": of(stopping="median"),
    "ours, Hyperband": of(stopping="hyperband"),
    "random + ASHA": of(sampler="random", starts=False),
    "our sampler + ASHA": Strategy({"starts": False}, spares=False),
    "ours, prior": Strategy(prior=True),
}
"""What each part of ours leaves when it is removed or another takes its place; random + ASHA with
starts alone, or the sampler alone; and ours that knows the best points of the other sets."""
_ALL = STRATEGIES | ABLATION


@dataclass
class _Running:
    """A simulated trial."""

    trial: Any
    curve: Curve
    epoch: int = 0


class Replay:
    """One search on a world, on some workers at a time."""

    def __init__(
        self,
        on: World,
        strategy: Strategy,
        *,
        seed: int,
        trials: int = ENDLESS,
        earlier: Sequence[TrialParams] = (),
    ) -> None:
        draft = strategy.draft(trials, earlier)
        config = draft.config
        self._world, self._strategy, self._rng = on, strategy, np.random.default_rng(seed)
        self._study = StudyJournal(
            InMemoryStorage(),
            metric=config.metric,
            sampler=config.sampler,
            seed=seed,
            max_epochs=EPOCHS,
        )
        self._agenda = Agenda(self._study, draft, Budget(config, lambda params: 0.0))
        spared = self._study.may_lead if strategy.spares else lambda number, report: False
        self._rule = stopping_rule(config, spared)
        self._metric = config.metric
        self._events: list[tuple[float, int]] = []
        self._running: dict[int, _Running] = {}
        self._best: EpochReport | None = None
        self.found: list[tuple[float, float]] = []
        """When another trial and epoch led, and its regret."""

    def run(self, seconds: float, *, workers: int) -> float:
        """Search for so long, or until there are no more trials. Returns the seconds it took."""
        now = 0.0
        for _ in range(workers):
            self._begin(now)
        while self._events:
            now, number = heapq.heappop(self._events)
            if now > seconds:
                return seconds
            if self._report(now, number):
                self._begin(now)
        return now

    def _begin(self, now: float) -> None:
        number = self._agenda.begin(list(self._running))
        if number is None:
            return
        curve = self._world.run(self._agenda.params[number], self._rng)
        trial = SimpleNamespace(config={NUMBER: number, REPEAT: None})
        self._rule.on_trial_add(NOBODY, trial)
        self._running[number] = _Running(trial, curve)
        heapq.heappush(self._events, (now + float(curve.seconds[0]), number))

    def _report(self, now: float, number: int) -> bool:
        """The next epoch of a trial. Returns whether the trial is over."""
        running = self._running[number]
        running.epoch += 1
        curve, epoch = running.curve, running.epoch
        loss = float(curve.val_loss[epoch - 1])
        spent = float(curve.seconds[epoch - 1])
        accuracy, last = float(curve.val_accuracy[epoch - 1]), epoch == EPOCHS
        report = EpochReport(
            epoch, 0.5, loss, accuracy, accuracy, accuracy, 1e-3, spent, 0, 0, 1, 1, last
        )
        self._study.report(number, report)
        best = best_of((self._best, report), self._metric)
        if best is report:
            self._best = best
            regret = self._world.best - float(curve.test_accuracy[epoch - 1])
            self.found.append((now, regret))
        decision = self._rule.on_trial_result(NOBODY, running.trial, report.to_dict())
        if not last and decision != self._rule.STOP:
            heapq.heappush(self._events, (now + float(curve.seconds[epoch]), number))
            return False
        self._rule.on_trial_complete(NOBODY, running.trial, report.to_dict())
        if self._strategy.stock:
            self._study._study.tell(number, accuracy)
        else:
            self._study.end(number, "completed" if last else "stopped")
        del self._running[number]
        return True

    def best_points(self) -> list[TrialParams]:
        """What it would be worth to a later search."""
        return best_points(self._study.trials(), self._metric, SPACE, {})

    def regret(self, seconds: float) -> float:
        """Of what it would hand over then."""
        so_far = [regret for when, regret in self.found if when <= seconds]
        return so_far[-1] if so_far else self._world.best - self._world.typical


def budgets(on: World, workers: int, *, seeds: int = 20) -> list[float]:
    """Seconds of `WORTH`."""
    random = STRATEGIES["random + ASHA"]
    return [
        float(
            np.mean(
                [
                    Replay(on, random, seed=10_000 + seed, trials=n).run(np.inf, workers=workers)
                    for seed in range(seeds)
                ]
            )
        )
        for n in WORTH.values()
    ]


def search(
    task: tuple[str, str, int], *, model: str, workers: int, seconds: dict[str, list[float]]
) -> tuple[str, str, list[float]]:
    """The regrets of one search at each budget."""
    name, strategy, seed = task
    earlier = []
    others = [other for other in seconds if other != name]
    for other in others if _ALL[strategy].prior else ():
        before = Replay(world(other, model), STRATEGIES["ours"], seed=seed + BEFORE)
        before.run(seconds[other][1], workers=workers)
        earlier.append(before.best_points())
    replayed = Replay(world(name, model), _ALL[strategy], seed=seed, earlier=in_turn(earlier))
    replayed.run(seconds[name][-1], workers=workers)
    return name, strategy, [replayed.regret(budget) for budget in seconds[name]]


def interval(values: np.ndarray) -> str:
    """Mean in points of accuracy, with half of its 95% interval."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{100 * values.mean():.2f} ± {100 * half:.2f}"


def main() -> None:
    """Every strategy on every set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--model", choices=MODELS, default="processes")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    args = parser.parse_args()
    strategies = list(ABLATION if args.ablation else STRATEGIES)
    began = time.monotonic()
    seconds = {name: budgets(world(name, args.model), args.workers) for name in args.sets}
    tasks = [(n, s, seed) for n in args.sets for s in strategies for seed in range(args.seeds)]
    run = partial(search, model=args.model, workers=args.workers, seconds=seconds)
    found: dict[tuple[str, str], list[list[float]]] = {}
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for name, strategy, regrets in pool.imap_unordered(run, tasks, chunksize=5):
            found.setdefault((name, strategy), []).append(regrets)
    print(f"  {len(tasks)} searches in {time.monotonic() - began:.0f} s", file=sys.stderr)
    lines = _lines(args, strategies, found)
    kind = "ablation_" if args.ablation else ""
    command = f"python -m tests.benchmarks.replay --model {args.model} --seeds {args.seeds}"
    command += f" --workers {args.workers}" + " --ablation" * args.ablation
    title = f"B7: search quality on recorded curves, {args.model}"
    write_table(f"replay_{kind}{args.model}", title, command, lines)


def _lines(
    args: argparse.Namespace,
    strategies: Sequence[str],
    found: dict[tuple[str, str], list[list[float]]],
) -> list[str]:
    lines = [
        f"Regret in points of test accuracy, mean of {args.seeds} searches with half of its 95% "
        f"interval, {args.workers} workers. Budgets are as long as "
        + ", ".join(f"{n} ({name})" for name, n in WORTH.items())
        + " trials of random + ASHA take.",
        "",
    ]
    head = "| | " + " | ".join(WORTH) + " |\n| --- |" + " --- |" * len(WORTH)
    for name in args.sets:
        on = world(name, args.model)
        first, last, tested = (on.explained[k] for k in (0, EPOCHS - 1, 2 * EPOCHS - 1))
        lines += [
            f"**{name}**: {on.points} points; of the variance between points unseen ones tell "
            f"{first:.0%} after one epoch, {last:.0%} after the last, {tested:.0%} in the test; "
            f"the best has {on.best:.4f}, a random one {on.typical:.4f}.",
            "",
            head,
        ]
        for strategy in strategies:
            regrets = np.array(found[name, strategy])
            cells = " | ".join(interval(regrets[:, k]) for k in range(len(WORTH)))
            lines.append(f"| {strategy} | {cells} |")
        lines.append("")
    lines += ["**All sets**", "", head]
    for strategy in strategies:
        regrets = np.mean([found[name, strategy] for name in args.sets], axis=0)
        cells = " | ".join(interval(regrets[:, k]) for k in range(len(WORTH)))
        lines.append(f"| {strategy} | {cells} |")
    if set(STRATEGIES) <= set(strategies):
        mean = {s: np.mean([found[n, s] for n in args.sets], axis=(0, 1)) for s in STRATEGIES}
        better = np.minimum(mean["random + ASHA"], mean["stock OptunaSearch + ASHA"])
        parts = ", ".join(f"{share:.2f}" for share in mean["ours"] / better)
        said = f"Ours has {parts} of the regret of the better of random + ASHA and stock"
        lines += ["", f"{said}; the aim is 0.5."]
    return lines


if __name__ == "__main__":
    main()
