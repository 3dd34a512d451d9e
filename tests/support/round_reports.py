"""Reports of rounds with a given accuracy."""

from trainables.training import RoundReport


def report(number: int, accuracy: float, *, is_last: bool = False) -> RoundReport:
    """Report of a round with this accuracy, one in each epoch; a NaN makes it a diverged one."""
    diverged = accuracy != accuracy
    return RoundReport(
        round=number,
        epoch=number,
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
