"""Whether the best trials were good or lucky: each is trained again with other seeds.

The best score of many is too good to be true, the more so the fewer images validate it. A winner
is therefore named by the mean over several seeds, where that costs little beside the search.
"""

import math
from collections.abc import Sequence

from search.config import SweepConfig
from search.record import Repeat, TrialRecord
from spaces import TrialParams
from trainables.training import merit

SEEDS = 2
"""Other seeds that a trial is confirmed with."""
MOST = 3
"""Trials that are confirmed, if nobody says how many."""
SHARE = 0.1
"""Of the search's seconds, that confirming may cost if nobody says how many."""


def _best_first(trials: Sequence[TrialRecord], metric: str) -> list[TrialRecord]:
    """Trials of the search that can win, by their best epoch; of equals that of the lower loss.

    Of several with the same parameters the best.
    """
    searched = [t for t in trials if t.repeat is None and t.status != "failed"]
    able = [(merit(best, metric), t) for t in searched if (best := t.best(metric))]
    first: dict[TrialParams, TrialRecord] = {}
    for _, trial in sorted(able, key=lambda pair: pair[0], reverse=True):
        first.setdefault(trial.params, trial)
    return list(first.values())


def pending_repeats(trials: Sequence[TrialRecord], config: SweepConfig) -> list[Repeat]:
    """What is still to be run before a winner is named; nothing if there is no choice.

    Without a retraining to come, only if somebody said how many.
    """
    if config.confirm is None and not config.retrain:
        return []
    ranked = _best_first(trials, config.metric)[
        : MOST if config.confirm is None else config.confirm
    ]
    if config.confirm is None:
        whole = sum(trial.seconds for trial in trials if trial.repeat is None)
        while ranked and SEEDS * sum(_seconds(t, config) for t in ranked) > SHARE * whole:
            ranked.pop()
    if len(ranked) < 2:
        return []
    known = {(trial.repeat.of, trial.repeat.seed) for trial in trials if trial.repeat}
    return [
        Repeat(trial.number, config.seed + other, _epochs(trial, config))
        for other in range(1, SEEDS + 1)
        for trial in ranked
        if (trial.number, config.seed + other) not in known
    ]


def confirmed(trials: Sequence[TrialRecord], metric: str) -> dict[int, list[float]]:
    """Scores of the trials that were trained again, by number: their own, and of each repeat.

    A repeat counts with the epoch that the trial was best in, NaN if its loss was no longer finite.
    A trial is left out while one is missing, or if a fault has lost it.
    """
    scores: dict[int, list[float]] = {}
    for trial in trials:
        if trial.repeat is None or not trial.reports:
            continue
        last = trial.reports[-1]
        if last.diverged or len(trial.reports) == trial.repeat.epochs:
            value = math.nan if last.diverged else getattr(last, metric)
            scores.setdefault(trial.repeat.of, []).append(value)
    own = {t.number: t.best(metric) for t in trials if t.number in scores}
    return {
        number: [getattr(own[number], metric), *again]
        for number, again in scores.items()
        if len(again) == SEEDS
    }


def _epochs(trial: TrialRecord, config: SweepConfig) -> int:
    best = trial.best(config.metric)
    assert best is not None
    return best.epoch


def _seconds(trial: TrialRecord, config: SweepConfig) -> float:
    """Of a repeat: it ends at the epoch that the trial was best in."""
    return sum(report.seconds for report in trial.reports[: _epochs(trial, config)])
