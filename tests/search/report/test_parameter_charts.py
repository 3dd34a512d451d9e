from dataclasses import replace

import pytest

from search.record import TrialRecord
from search.report.parameter_charts import _scaled_values, parameter_pictures
from search.report.sweep_data import SearchHistory
from spaces import SearchSpace, TrialParams
from tests.support.search_history import history_of, trial_of


def alts(trials: list[TrialRecord], metric: str = "val_accuracy") -> list[str]:
    pictures = parameter_pictures(history_of(trials, metric))
    assert all(picture.svg.count("<svg") == 1 for picture in pictures)
    return [picture.alt for picture in pictures]


def test_the_charts_name_the_best_trial() -> None:
    trials = [
        trial_of(0, 0.5, 0.9),
        trial_of(1, 0.6, status="stopped"),
        trial_of(2, 0.4, 0.7),
    ]
    backbones, depths, parallel = alts(trials)
    assert "a 0.9000, b 0.6000" in backbones
    assert "winner trains 0 of" in depths
    assert "the best trial has unfreeze 0, learning_rate 0.001, backbone a" in parallel


def test_with_a_loss_as_metric_the_lowest_trial_is_the_best() -> None:
    assert "a 0.1000, b 0.4000" in alts([trial_of(0, 0.5, 0.9), trial_of(1, 0.6)], "val_loss")[0]


def test_importance_is_estimated_from_ten_trials_at_an_epoch_that_most_have() -> None:
    trials = [trial_of(k, 0.3 + k / 50, *[0.9] * (k % 2)) for k in range(12)]
    assert alts(trials)[-2].startswith("Importance of the parameters: ")
    assert not any("Importance" in alt for alt in alts(trials[:9]))


def test_linear_probes_do_not_count_in_the_importance_of_parameters() -> None:
    trials = [trial_of(k, 0.3 + k / 50) for k in range(12)]
    probes = [
        replace(trial, params=trial.params.model_copy(update={"head": "solved"}))
        for trial in (trial_of(k, 0.1) for k in range(12, 16))
    ]
    (alone,) = (alt for alt in alts(trials) if "Importance" in alt)
    assert alone in alts([*trials, *probes])
    assert not any("Importance" in alt for alt in alts(probes))


@pytest.mark.parametrize("accuracies", [(0.5,), (0.5, float("nan"))])
def test_one_trial_is_enough_for_three_charts(accuracies: tuple[float, ...]) -> None:
    assert len(alts([trial_of(0, *accuracies)])) == 3


def test_points_outside_the_space_are_drawn_at_its_edge() -> None:
    outside = replace(trial_of(1, 0.6), params=TrialParams(backbone="c", learning_rate=1.0))
    history = history_of([trial_of(0, 0.5), outside])
    positions, ticks = _scaled_values(history, "learning_rate")
    assert positions.tolist() == pytest.approx([1 / 3, 1])
    assert ticks == [(0.0, "0.0001"), (1.0, "0.1")]
    assert len(parameter_pictures(history)) == 3


def test_failed_trials_are_left_out_and_running_ones_are_not() -> None:
    trials = [
        trial_of(0, 0.5),
        trial_of(1, 0.99, status="failed"),
        trial_of(3, 0.4, status="running"),
    ]
    assert "b 0.4000" in alts(trials)[0]


def test_a_native_image_size_is_shown_as_native() -> None:
    sizes = {"choices": ["native", 160]}
    space = SearchSpace.from_table(
        {"backbone": {"choices": ["a", "b"]}, "image_size": sizes}, name="s"
    )
    trials = [
        replace(trial_of(k, k / 20), params=TrialParams(backbone="ab"[k % 2])) for k in range(12)
    ]
    history = SearchHistory.of(trials, "val_accuracy", space, {"a": 224, "b": 224})
    assert parameter_pictures(history)[-2].alt.startswith("Importance")
    positions, ticks = _scaled_values(history, "image_size")
    assert set(positions) == {0.0}
    assert ticks == [(0.0, "native"), (1.0, "160")]
