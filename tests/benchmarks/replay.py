"""B7: regret of whole searches, simulated on recorded curves with a sweep's sampler and stopping.

    python -m tests.benchmarks.replay [--model forest] [--seeds 50] [--ablation]

Only training is simulated. A simulated trial takes the time that its point takes, and reports each
epoch to the study, sampler and stopping rule of a real sweep. If a strategy confirms its best
trials, a fifth of the time is reserved for that: a quarter of the search's. The score of a search
is the expected test accuracy (without noise) of the trial and epoch that it selects. Its regret is
the best point's test accuracy minus that score. A space's starting points come from the other image
sets (`World.space`). Repeats differ in the seed alone: what other validation images would say was
not recorded.
"""

import argparse
import heapq
import math
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

from search.config import SweepConfig, Validation, expected_rounds
from search.planning import PreparedPlan
from search.planning.initial_points import best_points, interleave
from search.ranking import pending_repeats, select_winner
from search.ranking.repeats import MAX_SHARE_OF_SEARCH
from search.record import Repeat, Status, TrialRecord
from search.trial import TrialRequest
from search.tuning.budget import Budget
from search.tuning.paused_trials import PausedTrials
from search.tuning.study import StudyJournal
from search.tuning.trial_queue import TrialQueue
from search.tuning.trial_scheduler import Asha, stopping_rule
from spaces import SearchSpace, TrialParams
from tests.benchmarks.measuring import write_table
from tests.benchmarks.record_curves import EPOCHS, SETS, SPACE, UNSEEN
from tests.benchmarks.worlds.recorded import MODELS, Curve, World, world
from tests.benchmarks.worlds.simulation import MOST_PAUSED
from trainables.training import RoundReport

WORTH = {"small": 20, "medium": 60, "large": 200}
"""Budgets, each as the number of trials that random + ASHA runs in that time."""
ENDLESS = 10**6
BEFORE = 20_000
"""First seed of the searches on other image sets that provide a prior."""
NOBODY: Any = None


@dataclass(frozen=True)
class Strategy:
    """Search strategy: the settings of a sweep, and choices that a sweep has no setting for."""

    settings: dict[str, Any] = field(default_factory=dict)
    stock: bool = False
    """Record all trials as complete with their last value, as Ray's OptunaSearch does."""
    spares: bool = True
    """Spare a weak trial from early stopping if it could still win."""
    learnt: bool = True
    """Use starting points learnt from other image sets, not only the space's defaults."""
    waits: bool = True
    """Let a rung of ASHA stop no trial before it has several scores, which Ray does not."""
    prior: bool = False
    """Start with the best points of searches on the other image sets."""

    def prepared(
        self, space: SearchSpace, trials: int, earlier: Sequence[TrialParams]
    ) -> PreparedPlan:
        """Prepared plan of this strategy, with the points of ``earlier`` sweeps first."""
        settings = {"data": "nowhere", "trials": trials, "max_epochs": EPOCHS}
        config = SweepConfig.parse({"metric": "val_accuracy", **settings, **self.settings})
        starts = space.initial_points(native_image_size={}) if config.starts else []
        return PreparedPlan(config, space, (*earlier, *starts), {}, {}, config.sampler_seed, ())


def of(**settings: Any) -> Strategy:
    """Strategy with these settings of a sweep."""
    return Strategy(settings)


PLAIN = {"starts": False, "confirm": 0}


def plain(*, stock: bool = False, **settings: Any) -> Strategy:
    """Strategy with these settings and nothing of Finesweep's own."""
    return Strategy({**PLAIN, **settings}, stock=stock, spares=False, waits=False)


STRATEGIES = {
    "ours": of(),
    "random + ASHA": plain(sampler="random"),
    "stock OptunaSearch + ASHA": plain(sampler="tpe", stock=True),
    "random + Hyperband": plain(sampler="random", stopping="hyperband"),
    "random, no stopping": plain(sampler="random", stopping="none"),
}
ABLATION = {
    "ours": of(),
    "ours without starts": of(starts=False),
    "ours, starts at literature's values": Strategy(learnt=False),
    "ours, none confirmed": of(confirm=0),
    "ours, none spared": Strategy(spares=False),
    "ours, freeze-thaw": of(stopping="freeze-thaw"),
    "ours, rungs that don't wait": Strategy(waits=False),
    "ours, TPE": of(sampler="tpe"),
    "ours, random": of(sampler="random"),
    "ours, no stopping": of(stopping="none"),
    "ours, median": of(stopping="median"),
    "ours, Hyperband": of(stopping="hyperband"),
    "random + ASHA": plain(sampler="random"),
    "random + ASHA, confirmed": plain(sampler="random", confirm=None),
    "our sampler + ASHA": plain(),
    "ours, prior": Strategy(prior=True),
}
"""Finesweep with one part removed or replaced, random + ASHA with one part added, and Finesweep
with a prior from searches on the other image sets."""
_ALL = STRATEGIES | ABLATION


@dataclass
class _Running:
    """A simulated trial."""

    trial: Any
    curve: Curve
    epoch: int = 0


class Replay:
    """One simulated search on a `World`."""

    def __init__(
        self,
        on: World,
        strategy: Strategy,
        *,
        seed: int,
        trials: int = ENDLESS,
        earlier: Sequence[TrialParams] = (),
    ) -> None:
        prepared = strategy.prepared(on.space if strategy.learnt else SPACE, trials, earlier)
        self._config = config = prepared.config
        self._world, self._strategy, self._rng = on, strategy, np.random.default_rng(seed)
        self._study = StudyJournal(
            InMemoryStorage(),
            prepared.space,
            metric=config.metric,
            sampler=config.sampler,
            seed=seed,
            max_rounds=EPOCHS,
            freeze_thaw=config.stopping_name == "freeze-thaw",
        )
        self._validation = Validation(on.images)
        budget = Budget(config, lambda params: 0.0)
        self._queue = TrialQueue(self._study, prepared, budget, self._validation)
        is_freeze_thaw = config.stopping_name == "freeze-thaw"
        self._paused = PausedTrials(
            self._study,
            self._queue,
            most=MOST_PAUSED if is_freeze_thaw else 0,
            rounds=expected_rounds(config, 1),
        )
        spared = self._study.could_win if strategy.spares else lambda number, report: False
        self._rule = stopping_rule(config, 1, spared, self._paused.should_go_on)
        if isinstance(self._rule, Asha) and not strategy.waits:
            for bracket in self._rule._brackets:
                del bracket.cutoff  # Ray's own
        self._events: list[tuple[float, int]] = []
        self._running: dict[int, _Running] = {}
        """Trials that run, and paused ones."""
        self._curves: dict[int, Curve] = {}
        self.seconds = 0.0
        """Simulated time so far."""

    def run(self, seconds: float = math.inf, *, workers: int) -> None:
        """Simulate until ``seconds`` of simulated time have passed or no trial is left."""
        if not self._curves:
            for _ in range(workers):
                self._begin(0.0)
        while self._events and self._events[0][0] <= seconds:
            self.seconds, number = heapq.heappop(self._events)
            if self._report(self.seconds, number):
                self._begin(self.seconds)

    def regrets(self, budgets: Sequence[float], *, workers: int) -> list[float]:
        """Regret at each budget in seconds. The budget includes the time for confirmation."""
        share = 1.0 if self._config.confirm == 0 else 1 / (1 + MAX_SHARE_OF_SEARCH)
        regrets_of = []
        for budget in budgets:
            self.run(share * budget, workers=workers)
            regrets_of.append(self._regret())
        return regrets_of

    def _begin(self, now: float) -> None:
        number = self._paused.choose()
        if number is not None:
            self._paused.discard(number)
        else:
            number = self._queue.begin(list(self._running))
            if number is None:
                return
            params = self._queue.params[number]
            self._curves[number] = self._world.run(params, self._rng)
            trial = SimpleNamespace(config=TrialRequest(number, params).to_ray())
            self._running[number] = _Running(trial, self._curves[number])
        running = self._running[number]
        self._rule.on_trial_add(NOBODY, running.trial)
        seconds = float(running.curve.seconds[running.epoch])
        heapq.heappush(self._events, (now + seconds, number))

    def _report(self, now: float, number: int) -> bool:
        """Report a trial's next epoch, and return whether the trial has ended."""
        running = self._running[number]
        running.epoch += 1
        curve, epoch = running.curve, running.epoch
        report, last = _report_of(curve, epoch), epoch == EPOCHS
        self._study.report(number, report)
        decision = self._rule.on_trial_result(NOBODY, running.trial, report.to_dict())
        if not last and decision != self._rule.STOP:
            heapq.heappush(self._events, (now + float(curve.seconds[epoch]), number))
            return False
        self._rule.on_trial_complete(NOBODY, running.trial, report.to_dict())
        if self._strategy.stock:
            self._study._study.tell(number, report.val_accuracy)
            del self._running[number]
        elif last or not self._paused.is_used:
            self._end(number, "completed" if last else "stopped")
        else:
            for given_up in self._paused.add(number):
                self._end(given_up, "stopped")
        return True

    def _end(self, number: int, status: Status) -> None:
        self._paused.discard(number)
        self._study.end(number, status)
        del self._running[number]

    def best_points(self) -> list[TrialParams]:
        """Best points of this search, as a later search with a prior would get them."""
        return best_points(self._study.trials(), self._config.metric, SPACE, {})

    def _regret(self) -> float:
        """Regret of the trial that a sweep would select now, after confirming its best trials."""
        trials, metric = self._study.trials(), self._config.metric
        if not any(trial.reports for trial in trials):
            return self._world.best - self._world.typical
        repeated = [
            self._again(ENDLESS + place, repeat)
            for place, repeat in enumerate(pending_repeats(trials, self._config, self._validation))
        ]
        chosen = select_winner([*trials, *repeated], metric)
        best = chosen.best(metric)
        assert best is not None  # the winner has a best epoch
        return self._world.best - float(self._curves[chosen.number].test_accuracy[best.epoch - 1])

    def _again(self, number: int, repeat: Repeat) -> TrialRecord:
        """Simulate a repeat of a trial with another seed."""
        params = self._queue.params[repeat.of]
        curve = self._world.run(params, self._rng)
        reports = tuple(_report_of(curve, epoch) for epoch in range(1, repeat.rounds + 1))
        return TrialRecord(number, params, "completed", reports, "", repeat)


def _report_of(curve: Curve, epoch: int) -> RoundReport:
    """Report of one epoch of a simulated trial."""
    loss, seconds = float(curve.val_loss[epoch - 1]), float(curve.seconds[epoch - 1])
    accuracy, last = float(curve.val_accuracy[epoch - 1]), epoch == EPOCHS
    return RoundReport(
        epoch, epoch, 0.5, loss, accuracy, accuracy, accuracy, 1e-3, seconds, 0, 0, 1, 1, last
    )


def budgets(on: World, workers: int, *, seeds: int = 20) -> list[float]:
    """Budgets of `WORTH` in seconds of simulated time."""
    random, means = STRATEGIES["random + ASHA"], []
    for trials in WORTH.values():
        searches = [Replay(on, random, seed=10_000 + k, trials=trials) for k in range(seeds)]
        for replay in searches:
            replay.run(workers=workers)
        means.append(float(np.mean([replay.seconds for replay in searches])))
    return means


def search(
    task: tuple[str, str, int], *, model: str, workers: int, seconds: dict[str, list[float]]
) -> tuple[str, str, list[float]]:
    """Simulate one search; return its image set, its strategy and its regret at each budget."""
    name, strategy, seed = task
    earlier = []
    others = [other for other in seconds if other != name]
    for other in others if _ALL[strategy].prior else ():
        before = Replay(world(other, model), Strategy(learnt=False), seed=seed + BEFORE)
        before.run(seconds[other][1], workers=workers)
        earlier.append(before.best_points())
    replayed = Replay(world(name, model), _ALL[strategy], seed=seed, earlier=interleave(earlier))
    return name, strategy, replayed.regrets(seconds[name], workers=workers)


def interval(values: np.ndarray) -> str:
    """Mean and half the width of its 95% interval, in percentage points of accuracy."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{100 * values.mean():.2f} ± {100 * half:.2f}"


def main() -> None:
    """Simulate every strategy on every image set, and write the table."""
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
    regrets_of: dict[tuple[str, str], list[list[float]]] = {}
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for name, strategy, regrets in pool.imap_unordered(run, tasks, chunksize=5):
            regrets_of.setdefault((name, strategy), []).append(regrets)
    print(f"  {len(tasks)} searches in {time.monotonic() - began:.0f} s", file=sys.stderr)
    lines = _lines(args, strategies, regrets_of)
    kind = "ablation_" if args.ablation else ""
    command = f"python -m tests.benchmarks.replay --model {args.model} --seeds {args.seeds}"
    command += f" --workers {args.workers}" + " --ablation" * args.ablation
    title = f"B7: search quality on recorded curves, {args.model}"
    write_table(f"replay_{kind}{args.model}", title, command, lines)


def _lines(
    args: argparse.Namespace,
    strategies: Sequence[str],
    regrets_of: dict[tuple[str, str], list[list[float]]],
) -> list[str]:
    lines = [
        f"Regret in percentage points of test accuracy: mean of {args.seeds} searches ± half of "
        f"its 95% interval, {args.workers} workers. A budget is the time of random + ASHA for "
        + ", ".join(f"{n} trials ({name})" for name, n in WORTH.items())
        + ".",
        "",
        "Ours is Finesweep. It reserves a fifth of the time to confirm its best trials, and starts "
        "with the best point of the other image sets. Its constants were tuned on all sets except "
        f"{UNSEEN}.",
        "",
    ]
    head = "| | " + " | ".join(WORTH) + " |\n| --- |" + " --- |" * len(WORTH)
    for name in args.sets:
        on = world(name, args.model)
        first, last, tested = (on.explained[k] for k in (0, EPOCHS - 1, 2 * EPOCHS - 1))
        lines += [
            f"**{name}**: {on.points} points. Share of the variance between points that the "
            f"surrogate explains at held-out points: {first:.0%} (validation, first epoch), "
            f"{last:.0%} (validation, last epoch), {tested:.0%} (test). Test accuracy of the best "
            f"point {on.best:.4f}, of a random one {on.typical:.4f}.",
            "",
            head,
        ]
        for strategy in strategies:
            regrets = np.array(regrets_of[name, strategy])
            cells = " | ".join(interval(regrets[:, k]) for k in range(len(WORTH)))
            lines.append(f"| {strategy} | {cells} |")
        lines.append("")
    lines += ["**All sets**", "", head]
    for strategy in strategies:
        regrets = np.mean([regrets_of[name, strategy] for name in args.sets], axis=0)
        cells = " | ".join(interval(regrets[:, k]) for k in range(len(WORTH)))
        lines.append(f"| {strategy} | {cells} |")
    if set(STRATEGIES) <= set(strategies):
        verdict = (
            "Our regret over that of the better of random + ASHA and stock, at each budget: "
            f"{_share(regrets_of, args.sets)}; the aim is 0.5."
        )
        if UNSEEN in args.sets:
            verdict += f" On {UNSEEN} alone: {_share(regrets_of, [UNSEEN])}."
        lines += ["", verdict]
    return lines


def _share(regrets_of: dict[tuple[str, str], list[list[float]]], sets: Sequence[str]) -> str:
    """Finesweep's regret divided by the better rival's, at each budget."""
    ours, *rivals = (
        np.mean([regrets_of[name, strategy] for name in sets], axis=(0, 1))
        for strategy in ("ours", "random + ASHA", "stock OptunaSearch + ASHA")
    )
    return ", ".join(f"{share:.2f}" for share in ours / np.minimum(*rivals))


if __name__ == "__main__":
    main()
