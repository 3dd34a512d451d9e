"""The docs-style Ray Tune script: OptunaSearch and ASHA, two trials at a time.

Trials are those of `docs_style`, over the space of the preset `demo` at `IMAGE_SIZE`. A rehearsal
that is not counted times an epoch; a trial may then have as many epochs as leave time for
`FULL_TRIALS` whole trials on each core, `MOST_EPOCHS` at most. The checkpoint with the best
validation accuracy of all trials is the final model.
"""

import argparse

import ray
import torch
from ray import tune
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from .. import docs_style
from .protocol import Task

IMAGE_SIZE = 96
FULL_TRIALS, MOST_EPOCHS, CORES = 4, 10, 2
RESERVE_SECONDS = 1.0
"""Time that ending the trials may take."""
REHEARSED = {
    "backbone": "tf_efficientnet_lite1",
    "unfreeze": 0.15,
    "learning_rate": 2e-3,
    "backbone_lr_scale": 0.1,
    "weight_decay": 1e-3,
    "dropout": 0.2,
    "augment": 0.3,
}
"""A point in the middle of the space."""


def sweep(
    task: Task, name: str, space: dict, settings: tune.TuneConfig, max_epochs: int
) -> tune.ResultGrid:
    """Run trials, and keep a checkpoint of every epoch."""
    shared = {
        "data": str(task.folder),
        "weights": str(task.weights),
        "max_epochs": max_epochs,
        "image_size": IMAGE_SIZE,
        "batch_size": min(32, len(task.files("train"))),
        "seed": task.seed,
        "checkpoints": True,
    }

    def trainable(config: dict) -> None:
        docs_style.train({**shared, **config})

    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=space,
        tune_config=settings,
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(task.out.parent),
            verbose=0,
        ),
    ).fit()


def planned_epochs(task: Task) -> int:
    """Epochs of a trial, after a rehearsal of an epoch on each core."""
    results = sweep(task, "rehearsal", REHEARSED, tune.TuneConfig(num_samples=CORES), 1)
    epoch = max(result.metrics["time_total_s"] for result in results)
    return max(1, min(MOST_EPOCHS, int(task.seconds / (FULL_TRIALS * epoch))))


def main() -> None:
    """Search for the time, and predict with the best checkpoint."""
    task = Task.from_command_line()
    ray.init(address="local", num_cpus=CORES, include_dashboard=False, log_to_driver=False)
    epochs = planned_epochs(task)
    task.start()
    search = argparse.Namespace(
        points=None, seconds=task.left - RESERVE_SECONDS, seed=task.seed, max_epochs=epochs
    )
    results = sweep(task, "search", *docs_style.search_of(search), epochs)
    best = results.get_best_result("val_accuracy", "max", scope="all")
    checkpoint = best.get_best_checkpoint("val_accuracy", "max")
    images = ImageFolder(str(task.folder / "test"), docs_style.unaugmented(IMAGE_SIZE))
    model = docs_style.make_model({**best.config, "weights": task.weights}, len(images.classes))
    with checkpoint.as_directory() as folder:
        model.load_state_dict(torch.load(f"{folder}/{docs_style.CHECKPOINT}"))
    task.choose(f"best of {len(results)} trials, {epochs} epochs at {IMAGE_SIZE} px")
    model.eval()
    with torch.inference_mode():
        numbers = [model(batch).argmax(dim=1) for batch, _ in DataLoader(images, 64)]
    answers = [images.classes[k] for k in torch.cat(numbers).tolist()]
    names = [file.name for file in task.files("test")]
    task.answer(dict(zip(names, answers, strict=True)), ["ray", "optuna", "torch", "timm"])


if __name__ == "__main__":
    main()
