"""Finalization of a sweep: retrains the members of the final model, tests it once, exports it."""

import logging
import math
from collections.abc import Sequence

from search.final.export import EXPORTED_FILES, export_model, is_exported
from search.final.retrain import last_round, retrain_final_model
from search.final.selection import FinalModelSpec
from search.record import (
    FinalModel,
    StageClock,
    SweepPaths,
    TrialRecord,
    hold_final_model_lock,
    is_of_final_model,
    sweep_command,
)
from search.trial import TrialJob
from spaces import ConfigError, RunError
from trainables.inference import Predictor
from trainables.progress import Progress
from trainables.replacement import begin_replacing, commit_replacing, finish_replacing

_log = logging.getLogger("finesweep")


def finalize_model(
    job: TrialJob,
    spec: FinalModelSpec,
    trials: Sequence[TrialRecord],
    paths: SweepPaths,
    progress: Progress,
    clock: StageClock,
    *,
    reuse: bool = True,
    avoid: Sequence[str] = (),
    deadline: float = math.inf,
) -> FinalModel:
    """Retrain the members of ``spec``, test the final model, and export it.

    The new final model and its export replace the old ones at once, when both are complete. Until
    then, and if one of them fails, the old ones stay. What was retrained stays too, and is used if
    the same model is to be made again. If another process makes a final model of the sweep, this
    waits until it has ended.

    Args:
        job: Settings, images and weights that all trials share.
        spec: Members and decision threshold of the final model.
        trials: All trials of the sweep, for the model card.
        paths: Paths of the sweep's files.
        progress: Progress callback.
        clock: Measures the stages ``retrain`` and ``export``.
        reuse: Whether to use an earlier final model of the same ``spec`` instead of retraining. It
            is exported only if the sweep's export lacks a format, or is of another model.
        avoid: Ids of Ray nodes that must not be used.
        deadline: Value of `time.monotonic` when the export should be there.

    Raises `RunError` if training diverges, if its Ray task fails, or if an export differs from the
    model. Raises `ConfigError` if a format needs a package that is not installed.
    """
    formats = job.config.export.formats
    with hold_final_model_lock(paths):
        finish_replacing(paths.root)
        final = reusable_final_model(spec, paths) if reuse else None
        if final is None:
            final = reusable_final_model(spec, paths.staged) if reuse else None
            if final is None:
                begin_replacing(paths.root)
                progress("retraining", 0, 0)
                with clock.stage("retrain"):
                    final = retrain_final_model(
                        job, spec, paths.staged, avoid=avoid, deadline=deadline
                    )
            progress("exporting", 0, 0)
            with clock.stage("export"):
                export_model(final, trials, job.dataset, paths.staged, formats=formats)
            owned = [f"export/{name}" for name in EXPORTED_FILES]
            commit_replacing(paths.root, ["retrained/*", *owned])
        elif not (is_exported(final, formats, paths.export) and _has_its_export(paths)):
            progress("exporting", 0, 0)
            with clock.stage("export"):
                export_model(final, trials, job.dataset, paths, formats=formats)
    _warn_if_cut_short(final, job, spec, paths)
    _log.info(
        "%s: test accuracy %.4f, exported to %s", final.name, final.test.accuracy, paths.export
    )
    return final


def _warn_if_cut_short(
    final: FinalModel, job: TrialJob, spec: FinalModelSpec, paths: SweepPaths
) -> None:
    """Warn if the time budget has ended the retraining of a member."""
    for member, retrained in zip(spec.members, final.members, strict=True):
        wanted = last_round(job, member).epoch
        if retrained.epochs < wanted:
            _log.warning(
                "the time budget ended the retraining of trial %s after %.4g of %.4g epochs; to "
                "train it to the end:  %s",
                retrained.trial_id,
                retrained.epochs,
                wanted,
                sweep_command("retrain", paths),
            )


def _has_its_export(paths: SweepPaths) -> bool:
    """Whether the sweep's export is of its final model. A TorchScript file alone is believed."""
    try:
        predictor = Predictor.load(paths.export)
    except ConfigError:  # nothing there that a predictor opens
        return True
    except RunError:  # damaged
        return False
    return is_of_final_model(predictor, paths)


def reusable_final_model(spec: FinalModelSpec, paths: SweepPaths) -> FinalModel | None:
    """The final model on disk if an earlier run made it from the same ``spec``, else None.

    A model of a trial that has gone on since, as after a retraining during the search, is another.
    """
    if not paths.metrics.exists():
        return None
    final = FinalModel.read(paths)
    on_disk = [(member.trial_id, member.weight, member.temperature) for member in final.members]
    wanted = [(m.trial.trial_id, m.weight, m.temperature) for m in spec.members]
    has_gone_on = any(
        member.trial_rounds not in (None, len(m.trial.reports))
        for member, m in zip(final.members, spec.members, strict=False)
    )
    point = final.rates.point if final.rates else None
    probe = final.probe.trial_id if final.probe else None
    wanted_probe = spec.probe.trial.trial_id if spec.probe else None
    found = (on_disk, point, probe, final.flips)
    is_same = found == (wanted, spec.operating_point, wanted_probe, spec.flips)
    return final if is_same and not has_gone_on else None
