"""Simulation of Ray Tune for tests: drives a searcher that has a real journal, without Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ray.tune.result import NODE_IP

from search.cluster import Node
from search.config import SamplerName, SweepConfig, Validation, expected_rounds
from search.planning import PreparedPlan
from search.record import SweepPaths, TrialObserver, ValidationLogitsStore
from search.trial import Checkpoints, CheckpointWriter, TrialRequest
from search.tuning import Resources
from search.tuning.budget import Budget
from search.tuning.lifecycle import SearchLifecycle
from search.tuning.paused_trials import PausedTrials
from search.tuning.placement import Placement
from search.tuning.retries import Failure
from search.tuning.searcher import StudySearcher
from search.tuning.study import StudyJournal
from search.tuning.trial_queue import TrialQueue
from spaces import SearchSpace, TrialParams
from tests.support.round_reports import report
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


class SimulatedTune:
    """Asks a `StudySearcher` for trials and passes results to it, as Ray Tune does.

    A test names its trials; the names take the place of Ray's trial ids.
    """

    def __init__(self, journal: StudyJournal, lifecycle: SearchLifecycle, writer: Any) -> None:
        self.journal, self.lifecycle, self.checkpoint_writer = journal, lifecycle, writer
        self._searcher = StudySearcher(lifecycle, "val_accuracy")
        self._requests: dict[str, TrialRequest] = {}

    def suggest(self, name: str) -> TrialRequest | str | None:
        """Answer of the searcher: a request, None (ask again later), or "FINISHED"."""
        config = self._searcher.suggest(name)
        if not isinstance(config, dict):
            return config
        self._requests[name] = TrialRequest.from_ray(config)
        return self._requests[name]

    def begin(self, name: str) -> TrialRequest:
        """Ask for a trial, and assert that there is one."""
        request = self.suggest(name)
        assert isinstance(request, TrialRequest)
        return request

    def result(self, name: str, *args: Any, **given: Any) -> None:
        """Report an epoch that is not the trial's last."""
        self._searcher.on_trial_result(name, as_told(*args, **given))

    def complete(self, name: str, *args: Any, **given: Any) -> None:
        """Report a trial's last epoch."""
        self._searcher.on_trial_complete(name, as_told(*args, **given))

    def fail(self, name: str, failure: Failure) -> None:
        """Report a trial's failure to the searcher and to the lifecycle, as the callback does."""
        self._searcher.on_trial_complete(name, None, error=True)
        self.lifecycle.fail(self._requests[name].number, failure)

    def resume(self, number: int) -> None:
        """Resume a trial that is running according to the journal."""
        (record,) = [r for r in self.journal.records if r.number == number]
        self.lifecycle.restore(record, stopped=False)


def simulated_tune(
    folder: Path,
    points: tuple[TrialParams, ...] = (),
    seed: int = 0,
    trials: int = 99,
    nodes: Sequence[Node] = (HERE,),
    settings: Mapping[str, Any] = MappingProxyType({}),
    observers: Sequence[TrialObserver] = (),
    informed: Sequence[TrialObserver] = (),
    sampler: SamplerName = "tpe",
    most_paused: int = 0,
) -> SimulatedTune:
    """Simulated search over `SPACE` with a journal in ``folder``."""
    paths = SweepPaths(folder)
    config = SweepConfig.parse({**CONFIG, "data": folder, "trials": trials, **settings})
    journal = StudyJournal.open(
        paths.journal, SPACE, metric="val_accuracy", sampler=sampler, seed=seed, max_rounds=9
    )
    budget = Budget(config, lambda params: 0)
    prepared = PreparedPlan(config, SPACE, points, {}, {"a": STATED, "b": STATED}, seed, ())
    queue = TrialQueue(journal, prepared, budget, Validation(100))
    writer = CheckpointWriter(Checkpoints.here(paths.checkpoints, []))
    lifecycle = SearchLifecycle(
        journal,
        writer,
        ValidationLogitsStore(paths.validation_logits, "val_accuracy", [], classes=(), digests=()),
        Placement(Resources(1, True, 0, 99), look=lambda: list(nodes)),
        queue,
        PausedTrials(journal, queue, most=most_paused, rounds=expected_rounds(config, 1)),
        paths,
        budget,
        observers=observers,
        informed=informed,
    )
    return SimulatedTune(journal, lifecycle, writer)


def as_told(*args: Any, **given: Any) -> dict[str, Any]:
    """Result of an epoch, as Ray Tune passes it to a searcher."""
    return {**report(*args, **given).to_dict(), NODE_IP: HERE.ip}


def run(tune: SimulatedTune, name: str, *accuracies: float, ends: bool = True) -> None:
    """Run a trial with one accuracy per epoch. If it does not end by itself, ASHA stops it."""
    tune.begin(name)
    for epoch, accuracy in enumerate(accuracies[:-1], start=1):
        tune.result(name, epoch, accuracy)
    tune.complete(name, len(accuracies), accuracies[-1], is_last=ends)


def write_journal(folder: Path) -> Path:
    """Write the journal of a sweep with five trials, and return its path.

    The trials are completed, stopped, diverged, crashed and running, in this order.
    """
    tune = simulated_tune(folder)
    run(tune, "x", 0.5, 0.9, 0.7)
    run(tune, "y", 0.6, ends=False)
    run(tune, "z", 0.95, float("nan"))
    for name in ("crash", "crash again"):
        assert tune.begin(name).number == 3
        tune.fail(name, BUG)
    tune.begin("running")
    tune.result("running", 1, 0.1)
    return folder / "study.journal"
