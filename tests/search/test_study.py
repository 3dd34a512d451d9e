from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from search.leaderboard import epoch_table, markdown, trial_table, winner
from search.paths import SweepPaths
from search.sampler import StudySearcher
from search.study import StudyJournal, TrialRecord, read_trials
from search.trial import NUMBER, PARAMS
from spaces import RunError, SearchSpace, TrialParams
from trainables.report import EpochReport

NAN = float("nan")
SPACE = SearchSpace.from_table(
    {
        "backbone": "a",
        "unfreeze": {"low": 0, "high": 1},
        "optimizer": {"choices": ["adamw", "sgd"]},
    },
    name="test",
)
SIZES = {"a": 32, "b": 32}


def report(epoch: int, accuracy: float, *, is_last: bool = False) -> EpochReport:
    diverged = accuracy != accuracy
    return EpochReport(
        epoch=epoch,
        train_loss=1.0,
        val_loss=1 - accuracy,
        val_accuracy=accuracy,
        val_balanced_accuracy=accuracy,
        val_macro_f1=accuracy,
        learning_rate=1e-3,
        seconds=2.0,
        prefix_seconds=0.5,
        evaluate_seconds=0.5,
        images_per_second=10.0,
        peak_memory_mib=100.0,
        is_last=is_last or diverged,
        diverged=diverged,
    )


def searcher(folder: Path, points: tuple[TrialParams, ...] = (), seed: int = 0) -> StudySearcher:
    return StudySearcher(
        SweepPaths(folder),
        SPACE,
        points=points,
        native_image_size=SIZES,
        metric="val_accuracy",
        seed=seed,
    )


def run(search: StudySearcher, name: str, *accuracies: float, ends: bool = True) -> None:
    """A trial of given accuracies as Ray tells it; ``ends`` by itself, else stopped by ASHA."""
    search.suggest(name)
    for epoch, accuracy in enumerate(accuracies[:-1], start=1):
        search.on_trial_result(name, report(epoch, accuracy).to_dict())
    last = report(len(accuracies), accuracies[-1], is_last=ends)
    search.on_trial_complete(name, last.to_dict())


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A sweep of a completed, a stopped, a diverged, a crashed and a running trial."""
    search = searcher(tmp_path)
    run(search, "x", 0.5, 0.9, 0.7)
    run(search, "y", 0.6, ends=False)
    run(search, "z", 0.95, NAN)
    search.suggest("crash")
    search.on_trial_complete("crash", None, error=True)
    search.suggest("running")
    search.on_trial_result("running", report(1, 0.1).to_dict())
    return tmp_path / "study.journal"


def test_the_journal_knows_every_trial_and_epoch(journal: Path) -> None:
    trials = read_trials(journal)
    assert [t.status for t in trials] == ["completed", "stopped", "failed", "failed", "running"]
    assert [len(t.reports) for t in trials] == [3, 1, 2, 0, 1]
    assert trials[0].reports[1] == report(2, 0.9)
    assert trials[0].seconds == 6.0


def test_optuna_is_told_the_truth(journal: Path) -> None:
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    trials = optuna.load_study(study_name="finesweep", storage=storage).trials
    assert [t.state.name for t in trials] == ["COMPLETE", "PRUNED", "FAIL", "FAIL", "RUNNING"]
    assert trials[0].value == 0.9
    assert trials[0].intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}
    assert trials[1].intermediate_values == {1: 0.6}
    assert trials[2].intermediate_values == {1: 0.95}


def test_a_failed_trial_says_why(journal: Path) -> None:
    errors = [t.error for t in read_trials(journal)]
    assert errors[2] == "the loss was no longer finite in epoch 2"
    assert errors[3].endswith("ray/0003/error.txt")


def test_trials_are_ranked_by_their_best_epoch_and_failed_ones_last(journal: Path) -> None:
    table = trial_table(read_trials(journal), "val_accuracy")
    assert table["trial_id"].tolist() == ["0000", "0001", "0004", "0002", "0003"]
    assert table["val_accuracy"][0] == 0.9
    assert table["best_epoch"][0] == 2
    fields = {f"params.{field}" for field in TrialParams.model_fields}
    assert fields <= set(table.columns)
    assert "| 0000 | 0.9 | completed | 3 | 2 |" in markdown(table, "val_accuracy")


def test_of_equal_trials_the_one_of_lower_loss_wins(journal: Path) -> None:
    first = read_trials(journal)[0]
    surer = replace(first, number=9, reports=(replace(first.reports[1], val_loss=0.01),))
    table = trial_table([first, surer], "val_accuracy")
    assert table["trial_id"].tolist() == ["0009", "0000"]
    assert winner([first, surer], "val_accuracy") == surer


def test_by_loss_the_lowest_wins(journal: Path) -> None:
    trials = read_trials(journal)
    assert winner(trials, "val_loss").trial_id == "0000"
    assert winner(trials[1:], "val_loss").trial_id == "0001"


def test_a_failed_trial_never_wins(journal: Path) -> None:
    with pytest.raises(RunError, match="first failure: the loss was no longer finite in epoch 2"):
        winner(read_trials(journal)[2:4], "val_accuracy")


def test_there_is_a_row_per_trial_and_epoch(journal: Path) -> None:
    table = epoch_table(read_trials(journal))
    assert len(table) == 7
    assert table.query("trial_id == '0000'")["val_accuracy"].tolist() == [0.5, 0.9, 0.7]


def test_an_epoch_told_twice_is_recorded_once(tmp_path: Path) -> None:
    study = StudyJournal(tmp_path / "j", metric="val_accuracy", seed=0)
    number, _ = study.ask(SPACE.distributions())
    study.begin(number, TrialParams(backbone="a"))
    study.report(number, report(1, 0.5))
    study.report(number, replace(report(1, 0.5), seconds=9))
    assert [r.seconds for r in read_trials(tmp_path / "j")[0].reports] == [2.0]


def test_points_come_first_and_may_set_what_the_space_keeps_fixed(tmp_path: Path) -> None:
    points = (
        SPACE.params({"unfreeze": 0.25, "dropout": 0.4}, native_image_size=SIZES),
        SPACE.params({"backbone": "b", "optimizer": "rmsprop"}, native_image_size=SIZES),
    )
    search = searcher(tmp_path, points)
    configs = [search.suggest(name) for name in "xyz"]
    assert tuple(c[PARAMS] for c in configs[:2]) == points
    assert [c[NUMBER] for c in configs] == [0, 1, 2]
    recorded: list[TrialRecord] = read_trials(tmp_path / "study.journal")
    assert tuple(t.params for t in recorded[:2]) == points
    assert configs[2][PARAMS].backbone == "a"


def test_a_seed_proposes_the_same_points_twice(tmp_path: Path) -> None:
    def proposals(name: str, seed: int) -> list[TrialParams]:
        (tmp_path / name).mkdir()
        search = searcher(tmp_path / name, seed=seed)
        made = []
        for i in range(14):
            made.append(search.suggest(str(i))[PARAMS])
            search.on_trial_complete(str(i), report(1, made[-1].unfreeze, is_last=True).to_dict())
        return made

    assert proposals("a", 3) == proposals("b", 3)
    assert proposals("c", 4) != proposals("d", 3)
