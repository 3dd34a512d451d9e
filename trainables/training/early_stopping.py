"""`EarlyStopping`: tracks the best round, and ends training when the metric stops improving."""

import math

from trainables.training.metric import merit
from trainables.training.round_report import RoundReport


class EarlyStopping:
    """Tracks the best round and applies early stopping.

    The best round has the highest `merit`, as in `best_of`. Patience counts rounds without a better
    metric. If the metric is equal and the loss lower, the round becomes the best one, but the count
    goes on.

    Args:
        metric: A name of `METRICS`.
        patience: Training ends after this many rounds in a row without a better metric; None for
            no limit.
    """

    def __init__(self, metric: str, patience: int | None) -> None:
        self._metric, self._patience = metric, patience
        self._best_merit = (-math.inf, -math.inf)
        self._rounds_without_improvement = 0
        self.improved = False
        """Whether the latest round is the best so far."""

    def update(self, report: RoundReport) -> None:
        """Update the best round and the patience from the next round's report."""
        current = (-math.inf, -math.inf) if report.diverged else merit(report, self._metric)
        if current[0] > self._best_merit[0]:
            self._rounds_without_improvement = 0
        else:
            self._rounds_without_improvement += 1
        self.improved = current > self._best_merit and not math.isnan(current[0])
        self._best_merit = current if self.improved else self._best_merit

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` rounds in a row had no better metric."""
        return self._patience is not None and self._rounds_without_improvement >= self._patience

    def state_dict(self) -> dict[str, float]:
        """State for `load_state_dict`."""
        metric, loss = self._best_merit
        return {"metric": metric, "loss": loss, "since": self._rounds_without_improvement}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from a `state_dict`."""
        self._best_merit = (state["metric"], state["loss"])
        self._rounds_without_improvement = int(state["since"])
