"""Assemble Ray Tune, Optuna's study and ASHA, and run the trials."""

import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune import TuneError
from ray.tune.execution import class_cache

from search.cluster import Newcomers
from search.planning import Draft
from search.record import KEPT, SweepPaths, ValidationAnswers, command, trial_name
from search.trial import (
    AVOID,
    NUMBER,
    PARAMS,
    Checkpoints,
    CheckpointWriter,
    FineTuneTrial,
    TrialJob,
)
from search.tuning.budget import Budget
from search.tuning.callback import TuneEvents
from search.tuning.early_stopping import stopping_rule
from search.tuning.gpu_allocation import Resources
from search.tuning.live_leaderboard import LiveLeaderboard
from search.tuning.placement import Machines
from search.tuning.searcher import StudySearcher, outcome
from search.tuning.study import StudyJournal
from search.tuning.tensorboard import TensorBoardWriter
from spaces import RunError

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class Searched:
    """How a search went, but for what is in the journal."""

    ended_by: str | None
    """What ended it for good before its trials were done, if its budget did."""
    left_out: tuple[str, ...]
    """Ray's ids of the machines that nothing should run on."""


def run_trials(
    job: TrialJob,
    draft: Draft,
    paths: SweepPaths,
    resources: Resources,
    *,
    examined: Collection[str] | None = None,
    search_on: bool = False,
) -> Searched:
    """Run all trials of a draft that the journal does not say are over. Needs a started Ray.

    A journal remembers that a budget ended the search, so that only what follows it is still done,
    unless it is to ``search_on``.

    Machines of Ray's ids ``examined`` are known to be sound; others get trials once they were
    examined, as do those that join. Without it, all that are there now are.

    What they came to is in the journal, and what it knew before is made again from it: ASHA's
    rungs, TensorBoard, the leaderboard. Ctrl-C ends it early: the trials that run then stay
    "running" in the journal. Raises `RunError` if trials fail in the same way and none works, and
    `OSError` if the sweep's folder can't be written.
    """
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new output prints a banner whatever its verbosity
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(draft.config.trials)  # the searcher holds back
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # `_first_interrupt` hears it
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "inf"  # the journal is the record
    os.environ["RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE"] = "1"  # or Tune starts it anew by itself
    # Tune gives its actors an environment of one variable, for PyTorch Lightning alone, and Ray
    # hands a waiting worker only to those that have none: the first result came 5 s later.
    class_cache.DEFAULT_ENV_VARS = {}
    newcomers = Newcomers(draft.config.cache_dir)
    machines = Machines(
        resources, most=draft.config.concurrent, examine=newcomers, examined=examined
    )
    budget = Budget(draft.config, resources.gpus_of)
    while True:
        searcher = _search(job, draft, paths, resources, machines, budget, search_on=search_on)
        search_on = False
        if searcher.is_stranded():
            _log.warning("a trial waited for machines that are gone; the search begins anew")
        elif not searcher.cut_short:
            return Searched(searcher.spent, machines.left_out)


def _search(
    job: TrialJob,
    draft: Draft,
    paths: SweepPaths,
    resources: Resources,
    machines: Machines,
    budget: Budget,
    *,
    search_on: bool,
) -> StudySearcher:
    """One run of Tune, from where the journal says that the sweep is."""
    config = draft.config
    journal = StudyJournal.open(
        paths.journal,
        metric=config.metric,
        sampler=config.sampler,
        seed=draft.sampler_seed,
        max_epochs=config.max_epochs,
        objectives=config.objectives,
    )
    if search_on:
        journal.ended_by = None
    budget.ended_by = journal.ended_by
    running = [record.number for record in journal.records if record.status == "running"]
    checkpoints = Checkpoints.here(paths.checkpoints, running)
    kept = max(KEPT, config.confirm or 0)  # any that is confirmed may win
    shutil.rmtree(paths.tensorboard, ignore_errors=True)
    with (
        CheckpointWriter(checkpoints) as writer,
        TensorBoardWriter(
            paths,
            draft.space,
            draft.points,
            metric=config.metric,
        ) as curves,
        LiveLeaderboard(config, budget) as leaderboard,
    ):
        searcher = StudySearcher(
            journal,
            writer,
            ValidationAnswers(
                paths.answers,
                config.metric,
                journal.records,
                classes=job.dataset.classes,
                digests=job.dataset.digests_of(*config.validated),
                kept=kept,
            ),
            machines,
            paths,
            draft,
            budget,
            observers=[curves, leaderboard],
        )
        scheduler = stopping_rule(config, journal.may_lead)
        for record in journal.records:
            stop = scheduler.remember(record)
            if record.status != "running":
                continue
            if record.reports and (stop or record.reports[-1].is_last):
                status, error = outcome(record.reports[-1])  # its end alone was not written
                searcher.settle(record.number, status, error=error)
            else:
                searcher.take_up(record.number)
        leaderboard.start_clock()
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(FineTuneTrial, job=job, checkpoints=checkpoints),
                lambda drawn: resources.of(drawn[PARAMS], drawn[AVOID]),
            ),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,  # the searcher says when there are no more
                reuse_actors=True,
                trial_name_creator=lambda trial: trial_name(trial.config[NUMBER]),
                trial_dirname_creator=lambda trial: trial_name(trial.config[NUMBER]),
            ),
            run_config=tune.RunConfig(
                name=paths.ray.name,
                storage_path=str(paths.root),
                callbacks=[TuneEvents(searcher)],
                stop=_Early(searcher),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # `failures/` has what it tells
        try:
            with _first_interrupt(searcher.stop):
                tuner.fit()
        except TuneError:
            if searcher.disk_error is None:
                raise
        if searcher.disk_error is not None:
            raise searcher.disk_error
        if searcher.spent:
            journal.ended_by = searcher.spent
            searcher.stop_searching()
    if searcher.hopeless:
        raise RunError(
            f"Trials failed in the same way, and none worked this time, so the sweep stopped: "
            f"{searcher.hopeless}. Their tracebacks are in {paths.failures}; mend that, then go "
            f"on:  {command('resume', paths)}"
        )
    return searcher


@contextmanager
def _first_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl-C, or SIGTERM, call ``stop``, and a second one be as ever.

    Tune's own handler is not heard while no machine is left, and Ray's prints a trace.
    """
    if threading.current_thread() is not threading.main_thread():  # it can't set handlers
        yield
        return

    def heard(number: int, frame: object) -> None:
        as_before()
        stop()

    def as_before() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        as_before()


class _Early(tune.Stopper):
    """Ends a run of Tune before its trials have ended."""

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial by itself."""
        return False

    def stop_all(self) -> bool:
        """All of them."""
        return self._searcher.ends_early
