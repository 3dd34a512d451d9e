"""The learning-rate schedule: warm-up, then cosine, plateau, cyclic or constant."""

import math
from typing import Any

from torch.optim import Optimizer

from spaces import TrialParams

CYCLES = 2.5
"""Number of cycles of the "cyclic" schedule. Each falls from the peak to the lowest rate and rises
again; the half cycle at the end only falls."""
CYCLE_MINIMUM = 0.1
"""Lowest rate of a cycle, as a share of the peak."""
PLATEAU_EPOCHS = 2
"""The "plateau" schedule lowers the rate after this many epochs without a lower validation loss."""
PLATEAU_FACTOR = 0.3
"""Factor by which the "plateau" schedule lowers the rate."""


class LearningRate:
    """Sets the learning rate of every parameter group to the group's peak times a common factor.

    The peak of a group is the rate that the group had when the optimizer was made.

    Args:
        optimizer: Optimizer whose learning rates are set.
        params: Hyperparameters: the schedule's name and the length of the warm-up.
        max_epochs: Length of the schedule in epochs.
        rounds_per_epoch: Number of validation losses that `end_round` gets in each epoch. The
            warm-up is shorter by this factor, so that it does not fill the first rounds.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        params: TrialParams,
        *,
        max_epochs: int,
        rounds_per_epoch: int = 1,
    ) -> None:
        self._optimizer = optimizer
        self._params = params
        self._max_epochs = max_epochs
        self._warmup = min(params.warmup_epochs / rounds_per_epoch, max_epochs / 2)
        self._plateau_rounds = PLATEAU_EPOCHS * rounds_per_epoch
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._plateau_factor = 1.0
        self._best_loss = math.inf
        self._rounds_waited = 0

    def set(self, epochs_done: float) -> float:
        """Set the rates for the point after ``epochs_done`` epochs; return the common factor."""
        factor = self._factor(epochs_done)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        return factor

    def end_round(self, val_loss: float) -> None:
        """Update the "plateau" schedule with the round's validation loss; NaN is ignored."""
        if self._params.schedule != "plateau" or math.isnan(val_loss):
            return
        if val_loss < self._best_loss:
            self._best_loss, self._rounds_waited = val_loss, 0
        else:
            self._rounds_waited += 1
        if self._rounds_waited >= self._plateau_rounds:
            self._plateau_factor *= PLATEAU_FACTOR
            self._rounds_waited = 0

    def _factor(self, epochs_done: float) -> float:
        warmup = self._warmup
        if epochs_done < warmup:
            return epochs_done / warmup
        progress = (epochs_done - warmup) / max(self._max_epochs - warmup, 1e-9)
        match self._params.schedule:
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
            case "cyclic":
                phase = (progress * CYCLES) % 1.0
                return CYCLE_MINIMUM + (1 - CYCLE_MINIMUM) * abs(2 * phase - 1)
            case "plateau":
                return self._plateau_factor
            case "constant":
                return 1.0

    def state_dict(self) -> dict[str, Any]:
        """State for `load_state_dict`."""
        return {
            "plateau": self._plateau_factor,
            "best_loss": self._best_loss,
            "waited": self._rounds_waited,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._plateau_factor = state["plateau"]
        self._best_loss = state["best_loss"]
        self._rounds_waited = state["waited"]
