from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search import Sweep, SweepConfig, SweepResult
from search.config import Validation
from search.ranking import (
    pending_repeats,
    seconds_of_pending_repeats,
    select_winner,
    trial_table,
)
from search.ranking.repeats import confirmed_scores
from search.record import Repeat, Status, TrialRecord, read_trials
from spaces import ConfigError, TrialParams
from tests.support.round_reports import report

ACCURACY = "val_accuracy"
SAME = Validation(images=100)
"""Validation of a sweep whose repeats have the images of their trials."""
OTHERS = Validation(images=20, parts=[np.arange(20)] * 4)
"""Validation of a sweep whose repeats are validated on other images."""


def trial(number: int, *accuracies: float, status: Status = "completed") -> TrialRecord:
    """A trial of two seconds an epoch."""
    reports = tuple(report(epoch, value) for epoch, value in enumerate(accuracies, start=1))
    params = TrialParams(backbone="a", dropout=number / 1000)
    return TrialRecord(number, params, status, reports, "")


def repeat_of(number: int, of: int, seed: int, *accuracies: float, **given: Any) -> TrialRecord:
    """A repeat of trial ``of``, run to its last epoch."""
    repeat = Repeat(of, seed, len(accuracies))
    return replace(trial(number, *accuracies, **given), repeat=repeat)


def config(**given: Any) -> SweepConfig:
    return SweepConfig.parse({"data": "d", "metric": "val_accuracy", **given})


FOUR = [trial(0, 0.7, 0.9), trial(1, 0.5, 0.8), trial(2, 0.6), trial(3, 0.95, status="failed")]


def test_the_best_trials_are_repeated_with_other_seeds_up_to_their_best_epoch() -> None:
    assert pending_repeats(FOUR, config(confirm=2, seed=7), SAME) == [
        Repeat(0, 8, 2),
        Repeat(1, 8, 2),
        Repeat(0, 9, 2),
        Repeat(1, 9, 2),
    ]
    begun = repeat_of(4, 0, 8, 0.1, status="running")
    assert Repeat(0, 8, 2) not in pending_repeats([*FOUR, begun], config(confirm=2, seed=7), SAME)
    seconds = partial(seconds_of_pending_repeats, FOUR, config(confirm=2), SAME)
    assert seconds(lambda params: 1) == 2 * (4 + 4)
    assert seconds(lambda params: 1 / 2) == 4 + 4
    assert seconds(lambda params: 1 / 8) == 4, "no repeat is faster beside others"
    assert seconds_of_pending_repeats(FOUR, config(confirm=0), SAME, lambda params: 1) == 0


def test_a_repeat_takes_no_time_for_what_the_first_round_left_to_be_read() -> None:
    slow = [replace(t, reports=(replace(t.reports[0], seconds=90), *t.reports[1:])) for t in FOUR]
    seconds = seconds_of_pending_repeats(slow, config(confirm=2), SAME, lambda params: 1)
    assert seconds == 2 * (4 + 4)


@pytest.mark.parametrize(("bad", "repeated"), [(9, 0), (12, 0), (13, 2), (20, 2), (21, 3)])
def test_unset_confirm_costs_a_quarter_of_the_search_at_most(bad: int, repeated: int) -> None:
    """Three good trials of one epoch, and ``bad`` worse ones."""
    trials = [trial(n, 0.9 - n / 100) for n in range(3)] + [trial(3 + n, 0.1) for n in range(bad)]
    assert len({repeat.of for repeat in pending_repeats(trials, config(), SAME)}) == repeated


@pytest.mark.parametrize(("images", "repeated"), [(36, 5), (100, 4), (900, 2), (10_000, 0)])
def test_the_more_images_validate_the_fewer_trials_are_as_good_as_the_best(
    images: int, repeated: int
) -> None:
    trials = [trial(n, 0.9 - n / 100) for n in range(10)] + [trial(n, 0.1) for n in range(10, 99)]
    validation = Validation(images)
    assert len({repeat.of for repeat in pending_repeats(trials, config(), validation)}) == repeated


def test_repeats_are_scored_on_other_images_where_there_are_any() -> None:
    repeats = pending_repeats(FOUR, config(confirm=2), OTHERS)
    assert [(repeat.of, repeat.seed, repeat.part) for repeat in repeats] == [
        (0, 1, 0),
        (1, 1, 0),
        (0, 2, 1),
        (1, 2, 1),
    ]


def test_linear_probes_are_repeated_on_other_images_only() -> None:
    """Another seed gives the same head."""
    probe = replace(FOUR[0], params=TrialParams(backbone="a", head="solved", unfreeze=0, augment=0))
    trials = [probe, *FOUR[1:]]
    for validation, repeated in ((SAME, {1, 2}), (OTHERS, {0, 1})):
        repeats = pending_repeats(trials, config(confirm=2, seed=7), validation)
        assert {repeat.of for repeat in repeats} == repeated


def test_nothing_is_repeated_without_a_winner_to_choose() -> None:
    assert pending_repeats(FOUR, config(confirm=0), SAME) == []
    assert pending_repeats(FOUR[:1], config(confirm=2), SAME) == []
    many = [trial(n, n / 100) for n in range(80)]
    assert pending_repeats(many, config(), SAME)
    assert pending_repeats(many, config(retrain=False), SAME) == [], "nobody waits for a winner"
    assert pending_repeats(many, config(retrain=False, confirm=2), SAME)


def test_the_same_parameters_are_confirmed_once() -> None:
    first = trial(0, 0.9)
    trials = [first, replace(trial(1, 0.9), params=first.params), trial(2, 0.8)]
    assert {repeat.of for repeat in pending_repeats(trials, config(confirm=2), SAME)} == {0, 2}


def test_a_single_trial_can_not_be_confirmed() -> None:
    with pytest.raises(ConfigError, match="confirm must be 0"):
        config(confirm=1)


def test_the_winner_has_the_best_mean_of_its_repeats() -> None:
    lucky = [repeat_of(4, 0, 1, 0.5, 0.6), repeat_of(5, 0, 2, 0.5, 0.6)]
    sound = [repeat_of(6, 1, 1, 0.5, 0.8), repeat_of(7, 1, 2, 0.5, 0.82)]
    trials = [*FOUR, *sound, *lucky]
    scores = confirmed_scores(trials, ACCURACY)
    assert scores == {0: [0.6, 0.6], 1: [0.8, 0.82]}
    assert select_winner(trials, ACCURACY).number == 1
    table = trial_table(trials, ACCURACY)
    assert table["trial_id"].tolist() == ["0001", "0000", "0002", "0003"]
    assert table["confirmed_mean"].tolist()[:2] == pytest.approx([0.81, 0.6])
    assert table["confirmed_sd"].tolist()[0] == pytest.approx(0.0141, abs=1e-4)


SOUND = [repeat_of(6, 1, 1, 0.5, 0.8), repeat_of(7, 1, 2, 0.5, 0.82)]


def test_a_trial_that_diverges_with_another_seed_gives_way_to_one_that_does_not() -> None:
    trials = [
        *FOUR,
        repeat_of(4, 0, 1, 0.7, 0.9),
        repeat_of(5, 0, 2, float("nan"), status="failed"),
    ]
    assert select_winner([*trials, *SOUND], ACCURACY).number == 1


def test_a_trial_with_a_failed_repeat_can_still_win() -> None:
    lost = replace(repeat_of(5, 0, 2, 0.7, 0.9), reports=(), status="failed")
    trials = [*FOUR, repeat_of(4, 0, 1, 0.7, 0.9), lost, *SOUND]
    assert set(confirmed_scores(trials, ACCURACY)) == {1}
    assert select_winner(trials, ACCURACY).number == 0


def test_confirmed_trials_have_no_advantage_over_better_unconfirmed_ones() -> None:
    lucky = [repeat_of(4, 0, 1, 0.5, 0.6), repeat_of(5, 0, 2, 0.5, 0.6)]
    table = trial_table([*FOUR, *lucky, *SOUND, trial(8, 0.93), trial(9, 0.85)], ACCURACY)
    assert table["trial_id"].tolist() == ["0008", "0001", "0009", "0000", "0002", "0003"]


def test_without_all_of_its_repeats_the_best_epoch_wins() -> None:
    assert select_winner([*FOUR, repeat_of(4, 1, 1, 0.5, 0.99)], ACCURACY).number == 0


@pytest.fixture(scope="module")
def repeated(settings: dict[str, Any], ray_cluster: None) -> SweepResult:
    """A sweep whose two best trials are confirmed."""
    given = {**settings, "name": "confirmed", "confirm": 2, "export": {"formats": ["timm"]}}
    return Sweep(SweepConfig.parse(given)).run()


def test_a_sweep_repeats_its_best_trials_and_finalizes_the_best_mean(repeated: SweepResult) -> None:
    trials = read_trials(repeated.paths.journal)
    searched = [t for t in trials if t.repeat is None]
    repeats = [t for t in trials if t.repeat is not None]
    assert (len(searched), len(repeats)) == (5, 4)
    assert repeated.unfinished == 0
    for again in repeats:
        assert again.repeat is not None
        original = searched[again.repeat.of]
        assert again.params == original.params
        assert again.status == "completed"
        assert [r.epoch for r in again.reports] == list(range(1, again.repeat.rounds + 1))
        first = [r.train_loss for r in original.reports[: again.repeat.rounds]]
        assert [r.train_loss for r in again.reports] != first, "another seed"
    assert {again.repeat.part for again in repeats if again.repeat} == {0, 1}
    assert repeated.final is not None
    best = repeated.trials.iloc[0]
    assert (
        repeated.final.winner.trial_id
        == best["trial_id"]
        == select_winner(trials, ACCURACY).trial_id
    )
    assert best["confirmed_mean"] == repeated.trials["confirmed_mean"].max()
    assert "are run again with other seeds and images" in repeated.paths.log.read_text()


def test_a_resume_repeats_only_what_is_missing(repeated: SweepResult, tmp_path: Path) -> None:
    before = read_trials(repeated.paths.journal)
    Sweep.existing(repeated.paths).resume()
    assert read_trials(repeated.paths.journal) == before
    Sweep.existing(repeated.paths, {"trials": 6, "confirm": 3}).resume()
    after = read_trials(repeated.paths.journal)
    assert after[: len(before)] == before
    assert sum(t.repeat is None for t in after) == 6
    known = [(t.repeat.of, t.repeat.seed) for t in after if t.repeat]
    assert len(set(known)) == len(known) >= 6
