"""A `StudySearcher` over a real journal, driven as Ray drives it, for tests without Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ray.tune.result import NODE_IP

from search.cluster import Node
from search.config import SweepConfig
from search.planning import Draft
from search.record import SweepPaths, ValidationAnswers
from search.trial import NUMBER, Checkpoints, CheckpointWriter
from search.tuning import Resources
from search.tuning.budget import Budget
from search.tuning.placement import Machines
from search.tuning.retries import Failure
from search.tuning.searcher import StudySearcher
from search.tuning.study import StudyJournal
from spaces import SearchSpace, TrialParams
from tests.support.epoch_reports import report
from trainables.models import Preprocessing

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


def write_journal(folder: Path) -> Path:
    """Journal of a sweep with a completed, stopped, diverged, crashed and running trial."""
    search = searcher(folder)
    run(search, "x", 0.5, 0.9, 0.7)
    run(search, "y", 0.6, ends=False)
    run(search, "z", 0.95, float("nan"))
    for name in ("crash", "crash again"):
        assert search.suggest(name)[NUMBER] == 3
        search.on_trial_complete(name, None, error=True)
        search.on_trial_failure(name, BUG)
    search.suggest("running")
    search.on_trial_result("running", as_told(1, 0.1))
    return folder / "study.journal"
