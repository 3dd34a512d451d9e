"""What the final model is made of: the winner, or several trials where they do better together.

Members are picked greedily by their answers to the validation images (Caruana et al. 2004), and
only if picking so pays on images that were left out of the picking.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from search.config import SweepConfig, positive_class
from search.record import SweepPaths, TrialRecord, read_answers
from spaces import ConfigError
from trainables.data import Dataset
from trainables.evaluation import OperatingPoint, fold_numbers, scores_of
from trainables.inference import ModelSpec, fit_temperature
from trainables.training import METRICS

_log = logging.getLogger("finesweep")

_PICKS = 12
"""Members are picked so often at most, some again: how often is a member's weight."""


@dataclass(frozen=True)
class EnsembleMember:
    """A trial that is to be retrained as a part of the final model."""

    trial: TrialRecord
    weight: float = 1.0
    """Of all members' they sum to 1."""
    temperature: float = 1.0
    """What its logits are divided by."""


@dataclass(frozen=True)
class FinalModelSpec:
    """How a final model is made."""

    members: tuple[EnsembleMember, ...]
    """The winner first."""
    point: OperatingPoint | None = None


def select_final_model(
    winner: TrialRecord,
    trials: Sequence[TrialRecord],
    paths: SweepPaths,
    dataset: Dataset,
    config: SweepConfig,
) -> FinalModelSpec:
    """The winner, calibrated if asked for, and whoever makes it better if an ensemble is.

    Members see images alike: only trials of the winner's size and normalisation come in question.
    Raises `ConfigError` for a sensitivity of a class that is none of two, and where what was asked
    for needs answers that the winner hasn't left.
    """
    positive = positive_class(config, dataset.classes)
    labels = dataset.labels[dataset.rows(*config.validated)]
    if config.ensemble == 1 and not config.calibrate and positive is None:
        return FinalModelSpec((EnsembleMember(winner),))
    answers = read_answers(paths.answers, trials, config.metric, dataset, config.validated)
    if winner.number not in answers:
        needed = ["calibrate"] * config.calibrate + ["sensitivity"] * (positive is not None)
        if needed:
            raise ConfigError(
                f"{' and '.join(needed)} can't be had of trial {winner.trial_id}: it has left no "
                "answers to validation, which only the best trials do. Hand over another one by "
                f"'finesweep retrain {paths.root.name} --trial ID', or turn that off there."
            )
        _log.warning("trial %s has left no answers to validation: it stays alone", winner.trial_id)
        return FinalModelSpec((EnsembleMember(winner),))
    seen = ModelSpec.of(winner.params, dataset.classes)
    others = [
        trial
        for trial in trials
        if trial.number in answers
        and trial.number != winner.number
        and ModelSpec.of(trial.params, dataset.classes) == seen
    ]
    able = [winner, *others] if config.ensemble > 1 else [winner]
    folds = fold_numbers(labels, digests=dataset.digests_of(*config.validated))
    temperatures = [
        fit_temperature(answers[trial.number], labels, folds) if config.calibrate else 1.0
        for trial in able
    ]
    told = np.stack(
        [softmax(answers[t.number] / by, axis=1) for t, by in zip(able, temperatures, strict=True)]
    )
    picks = pick(told, labels, folds, config.metric, config.ensemble)
    _log.info(
        "the final model is made of %s",
        ", ".join(f"trial {able[k].trial_id} ({n} of {picks.total()})" for k, n in picks.items()),
    )
    members = tuple(
        EnsembleMember(able[k], count / picks.total(), temperatures[k])
        for k, count in picks.items()
    )
    if positive is None:
        return FinalModelSpec(members)
    scores, wanted = _mean(told, picks)[:, positive], float(config.sensitivity.rpartition("=")[2])
    name = dataset.classes[positive]
    return FinalModelSpec(members, OperatingPoint.fit(name, wanted, scores, labels == positive))


def pick(
    told: np.ndarray, labels: np.ndarray, folds: np.ndarray, metric: str, most: int
) -> Counter[int]:
    """How often each of ``(members, n, classes)`` probabilities counts; the first always does.

    ``most`` different ones at most. Only the first, unless those picked without one of ``(n,)``
    ``folds`` do better on it, over all folds.
    """
    alone = Counter([0])
    together = np.empty_like(told[0])
    for fold in np.unique(folds):
        rest = folds != fold
        picks = _greedy(told[:, rest], labels[rest], metric, most)
        together[~rest] = _mean(told[:, ~rest], picks)
    if _worth(together, labels, metric) <= _worth(told[0], labels, metric):
        return alone
    return _greedy(told, labels, metric, most)


def _greedy(told: np.ndarray, labels: np.ndarray, metric: str, most: int) -> Counter[int]:
    picks, best = Counter([0]), _worth(told[0], labels, metric)
    while picks.total() < _PICKS:
        able = range(len(told)) if len(picks) < most else list(picks)
        worths = {k: _worth(_mean(told, picks + Counter([k])), labels, metric) for k in able}
        leading = max(worths, key=worths.__getitem__)
        if worths[leading] <= best:
            break
        picks[leading] += 1
        best = worths[leading]
    return picks


def _mean(told: np.ndarray, picks: Counter[int]) -> np.ndarray:
    mean: np.ndarray = np.average(told[list(picks)], axis=0, weights=list(picks.values()))
    return mean


def _worth(probabilities: np.ndarray, labels: np.ndarray, metric: str) -> tuple[float, float]:
    """To be large: the metric, then the loss."""
    scores = scores_of(np.log(np.maximum(probabilities, 1e-12)), labels)
    value: float = getattr(scores, metric.removeprefix("val_"))
    return (value if METRICS[metric] == "max" else -value), -scores.loss
