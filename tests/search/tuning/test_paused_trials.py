from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from search.record import read_trials
from search.trial.checkpoints import pack
from search.tuning.study import StudyJournal
from spaces import TrialParams
from tests.support.simulated_tune import SimulatedTune, run, simulated_tune


@pytest.fixture
def preferred(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the trials that the sampler prefers, the best first; else it prefers a point."""
    numbers: list[int] = []

    def trial_to_resume(self: Any, paused: Collection[int], *, or_begin: bool) -> int | None:
        return next((number for number in numbers if number in paused), None)

    monkeypatch.setattr(StudyJournal, "trial_to_resume", trial_to_resume)
    return numbers


def pausing(folder: Path, **given: Any) -> SimulatedTune:
    return simulated_tune(folder, most_paused=given.pop("most_paused", 8), **given)


def statuses(folder: Path) -> list[str]:
    return [trial.status for trial in read_trials(folder / "study.journal")]


def test_a_stopped_trial_keeps_its_checkpoint_and_is_taken_up_again(
    tmp_path: Path, preferred: list[int]
) -> None:
    tune = pausing(tmp_path, trials=2)
    begun = tune.begin("first")
    tune.lifecycle.keep_state(begun.number, pack({"epoch": 1}))
    tune.complete("first", 1, 0.5, is_last=False)
    assert statuses(tmp_path) == ["running"]
    assert tune.begin("second").number == 1, "the sampler prefers a new point"
    preferred.append(0)
    again = tune.begin("first again")
    assert (again.number, again.from_checkpoint) == (0, True)
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["0000.pt"]
    tune.complete("first again", 2, 0.6, is_last=True)
    tune.complete("second", 1, 0.6, is_last=True)
    assert tune.suggest("over") == "FINISHED"
    assert statuses(tmp_path) == ["completed", "completed"]


def test_paused_trials_end_when_no_point_is_left_and_none_is_worth_going_on_with(
    tmp_path: Path, preferred: list[int]
) -> None:
    tune = pausing(tmp_path, trials=3, settings={"confirm": 0})
    for name in ("x", "y"):
        run(tune, name, 0.5, ends=False)
    tune.begin("z")
    assert tune.suggest("later") is None, "z may still change what is worth going on with"
    assert statuses(tmp_path) == ["running"] * 3
    tune.complete("z", 1, 0.9, is_last=True)
    assert tune.suggest("none") is None
    assert tune.suggest("over") == "FINISHED"
    assert statuses(tmp_path) == ["stopped", "stopped", "completed"]


def test_the_sampler_is_asked_again_only_after_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def trial_to_resume(self: Any, paused: Collection[int], *, or_begin: bool) -> None:
        asked.append(or_begin)

    monkeypatch.setattr(StudyJournal, "trial_to_resume", trial_to_resume)
    tune = pausing(tmp_path, trials=2)
    run(tune, "x", 0.5, ends=False)
    tune.begin("y")
    for name in ("a", "b", "c"):
        assert tune.suggest(name) is None
    tune.result("y", 1, 0.5)
    assert tune.suggest("d") is None
    assert asked == [True, False, False]


def test_the_worst_of_too_many_paused_trials_ends(tmp_path: Path, preferred: list[int]) -> None:
    tune = pausing(tmp_path, most_paused=2)
    for name, accuracy in (("x", 0.5), ("y", 0.2), ("z", 0.4)):
        run(tune, name, accuracy, ends=False)
    assert statuses(tmp_path) == ["running", "stopped", "running"]


def test_planned_points_begin_before_a_paused_trial_goes_on(
    tmp_path: Path, preferred: list[int]
) -> None:
    preferred.append(0)
    points = tuple(TrialParams(backbone="a", unfreeze=x) for x in (0.1, 0.2))
    tune = pausing(tmp_path, points=points)
    run(tune, "x", 0.5, ends=False)
    assert tune.begin("planned").params == points[1]
    assert tune.begin("paused").number == 0


def test_a_spent_budget_ends_paused_trials(tmp_path: Path, preferred: list[int]) -> None:
    tune = pausing(tmp_path, settings={"target": 0.8})
    run(tune, "x", 0.5, ends=False)
    run(tune, "y", 0.9, ends=False)
    preferred.append(0)
    assert tune.suggest("none") is None
    assert statuses(tmp_path) == ["stopped", "stopped"]


def test_without_pausing_a_stopped_trial_ends(tmp_path: Path) -> None:
    tune = pausing(tmp_path, most_paused=0)
    run(tune, "x", 0.5, ends=False)
    assert statuses(tmp_path) == ["stopped"]


def test_a_resume_pauses_what_was_paused(tmp_path: Path, preferred: list[int]) -> None:
    first = pausing(tmp_path)
    run(first, "x", 0.5, ends=False)
    second = pausing(tmp_path)
    (record,) = second.journal.records
    second.lifecycle.restore(record, stopped=True)
    preferred.append(0)
    assert second.begin("again").from_checkpoint
