from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from search.ranking import pareto_front, select_winner, trial_table
from search.ranking.leaderboard import epoch_table, markdown
from search.record import read_trials
from spaces import RunError, TrialParams
from tests.support.simulated_tune import write_journal


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a sweep with a trial of every status."""
    return write_journal(tmp_path)


def test_trials_are_ranked_by_their_best_epoch_and_failed_ones_last(journal: Path) -> None:
    table = trial_table(read_trials(journal), "val_accuracy")
    assert table["trial_id"].tolist() == ["0000", "0001", "0004", "0002", "0003"]
    assert table["val_accuracy"][0] == 0.9
    assert table["best_epoch"][0] == 2
    fields = {f"params.{field}" for field in TrialParams.model_fields}
    assert fields <= set(table.columns)
    assert "| 0000 | 0.9 | completed | 3 | 2 |" in markdown(table, "val_accuracy")


def test_epochs_are_whole_unless_they_have_several_rounds(journal: Path) -> None:
    trials = read_trials(journal)
    assert trial_table(trials, "val_accuracy")["best_epoch"].dtype == "Int64"
    assert (
        trial_table(trials, "val_accuracy")
        .to_csv(index=False)
        .splitlines()[1]
        .startswith("0000,completed,3,2,")
    )
    parts = tuple(replace(r, epoch=r.round / 4) for r in trials[0].reports)
    table = trial_table([replace(trials[0], reports=parts)], "val_accuracy")
    assert (table["epochs"][0], table["best_epoch"][0]) == (0.75, 0.5)
    assert "| 0000 | 0.9 | completed | 0.75 | 0.5 |" in markdown(table, "val_accuracy")


def test_ties_go_to_the_trial_of_lower_loss(journal: Path) -> None:
    first = read_trials(journal)[0]
    surer = replace(first, number=9, reports=(replace(first.reports[1], val_loss=0.01),))
    table = trial_table([first, surer], "val_accuracy")
    assert table["trial_id"].tolist() == ["0009", "0000"]
    assert select_winner([first, surer], "val_accuracy") == surer


def test_the_lowest_loss_wins(journal: Path) -> None:
    trials = read_trials(journal)
    assert select_winner(trials, "val_loss").trial_id == "0000"
    assert select_winner(trials[1:], "val_loss").trial_id == "0001"


def test_a_failed_trial_never_wins(journal: Path) -> None:
    with pytest.raises(RunError, match="first failure: the loss was no longer finite in epoch 2"):
        select_winner(read_trials(journal)[2:4], "val_accuracy")


def test_before_the_first_round_nothing_is_said_to_have_failed(journal: Path) -> None:
    begun = [replace(trial, status="running", reports=()) for trial in read_trials(journal)[:2]]
    for trials in ([], begun):
        with pytest.raises(RunError, match="No trial can win yet: none has finished a round"):
            select_winner(trials, "val_accuracy")


def test_there_is_a_row_per_trial_and_epoch(journal: Path) -> None:
    table = epoch_table(read_trials(journal))
    assert len(table) == 7
    assert table.query("trial_id == '0000'")["val_accuracy"].tolist() == [0.5, 0.9, 0.7]


def test_the_pareto_front_is_every_trial_that_no_other_dominates() -> None:
    table = pd.DataFrame(
        {
            "trial_id": ["best", "smaller", "beaten", "smallest", "twin", "failed"],
            "status": [*["completed"] * 3, "stopped", "completed", "failed"],
            "val_accuracy": [0.9, 0.8, 0.7, 0.6, 0.8, 0.95],
            "parameters": [9.0, 5.0, 5.0, 1.0, 5.0, 1.0],
        }
    )
    front = pareto_front(table, "val_accuracy", ["parameters"])
    assert front["trial_id"].tolist() == ["best", "smaller", "smallest"]


def test_the_cell_of_a_parameter_that_a_trial_does_not_use_is_empty(journal: Path) -> None:
    first, second = read_trials(journal)[:2]
    trials = [
        replace(first, params=TrialParams(backbone="a", unfreeze=0), unused=frozenset({"dropout"})),
        replace(second, params=TrialParams(backbone="a", dropout=0.4)),
        replace(second, number=9, params=TrialParams(backbone="a", dropout=0.2)),
    ]
    table = trial_table(trials, "val_accuracy").set_index("trial_id")
    assert pd.isna(table.loc["0000", "params.dropout"])
    assert table.loc["0001", "params.dropout"] == 0.4
    row = next(line for line in markdown(table.reset_index(), "val_accuracy").splitlines()[2:])
    assert row.startswith("| 0000 |") and row.endswith(" 0 |  |")
