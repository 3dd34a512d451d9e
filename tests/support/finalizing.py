"""Final models made from trials that a test chooses."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from search.final import finalize_model
from search.final.selection import EnsembleMember, FinalModelSpec
from search.record import FinalModel, StageClock, SweepPaths, load_sweep_config, read_trials
from search.trial import TrialJob
from trainables.data import Dataset, build_store
from trainables.evaluation import OperatingPoint
from trainables.models import Preprocessing, Weights
from trainables.progress import ignore_progress
from trainables.training import merit


def finalize_from_untrained(
    paths: SweepPaths,
    members: Sequence[EnsembleMember],
    point: OperatingPoint | None = None,
    *,
    reuse: bool = False,
) -> FinalModel:
    """Make a sweep's final model from the given members, starting from untrained weights."""
    config, dataset = load_sweep_config(paths), Dataset.read(paths.dataset, paths.split)
    params = [member.trial.params for member in members]
    forms = {Preprocessing.of(p.backbone).pixel_format(p.image_size, p.fit) for p in params}
    job = TrialJob(
        config,
        dataset,
        {form: build_store(dataset, form, cache=config.cache_dir) for form in forms},
        {p.backbone: Weights(p.backbone, "none", None) for p in params},
        on_gpu=False,
    )
    spec = FinalModelSpec(tuple(members), point)
    trials = read_trials(paths.journal)
    return finalize_model(job, spec, trials, paths, ignore_progress, StageClock(), reuse=reuse)


def finalize_best_two(sweep: SweepPaths, copy: Path) -> SweepPaths:
    """Copy a sweep, and make an ensemble of its two best trials the final model of the copy.

    The best trial has weight 0.75 and temperature 2, the second 0.25 and 1.
    """
    paths = SweepPaths(Path(shutil.copytree(sweep.root, copy)))
    metric = load_sweep_config(paths).metric
    second, best = sorted(
        (trial for trial in read_trials(paths.journal) if trial.repeat is None),
        key=lambda trial: merit(trial.best(metric), metric),  # type: ignore[arg-type]
    )[-2:]
    finalize_from_untrained(paths, [EnsembleMember(best, 0.75, 2.0), EnsembleMember(second, 0.25)])
    return paths
