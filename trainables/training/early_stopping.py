"""`EarlyStopping`: the best epoch so far, and the end of training when none improves on it."""

import math

from trainables.training.epoch_report import EpochReport
from trainables.training.metric import merit


class EarlyStopping:
    """Tracks the best epoch and applies early stopping.

    Patience counts epochs without a better metric. The best epoch is that of the highest `merit`,
    as in `best_of`: at an equal metric a lower loss makes a new best epoch, but it costs patience.

    Args:
        metric: A name of `METRICS`.
        patience: Number of epochs without a better metric that exhausts it; None never stops.
    """

    def __init__(self, metric: str, patience: int | None) -> None:
        self._metric, self._patience = metric, patience
        self._best_merit = (-math.inf, -math.inf)
        self._epochs_without_improvement = 0
        self.improved = False
        """Whether the last epoch is the best so far."""

    def update(self, report: EpochReport) -> None:
        """Take the report of the next epoch into account."""
        now = (-math.inf, -math.inf) if report.diverged else merit(report, self._metric)
        if now[0] > self._best_merit[0]:
            self._epochs_without_improvement = 0
        else:
            self._epochs_without_improvement += 1
        self.improved = now > self._best_merit and not math.isnan(now[0])
        self._best_merit = now if self.improved else self._best_merit

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` epochs in a row had no better metric."""
        return self._patience is not None and self._epochs_without_improvement >= self._patience

    def state_dict(self) -> dict[str, float]:
        """Numbers for `load_state_dict`."""
        metric, loss = self._best_merit
        return {"metric": metric, "loss": loss, "since": self._epochs_without_improvement}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from a `state_dict`."""
        self._best_merit = (state["metric"], state["loss"])
        self._epochs_without_improvement = int(state["since"])
