"""Selection of the final model's members: the winner alone, or an ensemble of several trials.

Members are selected greedily by their validation logits (Caruana et al. 2004). An ensemble is used
only if it beats the winner on validation images that were held out from the selection.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from search.config import SweepConfig, positive_class_index
from search.record import (
    ResolvedSettings,
    SweepPaths,
    TrialRecord,
    read_validation_logits,
    sweep_command,
)
from spaces import ConfigError
from trainables.data import Dataset
from trainables.evaluation import OperatingPoint, fold_numbers, scores_of
from trainables.inference import Flips, ModelSpec, fit_temperature
from trainables.training import METRICS, RoundReport

_log = logging.getLogger("finesweep")

MAX_PICKS = 12
"""Largest number of greedy picks. Each further pick of the same trial adds to its weight."""


@dataclass(frozen=True)
class EnsembleMember:
    """A trial to be retrained as the final model, or as one member of it."""

    trial: TrialRecord
    weight: float = 1.0
    """Weight in the mean of the members' probabilities; the weights sum to 1."""
    temperature: float = 1.0
    """Temperature that the logits are divided by; 1 leaves them unchanged."""

    def best(self, metric: str) -> RoundReport:
        """The trial's best round by ``metric``."""
        best = self.trial.best(metric)
        assert best is not None, "only a trial with a finite round can be a member"
        return best


@dataclass(frozen=True)
class FinalModelSpec:
    """Members and decision threshold of a final model that is yet to be retrained."""

    members: tuple[EnsembleMember, ...]
    """Members, the winner first."""
    operating_point: OperatingPoint | None = None
    """Decision threshold for the class in the setting `sensitivity`; None if that is unset."""
    probe: EnsembleMember | None = None
    """The best linear probe, retrained and tested as a baseline; None if the search had none, or
    if the only member is a probe."""
    flips: Flips = "none"
    """Mirror images whose probabilities are averaged with those of the image."""

    @property
    def to_retrain(self) -> tuple[EnsembleMember, ...]:
        """The members, and the probe."""
        return (*self.members, self.probe) if self.probe else self.members


def select_final_model(
    winner: TrialRecord,
    trials: Sequence[TrialRecord],
    paths: SweepPaths,
    dataset: Dataset,
    config: SweepConfig,
) -> FinalModelSpec:
    """Select members, temperatures and decision threshold by the saved validation logits.

    All members preprocess images as the winner does, because all get the same pixels. Raises
    `ConfigError` if the setting `sensitivity` does not name one of two classes. Also raises it if
    the settings ask for calibration or a threshold, and the winner has no saved logits.
    """
    spec = _select_members(winner, trials, paths, dataset, config)
    probe = _best_probe(trials, spec.members, config.metric)
    flips = config.test_time_flips
    unflipped = [m.trial.trial_id for m in spec.members if m.trial.params.flips == "none"]
    if flips != "none" and unflipped:
        _log.warning(
            "Test-time flips are left out, because trial %s has flips = none: mirror images would "
            "mean something else to it.",
            unflipped[0],
        )
        flips = "none"
    return replace(spec, probe=probe, flips=flips)


def _best_probe(
    trials: Sequence[TrialRecord], members: Sequence[EnsembleMember], metric: str
) -> EnsembleMember | None:
    """The linear probe with the best score; None if the only one of ``members`` is a probe.

    That one need not have the best score: repeats may have named it.
    """
    if [member.trial.params.head for member in members] == ["solved"]:
        return None
    searched = [t for t in trials if t.repeat is None and t.status != "failed"]
    probes = [t for t in searched if t.params.head == "solved" and t.best(metric)]
    if not probes:
        return None
    sign, of = METRICS[metric].sign, METRICS[metric].of
    return EnsembleMember(
        max(probes, key=lambda each: sign * of(EnsembleMember(each).best(metric)))
    )


def _select_members(
    winner: TrialRecord,
    trials: Sequence[TrialRecord],
    paths: SweepPaths,
    dataset: Dataset,
    config: SweepConfig,
) -> FinalModelSpec:
    """Members, temperatures and decision threshold; see `select_final_model`."""
    positive = positive_class_index(config, dataset.classes)
    if config.ensemble == 1 and not config.calibrate and positive is None:
        return FinalModelSpec((EnsembleMember(winner),))
    # 1. Validation logits of the best trials.
    rows = ResolvedSettings.read(paths).rounds.validation_rows(config, dataset)
    logits = read_validation_logits(paths.validation_logits, trials, config.metric, dataset, rows)
    if winner.number not in logits:
        _check_needs_no_logits(winner, paths, config)
        _log.warning(
            "trial %s has no saved validation logits, so no ensemble is made", winner.trial_id
        )
        return FinalModelSpec((EnsembleMember(winner),))
    candidates = [winner]
    if config.ensemble > 1:
        candidates += _alike([t for t in trials if t.number in logits], winner, dataset)
    # 2. The probabilities of each candidate, calibrated if the settings ask for it.
    labels = dataset.labels[rows]
    folds = fold_numbers(labels, digests=dataset.digests_at(rows), units=dataset.units_at(rows))
    candidate_logits = [logits[trial.number] for trial in candidates]
    temperatures = [
        fit_temperature(each, labels, folds) if config.calibrate else 1.0
        for each in candidate_logits
    ]
    divided = [each / by for each, by in zip(candidate_logits, temperatures, strict=True)]
    probabilities = np.stack([softmax(each, axis=1) for each in divided])
    # 3. Members by greedy selection.
    picks = pick_members(probabilities, labels, folds, config.metric, config.ensemble)
    total = picks.total()
    counts = [f"trial {candidates[k].trial_id} ({n} of {total} picks)" for k, n in picks.items()]
    _log.info("members of the final model: %s", ", ".join(counts))
    members = tuple(
        EnsembleMember(candidates[k], count / total, temperatures[k]) for k, count in picks.items()
    )
    # 4. A threshold for the class that must not be missed.
    if positive is None:
        return FinalModelSpec(members)
    scores = _ensemble_mean(probabilities, picks)[:, positive]
    wanted = float(config.sensitivity.rpartition("=")[2])
    name = dataset.classes[positive]
    return FinalModelSpec(members, OperatingPoint.fit(name, wanted, scores, labels == positive))


def _check_needs_no_logits(winner: TrialRecord, paths: SweepPaths, config: SweepConfig) -> None:
    """Raise `ConfigError` if `calibrate` or `sensitivity` is set: both need the winner's logits."""
    refused, ways_out = [], []
    if config.calibrate:
        refused.append("be calibrated")
        ways_out.append("--no-calibrate")
    if config.sensitivity:
        refused.append("get a threshold for the sensitivity")
        ways_out.append('--sensitivity ""')
    if refused:
        raise ConfigError(
            f"Trial {winner.trial_id} has no saved validation logits (only the best trials keep "
            f"them), so it can't {' or '.join(refused)}. Choose another trial with "
            f"'{sweep_command('retrain', paths, '--trial', 'ID')}', or retrain this one with "
            f"{' '.join(ways_out)}."
        )


def _alike(
    trials: Sequence[TrialRecord], winner: TrialRecord, dataset: Dataset
) -> list[TrialRecord]:
    """The trials, except the winner, that preprocess images in the same way as the winner."""
    spec = ModelSpec.of(winner.params, dataset.classes)
    return [
        trial
        for trial in trials
        if trial.number != winner.number and ModelSpec.of(trial.params, dataset.classes) == spec
    ]


def pick_members(
    probabilities: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    metric: str,
    max_members: int,
) -> Counter[int]:
    """Number of picks of each candidate, by its index. The winner, index 0, has at least one.

    Args:
        probabilities: ``(candidates, n, classes)`` on the validation images.
        labels: ``(n,)`` class numbers.
        folds: ``(n,)`` fold numbers, for the cross-validated comparison with the winner.
        metric: The metric to improve; ties go to the lower loss.
        max_members: Largest number of different candidates to pick.

    The selection is cross-validated. For each fold, members are picked by the images of the other
    folds, and their mean predicts the images of this fold. If the predictions of all folds are no
    better than the winner's, or if there is one fold alone, only the winner is picked.
    """
    if len(np.unique(folds)) < 2:
        return Counter([0])
    held_out = np.empty_like(probabilities[0])
    for fold in np.unique(folds):
        others = folds != fold
        picks = _pick_greedily(probabilities[:, others], labels[others], metric, max_members)
        held_out[~others] = _ensemble_mean(probabilities[:, ~others], picks)
    if _score(held_out, labels, metric) <= _score(probabilities[0], labels, metric):
        return Counter([0])
    return _pick_greedily(probabilities, labels, metric, max_members)


def _pick_greedily(
    probabilities: np.ndarray, labels: np.ndarray, metric: str, max_members: int
) -> Counter[int]:
    """Pick the winner, then again and again the candidate that most improves the mean's score.

    Stops if no candidate improves the score, or after `MAX_PICKS` picks.
    """
    picks, best = Counter([0]), _score(probabilities[0], labels, metric)
    while picks.total() < MAX_PICKS:
        allowed = range(len(probabilities)) if len(picks) < max_members else list(picks)
        scores = {
            k: _score(_ensemble_mean(probabilities, picks + Counter([k])), labels, metric)
            for k in allowed
        }
        leading = max(scores, key=scores.__getitem__)
        if scores[leading] <= best:
            break
        picks[leading] += 1
        best = scores[leading]
    return picks


def _ensemble_mean(probabilities: np.ndarray, picks: Counter[int]) -> np.ndarray:
    """``(n, classes)`` mean of ``(candidates, n, classes)``, weighted by the number of picks."""
    weights = list(picks.values())
    mean: np.ndarray = np.average(probabilities[list(picks)], axis=0, weights=weights)
    return mean


def _score(probabilities: np.ndarray, labels: np.ndarray, metric: str) -> tuple[float, float]:
    """Sort key, higher is better: the metric, then the negative loss."""
    scores = scores_of(np.log(np.maximum(probabilities, 1e-12)), labels)
    return METRICS[metric].sign * METRICS[metric].of_scores(scores), -scores.loss
