"""A search on a `World`, simulated: only training is, not what a sweep decides with.

Points come from an Optuna sampler, and a scheduler of Ray Tune stops trials, as in a sweep of many
workers. Time is that of the world: a trial takes the seconds of its rounds, and all else nothing.
"""

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState
from ray.tune.schedulers import ASHAScheduler

from search.config import SweepConfig
from search.samplers import FreezeThawSampler, MultiFidelitySampler
from search.trial import TrialRequest
from search.tuning.trial_scheduler import stopping_rule
from spaces import TrialParams
from tests.benchmarks.worlds.world import ScoreCurve, World
from trainables.training import RoundReport

_NOBODY: Any = None
MOST_PAUSED = 8
"""Paused trials that a search may have, as a sweep of four workers."""
_PARAMS = TrialParams(backbone="")
"""Parameters in place of a world's, which a stopping rule does not look at."""


@dataclass
class Simulated:
    """A trial that has begun."""

    optuna: Trial
    curve: ScoreCurve
    rounds: int = 0
    """Rounds that it has finished."""

    @property
    def score(self) -> float:
        """Validation score after the last round."""
        return float(self.curve.validation[self.rounds - 1])


class Strategy(ABC):
    """What a search decides with: which trial a free worker runs, and whether a trial goes on."""

    def __init__(self, world: World, sampler: BaseSampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._world = world

    def next(self) -> int | Trial:
        """Number of a paused trial that goes on, or a new trial."""
        return self._study.ask(dict(self._world.space))

    @abstractmethod
    def goes_on(self, trial: Simulated) -> bool:
        """Whether a trial goes on after the round that it has just finished; not its last."""

    @abstractmethod
    def end(self, trial: Simulated) -> None:
        """Record that a trial has finished its last round, or does not go on."""


class Stock(Strategy):
    """A sampler of Optuna with Ray Tune's own ASHA, as Ray's OptunaSearch joins them."""

    def __init__(self, world: World, sampler: BaseSampler) -> None:
        super().__init__(world, sampler)
        self._asha = ASHAScheduler(
            time_attr="round", metric="score", mode="max", max_t=world.rounds, reduction_factor=3
        )

    def goes_on(self, trial: Simulated) -> bool:
        """Whether Ray's ASHA lets the trial go on."""
        told: Any = SimpleNamespace(trial_id=trial.optuna.number, config={})
        if trial.rounds == 1:
            self._asha.on_trial_add(_NOBODY, told)
        result = {"round": trial.rounds, "score": trial.score}
        return bool(self._asha.on_trial_result(_NOBODY, told, result) != ASHAScheduler.STOP)

    def end(self, trial: Simulated) -> None:
        """Record every trial as complete with its last score, as OptunaSearch does."""
        self._study.tell(trial.optuna, trial.score)


class SparingAsha(Strategy):
    """Finesweep with ``stopping = "asha"``: ASHA spares weak trials that could still win."""

    def __init__(self, world: World, seed: int) -> None:
        self._sampler = MultiFidelitySampler(seed=seed, max_rounds=world.rounds)
        super().__init__(world, self._sampler)
        self._rule = stopping_rule(_config(world, "asha"), 1, self._could_win, _unasked)

    def goes_on(self, trial: Simulated) -> bool:
        """Whether a sweep's stopping rule lets the trial go on."""
        told: Any = SimpleNamespace(config=TrialRequest(trial.optuna.number, _PARAMS).to_ray())
        if trial.rounds == 1:
            self._rule.on_trial_add(_NOBODY, told)
        decision = self._rule.on_trial_result(_NOBODY, told, _report(trial).to_dict())
        trial.optuna.report(trial.score, trial.rounds)
        return decision != self._rule.STOP

    def end(self, trial: Simulated) -> None:
        """Record a trial that ran to its end as complete with its best score, else as pruned."""
        if trial.rounds == self._world.rounds:
            self._study.tell(trial.optuna, float(trial.curve.validation.max()))
        else:
            self._study.tell(trial.optuna, state=TrialState.PRUNED)

    def _could_win(self, number: int, report: RoundReport) -> bool:
        """What the sampler says of a weak trial, as `StudyJournal` passes it on."""
        return self._sampler.could_win(self._study, number, report.round, report.val_accuracy)


class FreezeThaw(Strategy):
    """Finesweep with ``stopping = "freeze-thaw"``: the sampler chooses who goes on."""

    def __init__(self, world: World, seed: int) -> None:
        self._sampler = FreezeThawSampler(seed=seed, max_rounds=world.rounds)
        super().__init__(world, self._sampler)
        config = _config(world, "freeze-thaw")
        self._rule = stopping_rule(config, 1, _unasked, self._should_go_on)
        self._paused: dict[int, Simulated] = {}

    def next(self) -> int | Trial:
        """The paused trial that the sampler prefers, else a new one."""
        number = self._sampler.trial_to_resume(self._study, self._paused)
        if number is None:
            return super().next()
        del self._paused[number]
        self._rule.on_trial_add(_NOBODY, _as_ray_has_it(number))
        return number

    def goes_on(self, trial: Simulated) -> bool:
        """Whether a sweep's stopping rule lets the trial go on."""
        told, report = _as_ray_has_it(trial.optuna.number), _report(trial)
        if trial.rounds == 1:
            self._rule.on_trial_add(_NOBODY, told)
        decision = self._rule.on_trial_result(_NOBODY, told, report.to_dict())
        trial.optuna.report(trial.score, trial.rounds)
        if decision == self._rule.STOP:
            self._rule.on_trial_complete(_NOBODY, told, report.to_dict())
        return decision != self._rule.STOP

    def end(self, trial: Simulated) -> None:
        """Record a trial that ran to its end as complete with its best score; pause another."""
        if trial.rounds == self._world.rounds:
            self._study.tell(trial.optuna, float(trial.curve.validation.max()))
            return
        self._paused[trial.optuna.number] = trial
        if len(self._paused) > MOST_PAUSED:
            worst = min(self._paused.values(), key=_best_score)
            del self._paused[worst.optuna.number]
            self._study.tell(worst.optuna, state=TrialState.PRUNED)

    def _should_go_on(self, number: int, report: RoundReport) -> bool | None:
        """What the sampler says of a trial at a rung, as `StudyJournal` passes it on."""
        return self._sampler.should_go_on(
            self._study,
            number,
            rounds=report.round,
            value=report.val_accuracy,
            paused=self._paused,
        )


def _config(world: World, stopping: str) -> SweepConfig:
    """Settings of a sweep whose trials are as long as the world's."""
    given = {"data": "nowhere", "metric": "val_accuracy", "max_epochs": world.rounds}
    return SweepConfig.parse({**given, "stopping": stopping})


def _unasked(number: int, report: RoundReport) -> bool:
    raise AssertionError("this rule does not ask")


def _as_ray_has_it(number: int) -> Any:
    return SimpleNamespace(config=TrialRequest(number, _PARAMS).to_ray())


def _best_score(trial: Simulated) -> float:
    return float(trial.curve.validation[: trial.rounds].max())


def strategy(name: str, world: World, seed: int) -> Strategy:
    """A strategy of `STRATEGIES`."""
    match name:
        case "ours" if _config(world, "auto").stopping_name == "freeze-thaw":
            return FreezeThaw(world, seed)
        case "ours" | "ours, asha":
            return SparingAsha(world, seed)
        case "random + ASHA":
            return Stock(world, RandomSampler(seed=seed))
        case "TPE + ASHA":
            return Stock(world, TPESampler(seed=seed))
    raise ValueError(f"{name!r} is none of {STRATEGIES}.")


RIVALS = ("random + ASHA", "TPE + ASHA")
STRATEGIES = ("ours", "ours, asha", *RIVALS)
"""Names of strategies: with default settings, with ASHA, and what others would write."""


class Search:
    """A simulated search of some workers."""

    def __init__(self, world: World, strategy: Strategy, *, seed: int, workers: int) -> None:
        self._world, self._strategy = world, strategy
        self._workers, self._rng = workers, np.random.default_rng(seed)
        self._trials: dict[int, Simulated] = {}
        self._events: list[tuple[float, int]] = []

    def seconds_of(self, trials: int) -> float:
        """Seconds until so many trials have ended, beginning no more."""
        now = 0.0
        for _ in range(min(self._workers, trials)):
            self._begin(now)
        while self._events:
            now, number = heapq.heappop(self._events)
            if self._advance(now, number) and len(self._trials) < trials:
                self._begin(now)
        return now

    def regrets(self, budgets: Sequence[float]) -> list[float]:
        """Regret in test score after each of some ascending budgets in seconds.

        A search hands over the trial and round with the best validation score so far.
        """
        found, seen, regrets = self._world.untrained, -math.inf, []
        for _ in range(self._workers):
            self._begin(0.0)
        for budget in budgets:
            while self._events[0][0] <= budget:
                now, number = heapq.heappop(self._events)
                has_ended, trial = self._advance(now, number), self._trials[number]
                if trial.score > seen:
                    seen, found = trial.score, float(trial.curve.test[trial.rounds - 1])
                if has_ended:
                    self._begin(now)
            regrets.append(self._world.best - found)
        return regrets

    def _begin(self, now: float) -> None:
        """Give a free worker a trial."""
        chosen = self._strategy.next()
        if isinstance(chosen, int):
            number = chosen
        else:
            number, curve = chosen.number, self._world.run(chosen.params, self._rng)
            self._trials[number] = Simulated(chosen, curve)
        self._wait(now, number)

    def _wait(self, now: float, number: int) -> None:
        """Run a trial's next round."""
        trial = self._trials[number]
        heapq.heappush(self._events, (now + float(trial.curve.seconds[trial.rounds]), number))

    def _advance(self, now: float, number: int) -> bool:
        """Finish a trial's round; returns whether its worker is free."""
        trial = self._trials[number]
        trial.rounds += 1
        if trial.rounds < self._world.rounds and self._strategy.goes_on(trial):
            self._wait(now, number)
            return False
        self._strategy.end(trial)
        return True


def _report(trial: Simulated) -> RoundReport:
    """The trial's last round, with its score as the accuracy."""
    score, seconds = trial.score, float(trial.curve.seconds[trial.rounds - 1])
    return RoundReport(
        trial.rounds, trial.rounds, 0, 0, score, score, score, 0, seconds, 0, 0, 1, 1, False
    )
