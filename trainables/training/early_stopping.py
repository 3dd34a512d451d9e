"""`EarlyStopping`: tracks the best epoch, and ends training when the metric stops improving."""

import math

from trainables.training.epoch_report import EpochReport
from trainables.training.metric import merit


class EarlyStopping:
    """Tracks the best epoch and applies early stopping.

    The best epoch has the highest `merit`, as in `best_of`. Patience counts epochs without a better
    metric. If the metric is equal and the loss lower, the epoch becomes the best one, but the count
    goes on.

    Args:
        metric: A name of `METRICS`.
        patience: Training ends after this many epochs in a row without a better metric; None for
            no limit.
    """

    def __init__(self, metric: str, patience: int | None) -> None:
        self._metric, self._patience = metric, patience
        self._best_merit = (-math.inf, -math.inf)
        self._epochs_without_improvement = 0
        self.improved = False
        """Whether the latest epoch is the best so far."""

    def update(self, report: EpochReport) -> None:
        """Update the best epoch and the patience from the next epoch's report."""
        current = (-math.inf, -math.inf) if report.diverged else merit(report, self._metric)
        if current[0] > self._best_merit[0]:
            self._epochs_without_improvement = 0
        else:
            self._epochs_without_improvement += 1
        self.improved = current > self._best_merit and not math.isnan(current[0])
        self._best_merit = current if self.improved else self._best_merit

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` epochs in a row had no better metric."""
        return self._patience is not None and self._epochs_without_improvement >= self._patience

    def state_dict(self) -> dict[str, float]:
        """State for `load_state_dict`."""
        metric, loss = self._best_merit
        return {"metric": metric, "loss": loss, "since": self._epochs_without_improvement}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from a `state_dict`."""
        self._best_merit = (state["metric"], state["loss"])
        self._epochs_without_improvement = int(state["since"])
