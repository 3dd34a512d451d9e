"""A sweep whose epochs have several rounds."""

from typing import Any

import pandas as pd
import pytest

from search import Sweep, SweepConfig, SweepResult
from search.config import Rounds, expected_rounds
from search.record import (
    ResolvedSettings,
    SweepPaths,
    load_sweep_config,
    read_trials,
    read_validation_logits,
)
from trainables.data import Dataset

pytestmark = pytest.mark.slow

ROUNDS = 4
"""84 training digits in rounds of 21."""


@pytest.fixture(scope="module")
def rounds(
    settings: dict[str, Any], ray_cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> SweepResult:
    """Sweep of trials of two epochs, each of four rounds."""
    given = {
        **settings,
        "name": "rounds",
        "results_dir": tmp_path_factory.mktemp("results"),
        "trials": 5,
        "max_epochs": 2,
        "round_images": 21,
        "val_images": 9,
        "confirm": 2,
    }
    return Sweep(SweepConfig.parse(given)).run()


def test_trials_report_after_each_round_and_may_be_stopped_after_the_first(
    rounds: SweepResult,
) -> None:
    trials = [t for t in read_trials(rounds.paths.journal) if t.repeat is None]
    for trial in trials:
        assert [r.round for r in trial.reports] == list(range(1, len(trial.reports) + 1))
        assert [r.epoch for r in trial.reports] == [r.round / ROUNDS for r in trial.reports]
        assert (trial.status == "completed") == (len(trial.reports) == 2 * ROUNDS)
    assert any(trial.status == "completed" for trial in trials)


def test_the_log_says_how_long_a_round_is(rounds: SweepResult) -> None:
    sentence = "an epoch has 4 rounds of 21 training images, each scored on 9 validation images"
    assert sentence in rounds.paths.log.read_text()


def test_the_tables_count_epochs(rounds: SweepResult) -> None:
    table = pd.read_parquet(rounds.paths.trials).set_index("trial_id")
    reports = pd.read_parquet(rounds.paths.epochs)
    assert (reports["round"] == ROUNDS * reports["epoch"]).all()
    last = reports.groupby("trial_id")["epoch"].max()
    assert (table["epochs"] == last[table.index]).all()


def test_scores_are_of_the_part_of_the_validation_images_that_is_recorded(
    rounds: SweepResult,
) -> None:
    paths = rounds.paths
    rounds_of_epoch = ResolvedSettings.read(paths).rounds
    assert rounds_of_epoch == Rounds(ROUNDS, 9)
    config, dataset = load_sweep_config(paths), Dataset.read(paths.dataset, paths.split)
    rows = rounds_of_epoch.validation_rows(config, dataset)
    assert len(rows) == 9
    trials = read_trials(paths.journal)
    logits = read_validation_logits(paths.validation_logits, trials, config.metric, dataset, rows)
    assert {len(each) for each in logits.values()} == {9}


def test_the_best_trials_are_repeated_to_their_best_round(rounds: SweepResult) -> None:
    trials = read_trials(rounds.paths.journal)
    repeats = [trial for trial in trials if trial.repeat is not None]
    assert repeats
    for again in repeats:
        assert again.repeat is not None
        best = trials[again.repeat.of].best("val_accuracy")
        assert best is not None
        assert len(again.reports) == again.repeat.rounds == best.round


def test_the_card_names_epochs_briefly(rounds: SweepResult) -> None:
    assert rounds.final is not None
    epochs = rounds.final.winner.epochs
    assert f"validation images for {epochs:.4g} epochs" in rounds.paths.model_card.read_text()


def test_the_sweep_can_be_launched_again_with_the_given_lengths(rounds: SweepResult) -> None:
    assert "--round-images 21 --val-images 9" in rounds.paths.model_card.read_text()


def test_the_winner_is_retrained_for_as_many_epochs(rounds: SweepResult) -> None:
    assert rounds.final is not None
    winner = rounds.trials.iloc[0]
    assert (rounds.final.winner.trial_id, rounds.final.winner.epochs) == (
        winner["trial_id"],
        winner["best_epoch"],
    )


def test_a_resume_keeps_the_length_of_a_round(rounds: SweepResult) -> None:
    again = Sweep.existing(SweepPaths(rounds.paths.root), {"trials": 6}).resume()
    newest = max(read_trials(again.paths.journal), key=lambda trial: trial.number)
    assert newest.reports[0].epoch == 1 / ROUNDS


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [
        ({"trials": 4, "max_epochs": 5, "stopping": "none"}, 20),
        ({"trials": 9, "max_epochs": 9}, 9 + 2 * 3 + 6 * 1),
        ({"trials": 9, "max_epochs": 4, "asha": {"grace_epochs": 2}}, 2 * 9 + 2 * 3),
        ({"trials": 1, "max_epochs": 10}, 10),
    ],
)
def test_asha_is_expected_to_keep_one_in_eta_at_every_rung(
    settings: dict[str, Any], rounds: float
) -> None:
    assert expected_rounds(SweepConfig.parse({"data": "d", **settings}), 1) == rounds


def test_rungs_are_rounds_where_an_epoch_has_several() -> None:
    config = SweepConfig.parse({"data": "d", "trials": 9, "max_epochs": 1})
    assert expected_rounds(config, 9) == 9 * 1 + 3 * 2 + 1 * 6
