"""`EpochReport`: what one epoch of a fine-tune came to. Light to import: no torch."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from trainables.training.metric import merit


@dataclass(frozen=True)
class EpochReport:
    """The metrics of one epoch; the ``val_`` ones are NaN where there is no validation split."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Mean over the epoch's batches, smoothing, weights and penalties included."""
    val_loss: float
    """Plain mean cross-entropy."""
    val_accuracy: float
    val_balanced_accuracy: float
    val_macro_f1: float
    learning_rate: float
    """Of the head, at the epoch's last step."""
    seconds: float
    """Wall time of the epoch, validation included."""
    prefix_seconds: float
    """Of these, making images into the features that the trainable part starts from."""
    evaluate_seconds: float
    """Of these, validation, its share of the prefix left out."""
    images_per_second: float
    """Training images over the wall time of the training part."""
    peak_memory_mib: float
    """On a GPU what torch's allocator held in this epoch; on a CPU of the process so far, with
    whatever it ran before."""
    is_last: bool
    """Whether the fine-tune ends here: max_epochs, patience, or divergence."""
    diverged: bool = False
    """Whether a loss became NaN or infinite; the fine-tune then ends."""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers by field name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Pick the fields out of ``values``, which may hold more."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


class Course:
    """How a fine-tune comes along by its ``metric``, and whether its ``patience`` is at an end."""

    def __init__(self, metric: str, patience: int | None) -> None:
        self._metric, self._patience = metric, patience
        self._best = (-math.inf, -math.inf)
        self._since = 0
        self.improved = False
        """Whether the last epoch is the best so far, as `best_of` sees it."""

    def take(self, report: EpochReport) -> None:
        """Take in an epoch. One without a better metric costs patience, also if its loss is."""
        now = (-math.inf, -math.inf) if report.diverged else merit(report, self._metric)
        self._since = 0 if now[0] > self._best[0] else self._since + 1
        self.improved = now > self._best and not math.isnan(now[0])
        self._best = now if self.improved else self._best

    @property
    def tired(self) -> bool:
        """Whether so many epochs as are allowed were no better."""
        return self._patience is not None and self._since >= self._patience

    def state_dict(self) -> dict[str, float]:
        """Numbers for `load_state_dict`."""
        return {"metric": self._best[0], "loss": self._best[1], "since": self._since}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self._best, self._since = (state["metric"], state["loss"]), int(state["since"])
