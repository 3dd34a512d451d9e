"""Expected duration of making the final model: retraining, test and export."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.config import Format, images_per_epoch
from search.record import TrialRecord
from search.trial import TrialJob
from trainables.inference import passes_of
from trainables.process_limits import available_cpus
from trainables.training import last_as_good, merit

_EXPORT_SECONDS: dict[Format, float] = {
    "timm": 3.0,
    "onnx": 9.0,
    "pt2": 9.0,
    "torchscript": 4.0,
}
"""Seconds of the export to a format and of its comparison with the model, on two CPU cores."""


def export_seconds(formats: Sequence[Format]) -> float:
    """Expected seconds of an export to ``formats``."""
    return sum(_EXPORT_SECONDS[name] for name in formats)


@dataclass(frozen=True)
class FinalizationTime:
    """Estimates how long the final model takes, from the times of the trials so far.

    A retraining keeps no features: it computes the frozen prefix in every epoch. It trains on the
    training and validation images, on a CPU with all cores.
    """

    job: TrialJob
    cpus_per_trial: float

    def seconds(self, trials: Sequence[TrialRecord]) -> float:
        """Seconds of retraining, test and export if a search ends with these ``trials``.

        0 if there will be no final model, or if no trial has a score.
        """
        config = self.job.config
        scored = [
            t for t in trials if not t.repeat and t.status != "failed" and t.best(config.metric)
        ]
        if not (config.retrain and scored):
            return 0.0
        return export_seconds(config.export.formats) + self._retraining(scored) / self._speedup

    def _retraining(self, scored: Sequence[TrialRecord]) -> float:
        """Seconds of retraining and testing all members and the linear probe, where trials run."""
        # 1. The best trial, as if it were retrained where it ran.
        config, dataset = self.job.config, self.job.dataset
        best = _best_of(scored, config.metric)
        images, tested = len(dataset.rows("train", "val")), len(dataset.rows("test"))
        validated = len(self.job.rounds.validation_rows(config, dataset))
        last = last_as_good(best.reports, config.metric, self.job.validation.images)
        assert last is not None, "a scored trial has a finite round"
        folds = config.folds or 1
        more_images = images / (images_per_epoch(config, dataset) * folds)
        rounds = best.reports[: last.round]
        trained = sum(r.seconds - r.prefix_seconds - r.evaluate_seconds for r in rounds)
        prefix = _prefix_seconds_per_image(best, scored)
        member = more_images * trained + last.epoch * images * prefix
        # 2. Its test, and with flips the test of what they average.
        evaluated = max(r.evaluate_seconds for r in rounds) / validated
        passes = 1 if config.test_time_flips == "none" else 1 + passes_of(config.test_time_flips)
        member += passes * tested * (evaluated + prefix)
        # 3. The linear probe that the final model is compared with, unless it is that model.
        probes = [t for t in scored if t.params.head == "solved"]
        if not probes or (best.params.head == "solved" and config.ensemble == 1):
            return config.ensemble * member
        probe = _best_of(probes, config.metric)
        solved = sum(r.seconds - r.prefix_seconds for r in probe.reports)
        solved += (images + tested) * _prefix_seconds_per_image(probe, scored)
        return config.ensemble * member + solved

    @property
    def _speedup(self) -> float:
        """Speed of the retraining, as a multiple of a trial's; on a CPU it grows with the cores.

        Doubling the cores makes it 1.4 times as fast (measured from one core to two, beside a trial
        on the other one).
        """
        if self.job.on_gpu:
            return 1.0
        more_cores = available_cpus() / max(1.0, self.cpus_per_trial)
        return math.sqrt(max(1.0, more_cores))


def _best_of(scored: Sequence[TrialRecord], metric: str) -> TrialRecord:
    """The first of the trials with the best score."""
    merits = [merit(round_, metric) for t in scored if (round_ := t.best(metric))]
    return scored[merits.index(max(merits))]


def _prefix_seconds_per_image(trial: TrialRecord, scored: Sequence[TrialRecord]) -> float:
    """Seconds of the frozen prefix for an image; an upper bound, and 0 if no trial knows.

    Trials of the same backbone and image size tell, also those with a longer prefix.
    """
    key = (trial.params.backbone, trial.params.image_size)
    alike = [t for t in scored if (t.params.backbone, t.params.image_size) == key]
    return max(report.prefix_seconds_per_image for each in alike for report in each.reports)
