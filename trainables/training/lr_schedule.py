"""The learning rate over a fine-tune: warm-up, then cosine, plateau, cyclic or constant."""

import math
from typing import Any

from torch.optim import Optimizer

from spaces import TrialParams

CYCLES = 2.5
"""From peak to peak; the half lets the last one end low."""
LOW = 0.1
"""The bottom of a cycle, as a share of the peak."""
PLATEAU_EPOCHS = 2
"""Epochs without a better validation loss after which "plateau" lowers the rate."""
PLATEAU_FACTOR = 0.3


class LearningRate:
    """Sets the rates of an optimizer's groups, each a multiple of the one it was made with."""

    def __init__(self, optimizer: Optimizer, params: TrialParams, *, max_epochs: int) -> None:
        self._optimizer = optimizer
        self._params = params
        self._max_epochs = max_epochs
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._plateau = 1.0
        self._best_loss = math.inf
        self._waited = 0

    def set(self, epochs_done: float) -> float:
        """Set the rates for the point ``epochs_done`` (fractional); returns the factor used."""
        factor = self._factor(epochs_done)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        return factor

    def end_epoch(self, val_loss: float) -> None:
        """Tell "plateau" how the epoch went; NaN (no validation) leaves the rate alone."""
        if self._params.schedule != "plateau" or math.isnan(val_loss):
            return
        if val_loss < self._best_loss:
            self._best_loss, self._waited = val_loss, 0
        else:
            self._waited += 1
        if self._waited >= PLATEAU_EPOCHS:
            self._plateau, self._waited = self._plateau * PLATEAU_FACTOR, 0

    def _factor(self, epochs_done: float) -> float:
        warmup = min(self._params.warmup_epochs, self._max_epochs / 2)
        if epochs_done < warmup:
            return epochs_done / warmup
        progress = (epochs_done - warmup) / max(self._max_epochs - warmup, 1e-9)
        match self._params.schedule:
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
            case "cyclic":
                phase = (progress * CYCLES) % 1.0
                return LOW + (1 - LOW) * abs(2 * phase - 1)
            case "plateau":
                return self._plateau
            case "constant":
                return 1.0

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on."""
        return {"plateau": self._plateau, "best_loss": self._best_loss, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._plateau = state["plateau"]
        self._best_loss = state["best_loss"]
        self._waited = state["waited"]
