"""`Sweep`: runs a sweep from images to an exported model."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from search.config import UNLIMITED_TRIALS, SweepConfig, Validation, images_per_epoch
from search.final import (
    FinalizationTime,
    check_export_packages,
    finalize_model,
    select_final_model,
)
from search.planning import CheckedInputs, check_launch, check_storage, plan_notes
from search.preparation import Preparation, prepare_sweep, record_launch, record_settings
from search.progress_lines import ProgressLines
from search.ranking import (
    pending_repeats,
    seconds_of_pending_repeats,
    select_winner,
    write_tables,
)
from search.record import (
    FinalModel,
    Profile,
    StageClock,
    SweepPaths,
    TrialObserver,
    TrialRecord,
    extends_search,
    hold_driver_lock,
    load_sweep_config,
    log_to_file,
    mirror_of,
    mlflow_of,
    read_trials,
    requested_config,
    require_mlflow,
    sweep_command,
)
from search.result import SweepResult
from search.trial import TrialJob
from search.tuning import Resources, TimeLimit, measure_shares, one_trial_per_kind, run_trials
from spaces import ConfigError, RunError
from trainables.files import write_json
from trainables.progress import Progress

_log = logging.getLogger("finesweep")


class Sweep:
    """A sweep: searches, then retrains the best model, tests it and exports it.

    Args:
        config: The settings to run with.
        given: The user's settings file, which a launch copies to the sweep's folder.
        progress: Progress callback; `ProgressLines` by default.
        clock: Stage clock; it may already have timed earlier stages.
        search_on: Whether a resume starts more trials even if a budget has ended the search.
        asked: The settings as the user gave them, to be recorded; ``config`` by default.
        checked: Results of `check_launch`; by default, `run` calls `check_launch`.
        observers: Observers of the trials, such as one that informs a tracker of experiments.
    """

    def __init__(
        self,
        config: SweepConfig,
        *,
        given: Path | None = None,
        progress: Progress | None = None,
        clock: StageClock | None = None,
        search_on: bool = False,
        asked: SweepConfig | None = None,
        checked: CheckedInputs | None = None,
        observers: Sequence[TrialObserver] = (),
    ) -> None:
        self.config = config
        """The settings. The metric "auto" is resolved once the images have been surveyed."""
        self.paths = SweepPaths(config.results_dir / config.name)
        self._given = given
        self._progress = progress or ProgressLines()
        self._clock = clock or StageClock()
        self._search_on = search_on
        self._checked = checked
        self._asked = asked or config
        self._observers = observers

    @classmethod
    def existing(
        cls,
        paths: SweepPaths,
        changes: Mapping[str, object] | None = None,
        *,
        progress: Progress | None = None,
        clock: StageClock | None = None,
        observers: Sequence[TrialObserver] = (),
    ) -> "Sweep":
        """Open a launched sweep, in order to `resume` it with ``changes`` to its settings.

        Raises `ConfigError` if a resume can't change one of the settings in ``changes``.
        """
        changes = changes or {}
        return cls(
            load_sweep_config(paths, changes),
            progress=progress,
            clock=clock,
            search_on=extends_search(changes),
            asked=requested_config(paths, changes),
            observers=observers,
        )

    def run(self) -> SweepResult:
        """Search, then retrain the winner, test it once and export it.

        Starts Ray, unless this process is already connected to a cluster.

        Raises:
            UserError: The settings or the data have a mistake. No trial has started.
            RunError: The trials, the retraining, the export or a disk failed.
        """
        self._check_packages()
        checked = self._checked or check_launch(self.config)
        with self._explaining_disk_errors():
            prepared = self._prepare(checked=checked)
            self._make_folder()
            with hold_driver_lock(self.paths), mirror_of(self.config, self.paths):
                log_to_file(self.paths.log)
                record_launch(self.paths, prepared.plan, self._asked, self._given)
                for note in plan_notes(prepared.plan):
                    _log.warning(note)
                return self._search(prepared, before=[])

    def resume(self) -> SweepResult:
        """Continue an interrupted sweep, or run more trials.

        Finished trials stay as they are; interrupted trials continue from their checkpoints. Raises
        the errors of `run`, and `ConfigError` if the images have changed since the launch.
        """
        self._check_packages()
        with self._explaining_disk_errors(), hold_driver_lock(self.paths):
            check_storage(self.config, self.paths)
            log_to_file(self.paths.log)
            with mirror_of(self.config, self.paths):
                return self._continue()

    def _continue(self) -> SweepResult:
        """The work of `resume`, while this process holds the lock and the lease."""
        before = read_trials(self.paths.journal)
        begun = sum(not trial.repeat for trial in before)
        if begun > self.config.trials:
            raise ConfigError(
                f"trials is {self.config.trials}, but {begun} have begun; give {begun} or more."
            )
        if self._search_on and begun == self.config.trials:
            _log.warning(
                "all %d trials of the search have begun, so a new limit adds none; --trials N does",
                begun,
            )
        prepared = self._prepare(recorded_in=self.paths)
        dataset = prepared.plan.survey.dataset
        dataset.write(self.paths.dataset, self.paths.split)  # the files may have moved
        _log.info("resumed: %d of %d trials had begun", begun, self.config.trials)
        record_settings(self.paths, prepared.plan, self._asked)
        return self._search(prepared, before)

    # Before the first trial

    def _check_packages(self) -> None:
        if self.config.retrain:
            check_export_packages(self.config.export.formats)
        if self.config.mlflow:
            require_mlflow()

    @contextmanager
    def _explaining_disk_errors(self) -> Iterator[None]:
        """Turn an `OSError` into a `RunError` that says how to continue the sweep."""
        try:
            yield
        except OSError as error:
            launched = self.paths.config.exists()
            again = sweep_command("resume", self.paths) if launched else "launch it again"
            raise RunError(
                f"The sweep can't continue ({error}). All files in {self.paths.root} are kept. If "
                f"a disk is full or missing, fix that, then:  {again}"
            ) from error

    def _prepare(
        self, *, checked: CheckedInputs | None = None, recorded_in: SweepPaths | None = None
    ) -> Preparation:
        prepared = prepare_sweep(
            self.config, self._progress, self._clock, checked=checked, recorded_in=recorded_in
        )
        self.config = prepared.plan.config
        return prepared

    def _make_folder(self) -> None:
        try:
            self.paths.root.mkdir(parents=True)
        except FileExistsError:
            raise ConfigError(
                f"Another launch has just begun the sweep {self.config.name!r}; "
                "choose another --name."
            ) from None

    # Search, final model and report

    def _search(self, prepared: Preparation, before: Sequence[TrialRecord]) -> SweepResult:
        """Run the remaining trials, then make the final model and the report.

        ``before`` holds the trials as earlier runs left them. MLflow shows all this, if it is set.
        """
        with mlflow_of(self.config, self.paths) as tracker:
            observers = [*self._observers, *([tracker] if tracker else [])]
            result = self._search_observed(prepared, before, observers)
            if tracker and result.report:
                tracker.complete(result.final)
            return result

    def _search_observed(
        self,
        prepared: Preparation,
        before: Sequence[TrialRecord],
        observers: Sequence[TrialObserver],
    ) -> SweepResult:
        job = TrialJob(
            self.config,
            prepared.plan.survey.dataset,
            prepared.stores,
            prepared.plan.weights,
            on_gpu=prepared.resources.gpus > 0,
            rounds=prepared.plan.rounds,
        )
        for machine in prepared.machines:
            _log.info("machine %s", machine)
        resources = self._measure_shares(job, prepared)
        self._log_beginning(job, resources)
        deadline = self._clock.deadline(self.config.time_budget)
        finalization, validation = FinalizationTime(job, resources.cpus), job.validation

        def seconds_after_search(trials: Sequence[TrialRecord]) -> float:
            repeats = seconds_of_pending_repeats(
                trials, self.config, validation, resources.share_held
            )
            return repeats + finalization.seconds(trials)

        with self._clock.stage("search"):
            outcome = run_trials(
                job,
                prepared.plan,
                self.paths,
                resources,
                examined=[machine.id for machine in prepared.machines],
                search_on=self._search_on,
                limit=TimeLimit(deadline, seconds_after_search),
                observers=observers,
            )
        trials = read_trials(self.paths.journal)
        table = write_tables(self.paths, trials, self.config.metric, self.config.objectives)
        unfinished = self._count_unfinished(trials, outcome.ended_by)
        unconfirmed = 0 if unfinished else self._count_unconfirmed(trials, validation)
        is_complete = unfinished == unconfirmed == 0
        final = None
        if is_complete and self.config.retrain:
            final = self._finalize(job, trials, outcome.excluded_nodes, deadline)
        profile = self._write_profile(before, trials, resources)
        return SweepResult(
            self.paths,
            table,
            unfinished,
            unconfirmed=unconfirmed,
            ended_by=outcome.ended_by,
            final=final,
            export=self.paths.export if final else None,
            report=self._write_report(trials) if is_complete else None,
            profile=profile,
        )

    def _measure_shares(self, job: TrialJob, prepared: Preparation) -> Resources:
        """Measure the share of a GPU that each kind of trial needs."""
        plan = prepared.plan
        with self._clock.stage("start"):
            kinds = one_trial_per_kind(
                plan.space,
                plan.points,
                plan.native_image_size,
                drawn=len(plan.points) < self.config.trials,
            )
            return measure_shares(job, prepared.resources, kinds)

    def _log_beginning(self, job: TrialJob, resources: Resources) -> None:
        unlimited = self.config.trials == UNLIMITED_TRIALS
        _log.info(
            "%s trials, ranked by %s, %s",
            "unlimited" if unlimited else self.config.trials,
            self.config.metric,
            resources,
        )
        rounds = job.rounds.per_epoch
        if rounds > 1:
            _log.info(
                "an epoch has %d rounds of %d training images, each scored on %d validation images",
                rounds,
                images_per_epoch(self.config, job.dataset) // rounds,
                len(job.rounds.validation_rows(self.config, job.dataset)),
            )

    def _count_unfinished(self, trials: Sequence[TrialRecord], ended_by: str | None) -> int:
        """Count and log the trials that an interruption stopped or kept from starting."""
        done = sum(trial.status != "running" and not trial.repeat for trial in trials)
        if ended_by:
            _log.info("the search ended after %d trials: %s", done, ended_by)
            return 0
        if done < self.config.trials:
            _log.info("stopped: %d of %d trials are done", done, self.config.trials)
        return self.config.trials - done

    def _count_unconfirmed(self, trials: Sequence[TrialRecord], validation: Validation) -> int:
        """Count the repeats of the best trials that are running or have not started."""
        running = sum(trial.status == "running" for trial in trials)
        return running + len(pending_repeats(trials, self.config, validation))

    def _finalize(
        self, job: TrialJob, trials: Sequence[TrialRecord], avoid: Sequence[str], deadline: float
    ) -> FinalModel:
        """Make the final model, or reuse what an earlier run has retrained of the same model."""
        winner = select_winner(trials, self.config.metric)
        spec = select_final_model(winner, trials, self.paths, job.dataset, self.config)
        return finalize_model(
            job,
            spec,
            trials,
            self.paths,
            self._progress,
            self._clock,
            avoid=avoid,
            deadline=deadline,
        )

    def _write_profile(
        self, before: Sequence[TrialRecord], trials: Sequence[TrialRecord], resources: Resources
    ) -> Profile:
        """Profile of this run's time; written to disk if the run trained or exported a model."""
        known = {trial.number: len(trial.reports) for trial in before}
        new = [r for trial in trials for r in trial.reports[known.get(trial.number, 0) :]]
        profile = self._clock.profile(new, resources.concurrent)
        if new or {"retrain", "export"} & set(profile.stages):
            write_json(self.paths.profile, asdict(profile))
        _log.info("where the time went: %s", profile)
        return profile

    def _write_report(self, trials: Sequence[TrialRecord]) -> Path:
        from search.report import log_validation_figures, write_report  # takes a second to import

        self._progress("writing the report", 0, 0)
        log_validation_figures(self.paths, trials)
        return write_report(self.paths, trials)
