import json
import time
from dataclasses import asdict

import pytest

from search import SweepResult
from search.record import StageClock, format_duration, read_trials
from search.record.profile import STAGES


def test_a_stage_clock_adds_up_stages_that_overlap_or_fail() -> None:
    clock = StageClock()
    with clock.stage("scan"), clock.stage("start"):
        time.sleep(0.05)
    with pytest.raises(ValueError, match="broken"), clock.stage("scan"):
        time.sleep(0.05)
        raise ValueError("broken")
    stages = clock.profile([], workers=2).stages
    assert 0.1 <= stages["scan"] < 0.2
    assert 0.05 <= stages["start"] < 0.1
    assert list(stages) == [stage for stage in STAGES if stage in stages]


def test_a_sweep_writes_a_profile_that_adds_up(sweep: SweepResult) -> None:
    profile = json.loads(sweep.paths.profile.read_text())
    assert sweep.profile is not None
    assert profile == asdict(sweep.profile)
    assert {"check", "scan", "start", "decode", "search", "retrain", "export"} <= set(
        profile["stages"]
    )
    assert profile["wall_seconds"] >= profile["stages"]["search"]
    spent = profile["worker_seconds"]
    epochs = sum(trial.seconds for trial in read_trials(sweep.paths.journal))
    assert spent["prefix"] + spent["train"] + spent["evaluate"] == pytest.approx(epochs, abs=0.05)
    whole = profile["workers"] * profile["stages"]["search"]
    assert sum(spent.values()) == pytest.approx(whole, abs=0.1)
    text = str(sweep.profile)
    assert text.startswith(f"{profile['wall_seconds']:.0f} s: ")
    assert "worker time in the search: prefix" in text


def test_durations_are_given_in_seconds_minutes_or_hours() -> None:
    assert format_duration(90) == "90.0 s"
    assert format_duration(300) == "5.0 min"
    assert format_duration(9000) == "2.5 h"
