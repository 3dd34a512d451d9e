"""`Folds`: a fine-tune for each fold of the images, as one whose score is of all of them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spaces import TrialParams
from trainables.evaluation import NO_SCORES, scores_of
from trainables.training.epoch_report import Course, EpochReport
from trainables.training.evaluate import half
from trainables.training.fine_tuning import FineTuning


class Folds:
    """Runs its fine-tunes epoch by epoch, in turn; looks like one of them.

    Args:
        tunings: One a fold, each validated on what the others learn from.
        numbers: ``(n,)`` which of them each image was left out of.
        labels: ``(n,)`` class numbers.
        metric: What its score is, over all images.
        patience: End all after this many epochs without a better one; None never does.
    """

    def __init__(
        self,
        tunings: Sequence[FineTuning],
        numbers: np.ndarray,
        labels: np.ndarray,
        *,
        metric: str,
        patience: int | None,
    ) -> None:
        self._tunings, self._numbers, self._labels = tunings, numbers, labels
        self._course = Course(metric, patience)
        self._logits: np.ndarray | None = None
        self.ended = False

    @property
    def params(self) -> TrialParams:
        """Of each."""
        return self._tunings[0].params

    @property
    def ran_out(self) -> bool:
        """Whether a step of any did not fit the device's memory; it was done in smaller ones."""
        return any(tuning.ran_out for tuning in self._tunings)

    @property
    def best_logits(self) -> np.ndarray | None:
        """``(n, classes)`` float16, each by the model that did not learn from the image.

        None if an epoch before was better.
        """
        if self._logits is None or not self._course.improved:
            return None
        return half(self._logits)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {
            "tunings": [tuning.state_dict() for tuning in self._tunings],
            "course": self._course.state_dict(),
            "ended": self.ended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of folds made with the same arguments."""
        for tuning, of in zip(self._tunings, state["tunings"], strict=True):
            tuning.load_state_dict(of)
        self._course.load_state_dict(state["course"])
        self.ended = state["ended"]

    def run_epoch(self) -> EpochReport:
        """Train and validate one epoch of every fold; none goes on once one has diverged."""
        reports: list[EpochReport] = []
        for tuning in self._tunings:
            reports.append(tuning.run_epoch())
            if reports[-1].diverged:
                break
        report = self._together(reports)
        self._course.take(report)
        over = any(tuning.ended for tuning in self._tunings)
        self.ended = over or self._course.tired
        return replace(report, is_last=self.ended)

    def _together(self, reports: Sequence[EpochReport]) -> EpochReport:
        diverged = reports[-1].diverged
        scores, self._logits = NO_SCORES, None
        if not diverged:
            parts = [np.asarray(tuning.logits) for tuning in self._tunings]
            self._logits = np.empty((len(self._labels), parts[0].shape[1]), np.float32)
            for k, part in enumerate(parts):
                self._logits[self._numbers == k] = part
            scores = scores_of(self._logits, self._labels)
        return EpochReport(
            epoch=reports[0].epoch,
            train_loss=float(np.mean([report.train_loss for report in reports])),
            val_loss=scores.loss,
            val_accuracy=scores.accuracy,
            val_balanced_accuracy=scores.balanced_accuracy,
            val_macro_f1=scores.macro_f1,
            learning_rate=reports[-1].learning_rate,
            seconds=sum(report.seconds for report in reports),
            prefix_seconds=sum(report.prefix_seconds for report in reports),
            evaluate_seconds=sum(report.evaluate_seconds for report in reports),
            images_per_second=float(np.mean([report.images_per_second for report in reports])),
            peak_memory_mib=max(report.peak_memory_mib for report in reports),
            is_last=False,
            diverged=diverged or not math.isfinite(scores.loss),
        )
