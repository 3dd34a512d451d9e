"""Speed, size and accuracy of images that are decoded once, kept as JPEGs, or decoded anew.

    python -m tests.benchmarks.compressed_images

The speed is that of random batches of 64 images with two threads, all files in the page cache. The
photographs are images of foods, enlarged to 12 megapixels: such JPEGs are smaller than those of a
camera, which favours the originals. The accuracy is that of a linear probe on validation images.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from spaces import TrialParams
from tests.benchmarks.few_images import dataset_of
from tests.benchmarks.measuring import (
    ROOT,
    SCRATCH,
    alternate,
    fresh,
    ratios,
    seconds,
    spread,
    write_table,
)
from trainables.data import (
    CompressedImages,
    Dataset,
    ImageSet,
    OriginalImages,
    PixelStore,
    build_store,
    survey_images,
)
from trainables.data.jpeg_file import JPEG_FORM, encode_jpeg, write_jpegs
from trainables.data.pixel_store import read_original, store_key
from trainables.images import PixelFormat
from trainables.models import Preprocessing, find_weights
from trainables.training import ComputeSettings, FineTuneSettings, FineTuning

BATCH_SIZE, THREADS = 64, 2
PHOTOGRAPHS, PHOTOGRAPH_SIZE = 100, (4000, 3000)
PROBED_SIDE, PROBED_IMAGES = 128, 700
PROBE = TrialParams(
    backbone="tf_efficientnet_lite0",
    image_size=PROBED_SIDE,
    head="solved",
    unfreeze=0.0,
    augment=0.0,
)
FORMS = ("decoded", "compressed", "originals")


@dataclass(frozen=True)
class Case:
    """An image set to be read at a size."""

    name: str
    data: Path
    side: int
    batches: dict[str, int]
    """Number of batches that are read in a round, by form."""


def make_photographs() -> Path:
    """Photographs of 12 megapixels, a folder per class."""
    folder = fresh(SCRATCH / "photographs")
    files = sorted((ROOT / "data" / "foods").glob("*/*"))
    for file in files[:: len(files) // PHOTOGRAPHS][:PHOTOGRAPHS]:
        target = folder / file.parent.name / f"{file.stem}.jpg"
        target.parent.mkdir(exist_ok=True)
        large = Image.open(file).convert("RGB").resize(PHOTOGRAPH_SIZE, Image.Resampling.BICUBIC)
        large.save(target, quality=90)
    return folder


def stores_of(dataset: Dataset, form: PixelFormat) -> dict[str, PixelStore]:
    """The same images in each form. The compressed ones are made if they are smaller or not."""
    cache = fresh(SCRATCH / "compressed")
    decoded = build_store(dataset, form, cache=cache / "decoded")
    return {
        "decoded": decoded,
        "compressed": compress(dataset, form, cache),
        "originals": OriginalImages(dataset, form),
    }


def compress(dataset: Dataset, form: PixelFormat, cache: Path) -> CompressedImages:
    """Store of the compressed images, also where a sweep would prefer the originals."""
    file = cache / f"{store_key(dataset, form, JPEG_FORM)}.jpegs"
    jpegs = (encode_jpeg(read_original(dataset, form, row)) for row in range(len(dataset)))
    write_jpegs(file, jpegs, limit_bytes=2**63)
    return CompressedImages(file, form.side)


def images_per_second(store: PixelStore, count: int, batches: int) -> float:
    """Images per second of random batches."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(count, size=BATCH_SIZE) for _ in range(batches)]
    return batches * BATCH_SIZE / seconds(lambda: [store.read(each) for each in rows])


def speed_lines(case: Case) -> list[str]:
    """Rows of the table of speeds: each form, and what compressing gains."""
    dataset = survey_images(case.data, cache=fresh(SCRATCH / "survey-compressed")).dataset
    stores = stores_of(dataset, PixelFormat(case.side, "bicubic"))
    speeds = alternate(
        {
            name: partial(images_per_second, store, len(dataset), case.batches[name])
            for name, store in stores.items()
        }
    )
    compressed = stores["compressed"]
    assert isinstance(compressed, CompressedImages)
    files = [dataset.file(row).stat().st_size for row in range(len(dataset))]
    bytes_per_image = {
        "decoded": 3 * case.side**2,
        "compressed": compressed.file.stat().st_size / len(dataset),
        "originals": np.mean(files),
    }
    gains = {
        name: spread(ratios(speeds[name], speeds["originals"]), 3) if name != "originals" else "1"
        for name in FORMS
    }
    return [
        f"| {case.name} | {case.side} | {name} | {bytes_per_image[name] / 1000:.1f} "
        f"| {spread(speeds[name], 3)} | {gains[name]} |"
        for name in FORMS
    ]


def probe(dataset: Dataset, store: PixelStore) -> np.ndarray:
    """Predicted classes of the validation images, by a linear probe."""
    tuning = FineTuning(
        PROBE,
        find_weights(PROBE.backbone, "pretrained", cache=SCRATCH / "survey"),
        num_classes=len(dataset.classes),
        train=ImageSet.of(dataset, store, "train"),
        val=ImageSet.of(dataset, store, "val"),
        settings=FineTuneSettings(max_epochs=1),
        compute=ComputeSettings(precision="fp32"),
    )
    tuning.run_round()
    assert tuning.best_logits is not None
    return np.asarray(tuning.best_logits.argmax(axis=1))


def accuracy_line(name: str) -> str:
    """Row of the table of accuracies: a probe on decoded and one on compressed images."""
    dataset = dataset_of(ROOT / "data" / name, PROBED_IMAGES)
    form = Preprocessing.of(PROBE.backbone).pixel_format(PROBED_SIDE, PROBE.fit)
    cache = fresh(SCRATCH / "compressed")
    labels = dataset.labels[dataset.rows("val")]
    exact = probe(dataset, build_store(dataset, form, cache=cache))
    compressed = probe(dataset, compress(dataset, form, cache))
    only_exact = ((exact == labels) & (compressed != labels)).sum()
    only_compressed = ((exact != labels) & (compressed == labels)).sum()
    return (
        f"| {name} | {len(labels)} | {(exact == labels).mean():.4f} "
        f"| {(compressed == labels).mean():.4f} | {only_exact} | {only_compressed} |"
    )


def main() -> None:
    """Measure, and write the table."""
    torch.set_num_threads(THREADS)
    many, few = {"decoded": 100, "compressed": 20, "originals": 8}, {"originals": 2}
    foods, elpv = ROOT / "data" / "foods", ROOT / "data" / "elpv"
    cases = [
        Case("photographs of 12 megapixels", make_photographs(), 224, many | few),
        *(Case("elpv, PNGs of 300x300", elpv, side, many) for side in (128, 224)),
        *(Case("foods, JPEGs of about 300x200", foods, side, many) for side in (128, 224)),
    ]
    rows = [line for case in cases for line in speed_lines(case)]
    write_table(
        "compressed_images",
        "Images decoded once, kept as JPEGs, or decoded anew",
        "python -m tests.benchmarks.compressed_images",
        [
            *(__doc__ or "").strip().split("\n\n")[2].splitlines(),
            "A sweep compresses only where the JPEGs are smaller than the originals. Where the "
            "load is above the number of CPUs, compare within a round only.",
            "",
            "| images | px | form | kB per image | images/s | times the originals |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "## Accuracy",
            "",
            f"A linear probe of {PROBE.backbone} at {PROBED_SIDE} px, on {PROBED_IMAGES} training "
            "images at most, trained and validated on one form. The last columns count images that "
            "only one of both gets right.",
            "",
            "| images | validated | decoded | compressed | only decoded | only compressed |",
            "| --- | --- | --- | --- | --- | --- |",
            *(accuracy_line(name) for name in ("elpv", "foods")),
        ],
    )


if __name__ == "__main__":
    main()
