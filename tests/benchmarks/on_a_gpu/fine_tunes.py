"""Fine-tunes of untrained models, as trials begin them."""

from pathlib import Path

from spaces import TrialParams
from tests.benchmarks.measuring import SCRATCH
from trainables.data import ImageSet, build_store, survey_images
from trainables.models import Preprocessing, Weights
from trainables.training import ComputeSettings, FineTuneSettings, FineTuning

IMAGES = 2048


def begin(
    data: Path, params: TrialParams, images: int = IMAGES, *, device: str = "cuda"
) -> FineTuning:
    """Start a fine-tune on the first ``images`` training images, without stored features."""
    dataset = survey_images(data, cache=SCRATCH / "survey").dataset
    form = Preprocessing.of(params.backbone).pixel_format(params.image_size, params.fit)
    pixels = build_store(dataset, form, cache=SCRATCH / "pixels")
    return FineTuning(
        params,
        Weights(params.backbone, "none", None),
        num_classes=len(dataset.classes),
        train=ImageSet.of(dataset, pixels, "train").take(images),
        val=ImageSet.of(dataset, pixels, "val"),
        settings=FineTuneSettings(max_epochs=10),
        compute=ComputeSettings(device=device, cache=SCRATCH / "survey"),
    )
