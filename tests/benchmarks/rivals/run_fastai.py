"""fastai: `vision_learner` and `fine_tune`, as a competent user would run them on two cores.

fastai's own defaults stay: its head, its learning rates, discriminative from head to body, one
frozen epoch and then a one-cycle schedule, its augmentation, BatchNorm that trains. What a user has
to choose is chosen by the clock: of `CHOICES`, the first that gets `ENOUGH_EPOCHS` in the time (by
a rehearsal that is not counted), and as many epochs as fit. Images are squashed to squares. The
batch size is fastai's 64, halved until an epoch has ten steps, to 16 at least. The epoch with the
best validation accuracy is kept.
"""

import time

from fastai.vision.all import (
    Callback,
    CancelFitException,
    ImageDataLoaders,
    Learner,
    Resize,
    ResizeMethod,
    SaveModelCallback,
    ShortEpochCallback,
    accuracy,
    aug_transforms,
    set_seed,
    vision_learner,
)

from .protocol import Task

CHOICES = (
    ("tf_efficientnet_lite2", 224, 5.0),
    ("tf_efficientnet_lite0", 224, 3.1),
    ("tf_efficientnet_lite0", 160, 1.6),
    ("tf_efficientnet_lite0", 128, 1.0),
)
"""Backbones, image sizes, and multiplications in units of the last."""
ENOUGH_EPOCHS, MOST_EPOCHS = 7, 40
REHEARSED_STEPS = 4
RESERVE_SECONDS = 1.0
"""Time that loading the best epoch may take."""


class InTime(Callback):
    """Ends training when the time is up."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def after_batch(self) -> None:
        """Cancel the fit if only the reserve is left."""
        if self.task.left < RESERVE_SECONDS:
            raise CancelFitException


def make_learner(task: Task, backbone: str, size: int) -> Learner:
    """Learner with a pretrained body, a new head and the images of train and val."""
    images, batch = len(task.files("train")), 64
    while batch > 16 and images // batch < 10:
        batch //= 2
    loaders = ImageDataLoaders.from_folder(
        task.folder,
        train="train",
        valid="val",
        bs=batch,
        item_tfms=Resize(round(size * 8 / 7), method=ResizeMethod.Squish),
        batch_tfms=aug_transforms(size=size, min_scale=0.75),
    )
    weights = str(task.weights / f"{backbone}.safetensors")
    return vision_learner(
        loaders,
        backbone,
        metrics=accuracy,
        pretrained_cfg_overlay={"file": weights},
        path=task.out.parent,
    )


def epoch_seconds(learner: Learner) -> float:
    """Seconds of an unfrozen epoch, from a few of its steps and the whole validation."""
    steps = len(learner.dls.train)
    rehearsed = min(REHEARSED_STEPS, steps)
    learner.unfreeze()
    with learner.no_bar(), learner.no_logging():
        began = time.monotonic()
        learner.validate()
        validated = time.monotonic()
        learner.fit(1, cbs=ShortEpochCallback(pct=(rehearsed - 1) / steps))
    return (validated - began) + (time.monotonic() - validated) * steps / rehearsed


def plan(task: Task) -> tuple[str, int, int]:
    """Backbone, image size and number of epochs, by a rehearsal of the cheapest choice."""
    cheapest, small, _ = CHOICES[-1]
    epoch = epoch_seconds(make_learner(task, cheapest, small))
    plans = [
        (backbone, size, int(task.seconds / (cost * epoch)) - 1) for backbone, size, cost in CHOICES
    ]
    enough = [choice for choice in plans if choice[-1] >= ENOUGH_EPOCHS]
    backbone, size, epochs = (enough or plans[-1:])[0]
    return backbone, size, min(max(epochs, 1), MOST_EPOCHS)


def main() -> None:
    """Plan, fine-tune for the time, and predict."""
    task = Task.from_command_line()
    backbone, size, epochs = plan(task)
    set_seed(task.seed)
    task.start()
    learner = make_learner(task, backbone, size)
    keep_best = SaveModelCallback(monitor="accuracy", fname="best", reset_on_fit=False)
    with learner.no_bar():
        learner.fine_tune(epochs, cbs=[keep_best, InTime(task)])
    task.choose(f"{backbone} at {size} px, fine_tune({epochs})")
    files = task.files("test")
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=learner.dls.test_dl(files))
    classes = [learner.dls.vocab[k] for k in probabilities.argmax(dim=1).tolist()]
    names = [file.name for file in files]
    task.answer(dict(zip(names, classes, strict=True)), ["fastai", "torch", "timm"])


if __name__ == "__main__":
    main()
