"""`Sweep`: the whole job, from images to an exported model; and its later steps alone."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from search.checks import check_at_once
from search.cluster import start_ray
from search.config import Format, SweepConfig
from search.draft import Draft, Progress, draft_plan
from search.environment import environment
from search.export import export, need_packages
from search.leaderboard import trial_table, winner, write_tables
from search.paths import SweepPaths
from search.plan import Plan, make_plan
from search.profile import Profile, StageClock
from search.resources import fit_resources, kinds_of, measure_shares
from search.retrain import FinalModel, retrain
from search.study import TrialRecord, read_trials
from search.trial import TrialJob
from search.tuner import run_trials
from spaces import ConfigError
from trainables.dataset import Dataset
from trainables.files import write_json, write_whole
from trainables.model import Preprocessing
from trainables.pixels import PixelFormat, PixelStore, Staged, build_store
from trainables.weights import find_weights

_log = logging.getLogger("finesweep")


def _silent(what: str, done: int, total: int) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to."""

    paths: SweepPaths
    trials: pd.DataFrame
    """One row a trial, the best first; the columns of ``trials.parquet``."""
    unfinished: int
    """Trials that Ctrl-C broke off or kept from starting."""
    final: FinalModel | None = None
    """The retrained winner and its test; None without ``retrain``."""
    export: Path | None = None
    """The folder to hand over."""
    profile: Profile | None = None
    """Where a launch's time went."""


class Sweep:
    """One sweep over the settings of ``config``; ``given`` is a settings file to keep with it.

    ``clock`` may have run already, for what was done before there could be a sweep.
    """

    def __init__(
        self,
        config: SweepConfig,
        *,
        given: Path | None = None,
        progress: Progress = _silent,
        clock: StageClock | None = None,
    ) -> None:
        self.config = config
        self._given = given
        self.paths = SweepPaths(config.results_dir / config.name)
        self._progress = progress
        self._clock = clock or StageClock()

    def run(self) -> SweepResult:
        """Search, then retrain the winner, test it once and export it.

        Starts Ray, or uses the one this process has. Every mistake of the user is raised as a
        `UserError` before a trial starts; `RunError` says that no trial, or no export, was usable.
        """
        if self.config.retrain:
            need_packages(self.config.export.formats)
        check_at_once(self.config)
        with self._clock.stage("check"):
            draft = draft_plan(self.config)
        with self._clock.stage("start"):
            start_ray(self.config.address)
        resources = fit_resources(self.config)
        plan, stores = self._prepare(draft)
        job = TrialJob(
            self.config,
            plan.survey.dataset,
            stores,
            plan.weights,
            on_gpu=resources.gpus > 0,
        )
        self._record(plan)
        with self._clock.stage("start"):
            kinds = kinds_of(
                plan.space,
                plan.points,
                plan.native_image_size,
                drawn=len(plan.points) < self.config.trials,
            )
            resources = measure_shares(job, resources, kinds)
        _log.info(
            "%d trials, %d at a time, %s", self.config.trials, resources.concurrent, resources
        )
        with self._clock.stage("search"):
            run_trials(
                job,
                self.paths,
                space=plan.space,
                points=plan.points,
                native_image_size=plan.native_image_size,
                resources=resources,
            )
        trials = read_trials(self.paths.journal)
        table = write_tables(self.paths, trials, self.config.metric)
        done = sum(trial.status != "running" for trial in trials)
        final = None
        if done == self.config.trials and self.config.retrain:
            chosen = winner(trials, self.config.metric)
            final = _hand_over(job, chosen, self.paths, self._progress, self._clock)
        profile = self._clock.profile(trials, resources.concurrent)
        write_json(self.paths.profile, asdict(profile))
        _log.info("where the time went: %s", profile)
        made = self.paths.export if final else None
        return SweepResult(self.paths, table, self.config.trials - done, final, made, profile)

    def _prepare(self, draft: Draft) -> tuple[Plan, dict[PixelFormat, PixelStore]]:
        """Survey the images, and decode them in every format that a trial may ask for."""
        staged = Staged(self.config.cache_dir)
        with self._clock.stage("scan"):
            plan = make_plan(draft, self._progress, staged=staged)
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
                    progress=lambda done, total: self._progress("decoding images", done, total),
                )
        return plan, stores

    def _record(self, plan: Plan) -> None:
        """Make the sweep's folder and write what is known before the first trial."""
        paths = self.paths
        paths.root.mkdir(parents=True)
        _log_to(paths.log)
        if self._given is not None:
            paths.toml.write_bytes(self._given.read_bytes())
        plan.survey.dataset.write(paths.dataset, paths.split)
        suspects = pd.DataFrame(plan.survey.suspects, columns=["path", "kind", "reason"])
        write_whole(paths.bad_images, lambda partial: suspects.to_csv(partial, index=False))
        dimensions = {field: dim.model_dump() for field, dim in plan.space.dimensions.items()}
        write_json(paths.space, {"name": plan.space.name, **dimensions})
        write_json(paths.environment, environment())
        write_json(paths.config, self.config.model_dump(mode="json"))


def load_config(paths: SweepPaths) -> SweepConfig:
    """The settings of a sweep that was launched."""
    return SweepConfig.parse(json.loads(paths.config.read_text(encoding="utf-8")))


def retrain_sweep(
    paths: SweepPaths, *, trial: str | None = None, progress: Progress = _silent
) -> SweepResult:
    """Retrain and export the winner of a launched sweep, or one trial of it. Needs no Ray.

    Raises `UserError`.
    """
    config = load_config(paths)
    _log_to(paths.log)
    trials = read_trials(paths.journal)
    chosen = winner(trials, config.metric) if trial is None else _named(trials, trial, config)
    params = chosen.params
    dataset = Dataset.read(paths.dataset, paths.split)
    form = Preprocessing.of(params.backbone).form(params.image_size)
    weights = find_weights(params.backbone, config.weights, cache=config.cache_dir)
    store = build_store(
        dataset,
        form,
        cache=config.cache_dir,
        budget_bytes=config.cache_bytes,
        progress=lambda done, total: progress("decoding images", done, total),
    )
    job = TrialJob(
        config,
        dataset,
        {form: store},
        {params.backbone: weights},
        on_gpu=config.gpus_per_trial != 0,
    )
    final = _hand_over(job, chosen, paths, progress, StageClock())
    return SweepResult(paths, trial_table(trials, config.metric), 0, final, paths.export)


def export_sweep(
    paths: SweepPaths, *, formats: Sequence[Format] | None = None, out: Path | None = None
) -> dict[str, float]:
    """Export the retrained model of a sweep again; see `search.export.export`."""
    if not paths.metrics.exists():
        raise ConfigError(
            f"The sweep {paths.root.name!r} has no retrained model; "
            f"run 'finesweep retrain {paths.root.name}' first."
        )
    config = load_config(paths)
    return export(
        FinalModel.read(paths),
        Dataset.read(paths.dataset, paths.split),
        paths,
        formats=formats or config.export.formats,
        out=out or paths.export,
    )


def _log_to(file: Path) -> None:
    """Have this process log to a sweep's file, and to no other sweep's."""
    for old in [h for h in _log.handlers if isinstance(h, logging.FileHandler)]:
        _log.removeHandler(old)
        old.close()
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)


def _hand_over(
    job: TrialJob,
    trial: TrialRecord,
    paths: SweepPaths,
    progress: Progress,
    clock: StageClock,
) -> FinalModel:
    """Retrain a trial, test it, export it."""
    progress("retraining", 0, 0)
    with clock.stage("retrain"):
        final = retrain(job, trial, paths)
    progress("exporting", 0, 0)
    with clock.stage("export"):
        formats = job.config.export.formats
        export(final, job.dataset, paths, formats=formats, out=paths.export)
    _log.info("trial %s: test accuracy %.4f; %s", trial.trial_id, final.test.accuracy, paths.export)
    return final


def _named(trials: Sequence[TrialRecord], name: str, config: SweepConfig) -> TrialRecord:
    for trial in trials:
        if name in (trial.trial_id, str(trial.number)):
            if trial.best(config.metric) is None:
                raise ConfigError(f"Trial {trial.trial_id} has no finished epoch; choose another.")
            return trial
    raise ConfigError(f"No trial {name!r}; trials go from 0000 to {len(trials) - 1:04d}.")
