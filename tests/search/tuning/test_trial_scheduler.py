from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search.config import SweepConfig
from search.record import Status, TrialRecord
from search.trial import TrialRequest
from search.tuning.trial_scheduler import (
    Asha,
    FreezeThaw,
    ShouldGoOn,
    StoppingRule,
    stopping_rule,
)
from spaces import TrialParams
from tests.support.round_reports import report
from trainables.training import RoundReport

GIVEN = {"data": "d", "metric": "val_accuracy", "max_epochs": 9}
CONFIG = SweepConfig.parse(GIVEN)
NOBODY: Any = None


def requested(number: int) -> dict[str, Any]:
    """Ray's configuration of a trial."""
    return TrialRequest(number, TrialParams(backbone="a")).to_ray()


def strict(config: SweepConfig) -> StoppingRule:
    """That spares nobody."""
    return stopping_rule(config, 1, lambda number, report: False, _unasked)


def _unasked(number: int, told: RoundReport) -> bool:
    raise AssertionError


def freeze_thaw(should_go_on: ShouldGoOn) -> StoppingRule:
    return stopping_rule(
        SweepConfig.parse({**GIVEN, "stopping": "freeze-thaw"}), 1, _unasked, should_go_on
    )


def live(rule: StoppingRule, number: int, accuracies: list[float], ray_id: str) -> TrialRecord:
    """Run a trial through the rule until it stops it or it ends by itself; its record.

    As Ray does: of its last epoch a trial that ends by itself tells the rule its end alone.
    """
    trial: Any = SimpleNamespace(trial_id=ray_id, config=requested(number))
    rule.on_trial_add(NOBODY, trial)
    reports = []
    for epoch, accuracy in enumerate(accuracies, start=1):
        reports.append(report(epoch, accuracy, is_last=epoch == len(accuracies)))
        if reports[-1].is_last:
            break
        if rule.on_trial_result(NOBODY, trial, reports[-1].to_dict()) == rule.STOP:
            break
    rule.on_trial_complete(NOBODY, trial, reports[-1].to_dict())
    status = "completed" if reports[-1].is_last else "stopped"
    params = TrialParams(backbone="a")
    return TrialRecord(number, params, status, tuple(reports), "")  # type: ignore[arg-type]


def rungs(rule: Asha) -> list[tuple[float, dict[int, float]]]:
    return [(milestone, dict(scores)) for milestone, scores in rule._brackets[0]._rungs]


@pytest.fixture
def records() -> list[TrialRecord]:
    rule, chance = strict(CONFIG), np.random.default_rng(0)
    assert isinstance(rule, Asha)
    curves = [(chance.random() * (1 - 0.5 ** np.arange(1, 10))).tolist() for _ in range(12)]
    return [live(rule, n, curve, f"ray {n}") for n, curve in enumerate(curves)]


@pytest.mark.parametrize(
    ("grace", "milestones"), [(None, [27, 9, 3, 1]), (0.5, [18, 6, 2]), (1, [36, 12, 4])]
)
def test_rungs_are_rounds_where_an_epoch_has_several(
    grace: float | None, milestones: list[int]
) -> None:
    config = SweepConfig.parse({**GIVEN, "max_epochs": 9, "asha": {"grace_epochs": grace}})
    rule = stopping_rule(config, 4, lambda number, report: False, _unasked)
    assert isinstance(rule, Asha)
    assert [milestone for milestone, _ in rungs(rule)] == milestones
    assert rule._max_t == 36


def test_a_grace_period_longer_than_a_trial_stops_none() -> None:
    """A time budget may leave a trial fewer epochs than the settings' grace period."""
    config = SweepConfig.parse({**GIVEN, "asha": {"grace_epochs": 3}, "max_epochs": None})
    short = config.model_copy(update={"max_epochs": 2})
    rule = stopping_rule(short, 1, lambda number, report: False, _unasked)
    falling = [[0.9 - number / 10] * 2 for number in range(5)]
    records = [live(rule, number, curve, f"ray {number}") for number, curve in enumerate(falling)]
    assert [len(record.reports) for record in records] == [2] * 5


def test_rungs_restored_from_the_journal_equal_those_of_the_sweep(
    records: list[TrialRecord],
) -> None:
    assert {r.status for r in records} == {"completed", "stopped"}
    first, again = strict(CONFIG), strict(CONFIG)
    assert isinstance(first, Asha)
    assert isinstance(again, Asha)
    for record in records:
        live(first, record.number, [r.val_accuracy for r in record.reports], "whatever")
        again.remember(record)
    assert rungs(again) == rungs(first)


def test_a_rung_stops_no_trial_before_three_have_scores() -> None:
    rule = strict(CONFIG)
    falling = [[0.9 - number / 10] * 9 for number in range(5)]
    records = [live(rule, number, curve, f"ray {number}") for number, curve in enumerate(falling)]
    assert [len(record.reports) for record in records] == [9, 9, 9, 1, 1]


def test_a_resumed_trial_counts_once(records: list[TrialRecord]) -> None:
    rule = strict(CONFIG)
    assert isinstance(rule, Asha)
    broken_off = next(r for r in records if r.status == "completed")
    begun = TrialRecord(0, broken_off.params, "running", broken_off.reports[:4], "")
    assert not rule.remember(begun)
    before = rungs(rule)
    live(rule, 0, [r.val_accuracy for r in broken_off.reports[:5]], "another of Ray's trials")
    assert rungs(rule) == before


def test_a_trial_whose_stop_was_not_recorded_is_stopped_on_resume(
    records: list[TrialRecord],
) -> None:
    rule = strict(CONFIG)
    stopped = [r for r in records if r.status == "stopped"][-1]
    for record in records:
        if record is not stopped:
            rule.remember(record)
    again = TrialRecord(stopped.number, stopped.params, "running", stopped.reports, "")
    assert rule.remember(again)


def test_without_a_rule_nothing_is_stopped(records: list[TrialRecord]) -> None:
    rule = strict(SweepConfig.parse({**GIVEN, "stopping": "none"}))
    assert not any(rule.remember(record) for record in records)


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_every_stopping_rule_continues_unchanged_from_the_journal(name: str) -> None:
    config = SweepConfig.parse({**GIVEN, "stopping": name})
    chance = np.random.default_rng(1)
    curves = [(chance.random() * (1 - 0.5 ** np.arange(1, 10))).tolist() for _ in range(30)]
    whole, first, rest = (strict(config) for _ in range(3))
    curves = [curve[: chance.integers(4, 10)] for curve in curves]  # some end of themselves
    lengths = [len(live(whole, n, curve, f"ray {n}").reports) for n, curve in enumerate(curves)]
    assert 1 < sum(length == 9 for length in lengths) < 29
    for n in range(15):
        rest.remember(live(first, n, curves[n], "before"))
    again = [len(live(rest, n, curves[n], "after").reports) for n in range(15, 30)]
    assert again == lengths[15:]


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_concurrent_trials_are_restored_one_after_another(name: str) -> None:
    config = SweepConfig.parse({**GIVEN, "stopping": name})
    for seed in range(20):
        chance, rule = np.random.default_rng(seed), strict(config)
        curves = [(chance.random() * (1 - 0.5 ** np.arange(1, 10))).tolist() for _ in range(12)]
        trials: list[Any] = [
            SimpleNamespace(trial_id=str(n), config=requested(n)) for n in range(12)
        ]
        told: list[list[Any]] = [[] for _ in trials]
        running, waiting = list(range(4)), list(range(4, 12))
        for n in running:
            rule.on_trial_add(NOBODY, trials[n])
        while running:
            n = int(chance.choice(running))
            epoch = len(told[n]) + 1
            told[n].append(report(epoch, curves[n][epoch - 1], is_last=epoch == 9))
            values = told[n][-1].to_dict()
            if epoch == 9 or rule.on_trial_result(NOBODY, trials[n], values) == rule.STOP:
                rule.on_trial_complete(NOBODY, trials[n], values)
                running.remove(n)
                if waiting:
                    running.append(waiting.pop(0))
                    rule.on_trial_add(NOBODY, trials[running[-1]])
        again = strict(config)
        for n, reports in enumerate(told):
            status: Any = "completed" if len(reports) == 9 else "stopped"
            record = TrialRecord(n, TrialParams(backbone="a"), status, tuple(reports), "")
            assert not again.remember(record), "it has ended"


def test_hyperband_stops_less_than_asha() -> None:
    chance, epochs = np.random.default_rng(2), {}
    curves = [(chance.random() * (1 - 0.5 ** np.arange(1, 10))).tolist() for _ in range(60)]
    for name in ("asha", "hyperband", "none"):
        rule = strict(SweepConfig.parse({**GIVEN, "stopping": name}))
        epochs[name] = sum(len(live(rule, n, c, "").reports) for n, c in enumerate(curves))
    assert epochs["asha"] < epochs["hyperband"] < epochs["none"]


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_weak_trial_that_could_still_win_is_spared(name: str) -> None:
    config = SweepConfig.parse({**GIVEN, "stopping": name})
    rule = stopping_rule(
        config, 1, lambda number, told: number == 19 and told.val_accuracy == 0.1, _unasked
    )
    for n in range(18):
        live(rule, n, [0.5] * 9, "")
    assert len(live(rule, 18, [0.1] * 9, "").reports) < 9
    assert len(live(rule, 19, [0.1] * 9, "").reports) == 9
    assert len(live(rule, 20, [0.1] * 9, "").reports) < 9


def test_a_resume_also_spares_a_weak_trial_that_could_still_win(records: list[TrialRecord]) -> None:
    stopped = [r for r in records if r.status == "stopped"][-1]
    again = TrialRecord(stopped.number, stopped.params, "running", stopped.reports, "")
    for spared in (False, True):
        rule = stopping_rule(CONFIG, 1, lambda number, told, spared=spared: spared, _unasked)  # type: ignore[misc]
        for record in records:
            if record is not stopped:
                rule.remember(record)
        assert rule.remember(again) is not spared


def test_a_sampler_that_can_tell_decides_after_three_rounds_and_when_they_have_doubled() -> None:
    asked = []

    def should_go_on(number: int, told: RoundReport) -> bool:
        asked.append(told.round)
        return told.round < 6

    rule = freeze_thaw(should_go_on)
    assert len(live(rule, 0, [0.5] * 9, "").reports) == 6
    assert asked == [3, 6]
    for number in range(1, 9):  # ASHA alone would stop these after their third epoch
        assert len(live(rule, number, [0.1] * 9, "").reports) == 6
    live(rule, 9, [0.05] * 9, "")
    assert asked[-3:] == [1, 3, 6], "ASHA would stop the weakest after its first epoch"


def test_no_trial_is_stopped_before_a_sampler_that_can_tell_is_first_asked_about_every_one() -> (
    None
):
    rule = freeze_thaw(lambda number, told: False)
    assert [len(live(rule, n, [0.9 - n / 10] * 9, "").reports) for n in range(6)] == [3] * 6


def test_where_the_sampler_cannot_tell_the_rule_is_asha(records: list[TrialRecord]) -> None:
    rule = freeze_thaw(lambda number, told: None)
    assert isinstance(rule, FreezeThaw)
    for record in records:
        curve = [told.val_accuracy for told in record.reports]
        assert live(rule, record.number, [*curve, 0.0], "").reports[: len(curve)]


def test_a_resume_tells_a_trial_that_may_have_been_stopped_from_one_between_rungs() -> None:
    def remembered(rounds: int, status: Status = "running", goes_on: bool | None = False) -> bool:
        reports = tuple(report(k, 0.5) for k in range(1, rounds + 1))
        record = TrialRecord(0, TrialParams(backbone="a"), status, reports, "")
        return freeze_thaw(lambda number, told: goes_on).remember(record)

    assert [remembered(rounds) for rounds in range(6)] == [False, False, False, True, False, False]
    assert not remembered(3, "stopped")
    assert not remembered(3, goes_on=True)
    assert not remembered(3, goes_on=None), "ASHA would not stop it"


def test_linear_probes_are_neither_compared_nor_stopped(records: list[TrialRecord]) -> None:
    """Their first epoch is their last, and others look weak beside it in theirs."""
    rule, probe = strict(CONFIG), TrialParams(backbone="a", head="solved", unfreeze=0, augment=0)
    assert isinstance(rule, Asha)
    trial: Any = SimpleNamespace(trial_id="p", config=TrialRequest(0, probe).to_ray())
    rule.on_trial_add(NOBODY, trial)
    rule.on_trial_complete(NOBODY, trial, report(1, 0.99, is_last=True).to_dict())
    ended = TrialRecord(1, probe, "completed", (report(1, 0.99, is_last=True),), "")
    assert not rule.remember(ended)
    assert all(not scores for _, scores in rungs(rule))
