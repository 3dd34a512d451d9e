"""Charts of searches of every size."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from search.record import Status, TrialRecord
from search.report import parameter_charts as parameters
from search.report import search_charts as searching
from search.report.search_charts import Searched
from spaces import SearchSpace, TrialParams
from tests.support.epoch_reports import report

SPACE = SearchSpace.from_table(
    {
        "backbone": {"choices": ["a", "b"]},
        "unfreeze": {"low": 0, "high": 1},
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    },
    name="test",
)
BEGAN = datetime(2026, 1, 1)


def trial(number: int, *accuracies: float, status: Status = "completed") -> TrialRecord:
    params = TrialParams(
        backbone="ab"[number % 2], unfreeze=number / 20, learning_rate=1e-3 * (1 + number)
    )
    reports = tuple(report(epoch, value) for epoch, value in enumerate(accuracies, start=1))
    ended = BEGAN + timedelta(minutes=number + 1)
    return TrialRecord(number, params, status, reports, "", ended=ended)


def alts(trials: list[TrialRecord], metric: str = "val_accuracy") -> list[str]:
    searched = Searched.of(trials, metric, SPACE, {})
    drawn = [*searching.pictures(searched), *parameters.pictures(searched)]
    assert all(picture.svg.count("<svg") == 1 for picture in drawn)
    return [picture.alt for picture in drawn]


def test_the_charts_tell_what_is_best() -> None:
    trials = [trial(0, 0.5, 0.9), trial(1, 0.6, status="stopped"), trial(2, 0.4, 0.7)]
    time, cost, curves, backbones, depths, parallel = alts(trials)
    assert "goes from 0.9000 with the first trial to 0.9000" in cost
    assert "since the search began" in time
    assert "3 trials, of which 1 were stopped early" in curves
    assert "the best has unfreeze 0, learning_rate 0.001, backbone a" in parallel
    assert "a 0.9000, b 0.6000" in backbones
    assert "winner trains 0 of" in depths


def test_a_loss_is_better_the_less_it_is() -> None:
    found = alts([trial(0, 0.5, 0.9), trial(1, 0.6)], "val_loss")
    assert "a 0.1000, b 0.4000" in found[3]


def test_of_ten_trials_the_importance_is_told_by_an_epoch_that_most_have() -> None:
    trials = [trial(k, 0.3 + k / 50, *[0.9] * (k % 2)) for k in range(12)]
    assert alts(trials)[-2].startswith("Importance of the parameters: ")
    assert not any("Importance" in alt for alt in alts(trials[:9]))


@pytest.mark.parametrize("accuracies", [(0.5,), (0.5, float("nan"))])
def test_one_trial_is_enough_for_a_chart(accuracies: tuple[float, ...]) -> None:
    assert len(alts([trial(0, *accuracies)])) == 5


def test_points_outside_the_space_are_drawn_at_its_edge() -> None:
    outside = replace(trial(1, 0.6), params=TrialParams(backbone="c", learning_rate=1.0))
    assert len(alts([trial(0, 0.5), outside])) == 6


def test_failed_trials_are_never_the_best_and_running_ones_did_not_end() -> None:
    trials = [trial(0, 0.5), trial(1, 0.99, status="failed"), trial(3, 0.4, status="running")]
    found = alts(trials)
    assert "to 0.5000 after" in found[1]
    assert "b 0.4000" in found[3]
    assert Searched.of(trials, "val_accuracy", SPACE, {}).short == "ended early, or still running"


def test_a_size_that_is_drawn_as_native_counts_as_such() -> None:
    sizes = {"choices": ["native", 160]}
    space = SearchSpace.from_table(
        {"backbone": {"choices": ["a", "b"]}, "image_size": sizes}, name="s"
    )
    trials = [
        replace(trial(k, k / 20), params=TrialParams(backbone="ab"[k % 2])) for k in range(12)
    ]
    searched = Searched.of(trials, "val_accuracy", space, {"a": 224, "b": 224})
    assert parameters.pictures(searched)[-2].alt.startswith("Importance")
    places, marks = parameters._places(searched, "image_size")
    assert set(places) == {0.0}
    assert marks == [(0.0, "native"), (1.0, "160")]


def test_what_has_no_finite_epoch_and_repeats_are_left_out() -> None:
    trials = [trial(0, 0.5), trial(1, float("nan"), status="failed"), trial(2)]
    assert [t.number for t in Searched.of(trials, "val_accuracy", SPACE, {}).trials] == [0]
