import pytest

from trainables.training import FineTuneSettings


@pytest.mark.parametrize(("stop_after", "epochs"), [(None, 9), (4, 4), (20, 9)])
def test_training_ends_with_the_schedule_or_earlier(stop_after: int | None, epochs: int) -> None:
    assert FineTuneSettings(max_epochs=9, stop_after=stop_after).epochs == epochs
