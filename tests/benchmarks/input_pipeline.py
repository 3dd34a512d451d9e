"""B5: augmented training images per second on one core, with PixelStore and with ImageFolder.

python -m tests.benchmarks.input_pipeline
"""

import time
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tests.benchmarks.measuring import ROOT, SCRATCH, alternate, ratios, spread, write_table
from trainables.data import ImageSet, build_store, survey_images
from trainables.images import PixelFormat
from trainables.inputs import Views
from trainables.models import Preprocessing, normalise
from trainables.process import configure_process

STATED = Preprocessing.of("resnet18")


def folder_rate(data: Path, side: int, count: int) -> float:
    """Images per second of ImageFolder and DataLoader in one process: crop, flip, colour jitter."""
    steps = [
        transforms.RandomResizedCrop(side, scale=(0.5, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(0.15, 0.15, 0.15),
        transforms.ToTensor(),
        transforms.Normalize(STATED.mean, STATED.std),
    ]
    loader = DataLoader(ImageFolder(str(data), transforms.Compose(steps)), 32, shuffle=True)
    began, seen = time.perf_counter(), 0
    for images, _ in loader:
        seen += len(images)
        if seen >= count:
            break
    return seen / (time.perf_counter() - began)


def store_rate(images: ImageSet, count: int) -> float:
    """Images per second of PixelStore and views of strength 0.3 (affine, colour, erasing)."""
    views, order = Views(0.3, None, 0), np.random.default_rng(0)
    began, seen, epoch = time.perf_counter(), 0, 0
    while seen < count:
        for chosen in np.array_split(order.permutation(len(images)), len(images) // 32):
            rows = images.rows[chosen]
            shown = views.augment(images.images(chosen), rows, epoch, views.levels(rows, epoch))
            normalise(shown, STATED)
            seen += len(chosen)
        epoch += 1
    return seen / (time.perf_counter() - began)


def main() -> None:
    """Measure two image sizes on two image sets, and write the table."""
    configure_process(threads=1)
    lines = [
        "One process, one thread. ELPV: grey PNG of 300 px; foods: colour JPEG of about 300 px.",
        "Finesweep uses augmentation strength 0.3. It decodes all images once beforehand; the last "
        "column has the speed of that.",
        "",
        "| images | ImageFolder + DataLoader, images/s | Finesweep, images/s | speed-up | aim "
        "| decoding beforehand, images/s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("elpv", "foods"):
        dataset = survey_images(ROOT / "data" / name, cache=SCRATCH / "survey").dataset
        for side, aim in ((128, 8), (224, 4)):
            form = PixelFormat(side, "bilinear")
            cache = SCRATCH / f"pipeline-{side}"
            for stale in (cache / "pixels").glob("*.npy"):
                stale.unlink()
            began = time.perf_counter()
            store = build_store(dataset, form, cache=cache)
            decoding = len(dataset) / (time.perf_counter() - began)
            images = ImageSet.of(dataset, store, "train", "val", "test")
            store_rate(images, 500)
            rates = alternate(
                {
                    "folder": lambda name=name, side=side: folder_rate(
                        ROOT / "data" / name, side, 1500
                    ),
                    "store": lambda images=images: store_rate(images, 8000),
                },
                rounds=5,
            )
            gain = ratios(rates["store"], rates["folder"])
            lines.append(
                f"| {name}, {side} px | {spread(rates['folder'])} | {spread(rates['store'])} | "
                f"**{spread(gain, 3)}** | {aim} | {decoding:.0f} on all cores |"
            )
    write_table(
        "input_pipeline",
        "B5: the input pipeline",
        "python -m tests.benchmarks.input_pipeline",
        lines,
    )


if __name__ == "__main__":
    main()
