import pytest

from trainables.training import FineTuneSettings


@pytest.mark.parametrize(("stop_after", "rounds"), [(None, 9), (4, 4), (20, 9)])
def test_training_ends_with_the_schedule_or_earlier(stop_after: int | None, rounds: int) -> None:
    assert FineTuneSettings(max_epochs=9, stop_after=stop_after).rounds == rounds


def test_lengths_in_epochs_are_counted_in_rounds() -> None:
    settings = FineTuneSettings(max_epochs=3, rounds_per_epoch=4, patience=2)
    assert (settings.rounds, settings.patience_rounds) == (12, 8)
    assert FineTuneSettings(max_epochs=3).patience_rounds is None
