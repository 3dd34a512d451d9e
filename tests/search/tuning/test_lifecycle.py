from dataclasses import replace
from pathlib import Path

import pytest

from search.record import Repeat, Status, read_trials
from search.trial.checkpoints import pack
from search.tuning.retries import MAX_FAILURES
from spaces import TrialParams
from tests.support.round_reports import report
from tests.support.simulated_tune import BUG, LOST, run, simulated_tune
from trainables.training import RoundReport


class Told:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        self.events.append((number, "begins"))

    def report(self, number: int, report: RoundReport) -> None:
        self.events.append((number, report.epoch))

    def pause(self, number: int) -> None:
        self.events.append((number, "waits"))

    def end(self, number: int, status: Status) -> None:
        self.events.append((number, status))


def test_a_seed_proposes_the_same_points_twice(tmp_path: Path) -> None:
    def proposals(name: str, seed: int) -> list[TrialParams]:
        (tmp_path / name).mkdir()
        search = simulated_tune(tmp_path / name, seed=seed)
        made = []
        for i in range(14):
            made.append(search.begin(str(i)).params)
            search.complete(str(i), 1, made[-1].unfreeze, is_last=True)
        return made

    assert proposals("a", 3) == proposals("b", 3)
    assert proposals("c", 4) != proposals("d", 3)


def test_informed_observers_hear_only_of_new_events(tmp_path: Path) -> None:
    run(simulated_tune(tmp_path), "x", 0.5, 0.9)
    told = Told()
    run(simulated_tune(tmp_path, informed=[told]), "y", 0.4)
    assert told.events == [(1, "begins"), (1, 1), (1, "completed")]


def test_another_driver_restores_all_trials_and_resumes_interrupted_ones(tmp_path: Path) -> None:
    points = tuple(TrialParams(backbone="a", unfreeze=x) for x in (0.1, 0.2, 0.3))
    first = simulated_tune(tmp_path, points, trials=4)
    run(first, "x", 0.5, 0.9)
    begun = first.begin("y")
    first.result("y", 1, 0.4)
    with first.checkpoint_writer:  # a dead driver writes no more
        first.lifecycle.keep_state(1, pack({"epoch": 1}))

    told = Told()
    second = simulated_tune(tmp_path, points, trials=4, observers=[told])
    history = [(0, "begins"), (0, 1), (0, 2), (0, "completed"), (1, "begins"), (1, 1)]
    assert told.events == history
    second.resume(1)
    assert second.begin("again") == replace(begun, from_checkpoint=True)
    second.result("again", 1, 0.4)
    assert told.events == history, "an epoch that is run again is told once"
    second.complete("again", 2, 0.6, is_last=True)
    assert told.events[len(history) :] == [(1, 2), (1, "completed")]
    assert second.begin("p").params == points[2]
    assert second.begin("q").number == 3
    assert second.suggest("none left") is None
    for name in ("p", "q"):
        second.complete(name, 1, 0.5, is_last=True)
    assert second.suggest("over") == "FINISHED"
    statuses = [trial.status for trial in read_trials(tmp_path / "study.journal")]
    assert statuses == ["completed"] * 4
    with second.checkpoint_writer:  # waits for its thread
        pass
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_trial_without_time_for_another_round_ends_for_good_and_repeats_go_on(
    tmp_path: Path,
) -> None:
    settings = {"confirm": 2, "target": 0.9}
    search = simulated_tune(tmp_path, trials=3, settings=settings, most_paused=8)
    lifecycle = search.lifecycle
    lifecycle._budget.has_time_for = lambda seconds: seconds < 5  # type: ignore[method-assign]
    for name, seconds, is_cut in (("x", 2, False), ("y", 5, True), ("z", 9, True)):
        number, last = search.begin(name).number, replace(report(1, 0.5), seconds=seconds)
        assert lifecycle.cut_short(number, last) is is_cut
        assert not lifecycle.cut_short(number, replace(last, is_last=True)), "it ends anyway"
    search.complete("x", 1, 0.5, is_last=True)
    for name, accuracy in (("y", 0.6), ("z", 0.95)):
        search.complete(name, 1, accuracy, is_last=False)
    assert [t.status for t in search.journal.trials()] == ["completed", "stopped", "stopped"]
    repeat = search.begin("again")
    assert repeat.repeat is not None
    assert not lifecycle.cut_short(repeat.number, replace(report(1, 0.5), seconds=9))


def test_a_lost_worker_does_not_count_as_a_failure_of_its_trial(tmp_path: Path) -> None:
    search = simulated_tune(tmp_path, trials=1)
    for k in range(2 * (MAX_FAILURES - 1)):
        search.suggest(str(k))
        if k == MAX_FAILURES - 1:
            search.result(str(k), 1, 0.5)
        search.fail(str(k), LOST)
    assert search.begin("last").from_checkpoint
    search.fail("last", LOST)
    (trial,) = read_trials(tmp_path / "study.journal")
    assert trial.status == "failed", f"{MAX_FAILURES} times without an epoch"


def test_a_sweep_ends_if_its_first_trials_all_fail_in_the_same_way(tmp_path: Path) -> None:
    search = simulated_tune(tmp_path, trials=50)
    for k in range(6):
        assert search.lifecycle.systematic_failure is None
        search.suggest(str(k))
        search.fail(str(k), BUG)
    assert search.lifecycle.systematic_failure == "ValueError: boom"
    assert search.suggest("more") == "FINISHED"


def test_a_disk_that_fails_while_a_failure_is_recorded_is_not_the_trials_fault(
    tmp_path: Path,
) -> None:
    search = simulated_tune(tmp_path, trials=1)
    search.suggest("first")
    (tmp_path / "failures").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="failures"):
        search.fail("first", BUG)
    assert isinstance(search.lifecycle.disk_error, OSError)
