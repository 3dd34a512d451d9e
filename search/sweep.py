"""`Sweep`: the whole job, from images to an exported model; and its later steps alone."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from search.checks import check_at_once, config_to_resume, load_config, only_driver
from search.cluster import start_ray
from search.config import Format, SweepConfig
from search.draft import Draft, Progress, draft_plan
from search.environment import environment
from search.export import export, need_packages
from search.leaderboard import trial_table, winner, write_tables
from search.paths import SweepPaths
from search.plan import Plan, make_plan
from search.preflight import preflight, warnings
from search.profile import Profile, StageClock
from search.resources import Resources, fit_resources, kinds_of, measure_shares
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

    @classmethod
    def existing(cls, paths: SweepPaths, changes: Mapping[str, object] | None = None) -> "Sweep":
        """A sweep that was launched, to `resume`, with settings of `RESUMABLE` changed.

        Raises `ConfigError`.
        """
        return cls(config_to_resume(paths, changes or {}))

    def run(self) -> SweepResult:
        """Search, then retrain the winner, test it once and export it.

        Starts Ray, or uses the one this process has. Every mistake of the user is raised as a
        `UserError` before a trial starts; `RunError` says that no trial, or no export, was usable.
        """
        self._need_packages()
        check_at_once(self.config)
        plan, stores, resources = self._plan()
        self._make_folder()
        with only_driver(self.paths):
            self._record(plan)
            return self._search(plan, stores, resources)

    def resume(self) -> SweepResult:
        """Go on where the sweep was broken off, however that was; or run more trials.

        Finished trials stay as they are, interrupted ones go on from their checkpoints. Raises
        what `run` does, and `ConfigError` if the images are others by now.
        """
        self._need_packages()
        with only_driver(self.paths):
            begun = len(read_trials(self.paths.journal))
            if begun > self.config.trials:
                raise ConfigError(
                    f"trials is {self.config.trials} but {begun} have begun; give {begun} or more."
                )
            plan, stores, resources = self._plan()
            recorded = Dataset.read(self.paths.dataset, self.paths.split)
            if plan.survey.dataset.fingerprint != recorded.fingerprint:
                raise ConfigError(
                    f"The images in {self.config.data} are not those that the sweep "
                    f"{self.config.name!r} was launched with; bring them back, or launch another."
                )
            _log_to(self.paths.log)
            _log.info("resumed: %d of %d trials had begun", begun, self.config.trials)
            write_json(self.paths.config, self.config.model_dump(mode="json"))
            return self._search(plan, stores, resources)

    def _need_packages(self) -> None:
        if self.config.retrain:
            need_packages(self.config.export.formats)

    def _plan(self) -> tuple[Plan, dict[PixelFormat, PixelStore], Resources]:
        """Settle everything that can be before a trial, starting Ray. Raises `UserError`."""
        with self._clock.stage("check"):
            draft = draft_plan(self.config)
        with self._clock.stage("start"):
            start_ray(self.config.address)
            machines = preflight(self.config.cache_dir)
        for sentence in warnings(machines, self.config.cache_gib):
            _log.warning(sentence)
        resources = fit_resources(self.config)
        plan, stores = self._prepare(draft)
        return plan, stores, resources

    def _search(
        self, plan: Plan, stores: dict[PixelFormat, PixelStore], resources: Resources
    ) -> SweepResult:
        """Run the trials that are left, and hand over the winner."""
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
            "%d trials, %d at a time, %s", self.config.trials, resources.concurrent, resources
        )
        before = {trial.number: len(trial.reports) for trial in read_trials(self.paths.journal)}
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
            final = _handed_over(chosen, self.paths) or _hand_over(
                job, chosen, self.paths, self._progress, self._clock
            )
        new = [r for trial in trials for r in trial.reports[before.get(trial.number, 0) :]]
        profile = self._clock.profile(new, resources.concurrent)
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
        _log_to(paths.log)
        if self._given is not None:
            paths.toml.write_bytes(self._given.read_bytes())
        plan.survey.dataset.write(paths.dataset, paths.split)
        suspects = pd.DataFrame(plan.survey.suspects, columns=["path", "kind", "reason"])
        write_whole(paths.bad_images, lambda partial: suspects.to_csv(partial, index=False))
        write_json(paths.space, plan.space.to_table())
        points = json.dumps([point.model_dump() for point in plan.points], indent=2)
        write_whole(paths.points, lambda partial: partial.write_text(points, encoding="utf-8"))
        write_json(paths.environment, environment())
        write_json(paths.config, self.config.model_dump(mode="json"))


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
    paths.card.unlink(missing_ok=True)  # what is exported is no longer of the final model
    progress("retraining", 0, 0)
    with clock.stage("retrain"):
        final = retrain(job, trial, paths)
    progress("exporting", 0, 0)
    with clock.stage("export"):
        formats = job.config.export.formats
        export(final, job.dataset, paths, formats=formats, out=paths.export)
    _log.info("trial %s: test accuracy %.4f; %s", trial.trial_id, final.test.accuracy, paths.export)
    return final


def _handed_over(trial: TrialRecord, paths: SweepPaths) -> FinalModel | None:
    """The final model, if an earlier run of the sweep made it of this trial, and exported it."""
    if not (paths.metrics.exists() and paths.card.exists()):
        return None
    final = FinalModel.read(paths)
    return final if final.trial_id == trial.trial_id else None


def _named(trials: Sequence[TrialRecord], name: str, config: SweepConfig) -> TrialRecord:
    for trial in trials:
        if name in (trial.trial_id, str(trial.number)):
            if trial.best(config.metric) is None:
                raise ConfigError(f"Trial {trial.trial_id} has no finished epoch; choose another.")
            return trial
    there = f"there are 0000 to {trials[-1].trial_id}" if trials else "none has begun yet"
    raise ConfigError(f"No trial {name!r}; {there}.")
