import logging
import os

import pytest
from ray.tune.execution import class_cache

from search.tuning.ray_environment import configure_tune, silence_tune


def test_tune_writes_no_files_of_its_own_and_leaves_signals_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("TUNE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(class_cache, "DEFAULT_ENV_VARS", {"A": "1"})
    configure_tune(max_pending_trials=7)
    assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == "7"
    assert os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] == "1"
    assert os.environ["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
    assert class_cache.DEFAULT_ENV_VARS == {}, "its actors start in workers that wait"


def test_tunes_own_log_of_failures_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    log = logging.getLogger("ray.tune")
    monkeypatch.setattr(log, "level", logging.INFO)
    silence_tune()
    assert not log.isEnabledFor(logging.ERROR)
