from dataclasses import replace

import numpy as np
import pytest

from search.report.sweep_data import BEST_LINES, MAX_LINES
from spaces import RunError
from tests.support.search_history import history_of, trial_of


def test_repeats_failed_trials_and_trials_without_a_finite_epoch_are_left_out() -> None:
    trials = [trial_of(0, 0.5), trial_of(1, float("nan"), status="failed"), trial_of(2)]
    assert [trial.number for trial in history_of(trials).trials] == [0]


def test_a_search_without_a_finished_epoch_has_no_history() -> None:
    with pytest.raises(RunError, match="No trial can win"):
        history_of([trial_of(0)])


def test_trials_are_ordered_by_score_and_then_by_number() -> None:
    trials = [trial_of(0, 0.5), trial_of(1, 0.9), trial_of(2, 0.5), trial_of(3, 0.7)]
    assert history_of(trials).worst_to_best.tolist() == [0, 2, 3, 1]
    assert history_of(trials, "val_loss").worst_to_best.tolist() == [0, 2, 3, 1]
    assert history_of(trials).backbones == ["b", "a"]


def test_of_many_trials_the_best_and_a_sample_of_the_others_are_drawn() -> None:
    first = trial_of(0, 0.5)
    scores = np.random.default_rng(0).permutation(700) / 700
    trials = [
        replace(trial_of(1, score), number=number, params=first.params)
        for number, score in enumerate(scores)
    ]
    history = history_of(trials)
    drawn = history.line_indices
    assert len(drawn) == MAX_LINES
    assert drawn[-BEST_LINES:].tolist() == history.worst_to_best[-BEST_LINES:].tolist()
    assert "500 of 700 trials are drawn: the best 100" in history.line_note
    assert not history_of(trials[:3]).line_note


def test_running_trials_are_named_beside_those_stopped_early() -> None:
    stopped = [trial_of(0, 0.5), trial_of(1, 0.4, status="stopped")]
    assert history_of(stopped).incomplete_label == "stopped early"
    running = [*stopped, trial_of(3, 0.4, status="running")]
    assert history_of(running).incomplete_label == "stopped early or still running"
