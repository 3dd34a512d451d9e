import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from search.config import SweepConfig
from search.tuning.budget import Budget
from search.tuning.live_leaderboard import LiveLeaderboard
from spaces import TrialParams
from tests.support.round_reports import report


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns so often that they do meet."""
    every = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(every)


def test_the_leaderboard_is_drawn_while_trials_come_and_go(
    restless: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # for rich this is a terminal
    config = SweepConfig.parse(
        {"data": "nowhere", "metric": "val_accuracy", "trials": 4000, "max_epochs": 1}
    )
    over = Event()

    def draw() -> None:
        while not over.wait(1e-4):
            leaderboard._table()

    with (
        LiveLeaderboard(config, Budget(config, lambda params: 0.0)) as leaderboard,
        ThreadPoolExecutor(1) as pool,
    ):
        drawing = pool.submit(draw)
        leaderboard.start()
        for number in range(4000):
            leaderboard.begin(number, TrialParams(backbone="a"))
            leaderboard.report(number, report(1, number / 4000))
            leaderboard.end(number, "completed" if number % 2 else "stopped")
        over.set()
        drawing.result()
    drawn = capsys.readouterr().out
    assert "4000 of 4000 trials done; 0 running, 2000 stopped, 0 failed" in " ".join(drawn.split())
    assert "0.9998" in drawn, "the best"
