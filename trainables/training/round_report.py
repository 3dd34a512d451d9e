"""`RoundReport`: metrics, timing and memory of one round. Does not import torch."""

from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class RoundReport:
    """Metrics, timing and memory of one round; ``val_`` fields are NaN without validation.

    A round is the part of an epoch after which a fine-tune validates; often it is the whole epoch.
    """

    round: int
    """Number of the round, counted from 1."""
    epoch: float
    """Epochs done after the round: a whole number unless an epoch has several rounds."""
    train_loss: float
    """Mean training loss over the images, with label smoothing, class weights and penalties."""
    val_loss: float
    """Mean cross-entropy, without label smoothing or class weights."""
    val_accuracy: float
    val_balanced_accuracy: float
    val_macro_f1: float
    learning_rate: float
    """Learning rate of the head at the round's last step."""
    seconds: float
    """Wall time of the round, validation included."""
    prefix_seconds: float
    """Part of ``seconds`` for augmentation and the frozen prefix, in training and validation."""
    evaluate_seconds: float
    """Part of ``seconds`` spent on validation, without the part counted in ``prefix_seconds``."""
    images_per_second: float
    """Training images per second of wall time, validation excluded."""
    peak_memory_mib: float
    """On a GPU the largest memory that torch reserved in this round; on a CPU the largest resident
    size of the process since it started."""
    is_last: bool
    """Whether training ends with this round: as planned, by early stopping or by divergence."""
    diverged: bool = False
    """Whether a loss became NaN or infinite, which ends training."""
    prefix_seconds_per_image: float = 0.0
    """Seconds for augmentation and the frozen prefix of an image whose features are not kept; 0 if
    this is unknown, as in sweeps of earlier versions."""

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, as numbers and booleans."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build a report from ``values`` by field name; other keys are ignored.

        Earlier versions had one round in each epoch, and no ``round``. Raises `KeyError` if
        another field without a default is missing.
        """
        values = {"round": values.get("epoch"), **values}
        needed = (f.name for f in fields(cls) if f.name in values or f.default is MISSING)
        return cls(**{name: values[name] for name in needed})
