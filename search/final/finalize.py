"""What becomes of a sweep's winner: retrained, tested once, exported; and each of it again."""

import logging
from collections.abc import Sequence

from search.final.export import export_model, is_exported
from search.final.retrain import retrain
from search.final.selection import FinalModelSpec
from search.record import FinalModel, StageClock, SweepPaths
from search.trial import TrialJob
from trainables.progress import Progress

_log = logging.getLogger("finesweep")


def finalize_model(
    job: TrialJob,
    recipe: FinalModelSpec,
    paths: SweepPaths,
    progress: Progress,
    clock: StageClock,
    *,
    kept: FinalModel | None = None,
    avoid: Sequence[str] = (),
) -> FinalModel:
    """Retrain what the final model is made of, test it, export it.

    A final model that is ``kept`` is only exported, and that if a format is missing.
    Nothing is retrained on machines of Ray's ids ``avoid``.
    """
    final, formats = kept, job.config.export.formats
    if final is None:
        progress("retraining", 0, 0)
        with clock.stage("retrain"):
            final = retrain(job, recipe, paths, avoid=avoid)
    if not is_exported(final, formats, paths.export):
        progress("exporting", 0, 0)
        with clock.stage("export"):
            export_model(final, job.dataset, paths, formats=formats, out=paths.export)
    _log.info("%s: test accuracy %.4f; %s", final.name, final.test.accuracy, paths.export)
    return final


def reusable_final_model(recipe: FinalModelSpec, paths: SweepPaths) -> FinalModel | None:
    """The final model, if an earlier run of the sweep made it by this."""
    if not paths.metrics.exists():
        return None
    final = FinalModel.read(paths)
    made = [(member.trial_id, member.weight, member.temperature) for member in final.members]
    asked = [(one.trial.trial_id, one.weight, one.temperature) for one in recipe.members]
    point = final.rates.point if final.rates else None
    return final if (made, point) == (asked, recipe.point) else None
