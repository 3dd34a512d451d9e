"""Baseline for Finesweep: a fine-tuning sweep in the style of Ray Tune's PyTorch guide.

    python tests/benchmarks/docs_style.py FOLDER --weights DIR --out FILE.json [--points FILE.json]

Uses a function trainable, timm, ImageFolder, DataLoader and torchvision v2. Like Finesweep, it
starts the head at zero and freezes BatchNorm, so that the two differ in speed and not in what they
train (without these it scored 14 points lower on ELPV). With ``--points`` it runs a fixed list of
trials; without, it runs OptunaSearch and ASHA over the space of the preset `demo`.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ["RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS"] = "0"

import ray
import timm
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from timm.models import group_parameters
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

SCALED = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CHECKPOINT = "model.pt"
"""File of a checkpoint with the state dict of the model."""


def train(config: dict) -> None:
    """Train one trial and report every epoch."""
    torch.set_num_threads(1)
    torch.manual_seed(config.get("seed", 0))
    size, strength = config["image_size"], config["augment"]
    moved = [
        v2.RandomResizedCrop(size, scale=(1 - 0.7 * strength, 1.0)),
        v2.RandomHorizontalFlip(min(0.5, strength)),
        v2.ColorJitter(0.5 * strength, 0.5 * strength, 0.5 * strength),
    ]
    train_set = ImageFolder(f"{config['data']}/train", v2.Compose([*moved, *SCALED]))
    val_set = ImageFolder(f"{config['data']}/val", unaugmented(size))
    loading = {"num_workers": config.get("loader_workers", 0), "pin_memory": DEVICE == "cuda"}
    train_loader = DataLoader(
        train_set, config["batch_size"], shuffle=True, drop_last=True, **loading
    )
    val_loader = DataLoader(val_set, 64, **loading)
    half = torch.autocast(DEVICE, torch.bfloat16, enabled=config.get("bfloat16", False))

    model = make_model(config, len(train_set.class_to_idx)).to(DEVICE)
    if not config.get("plain"):
        torch.nn.init.zeros_(model.get_classifier().weight)
    head, body = freeze(model, config["unfreeze"])
    rate = config["learning_rate"]
    groups = [{"params": head, "lr": rate}]
    if body:
        groups.append({"params": body, "lr": rate * config["backbone_lr_scale"]})
    optimizer = torch.optim.AdamW(groups, weight_decay=config["weight_decay"])
    steps = config["max_epochs"] * len(train_loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(config["max_epochs"]):
        model.train()
        for module in model.modules():  # frozen modules keep their BatchNorm statistics
            if not (config.get("plain") or any(p.requires_grad for p in module.parameters())):
                module.eval()
        for images, labels in train_loader:
            optimizer.zero_grad()
            with half:
                loss = torch.nn.functional.cross_entropy(
                    model(images.to(DEVICE)), labels.to(DEVICE)
                )
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        right = 0
        with torch.no_grad(), half:
            for images, labels in val_loader:
                right += int((model(images.to(DEVICE)).argmax(1) == labels.to(DEVICE)).sum())
        metrics = {"val_accuracy": right / len(val_set), "epoch": epoch + 1, "now": time.time()}
        if not config.get("checkpoints"):
            tune.report(metrics)
            continue
        with tempfile.TemporaryDirectory() as folder:
            torch.save(model.state_dict(), Path(folder) / CHECKPOINT)
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def unaugmented(size: int) -> v2.Compose:
    """Transform of images to validate and test on."""
    return v2.Compose([v2.Resize((size, size)), *SCALED])


def make_model(config: dict, num_classes: int) -> torch.nn.Module:
    """Model with a new head, pretrained if there is a folder of weights."""
    weights = config["weights"] and f"{config['weights']}/{config['backbone']}.safetensors"
    return timm.create_model(
        config["backbone"],
        pretrained=weights is not None,
        pretrained_cfg_overlay={"file": weights},
        num_classes=num_classes,
        drop_rate=config["dropout"],
    )


def freeze(model: torch.nn.Module, unfreeze: float) -> tuple[list, list]:
    """Freeze the backbone except for its last ``unfreeze`` share of parameter groups.

    Returns the parameters of the head, and the trainable ones of the backbone.
    """
    head = set(model.get_classifier().parameters())
    named = dict(model.named_parameters())
    groups = group_parameters(model, model.group_matcher(coarse=False))
    bodies = [[named[n] for n in groups[k] if named[n] not in head] for k in sorted(groups)]
    bodies = [body for body in bodies if body]
    opened = int(unfreeze * len(bodies) + 0.5)
    for parameters in bodies[: len(bodies) - opened]:
        for parameter in parameters:
            parameter.requires_grad = False
    return list(head), [p for body in bodies[len(bodies) - opened :] for p in body]


def search_of(args: argparse.Namespace) -> tuple[dict, tune.TuneConfig]:
    """Search space and settings: a grid of the points file, or OptunaSearch with ASHA."""
    if args.points:
        points = json.loads(args.points.read_text())
        settings = tune.TuneConfig(metric="val_accuracy", mode="max")
        return {"point": tune.grid_search(points)}, settings
    space = {
        "backbone": tune.choice([f"tf_efficientnet_lite{k}" for k in range(3)]),
        "unfreeze": tune.uniform(0.0, 0.3),
        "learning_rate": tune.loguniform(3e-4, 1e-2),
        "backbone_lr_scale": tune.loguniform(0.01, 1.0),
        "weight_decay": tune.loguniform(1e-6, 1e-1),
        "dropout": tune.uniform(0.0, 0.5),
        "augment": tune.uniform(0.0, 0.6),
    }
    return space, tune.TuneConfig(
        metric="val_accuracy",
        mode="max",
        num_samples=-1 if args.seconds else args.trials,
        time_budget_s=args.seconds,
        search_alg=OptunaSearch(seed=args.seed),
        scheduler=ASHAScheduler(max_t=args.max_epochs, grace_period=1, reduction_factor=4),
    )


def main() -> None:
    """Run the sweep, and write the configuration and learning curve of every trial."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--points", type=Path)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument(
        "--seconds", type=float, help="Time budget in seconds, instead of a number of trials."
    )
    parser.add_argument("--max-epochs", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.time()
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    shared = {
        "data": str(args.data.absolute()),
        "weights": str(args.weights.absolute()),
        "max_epochs": args.max_epochs,
        "image_size": args.image_size,
        "batch_size": 32,
    }
    space, settings = search_of(args)

    def trainable(config: dict) -> None:
        train({**shared, **config.get("point", config)})

    results = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=space,
        tune_config=settings,
        run_config=tune.RunConfig(storage_path=str(args.out.parent.absolute()), verbose=0),
    ).fit()
    trials = []
    for result in results:
        frame = result.metrics_dataframe
        if frame is None or "val_accuracy" not in frame:  # stopped in its first epoch
            continue
        config = result.config.get("point", result.config)
        curve = list(zip(frame["val_accuracy"], frame["now"] - began, strict=True))
        trials.append({"config": config, "curve": curve})
    args.out.write_text(json.dumps({"began": began, "trials": trials}))


if __name__ == "__main__":
    main()
