from collections.abc import Sequence

from search.final.finalize import hand_over
from search.final.selection import Chosen, Recipe
from search.record.final_model import FinalModel
from search.record.paths import SweepPaths
from search.record.profile import StageClock
from search.record.stored_config import load_config
from search.trial.context import TrialJob
from trainables.data.dataset import Dataset
from trainables.data.pixel_store import build_store
from trainables.evaluation.operating_point import OperatingPoint
from trainables.models.backbone import Preprocessing
from trainables.models.weights import Weights
from trainables.progress import no_progress


def hand(
    paths: SweepPaths, members: Sequence[Chosen], point: OperatingPoint | None = None
) -> FinalModel:
    """Have a sweep's final model be made of these, untrained at first, whoever has won."""
    config, dataset = load_config(paths), Dataset.read(paths.dataset, paths.split)
    all_params = [member.trial.params for member in members]
    forms = {Preprocessing.of(p.backbone).form(p.image_size) for p in all_params}
    job = TrialJob(
        config,
        dataset,
        {form: build_store(dataset, form, cache=config.cache_dir) for form in forms},
        {p.backbone: Weights(p.backbone, "none", None) for p in all_params},
        on_gpu=False,
    )
    return hand_over(job, Recipe(tuple(members), point), paths, no_progress, StageClock())
