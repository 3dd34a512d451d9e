"""Epoch reports with a given accuracy."""

from trainables.training import EpochReport


def report(epoch: int, accuracy: float, *, is_last: bool = False) -> EpochReport:
    """Report of an epoch with this accuracy; a NaN makes it a diverged epoch."""
    diverged = accuracy != accuracy
    return EpochReport(
        epoch=epoch,
        train_loss=1.0,
        val_loss=1 - accuracy,
        val_accuracy=accuracy,
        val_balanced_accuracy=accuracy,
        val_macro_f1=accuracy,
        learning_rate=1e-3,
        seconds=2.0,
        prefix_seconds=0.5,
        evaluate_seconds=0.5,
        images_per_second=10.0,
        peak_memory_mib=100.0,
        is_last=is_last or diverged,
        diverged=diverged,
    )
