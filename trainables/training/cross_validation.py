"""`CrossValidation`: a fine-tune per fold, all reported as one that validates on every image."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spaces import TrialParams
from trainables.evaluation import NO_SCORES, scores_of
from trainables.training.early_stopping import EarlyStopping
from trainables.training.evaluate import to_float16
from trainables.training.fine_tuning import FineTuning
from trainables.training.round_report import RoundReport


class CrossValidation:
    """Runs the fine-tunes of all folds round by round, with the interface of one `FineTuning`.

    Args:
        tunings: One fine-tune per fold, validated on images that it does not train on.
        numbers: ``(n,)`` position in ``tunings`` of the fine-tune that is validated on the image.
        labels: ``(n,)`` class numbers.
        metric: Name in `METRICS` of the metric, over all images, that selects the best round.
        patience: All folds end after this many rounds in a row without a better metric; None for
            no limit.
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
        self._early_stopping = EarlyStopping(metric, patience)
        self._logits: np.ndarray | None = None
        self.ended = False

    @property
    def params(self) -> TrialParams:
        """Parameters, the same in every fold."""
        return self._tunings[0].params

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether a step of any fold was repeated in smaller micro-batches to fit the memory."""
        return any(tuning.ran_out_of_memory for tuning in self._tunings)

    @property
    def best_logits(self) -> np.ndarray | None:
        """``(n, classes)`` float16 logits if the latest round is the best so far, else None.

        An image's logits are out-of-fold: they come from the fine-tune that did not train on it.
        """
        if self._logits is None or not self._early_stopping.improved:
            return None
        return to_float16(self._logits)

    def state_dict(self) -> dict[str, Any]:
        """State for `load_state_dict`."""
        return {
            "tunings": [tuning.state_dict() for tuning in self._tunings],
            "course": self._early_stopping.state_dict(),
            "ended": self.ended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of a cross-validation with the same arguments."""
        for tuning, tuning_state in zip(self._tunings, state["tunings"], strict=True):
            tuning.load_state_dict(tuning_state)
        self._early_stopping.load_state_dict(state["course"])
        self.ended = state["ended"]

    def run_round(self) -> RoundReport:
        """Train and validate one round of every fold; all folds end if one ends or diverges."""
        reports: list[RoundReport] = []
        for tuning in self._tunings:
            reports.append(tuning.run_round())
            tuning.forget_graph()  # only one fold at a time holds the memory of recorded steps
            if reports[-1].diverged:
                break
        report = self._merge(reports)
        self._early_stopping.update(report)
        any_ended = any(tuning.ended for tuning in self._tunings)
        self.ended = any_ended or self._early_stopping.exhausted
        return replace(report, is_last=self.ended)

    def _merge(self, reports: Sequence[RoundReport]) -> RoundReport:
        """Merge the reports of all folds: score the out-of-fold logits, and add up the times."""
        diverged = reports[-1].diverged
        scores, self._logits = NO_SCORES, None
        if not diverged:
            by_fold = [np.asarray(tuning.logits) for tuning in self._tunings]
            self._logits = np.empty((len(self._labels), by_fold[0].shape[1]), np.float32)
            for k, logits in enumerate(by_fold):
                self._logits[self._numbers == k] = logits
            scores = scores_of(self._logits, self._labels)
        return RoundReport(
            round=reports[0].round,
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
            prefix_seconds_per_image=max(report.prefix_seconds_per_image for report in reports),
        )
