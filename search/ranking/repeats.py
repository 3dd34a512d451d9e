"""Repeats of the best trials with other seeds and other images: the best mean wins.

The maximum of many noisy scores is biased upwards, most of all with few validation images. A trial
whose repeats have all finished is called confirmed. Unless the setting `confirm` says how many
trials to confirm, they are those that can't be told from the best one: whose score is within a
standard error of the best score.
"""

import math
from collections.abc import Callable, Sequence
from statistics import median

from search.config import SweepConfig, Validation
from search.record import Repeat, TrialRecord
from spaces import TrialParams
from trainables.training import METRICS, RoundReport, is_as_good, merit

REPEATS_PER_TRIAL = 2
"""Number of repeats of each trial that is to be confirmed, each with another seed."""
MAX_CONFIRMED_TRIALS = 5
"""Largest number of trials to confirm when `confirm` is unset."""
MAX_SHARE_OF_SEARCH = 0.25
"""Largest time of all repeats, as a share of the time of the search, when `confirm` is unset."""


def pending_repeats(
    trials: Sequence[TrialRecord], config: SweepConfig, validation: Validation
) -> list[Repeat]:
    """Repeats that are still to be run before a winner is named.

    Empty if fewer than two trials are to be confirmed. Also empty if the setting `confirm` is unset
    and the setting `retrain` is off.
    """
    if config.confirm is None and not config.retrain:
        return []
    to_confirm = _trials_to_confirm(trials, config, validation)
    if len(to_confirm) < 2:
        return []
    begun = {(trial.repeat.of, trial.repeat.seed) for trial in trials if trial.repeat}
    return [
        Repeat(
            trial.number,
            config.seed + offset,
            _best_round(trial, config.metric),
            offset - 1 if validation.parts else None,
        )
        for offset in range(1, REPEATS_PER_TRIAL + 1)
        for trial in to_confirm
        if (trial.number, config.seed + offset) not in begun
    ]


def seconds_of_pending_repeats(
    trials: Sequence[TrialRecord],
    config: SweepConfig,
    validation: Validation,
    share_held: Callable[[TrialParams], float],
) -> float:
    """Expected time of the `pending_repeats`; a trial holds a share of the whole cluster."""
    by_number = {trial.number: trial for trial in trials}
    repeated = [by_number[repeat.of] for repeat in pending_repeats(trials, config, validation)]
    seconds = [_repeat_seconds(trial, config.metric) for trial in repeated]
    shares = [share_held(trial.params) for trial in repeated]
    side_by_side = sum(share * each for share, each in zip(shares, seconds, strict=True))
    return max(side_by_side, max(seconds, default=0.0))


def confirmed_scores(trials: Sequence[TrialRecord], metric: str) -> dict[int, list[float]]:
    """Scores of the repeats of each confirmed trial, by its number.

    A trial's own score is not among them: it was chosen as one of the best, so it is too high. A
    repeat ends at the best round of the trial that it repeats. Its score is the score of its last
    round, or NaN if it diverged. A trial is left out until all of its repeats have finished, and
    for good if one of them failed without diverging.
    """
    repeat_scores: dict[int, list[float]] = {}
    for trial in trials:
        if trial.repeat is None or not trial.reports:
            continue
        last = trial.reports[-1]
        if last.diverged or len(trial.reports) == trial.repeat.rounds:
            score = math.nan if last.diverged else METRICS[metric].of(last)
            repeat_scores.setdefault(trial.repeat.of, []).append(score)
    return {
        number: each for number, each in repeat_scores.items() if len(each) == REPEATS_PER_TRIAL
    }


def _trials_to_confirm(
    trials: Sequence[TrialRecord], config: SweepConfig, validation: Validation
) -> list[TrialRecord]:
    """The best trials: as many as `confirm` says or, if unset, all that are as good as the best.

    `MAX_CONFIRMED_TRIALS` and `MAX_SHARE_OF_SEARCH` limit them. Linear probes are left out if the
    images stay the same: another seed does not change a head that is solved to its end.
    """
    ranked = _distinct_best_first(trials, config.metric)
    if not validation.parts:
        ranked = [trial for trial in ranked if trial.params.head == "trained"]
    if config.confirm is not None:
        return ranked[: config.confirm]
    ranked = _as_good_as_first(ranked, config.metric, validation.images)[:MAX_CONFIRMED_TRIALS]
    search_seconds = sum(trial.seconds for trial in trials if trial.repeat is None)
    while ranked and (
        REPEATS_PER_TRIAL * sum(_repeat_seconds(trial, config.metric) for trial in ranked)
        > MAX_SHARE_OF_SEARCH * search_seconds
    ):
        ranked.pop()
    return ranked


def _as_good_as_first(
    ranked: Sequence[TrialRecord], metric: str, images: float
) -> list[TrialRecord]:
    """Trials whose best score is within a standard error of the first one's.

    If the metric is a loss, these are all trials.
    """
    if METRICS[metric].direction == "min":
        return list(ranked)
    best = [_best_report(trial, metric) for trial in ranked]
    return [
        trial
        for trial, report in zip(ranked, best, strict=True)
        if is_as_good(report, best[0], metric, images)
    ]


def _distinct_best_first(trials: Sequence[TrialRecord], metric: str) -> list[TrialRecord]:
    """Trials of the search that did not fail, sorted by best round; ties go to the lower loss.

    Of trials with equal parameters only the best is kept.
    """
    searched = [t for t in trials if t.repeat is None and t.status != "failed"]
    eligible = [(merit(best, metric), t) for t in searched if (best := t.best(metric))]
    best_of_params: dict[TrialParams, TrialRecord] = {}
    for _, trial in sorted(eligible, key=lambda pair: pair[0], reverse=True):
        best_of_params.setdefault(trial.params, trial)
    return list(best_of_params.values())


def _best_round(trial: TrialRecord, metric: str) -> int:
    return _best_report(trial, metric).round


def _best_report(trial: TrialRecord, metric: str) -> RoundReport:
    best = trial.best(metric)
    assert best is not None, "only trials with a finite round are confirmed"
    return best


def _repeat_seconds(trial: TrialRecord, metric: str) -> float:
    """Expected wall time of a repeat, which ends at the trial's best round.

    The trial's first round may have computed features that the repeat reads, so later ones tell.
    """
    rounds = trial.reports[1:] or trial.reports
    return _best_round(trial, metric) * median(report.seconds for report in rounds)
