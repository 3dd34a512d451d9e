import pytest

from search.record import TrialRecord
from search.report.search_charts import search_pictures
from tests.support.search_history import history_of, trial_of


def alts(trials: list[TrialRecord]) -> list[str]:
    pictures = search_pictures(history_of(trials))
    assert all(picture.svg.count("<svg") == 1 for picture in pictures)
    return [picture.alt for picture in pictures]


def test_the_charts_show_the_best_score_so_far_against_time_and_cost() -> None:
    trials = [
        trial_of(0, 0.5, 0.9),
        trial_of(1, 0.6, status="stopped"),
        trial_of(2, 0.4, 0.95),
    ]
    time, cost, curves = alts(trials)
    assert "goes from 0.9000 with the first trial to 0.9500" in cost
    assert "since the search began" in time
    assert "3 trials, 1 of them stopped early" in curves


@pytest.mark.parametrize("accuracies", [(0.5,), (0.5, float("nan"))])
def test_one_trial_is_enough_for_a_chart_of_cost(accuracies: tuple[float, ...]) -> None:
    cost, curves = alts([trial_of(0, *accuracies)])
    assert "of training" in cost
    assert "1 trials" in curves


def test_failed_trials_are_never_the_best() -> None:
    trials = [
        trial_of(0, 0.5),
        trial_of(1, 0.99, status="failed"),
        trial_of(3, 0.4, status="running"),
    ]
    assert "to 0.5000 after" in alts(trials)[1]
