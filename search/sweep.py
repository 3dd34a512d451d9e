"""`Sweep`: the whole job, from images to an exported model."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from search.cluster import Machine, examine_machines, machine_warnings, start_ray
from search.config import UNLIMITED, SweepConfig
from search.final import (
    check_export_packages,
    finalize_model,
    reusable_final_model,
    select_final_model,
)
from search.planning import Begun, Draft, Plan, check_at_once, check_storage, draft_plan, make_plan
from search.ranking import pending_repeats, select_winner, write_tables
from search.record import (
    Resolved,
    StageClock,
    SweepPaths,
    TrialRecord,
    asked_config,
    check_weights_unchanged,
    command,
    describe_environment,
    keeping_copy,
    load_config,
    log_to,
    only_driver,
    read_trials,
    searches_on,
)
from search.result import SweepResult
from search.trial import TrialJob
from search.tuning import Resources, fit_resources, kinds_of, measure_shares, run_trials
from spaces import ConfigError, RunError
from trainables.data import Dataset, PixelFormat, PixelStore, StagedPixels, build_store
from trainables.files import write_atomically, write_json
from trainables.progress import Progress, ignore_progress

_log = logging.getLogger("finesweep")


class Sweep:
    """One sweep over the settings of ``config``; ``given`` is a settings file to keep with it.

    ``clock`` may have run already, for what was done before there could be a sweep. A sweep whose
    search was ended by its budget is only finished by a resume, unless it is to ``search_on``.
    ``asked`` is what is recorded as the user's settings, if that differs from ``config``.
    """

    def __init__(
        self,
        config: SweepConfig,
        *,
        given: Path | None = None,
        progress: Progress = ignore_progress,
        clock: StageClock | None = None,
        search_on: bool = False,
        asked: SweepConfig | None = None,
    ) -> None:
        self.config = config
        """What it runs with; its ``metric`` is settled once the images are known."""
        self._asked = asked or config
        self._search_on = search_on
        self._given = given
        self.paths = SweepPaths(config.results_dir / config.name)
        self._progress = progress
        self._clock = clock or StageClock()
        self._machines: list[Machine] = []

    @classmethod
    def existing(
        cls,
        paths: SweepPaths,
        changes: Mapping[str, object] | None = None,
        *,
        progress: Progress = ignore_progress,
        clock: StageClock | None = None,
    ) -> "Sweep":
        """A sweep that was launched, to `resume`, with settings of `RESUMABLE` changed.

        Raises `ConfigError`.
        """
        changes = changes or {}
        return cls(
            load_config(paths, changes),
            progress=progress,
            clock=clock,
            search_on=searches_on(changes),
            asked=asked_config(paths, changes),
        )

    def run(self) -> SweepResult:
        """Search, then retrain the winner, test it once and export it.

        Starts Ray, or uses the one this process has. Every mistake of the user is raised as a
        `UserError` before a trial starts; `RunError` says that no trial, or no export, was usable.
        """
        self._need_packages()
        check_at_once(self.config)
        with self._files_kept():
            plan, stores, resources = self._plan()
            self._make_folder()
            with only_driver(self.paths), keeping_copy(self.config, self.paths):
                self._record(plan)
                return self._search(plan, stores, resources)

    def resume(self) -> SweepResult:
        """Go on where the sweep was broken off, however that was; or run more trials.

        Finished trials stay as they are, interrupted ones go on from their checkpoints. Raises
        what `run` does, and `ConfigError` if the images are others by now.
        """
        self._need_packages()
        with self._files_kept(), only_driver(self.paths):
            check_storage(self.config, self.paths)
            begun = sum(not trial.repeat for trial in read_trials(self.paths.journal))
            if begun > self.config.trials:
                raise ConfigError(
                    f"trials is {self.config.trials} but {begun} have begun; give {begun} or more."
                )
            recorded = Dataset.read(self.paths.dataset, self.paths.split)
            plan, stores, resources = self._plan(recorded)
            plan.survey.dataset.write(self.paths.dataset, self.paths.split)  # they may have moved
            log_to(self.paths.log)
            _log.info("resumed: %d of %d trials had begun", begun, self.config.trials)
            self._record_settings(plan)
            with keeping_copy(self.config, self.paths):
                return self._search(plan, stores, resources)

    @contextmanager
    def _files_kept(self) -> Iterator[None]:
        """Tell a disk that is full, or a folder that is gone, in a sentence."""
        try:
            yield
        except OSError as error:
            begun = self.paths.config.exists()
            again = command("resume", self.paths) if begun else "launch it again"
            raise RunError(
                f"The sweep can't go on ({error}). What is in {self.paths.root} is kept; if a disk "
                f"is full or gone, mend that, then:  {again}"
            ) from error

    def _need_packages(self) -> None:
        if self.config.retrain:
            check_export_packages(self.config.export.formats)

    def _plan(
        self, recorded: Dataset | None = None
    ) -> tuple[Plan, dict[PixelFormat, PixelStore], Resources]:
        """Settle everything that can be before a trial, starting Ray. Raises `UserError`.

        The images have to be those that are ``recorded``, if any are.
        """
        self._progress("checking the space, the weights and the models", 0, 0)
        with self._clock.stage("check"):
            draft = draft_plan(self.config, Begun.read(self.paths) if recorded else None)
            if recorded is not None:
                check_weights_unchanged(self.paths, draft.weights)
        with self._clock.stage("start"):
            start_ray(self.config.address)
            self._machines = examine_machines(self.config.cache_dir)
        for sentence in machine_warnings(self._machines, self.config.cache_gib):
            _log.warning(sentence)
        resources = fit_resources(self.config)
        if self.config.gpu_hours and not resources.gpus:
            raise ConfigError(
                "gpu_hours is given, but the trials hold no GPU; use time_budget instead."
            )
        plan, stores = self._prepare(draft, recorded)
        self.config = plan.config
        return plan, stores, resources

    def _search(
        self, plan: Plan, stores: dict[PixelFormat, PixelStore], resources: Resources
    ) -> SweepResult:
        """Run the trials that are left, and hand over the winner."""
        for machine in self._machines:
            _log.info("machine %s", machine)
        job = TrialJob(
            self.config,
            plan.survey.dataset,
            stores,
            plan.weights,
            on_gpu=resources.gpus > 0,
        )
        with self._clock.stage("start"):
            kinds = kinds_of(
                plan.space,
                plan.points,
                plan.native_image_size,
                drawn=len(plan.points) < self.config.trials,
            )
            resources = measure_shares(job, resources, kinds)
        _log.info(
            "%s trials, ranked by %s, %s",
            "unlimited" if self.config.trials == UNLIMITED else self.config.trials,
            self.config.metric,
            resources,
        )
        before = {trial.number: len(trial.reports) for trial in read_trials(self.paths.journal)}
        with self._clock.stage("search"):
            sound = [machine.id for machine in self._machines]
            searched = run_trials(
                job, plan, self.paths, resources, examined=sound, search_on=self._search_on
            )
        ended_by = searched.ended_by
        trials = read_trials(self.paths.journal)
        table = write_tables(self.paths, trials, self.config.metric, self.config.objectives)
        done = sum(trial.status != "running" and not trial.repeat for trial in trials)
        unfinished = 0 if ended_by else self.config.trials - done
        if ended_by:
            _log.info("the search ended after %d trials: %s", done, ended_by)
        elif unfinished:
            _log.info("stopped: %d of %d trials are done", done, self.config.trials)
        unconfirmed = 0 if unfinished else _unconfirmed(trials, self.config)
        final = None
        if unfinished == unconfirmed == 0 and self.config.retrain:
            best = select_winner(trials, self.config.metric)
            recipe = select_final_model(best, trials, self.paths, job.dataset, self.config)
            final = finalize_model(
                job,
                recipe,
                self.paths,
                self._progress,
                self._clock,
                kept=reusable_final_model(recipe, self.paths),
                avoid=searched.left_out,
            )
        new = [r for trial in trials for r in trial.reports[before.get(trial.number, 0) :]]
        profile = self._clock.profile(new, resources.concurrent)
        if new or {"retrain", "export"} & set(profile.stages):  # else it is of looking round
            write_json(self.paths.profile, asdict(profile))
        _log.info("where the time went: %s", profile)
        made = self.paths.export if final else None
        report = None
        if unfinished == unconfirmed == 0:
            self._progress("writing the report", 0, 0)
            from search.report import (  # charts take a second to import
                log_validation_figures,
                write_report,
            )

            log_validation_figures(self.paths)
            report = write_report(self.paths)
        return SweepResult(
            self.paths,
            table,
            unfinished,
            unconfirmed=unconfirmed,
            ended_by=ended_by,
            final=final,
            export=made,
            report=report,
            profile=profile,
        )

    def _prepare(
        self, draft: Draft, recorded: Dataset | None
    ) -> tuple[Plan, dict[PixelFormat, PixelStore]]:
        """Survey the images, and decode them in every format that a trial may ask for."""
        staged = StagedPixels(self.config.cache_dir)
        with self._clock.stage("scan"):
            plan = make_plan(draft, self._progress, staged=staged, recorded=recorded)
        stores: dict[PixelFormat, PixelStore] = {}
        with self._clock.stage("decode"):
            for form in draft.forms:
                stores[form] = build_store(
                    plan.survey.dataset,
                    form,
                    cache=self.config.cache_dir,
                    budget_bytes=self.config.cache_bytes,
                    keep=[store.file for store in stores.values()],
                    staged=staged,
                    progress=self._progress,
                )
        return plan, stores

    def _make_folder(self) -> None:
        try:
            self.paths.root.mkdir(parents=True)
        except FileExistsError:
            raise ConfigError(
                f"Another launch has just begun the sweep {self.config.name!r}; "
                "choose another --name."
            ) from None

    def _record(self, plan: Plan) -> None:
        """Write what is known before the first trial; ``sweep.json`` says that all of it is."""
        paths = self.paths
        log_to(paths.log)
        if self._given is not None:
            paths.toml.write_bytes(self._given.read_bytes())
        plan.survey.dataset.write(paths.dataset, paths.split)
        suspects = pd.DataFrame(plan.survey.issues, columns=["path", "kind", "reason"])
        write_atomically(paths.bad_images, lambda partial: suspects.to_csv(partial, index=False))
        write_json(paths.space, plan.space.to_table())
        points = json.dumps([point.model_dump() for point in plan.points], indent=2)
        write_atomically(paths.points, lambda partial: partial.write_text(points, encoding="utf-8"))
        write_json(paths.environment, describe_environment(plan.weights))
        self._record_settings(plan)

    def _record_settings(self, plan: Plan) -> None:
        """Write what the settings came to, then the settings as they were asked for."""
        write_json(self.paths.resolved, asdict(Resolved(plan.config.metric, plan.sampler_seed)))
        write_json(self.paths.config, self._asked.model_dump(mode="json"))


def _unconfirmed(trials: Sequence[TrialRecord], config: SweepConfig) -> int:
    """Repeats of the best trials that are still to be run, or to be ended."""
    running = sum(trial.status == "running" for trial in trials)
    return running + len(pending_repeats(trials, config))
