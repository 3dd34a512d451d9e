from collections.abc import Sequence

from search.final import finalize_model
from search.final.selection import EnsembleMember, FinalModelSpec
from search.record import FinalModel, StageClock, SweepPaths, load_config
from search.trial import TrialJob
from trainables.data import Dataset, build_store
from trainables.evaluation import OperatingPoint
from trainables.models import Preprocessing, Weights
from trainables.progress import ignore_progress


def hand(
    paths: SweepPaths, members: Sequence[EnsembleMember], point: OperatingPoint | None = None
) -> FinalModel:
    """Have a sweep's final model be made of these, untrained at first, whoever has won."""
    config, dataset = load_config(paths), Dataset.read(paths.dataset, paths.split)
    all_params = [member.trial.params for member in members]
    forms = {Preprocessing.of(p.backbone).pixel_format(p.image_size) for p in all_params}
    job = TrialJob(
        config,
        dataset,
        {form: build_store(dataset, form, cache=config.cache_dir) for form in forms},
        {p.backbone: Weights(p.backbone, "none", None) for p in all_params},
        on_gpu=False,
    )
    return finalize_model(
        job, FinalModelSpec(tuple(members), point), paths, ignore_progress, StageClock()
    )
