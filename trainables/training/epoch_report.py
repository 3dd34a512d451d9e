"""`EpochReport`: metrics, timing and memory of one epoch. Does not import torch."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class EpochReport:
    """Metrics, timing and memory of one epoch; ``val_`` fields are NaN without validation."""

    epoch: int
    """Number of the epoch, counted from 1."""
    train_loss: float
    """Mean training loss over the images, with label smoothing, class weights and penalties."""
    val_loss: float
    """Mean cross-entropy, without label smoothing or class weights."""
    val_accuracy: float
    val_balanced_accuracy: float
    val_macro_f1: float
    learning_rate: float
    """Learning rate of the head at the epoch's last step."""
    seconds: float
    """Wall time of the epoch, validation included."""
    prefix_seconds: float
    """Part of ``seconds`` for augmentation and the frozen prefix, in training and validation."""
    evaluate_seconds: float
    """Part of ``seconds`` spent on validation, without the part counted in ``prefix_seconds``."""
    images_per_second: float
    """Training images per second of wall time, validation excluded."""
    peak_memory_mib: float
    """On a GPU the largest memory that torch reserved in this epoch; on a CPU the largest resident
    size of the process since it started."""
    is_last: bool
    """Whether training ends with this epoch: as planned, by early stopping or by divergence."""
    diverged: bool = False
    """Whether a loss became NaN or infinite, which ends training."""

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, as numbers and booleans."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build a report from ``values`` by field name; other keys are ignored."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})
