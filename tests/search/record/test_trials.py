import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
import pytest
from ray.tune.result import NODE_IP

from search.cluster import Node
from search.config import SweepConfig
from search.planning import Draft
from search.ranking import select_winner, trial_table
from search.ranking.leaderboard import epoch_table, markdown
from search.record import Repeat, Status, SweepPaths, TrialRecord, ValidationAnswers, read_trials
from search.samplers.learning_curves import Curves
from search.trial import AGAIN, NUMBER, PARAMS, REPEAT, Checkpoints, CheckpointWriter
from search.trial.checkpoints import pack
from search.tuning import Resources
from search.tuning.budget import Budget
from search.tuning.placement import Machines
from search.tuning.retries import MOST, Failure
from search.tuning.searcher import StudySearcher
from search.tuning.study import StudyJournal
from spaces import RunError, SearchSpace, TrialParams
from tests.support.epoch_reports import report
from trainables.models import Preprocessing
from trainables.training import EpochReport

NAN = float("nan")
CONFIG = {"metric": "val_accuracy"}
SPACE = SearchSpace.from_table(
    {
        "backbone": "a",
        "unfreeze": {"low": 0, "high": 1},
        "optimizer": {"choices": ["adamw", "sgd"]},
    },
    name="test",
)
SIZES = {"a": 32, "b": 32}
STATED = replace(Preprocessing.of("test_efficientnet"), image_size=32)
HERE = Node("id", "10.0.0.1", "host", cpus=8, gpus=0)
BUG = Failure("ValueError: boom", "Traceback ...\nValueError: boom", is_exception=True)
LOST = Failure("The actor died.", "The actor died.\nIts node is gone.", is_exception=False)


def searcher(
    folder: Path,
    points: tuple[TrialParams, ...] = (),
    seed: int = 0,
    trials: int = 99,
    nodes: Sequence[Node] = (HERE,),
    settings: Mapping[str, Any] = MappingProxyType({}),
    **given: Any,
) -> StudySearcher:
    paths = SweepPaths(folder)
    config = SweepConfig.parse({**CONFIG, "data": folder, "trials": trials, **settings})
    return StudySearcher(
        StudyJournal.open(
            paths.journal, metric="val_accuracy", sampler="tpe", seed=seed, max_epochs=9
        ),
        CheckpointWriter(Checkpoints.here(paths.checkpoints, [])),
        ValidationAnswers(paths.answers, "val_accuracy", [], classes=(), digests=()),
        Machines(Resources(1, True, 0, 99), look=lambda: list(nodes)),
        paths,
        Draft(config, SPACE, points, {}, {"a": STATED, "b": STATED}, seed),
        Budget(config, lambda params: 0),
        **given,
    )


def as_told(*args: Any, **given: Any) -> dict[str, Any]:
    """An epoch as Ray tells it."""
    return {**report(*args, **given).to_dict(), NODE_IP: HERE.ip}


def run(search: StudySearcher, name: str, *accuracies: float, ends: bool = True) -> None:
    """A trial of given accuracies as Ray tells it; ``ends`` by itself, else stopped by ASHA."""
    search.suggest(name)
    for epoch, accuracy in enumerate(accuracies[:-1], start=1):
        search.on_trial_result(name, as_told(epoch, accuracy))
    search.on_trial_complete(name, as_told(len(accuracies), accuracies[-1], is_last=ends))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A sweep of a completed, a stopped, a diverged, a crashed and a running trial."""
    search = searcher(tmp_path)
    run(search, "x", 0.5, 0.9, 0.7)
    run(search, "y", 0.6, ends=False)
    run(search, "z", 0.95, NAN)
    for name in ("crash", "crash again"):
        assert search.suggest(name)[NUMBER] == 3
        search.on_trial_complete(name, None, error=True)
        search.on_trial_failure(name, BUG)
    search.suggest("running")
    search.on_trial_result("running", as_told(1, 0.1))
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
    assert errors[3] == f"ValueError: boom; see {journal.parent / 'failures' / '0003.txt'}"
    assert (journal.parent / "failures" / "0003.txt").read_text().count("Traceback") == 2


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
    assert select_winner([first, surer], "val_accuracy") == surer


def test_by_loss_the_lowest_wins(journal: Path) -> None:
    trials = read_trials(journal)
    assert select_winner(trials, "val_loss").trial_id == "0000"
    assert select_winner(trials[1:], "val_loss").trial_id == "0001"


def test_a_failed_trial_never_wins(journal: Path) -> None:
    with pytest.raises(RunError, match="first failure: the loss was no longer finite in epoch 2"):
        select_winner(read_trials(journal)[2:4], "val_accuracy")


def test_there_is_a_row_per_trial_and_epoch(journal: Path) -> None:
    table = epoch_table(read_trials(journal))
    assert len(table) == 7
    assert table.query("trial_id == '0000'")["val_accuracy"].tolist() == [0.5, 0.9, 0.7]


def test_an_epoch_told_twice_is_recorded_once(tmp_path: Path) -> None:
    study = StudyJournal.open(
        tmp_path / "j", metric="val_accuracy", sampler="tpe", seed=0, max_epochs=9
    )
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
            search.on_trial_complete(str(i), as_told(1, made[-1].unfreeze, is_last=True))
        return made

    assert proposals("a", 3) == proposals("b", 3)
    assert proposals("c", 4) != proposals("d", 3)


class Told:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        self.events.append((number, "begins"))

    def report(self, number: int, report: EpochReport) -> None:
        self.events.append((number, report.epoch))

    def end(self, number: int, status: Status) -> None:
        self.events.append((number, status))


def test_another_driver_knows_all_and_hands_out_what_was_broken_off(tmp_path: Path) -> None:
    points = tuple(TrialParams(backbone="a", unfreeze=x) for x in (0.1, 0.2, 0.3))
    first = searcher(tmp_path, points, trials=4)
    run(first, "x", 0.5, 0.9)
    begun = first.suggest("y")
    first.on_trial_result("y", as_told(1, 0.4))
    with first._checkpoints:  # a dead driver writes no more
        first.keep("y", pack({"epoch": 1}))

    told = Told()
    second = searcher(tmp_path, points, trials=4, observers=[told])
    history = [(0, "begins"), (0, 1), (0, 2), (0, "completed"), (1, "begins"), (1, 1)]
    assert told.events == history
    second.take_up(1)
    assert second.suggest("again") == {**begun, AGAIN: True}
    second.on_trial_result("again", as_told(1, 0.4))
    assert told.events == history, "an epoch that is run again is told once"
    second.on_trial_complete("again", as_told(2, 0.6, is_last=True))
    assert told.events[len(history) :] == [(1, 2), (1, "completed")]
    assert second.suggest("p")[PARAMS] == points[2]
    assert second.suggest("q")[NUMBER] == 3
    assert second.suggest("none left") is None
    for name in ("p", "q"):
        second.on_trial_complete(name, as_told(1, 0.5, is_last=True))
    assert second.suggest("over") == "FINISHED"
    statuses = [trial.status for trial in read_trials(tmp_path / "study.journal")]
    assert statuses == ["completed"] * 4
    with second._checkpoints:  # waits for its thread
        pass
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_lost_worker_is_no_fault_of_its_trial(tmp_path: Path) -> None:
    search = searcher(tmp_path, trials=1)
    for k in range(2 * (MOST - 1)):
        search.suggest(str(k))
        if k == MOST - 1:
            search.on_trial_result(str(k), as_told(1, 0.5))
        search.on_trial_failure(str(k), LOST)
    assert search.suggest("last")[AGAIN]
    search.on_trial_failure("last", LOST)
    (trial,) = read_trials(tmp_path / "study.journal")
    assert trial.status == "failed", f"{MOST} times without an epoch"


def test_a_sweep_whose_first_trials_all_fail_in_one_way_ends(tmp_path: Path) -> None:
    search = searcher(tmp_path, trials=50)
    for k in range(6):
        assert search.hopeless is None
        search.suggest(str(k))
        search.on_trial_failure(str(k), BUG)
    assert search.hopeless == "ValueError: boom"
    assert search.suggest("more") == "FINISHED"


def test_a_journal_that_was_cut_short_is_mended(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    run(search, "x", 0.5, 0.9)
    search.suggest("y")
    file = tmp_path / "study.journal"
    whole = file.read_bytes()
    search.on_trial_result("y", as_told(1, 0.4))
    for length in range(len(whole), file.stat().st_size, 50):
        cut = file.read_bytes()[:length]
        other = tmp_path / "cut"
        other.mkdir(exist_ok=True)
        (other / file.name).write_bytes(cut)
        again = searcher(other)
        again.take_up(1)
        again.suggest("y")
        again.on_trial_complete("y", as_told(1, 0.4, is_last=True))
        trials = read_trials(other / file.name)
        assert [t.status for t in trials] == ["completed", "completed"]
        assert trials[1].reports[0].val_accuracy == 0.4
        study = optuna.load_study(study_name="finesweep", storage=again._journal._storage)
        assert study.trials[1].intermediate_values == {1: 0.4}


def test_a_trial_that_never_had_its_parameters_is_not_counted(tmp_path: Path) -> None:
    journal = StudyJournal.open(
        tmp_path / "study.journal", metric="val_accuracy", sampler="tpe", seed=0, max_epochs=9
    )
    journal.ask(SPACE.distributions())
    search = searcher(tmp_path, trials=1)
    assert search.suggest("x")[NUMBER] == 1
    search.on_trial_complete("x", as_told(1, 0.5, is_last=True))
    assert search.suggest("over") == "FINISHED"
    assert [t.number for t in read_trials(tmp_path / "study.journal")] == [1]
    curves = Curves()
    curves.read(optuna.load_study(study_name="finesweep", storage=search._journal._storage))
    assert [curve.epochs for curve in curves.ended] == [[1]], "it is not taken for a bad one"


def test_a_clock_that_was_set_back_is_of_no_matter(tmp_path: Path) -> None:
    first = searcher(tmp_path, trials=3)
    run(first, "x", 0.5, 0.9)
    first.suggest("y")
    file = tmp_path / "study.journal"
    file.write_text(re.sub(r"(\"datetime_\w+\": \")\d{4}", r"\g<1>2099", file.read_text()))
    again = searcher(tmp_path, trials=3)
    again.take_up(1)
    assert again.suggest("y")[NUMBER] == 1
    again.on_trial_complete("y", as_told(1, 0.6, is_last=True))
    assert again.suggest("z")[NUMBER] == 2
    assert [trial.status for trial in read_trials(file)] == ["completed", "completed", "running"]


def test_repeats_come_when_the_search_is_over_and_no_budget_ends_them(tmp_path: Path) -> None:
    settings = {"confirm": 2, "target": 0.8}
    search = searcher(tmp_path, trials=9, settings=settings)
    for name in ("x", "y", "z"):
        search.suggest(name)
    for name, accuracy in (("x", 0.5), ("y", 0.6)):
        search.on_trial_complete(name, as_told(1, accuracy, is_last=True))
    assert search.suggest("more")[REPEAT] is None, "the target is not reached yet"
    search.on_trial_complete("more", as_told(1, 0.9, is_last=True))
    assert search.spent == "a trial reached the target, val_accuracy 0.8"
    assert search.ends_early, "one that runs is in vain"
    assert search.suggest("none") is None
    search.on_trial_complete("z", as_told(1, 0.4, is_last=False))
    assert not search.ends_early
    repeat = search.suggest("again")[REPEAT]
    assert (repeat.of, repeat.epochs) == (3, 1)
    assert not search.ends_early
    search._machines.is_stranded = lambda avoid: True  # type: ignore[method-assign]
    assert search.ends_early, "it waits for machines that are gone"
    assert search.is_stranded()


def test_a_budget_that_ended_a_search_is_remembered(tmp_path: Path) -> None:
    search = searcher(tmp_path, trials=9, settings={"target": 0.8})
    run(search, "x", 0.9)
    search._journal.ended_by = search.spent
    again = StudyJournal.open(
        tmp_path / "study.journal", metric="val_accuracy", sampler="tpe", seed=0, max_epochs=9
    )
    assert again.ended_by == "a trial reached the target, val_accuracy 0.8"
    again.ended_by = None
    assert again.ended_by is None
