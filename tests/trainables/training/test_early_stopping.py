from dataclasses import replace

from tests.support.round_reports import report
from trainables.training.early_stopping import EarlyStopping
from trainables.training.round_report import RoundReport


def epoch(accuracy: float, loss: float) -> RoundReport:
    """A report of a validation accuracy and loss."""
    return replace(report(1, accuracy), val_loss=loss)


def test_a_lower_loss_makes_a_new_best_epoch_but_only_a_better_metric_resets_patience() -> None:
    stopping = EarlyStopping("val_accuracy", patience=2)
    states = []
    for accuracy, loss in ((0.5, 1.0), (0.5, 0.9), (0.5, 0.95), (0.6, 2.0)):
        stopping.update(epoch(accuracy, loss))
        states.append((stopping.improved, stopping.exhausted))
    assert states == [(True, False), (True, False), (False, True), (True, False)]


def test_an_epoch_that_diverged_or_has_a_nan_metric_is_never_the_best() -> None:
    stopping = EarlyStopping("val_loss", patience=1)
    stopping.update(replace(report(1, 0.5), diverged=True))
    assert (stopping.improved, stopping.exhausted) == (False, True)
    stopping.update(epoch(float("nan"), float("nan")))
    assert not stopping.improved


def test_without_patience_training_is_never_exhausted() -> None:
    stopping = EarlyStopping("val_accuracy", patience=None)
    for _ in range(100):
        stopping.update(epoch(0.5, 1.0))
    assert not stopping.exhausted


def test_early_stopping_continues_from_its_saved_state() -> None:
    first, second = EarlyStopping("val_accuracy", 2), EarlyStopping("val_accuracy", 2)
    for accuracy in (0.9, 0.8):
        first.update(epoch(accuracy, 1.0))
    second.load_state_dict(first.state_dict())
    assert not second.exhausted
    second.update(epoch(0.85, 1.0))
    assert (second.improved, second.exhausted) == (False, True)
