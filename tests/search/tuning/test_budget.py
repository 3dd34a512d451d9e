import time
from types import SimpleNamespace
from typing import Any

import pytest

from search import Sweep, SweepConfig, SweepResult
from search.config import UNLIMITED_TRIALS
from search.record import read_trials
from search.tuning.budget import UNLIMITED, Budget, TimeLimit
from spaces import ConfigError, TrialParams
from tests.support.round_reports import report

PARAMS = TrialParams(backbone="a")


def budget(limit: TimeLimit = UNLIMITED, **limits: Any) -> Budget:
    """Of trials that hold half a GPU."""
    config = SweepConfig.parse({"data": "d", "metric": "val_accuracy", **limits})
    return Budget(config, lambda params: 0.5, limit)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Its ``now`` is what `time.monotonic` returns."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def test_without_limits_the_budget_is_never_exhausted() -> None:
    endless = budget()
    endless.begin(0, PARAMS)
    endless.report(0, report(1, 1.0))
    assert endless.spent is None
    assert endless.seconds_left == float("inf")


def test_the_search_ends_in_time_for_what_follows_it(clock: SimpleNamespace) -> None:
    expected = [500.0, 900.0]
    hour = budget(TimeLimit(1000 + 3600, lambda trials: expected.pop(0)), time_budget="1h")
    assert hour.seconds_left == 0.9 * 3600, "a tenth, until a trial has a score"
    hour.begin(0, PARAMS)
    hour.report(0, report(1, 0.5))
    assert hour.seconds_left == 3600 - 500
    hour.report(0, report(2, 0.5))
    assert hour.seconds_left == 3600 - 500, "it is estimated anew after two seconds"
    clock.now += 3600 - 900
    assert (
        hour.spent
        == hour.closed
        == "what is left of the time budget of 3600 s is needed for the final model"
    )


def test_without_retraining_the_search_has_all_the_time(clock: SimpleNamespace) -> None:
    limit = TimeLimit(1000 + 3600, lambda trials: 0.0)
    hour = budget(limit, time_budget="1h", retrain=False)
    hour.begin(0, PARAMS)
    assert hour.seconds_left == 3600
    clock.now += 3600
    assert hour.closed == "the time budget of 3600 s is spent"


def test_at_the_deadline_trials_go_on_until_one_has_a_score(clock: SimpleNamespace) -> None:
    hour = budget(TimeLimit(1000 + 3600, lambda trials: 0.0), time_budget="1h")
    hour.begin(0, PARAMS)
    clock.now += 9000
    assert hour.closed
    assert hour.spent is None
    hour.report(0, report(1, float("nan")))
    assert hour.spent is None, "its loss is not finite"
    hour.report(0, report(1, 0.5))
    assert hour.spent


def test_without_a_score_a_few_trials_begin_one_after_another_although_the_time_is_spent(
    clock: SimpleNamespace,
) -> None:
    """The time went for a download, or the first trials failed."""
    hour = budget(TimeLimit(1000 + 3600, lambda trials: 0.0), time_budget="1h")
    clock.now += 9000
    for number in range(3):
        assert hour.closed is None
        hour.begin(number, PARAMS)
        assert hour.closed
        hour.end(number, "failed")
    assert hour.closed


def test_no_trial_begins_that_could_not_finish_a_round(clock: SimpleNamespace) -> None:
    hour = budget(TimeLimit(1000 + 3600, lambda trials: 0.0), time_budget="1h", retrain=False)
    hour.begin(0, PARAMS)
    hour.report(0, report(1, 0.5))  # in two seconds
    clock.now += 3600 - 2.5
    assert hour.closed is None
    clock.now += 1
    assert hour.closed
    assert hour.spent is None, "trials that run have a second left"


def test_no_round_begins_that_would_not_end_in_time(clock: SimpleNamespace) -> None:
    hour = budget(TimeLimit(1000 + 3600, lambda trials: 0.0), time_budget="1h", retrain=False)
    hour.begin(0, PARAMS)
    assert hour.has_time_for(9999), "no trial has a score yet"
    hour.report(0, report(1, 0.5))
    assert hour.has_time_for(3600)
    assert not hour.has_time_for(3601)


def test_gpu_hours_count_each_trial_once_by_its_gpu_share() -> None:
    held = budget(gpu_hours=5 / 3600)
    for number in (0, 1, 1):  # the second is told of anew, as after a search that began anew
        held.begin(number, PARAMS)
        held.report(number, report(1, 0.5))
        held.report(number, report(2, 0.5))
        assert held.spent is None, "two seconds of half a GPU each"
    held.report(1, report(3, 0.5))
    assert held.spent == "the 0.00138889 GPU hours are spent"


@pytest.mark.parametrize(
    ("metric", "target", "missed"), [("val_accuracy", 0.5, 0.4), ("val_loss", 0.5, 0.45)]
)
def test_a_target_ends_the_search_when_it_is_reached(
    metric: str, target: float, missed: float
) -> None:
    aimed = budget(metric=metric, target=target)
    aimed.begin(0, PARAMS)
    aimed.report(0, report(1, missed))
    assert aimed.spent is None
    aimed.report(0, report(2, 0.5))
    assert aimed.spent == f"a trial reached the target, {metric} 0.5"


@pytest.mark.parametrize(
    ("given", "seconds"), [("90m", 5400), ("1.5h", 5400), ("2d", 172800), ("30s", 30), (45, 45)]
)
def test_durations_are_formatted_for_people(given: object, seconds: float) -> None:
    config = SweepConfig.parse({"data": "d", "time_budget": given})
    assert config.time_budget == seconds
    assert config.trials == UNLIMITED_TRIALS
    assert SweepConfig.parse(config.model_dump(mode="json")) == config


def test_an_explicit_number_of_trials_stays_a_limit() -> None:
    assert SweepConfig.parse({"data": "d", "time_budget": "1h", "trials": 9}).trials == 9


@pytest.mark.parametrize("given", [{"time_budget": "soon"}, {"time_budget": 0}, {"target": 95}])
def test_an_invalid_budget_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        SweepConfig.parse({"data": "d", **given})


@pytest.fixture(scope="module")
def timed(settings: dict[str, Any], ray_cluster: None) -> SweepResult:
    """A sweep of a few seconds, with no other limit."""
    given = {name: value for name, value in settings.items() if name != "trials"}
    given |= {"name": "timed", "time_budget": 30, "max_epochs": 200, "stopping": "none"}
    return Sweep(SweepConfig.parse({**given, "export": {"formats": ["timm"]}})).run()


def test_a_sweep_that_runs_out_of_time_finalizes_the_best_trial_so_far(timed: SweepResult) -> None:
    trials = read_trials(timed.paths.journal)
    assert 1 < len(trials) < 80
    assert {t.status for t in trials} <= {"completed", "stopped"}, "nothing is left to resume"
    assert timed.ended_by
    assert "left of the time budget of 30 s is needed for the final model" in timed.ended_by
    assert timed.unfinished == 0
    assert timed.final is not None
    assert timed.profile is not None
    assert timed.profile.wall_seconds < 50, "on a machine that also does other things"


def test_a_resume_does_not_extend_the_search_unless_asked_to(timed: SweepResult) -> None:
    before = read_trials(timed.paths.journal)
    again = Sweep.existing(timed.paths).resume()
    assert read_trials(timed.paths.journal) == before
    assert again.ended_by == timed.ended_by
    assert again.final == timed.final


def test_a_resume_may_have_more_time_and_a_target(timed: SweepResult) -> None:
    before = read_trials(timed.paths.journal)
    again = Sweep.existing(timed.paths, {"time_budget": 20, "retrain": False}).resume()
    after = read_trials(timed.paths.journal)
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert again.ended_by == "the time budget of 20 s is spent"
    reached = Sweep.existing(timed.paths, {"target": 0.1, "retrain": False}).resume()
    assert reached.ended_by == "a trial reached the target, val_accuracy 0.1"
    assert read_trials(timed.paths.journal) == after, "it was there already"


@pytest.mark.parametrize("stopping", ["none", "median"])
def test_trials_within_the_budget_are_confirmed_and_finalized(
    settings: dict[str, Any], ray_cluster: None, stopping: str
) -> None:
    """The search ends while trials run; then the best are repeated in a run of their own."""
    given = {name: value for name, value in settings.items() if name != "trials"}
    given |= {"name": f"{stopping}-confirmed", "gpu_hours": 3 / 3600, "stopping": stopping}
    given |= {"gpus_per_trial": 0.5, "cpus_per_trial": 0.5}  # of a logical GPU
    given |= {"confirm": 2, "max_epochs": 6, "export": {"formats": ["timm"]}}
    result = Sweep(SweepConfig.parse(given)).run()
    trials = read_trials(result.paths.journal)
    assert result.ended_by == "the 0.000833333 GPU hours are spent"
    assert (result.unfinished, result.unconfirmed) == (0, 0)
    assert sum(trial.repeat is not None for trial in trials) == 4
    assert not any(trial.status == "running" for trial in trials)
    assert result.final is not None
    assert result.final.winner.trial_id == result.trials["trial_id"].iloc[0]


def test_gpu_hours_without_a_gpu_are_refused(settings: dict[str, Any], ray_cluster: None) -> None:
    with pytest.raises(ConfigError, match="hold no GPU; use time_budget"):
        Sweep(SweepConfig.parse({**settings, "name": "held", "gpu_hours": 1})).run()
