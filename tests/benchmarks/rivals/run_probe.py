"""Linear probe: scikit-learn's logistic regression on features of frozen backbones.

Tries `BACKBONES` at `SIZES`, the cheapest first, as long as the next is expected to end in time.
Each gets the penalty with the least cross-entropy on the validation images. The one with the best
validation accuracy (of equals, with the least cross-entropy) is solved again on train and val.
"""

import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import timm
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from .protocol import Task

BACKBONES = {
    "tf_efficientnet_lite0": 407,
    "tf_efficientnet_lite1": 550,
    "tf_efficientnet_lite2": 667,
}
"""Backbones, and their millions of multiplications at 224 px."""
SIZES = (96, 128, 160, 224)
STRENGTHS = tuple(float(c) for c in 10.0 ** np.arange(-4.0, 1.5, 0.5))
"""Values of scikit-learn's ``C``, the inverse of the penalty."""
RESERVE_SHARE = 0.05
"""Share of the time that is kept for the last solution."""

Labelled = tuple[np.ndarray, np.ndarray]
"""Features ``(n, d)`` and class numbers ``(n,)``."""


@dataclass(frozen=True)
class Probe:
    """A probe that was tried, with its features."""

    backbone: str
    size: int
    c: float
    accuracy: float
    loss: float
    train: Labelled
    val: Labelled


@lru_cache
def pixels_of(task: Task, size: int, split: str) -> tuple[torch.Tensor, np.ndarray]:
    """Images ``(n, 3, size, size)`` uint8 and class numbers, in the order of `ImageFolder`."""
    resize = v2.Compose([v2.ToImage(), v2.Resize((size, size), v2.InterpolationMode.BICUBIC)])
    images = ImageFolder(str(task.folder / split), resize)
    return torch.stack([image for image, _ in images]), np.array(images.targets)


def features_of(task: Task, backbone: str, size: int, split: str) -> Labelled:
    """Features of a split from a frozen backbone."""
    overlay = {"file": str(task.weights / f"{backbone}.safetensors")}
    model = timm.create_model(
        backbone, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0
    ).eval()
    pixels, labels = pixels_of(task, size, split)
    with torch.inference_mode():
        rows = [model(batch.float() / 127.5 - 1) for batch in pixels.split(32)]
    return torch.cat(rows).numpy(), labels


def solve(c: float, images: Labelled) -> Pipeline:
    """Logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500)).fit(*images)


def try_probe(task: Task, backbone: str, size: int) -> Probe:
    """Solve a probe with every penalty; the best is the one with the least validation loss."""
    train, val = (features_of(task, backbone, size, split) for split in ("train", "val"))
    tried = []
    for c in STRENGTHS:
        probabilities = solve(c, train).predict_proba(val[0])
        loss = log_loss(val[1], probabilities, labels=np.arange(probabilities.shape[1]))
        accuracy = float((probabilities.argmax(axis=1) == val[1]).mean())
        tried.append(Probe(backbone, size, c, accuracy, loss, train, val))
    return min(tried, key=lambda probe: probe.loss)


def main() -> None:
    """Try probes for the time, solve the best again, and predict."""
    task = Task.from_command_line()
    warnings.simplefilter("ignore", ConvergenceWarning)  # close enough after all steps
    costs = {(b, size): BACKBONES[b] * size**2 for b, size in product(BACKBONES, SIZES)}
    task.start()
    probes: list[Probe] = []
    rate = 0.0
    for backbone, size in sorted(costs, key=costs.__getitem__):
        cost = costs[backbone, size]
        if task.left - rate * cost < RESERVE_SHARE * task.seconds:
            break
        began = time.monotonic()
        probes.append(try_probe(task, backbone, size))
        rate = (time.monotonic() - began) / cost
    best = max(probes, key=lambda probe: (probe.accuracy, -probe.loss))
    both = tuple(np.concatenate(pair) for pair in zip(best.train, best.val, strict=True))
    final = solve(best.c, both)
    task.choose(
        f"{best.backbone} at {best.size} px, C {best.c:.1g}, of {len(probes)} of {len(costs)} tried"
    )
    features, _ = features_of(task, best.backbone, best.size, "test")
    classes = sorted(folder.name for folder in (task.folder / "train").iterdir())
    answers = [classes[k] for k in final.predict(features)]
    names = [file.name for file in task.files("test")]
    task.answer(dict(zip(names, answers, strict=True)), ["scikit-learn", "torch", "timm"])


if __name__ == "__main__":
    main()
