"""Runs the trials of a sweep: assembles Ray Tune, the study and early stopping."""

import logging
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune import TuneError

from search.cluster import NodeChecker
from search.config import SweepConfig, expected_rounds
from search.planning import PreparedPlan
from search.record import (
    MAX_KEPT_TRIALS,
    SweepPaths,
    TrialObserver,
    ValidationLogitsStore,
    sweep_command,
    trial_name,
)
from search.trial import Checkpoints, CheckpointWriter, FineTuneTrial, TrialJob, TrialRequest
from search.tuning.budget import UNLIMITED, Budget, TimeLimit
from search.tuning.callback import TuneCallback
from search.tuning.gpu_allocation import Resources
from search.tuning.interrupts import on_first_interrupt
from search.tuning.lifecycle import SearchLifecycle, Termination
from search.tuning.live_leaderboard import LiveLeaderboard
from search.tuning.paused_trials import PausedTrials
from search.tuning.placement import Placement
from search.tuning.ray_environment import configure_tune, silence_tune
from search.tuning.searcher import StudySearcher
from search.tuning.study import StudyJournal
from search.tuning.tensorboard import TensorBoardWriter
from search.tuning.trial_queue import TrialQueue
from search.tuning.trial_scheduler import StoppingRule, stopping_rule
from spaces import RunError
from trainables.training import RoundReport

_log = logging.getLogger("finesweep")

_FEWEST_PAUSED = 8
"""Paused trials that a search of few workers may have. Each keeps a checkpoint on the disk."""


@dataclass(frozen=True)
class SearchOutcome:
    """How a search ended. The journal has the results of its trials."""

    ended_by: str | None
    """Reason why the budget ended the search while trials were left; None if it did not."""
    excluded_nodes: tuple[str, ...]
    """Ray's ids of the machines that nothing should run on."""


def run_trials(
    job: TrialJob,
    prepared: PreparedPlan,
    paths: SweepPaths,
    resources: Resources,
    *,
    examined: Collection[str] | None = None,
    search_on: bool = False,
    limit: TimeLimit = UNLIMITED,
    observers: Sequence[TrialObserver] = (),
) -> SearchOutcome:
    """Run the trials of the plan that the journal does not record as ended. Ray must be running.

    The state of earlier runs is rebuilt from the journal: ASHA's rungs, TensorBoard files, the live
    leaderboard. Ctrl-C ends the search early; running trials then stay "running" in the journal.

    Args:
        job: Settings, data and weights that all trials share.
        prepared: The prepared plan: space, points, settings.
        paths: Files of the sweep.
        resources: CPUs and GPU share of each trial.
        examined: Ray's ids of the machines that have passed the check; None for all in the cluster
            now. Other machines get trials once they pass the check.
        search_on: Whether to continue a search that a budget ended in an earlier run.
        limit: When the sweep must end.
        observers: Observers of the trials, besides those of this room.

    Raises:
        RunError: Trials keep failing for one cause, and none finishes a round.
        OSError: The sweep's folder can't be written.
    """
    configure_tune(max_pending_trials=prepared.config.trials)
    placement = Placement(
        resources,
        most=prepared.config.concurrent,
        examine=NodeChecker(prepared.config.cache_dir),
        examined=examined,
    )
    informed: Sequence[TrialObserver] = ()
    while True:
        lifecycle, termination = _run_tune(
            job,
            prepared,
            paths,
            resources,
            placement,
            limit,
            search_on=search_on,
            observers=observers,
            informed=informed,
        )
        search_on, observers, informed = False, (), (*informed, *observers)
        if termination is Termination.STRANDED:
            _log.warning("a trial waited for machines that left the cluster; Ray Tune restarts")
        elif termination is not Termination.BUDGET_SPENT:  # else repeats may be left to run
            return SearchOutcome(lifecycle.ended_by, placement.excluded_nodes)


def _run_tune(
    job: TrialJob,
    prepared: PreparedPlan,
    paths: SweepPaths,
    resources: Resources,
    placement: Placement,
    limit: TimeLimit,
    *,
    search_on: bool,
    observers: Sequence[TrialObserver],
    informed: Sequence[TrialObserver],
) -> tuple[SearchLifecycle, Termination | None]:
    """Run Ray Tune once, from the journal; returns the lifecycle and why the run ended early."""
    # 1. Open the records of earlier runs
    max_rounds = prepared.config.epochs * job.rounds.per_epoch
    journal = _open_journal(prepared, paths, max_rounds)
    if search_on:
        journal.ended_by = None
    budget = Budget(prepared.config, resources.gpus_of, limit, journal.trials)
    budget.ended_by = journal.ended_by
    running = [record.number for record in journal.records if record.status == "running"]
    checkpoints = Checkpoints.here(paths.checkpoints, running)
    shutil.rmtree(paths.tensorboard, ignore_errors=True)
    with (
        CheckpointWriter(checkpoints) as writer,
        TensorBoardWriter(
            paths, prepared.space, prepared.points, metric=prepared.config.metric
        ) as curves,
        LiveLeaderboard(prepared.config, budget) as leaderboard,
    ):
        # 2. Restore the lifecycle and the scheduler from the records
        queue = TrialQueue(journal, prepared, budget, job.validation)
        paused = PausedTrials(
            journal,
            queue,
            most=_most_paused(prepared.config, resources),
            rounds=expected_rounds(prepared.config, job.rounds.per_epoch),
        )
        lifecycle = SearchLifecycle(
            journal,
            writer,
            _logits_store(job, prepared, paths, journal),
            placement,
            queue,
            paused,
            paths,
            budget,
            observers=[curves, leaderboard, *observers],
            informed=informed,
        )
        scheduler = stopping_rule(
            prepared.config, job.rounds.per_epoch, journal.could_win, paused.should_go_on
        )
        for record in journal.records:
            stopped = scheduler.remember(record)
            if record.status == "running":
                lifecycle.restore(record, stopped=stopped)
        leaderboard.start()
        # 3. Run Ray Tune until the lifecycle ends it
        trainable = tune.with_parameters(FineTuneTrial, job=job, checkpoints=checkpoints)
        tuner = _make_tuner(trainable, prepared, paths, resources, scheduler, lifecycle)
        _fit(tuner, lifecycle)
        # 4. Record why the search ended
        termination, ended_by = lifecycle.termination, lifecycle.ended_by
        if ended_by:
            journal.ended_by = ended_by
            lifecycle.stop_search_trials()
    if failure := lifecycle.systematic_failure:
        raise RunError(
            "Trials failed for one cause, and none finished a round in this run, so the sweep "
            f"stopped: {failure.rstrip('.')}. Their tracebacks are in {paths.failures}; fix the "
            f"cause, then resume:  {sweep_command('resume', paths)}"
        )
    return lifecycle, termination


def _open_journal(prepared: PreparedPlan, paths: SweepPaths, max_rounds: int) -> StudyJournal:
    config = prepared.config
    return StudyJournal.open(
        paths.journal,
        prepared.space,
        metric=config.metric,
        sampler=config.sampler,
        seed=prepared.sampler_seed,
        max_rounds=max_rounds,
        freeze_thaw=config.stopping_name == "freeze-thaw",
        objectives=config.objectives,
    )


def _most_paused(config: SweepConfig, resources: Resources) -> int:
    """Largest number of paused trials."""
    if config.stopping_name != "freeze-thaw":
        return 0
    return max(_FEWEST_PAUSED, 2 * resources.concurrent)


def _logits_store(
    job: TrialJob, prepared: PreparedPlan, paths: SweepPaths, journal: StudyJournal
) -> ValidationLogitsStore:
    config = prepared.config
    return ValidationLogitsStore(
        paths.validation_logits,
        config.metric,
        journal.records,
        classes=job.dataset.classes,
        digests=job.dataset.digests_at(job.rounds.validation_rows(config, job.dataset)),
        max_trials=max(MAX_KEPT_TRIALS, config.confirm or 0),  # any trial that is confirmed may win
    )


def _make_tuner(
    trainable: Any,
    prepared: PreparedPlan,
    paths: SweepPaths,
    resources: Resources,
    scheduler: StoppingRule,
    lifecycle: SearchLifecycle,
) -> tune.Tuner:
    def resources_of(drawn: dict[str, Any]) -> tune.PlacementGroupFactory:
        request = TrialRequest.from_ray(drawn)
        return resources.request_for(request.params, request.excluded_nodes)

    def name_of(trial: Any) -> str:
        return trial_name(TrialRequest.from_ray(trial.config).number)

    return tune.Tuner(
        tune.with_resources(trainable, resources_of),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(lifecycle, prepared.config.metric),
            scheduler=scheduler,
            num_samples=-1,  # unlimited: the searcher ends the search
            reuse_actors=True,
            trial_name_creator=name_of,
            trial_dirname_creator=name_of,
        ),
        run_config=tune.RunConfig(
            name=paths.ray.name,
            storage_path=str(paths.root),
            callbacks=[TuneCallback(lifecycle)],
            progress_reporter=tune.CLIReporter(),  # Tune's own choice would clear a notebook's cell
            stop=_Stopper(lifecycle),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _fit(tuner: tune.Tuner, lifecycle: SearchLifecycle) -> None:
    """Run Ray Tune. Raises the `OSError` of a failed write, which Tune hides in a `TuneError`."""
    silence_tune()
    try:
        with on_first_interrupt(lifecycle.interrupt):
            tuner.fit()
    except TuneError:
        if lifecycle.disk_error is None:
            raise
    if lifecycle.disk_error is not None:
        raise lifecycle.disk_error


class _Stopper(tune.Stopper):
    """Ends a trial, or Tune's run, when the lifecycle says so."""

    def __init__(self, lifecycle: SearchLifecycle) -> None:
        self._lifecycle = lifecycle

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a trial has no time for another round."""
        number = TrialRequest.from_ray(result["config"]).number
        return self._lifecycle.cut_short(number, RoundReport.from_dict(result))

    def stop_all(self) -> bool:
        """Whether to end the run."""
        return self._lifecycle.termination is not None
