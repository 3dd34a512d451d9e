"""Near copies: recall of known copies, pairs among other images, and seconds for 60,000 hashes.

python -m tests.benchmarks.near_copies
"""

import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from tests.benchmarks.measuring import ROOT, seconds, write_table
from trainables.data.near_copies import (
    MAX_HASH_DISTANCE,
    MIN_CORRELATION,
    UNKNOWN,
    appearance_of,
    close_hashes,
    near_copies,
)
from trainables.images import read_rgb

SETS = {
    "elpv": "tuned on",
    "foods": "tuned on",
    "emoji": "tuned on",
    "houses": "held out",
    "wbc": "held out",
}
"""Image sets below data/, and whether the thresholds were chosen on them. Two are public
repositories: emanhamed/Houses-dataset and dhruvp/wbc-classification, `Original_Images`."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
COPIED = 200
"""Images of each set that are copied."""


def _scaled(factor: float) -> Callable[[Image.Image], Image.Image]:
    def scale(image: Image.Image) -> Image.Image:
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        return image.resize(size, Image.Resampling.BICUBIC)

    return scale


def _compressed(quality: int) -> Callable[[Image.Image], Image.Image]:
    def compress(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return compress


def _brightened(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


def _transposed(method: Image.Transpose) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.transpose(method)


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized to 0.6": _scaled(0.6),
    "resized to 1.5": _scaled(1.5),
    "JPEG, quality 30": _compressed(30),
    "JPEG, quality 60": _compressed(60),
    "JPEG, quality 95": _compressed(95),
    "20% darker": _brightened(0.8),
    "20% brighter": _brightened(1.2),
    "turned by 90": _transposed(Image.Transpose.ROTATE_90),
    "turned by 180": _transposed(Image.Transpose.ROTATE_180),
    "turned by 270": _transposed(Image.Transpose.ROTATE_270),
    "mirrored": _transposed(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned, 0.6, JPEG 60": lambda image: _compressed(60)(
        _scaled(0.6)(image.transpose(Image.Transpose.ROTATE_90))
    ),
}
"""Known copies by kind."""


def _measure(files: list[Path]) -> tuple[list[str], int, int]:
    """Recall of each kind of copy, and the pairs and images found without any copy."""
    images = [read_rgb(file) for file in files]
    looks = [appearance_of(image) for image in images]
    compared = [k for k, look in enumerate(looks) if look != UNKNOWN]
    plain = near_copies(looks)
    chosen = compared[:: max(1, len(compared) // COPIED)]
    recalls = []
    for change in KINDS.values():
        pairs = near_copies([*looks, *(appearance_of(change(images[k])) for k in chosen)])
        found = {(a, b) for a, b in pairs.tolist()}
        hits = sum((k, len(looks) + n) in found for n, k in enumerate(chosen))
        recalls.append(f"{hits / len(chosen):.3f}")
    return recalls, len(plain), len(np.unique(plain))


def _seconds_for_60000() -> tuple[float, float]:
    """Seconds to find 3,000 known pairs of 60,000 random hashes, and the share found."""
    rng = np.random.default_rng(0)
    bits = rng.random((60_000, 16, 16)) < 0.5
    bits[:3000] = bits[30_000:33_000] ^ (rng.random((3000, 16, 16)) < 8 / 256)
    hashes, found = np.packbits(bits.reshape(len(bits), -1), axis=1), list[np.ndarray]()
    took = seconds(lambda: found.append(close_hashes(hashes)))
    return took, len(found[0]) / 3000


def main() -> None:
    """Measure all sets that lie below data/, and write the table."""
    columns = {}
    for name in SETS:
        files = sorted(f for f in (ROOT / "data" / name).rglob("*") if f.suffix in SUFFIXES)
        if files:
            began = time.process_time()
            columns[name] = (len(files), *_measure(files))
            print(f"{name}: {time.process_time() - began:.0f} s of CPU time")
    took, share = _seconds_for_60000()
    names = list(columns)
    lines = [
        f"Recall of known copies of {COPIED} images a set, compared together with all images of "
        f"the set. Near copies: at most {MAX_HASH_DISTANCE} of 256 bits of ImageHash's phash "
        f"differ, in one of 8 orientations, and 8 x 8 colours correlate by {MIN_CORRELATION} or "
        'more. "Tuned on": both thresholds were chosen on the set. "Pairs without copies" are an '
        "upper bound of false pairs: some are true. In ELPV one module was photographed twice, and "
        "emoji have flags and clocks that equal one another when mirrored. Held-out sets are "
        "emanhamed/Houses-dataset and dhruvp/wbc-classification from GitHub.",
        "",
        "| | " + " | ".join(f"{n} ({SETS[n]}, {columns[n][0]:,} images)" for n in names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for row, kind in enumerate(KINDS):
        lines.append(f"| {kind} | " + " | ".join(columns[n][1][row] for n in names) + " |")
    pairs = (f"{1000 * columns[n][2] / columns[n][0]:.1f}" for n in names)
    lines.append("| pairs without copies, per 1,000 images | " + " | ".join(pairs) + " |")
    lines += [
        "",
        f"60,000 random hashes with 3,000 known pairs: {took:.1f} s, {share:.1%} found. Images "
        "with a side of 32 pixels or less are not compared: scanned digits and clothes of 28 "
        "pixels look alike in different images.",
    ]
    command = "python -m tests.benchmarks.near_copies"
    write_table("near_copies", "Near copies", command, lines, rounds=False)


if __name__ == "__main__":
    main()
