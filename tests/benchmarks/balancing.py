"""Test scores of each method to balance uneven classes.

    python -m tests.benchmarks.balancing [--seeds 3]

The fine-tunes differ only in the balancing method. Three image sets are made uneven: one class
keeps all of its training images, another one a tenth, and the others keep shares in between.
"""

import argparse
import sys

import numpy as np
import torch

from spaces import TrialParams
from tests.benchmarks.measuring import ROOT, SCRATCH, write_table
from trainables.data import Dataset, ImageSet, SplitSpec, build_store, survey_images
from trainables.evaluation import scores_of
from trainables.inputs import FeatureLoader, FeatureStore
from trainables.models import Preprocessing, find_weights, split_for_trial
from trainables.training import ComputeSettings, FineTuneSettings, FineTuning, finetune, logits_of

SETS = ("elpv", "foods", "fashion")
BACKBONE = "tf_efficientnet_lite0"
LEAST, EPOCHS = 0.1, 8
WAYS: dict[str, dict[str, object]] = {
    "none": {},
    "weighted": {"balance": "weighted"},
    "effective": {"balance": "effective"},
    "oversample": {"balance": "oversample"},
    "undersample": {"balance": "undersample"},
    "focal loss, gamma 2": {"focal_gamma": 2.0},
}


def uneven(images: ImageSet, classes: int, seed: int) -> ImageSet:
    """Drop training images: classes keep shares from 1 down to `LEAST`, spaced geometrically.

    The seed draws which class keeps which share. Every class keeps at least four images.
    """
    rng = np.random.default_rng(seed)
    shares = np.geomspace(1, LEAST, classes)
    kept = []
    for share, k in zip(shares, rng.permutation(classes), strict=True):
        members = rng.permutation(np.flatnonzero(images.labels == k))  # files may be sorted
        kept.append(members[: max(4, round(share * len(members)))])
    rows = np.sort(np.concatenate(kept))
    return ImageSet(images.store, images.rows[rows], images.labels[rows])


def tested(dataset: Dataset, seed: int, way: dict[str, object]) -> tuple[float, float, float]:
    """Fine-tune, and return accuracy, balanced accuracy and macro F1 on the test images."""
    params = TrialParams.parse(
        {"backbone": BACKBONE, "image_size": 96, "unfreeze": 0.25, "learning_rate": 2e-3, **way}
    )
    preprocessing = Preprocessing.of(BACKBONE)
    cache = SCRATCH / "balancing"
    pixels = build_store(dataset, preprocessing.pixel_format(96, "squash"), cache=cache)
    classes = len(dataset.classes)
    tuning = FineTuning(
        params,
        find_weights(BACKBONE, "pretrained", cache=cache),
        num_classes=classes,
        train=uneven(ImageSet.of(dataset, pixels, "train"), classes, seed),
        val=None,
        settings=FineTuneSettings(max_epochs=EPOCHS, views=4, seed=seed),
        compute=ComputeSettings(precision="fp32", store=FeatureStore(cache, 4 * 2**30)),
    )
    list(finetune(tuning))
    test = ImageSet.of(dataset, pixels, "test")
    inputs = FeatureLoader(
        test, split_for_trial(tuning.model, params), preprocessing, device=tuning.device
    )
    scores = scores_of(logits_of(tuning.model, inputs), test.labels)
    return scores.accuracy, scores.balanced_accuracy, scores.macro_f1


def main() -> None:
    """Run every image set, seed and method, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    lines = [
        f"{BACKBONE} at 96 px, a quarter of the backbone unfrozen, {EPOCHS} epochs. Each class "
        f"keeps a share of its training images, from 1 down to {LEAST:g}. The seed draws the share "
        "of each class and the split; the test set is not reduced. Gain over no balancing in "
        f"percentage points: mean over {seeds} seeds (least to most).",
    ]
    for name in SETS:
        scores_of_way: dict[str, list[tuple[float, ...]]] = {way: [] for way in WAYS}
        for seed in range(seeds):
            cache = SCRATCH / "balancing"
            dataset = survey_images(
                ROOT / "data" / name, cache=cache, split=SplitSpec(seed=seed)
            ).dataset
            for way, fields in WAYS.items():
                scores_of_way[way].append(tested(dataset, seed, fields))
                print(
                    name, seed, way, *(f"{v:.4f}" for v in scores_of_way[way][-1]), file=sys.stderr
                )
        base = np.array(scores_of_way["none"])
        plain = ", ".join(f"{100 * value:.1f}" for value in base.mean(axis=0))
        lines += [
            "",
            f"{name}, {len(dataset.classes)} classes: accuracy, balanced accuracy and macro F1 are "
            f"{plain} % without balancing.",
            "",
            "| method | accuracy | balanced accuracy | macro F1 |",
            "| --- | --- | --- | --- |",
        ]
        for way in list(WAYS)[1:]:
            gains = 100 * (np.array(scores_of_way[way]) - base)
            cells = [f"{g.mean():+.1f} ({g.min():+.1f} to {g.max():+.1f})" for g in gains.T]
            lines.append(f"| {way} | {' | '.join(cells)} |")
    command = "python -m tests.benchmarks.balancing"
    write_table("balancing", "Methods to balance uneven classes", command, lines, rounds=False)


if __name__ == "__main__":
    main()
