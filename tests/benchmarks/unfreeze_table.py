"""Trainable share of a model at each unfreeze fraction, for backbones of several timm families.

    python tests/benchmarks/unfreeze_table.py > results/benchmarks/unfreeze.md

Counts parameters of models with a head for 10 classes. Needs no weights and no images.
"""

import timm
import torch

from spaces import TrialParams
from trainables.models import (
    Weights,
    backbone_groups,
    build_model,
    trainable_share,
    unfreeze_groups,
    unfrozen_group_count,
)

BACKBONES = [
    "vgg16",
    "resnet50",
    "inception_v3",
    "inception_resnet_v2",
    "densenet121",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "tf_efficientnet_lite0",
    "convnext_tiny",
    "regnety_032",
    "vit_small_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "swin_tiny_patch4_window7_224",
    "eva02_tiny_patch14_224",
    "caformer_s18",
    "hrnet_w18_small",
]
LEVELS = (0, 0.25, 0.5, 0.75, 1)


def main() -> None:
    """Print the table."""
    print("# Trainable share at each unfreeze fraction\n")
    print("Share of all parameters that train, and in brackets the number of unfrozen groups, for")
    print("a head of 10 classes. Made by `python tests/benchmarks/unfreeze_table.py`")
    print(f"with timm {timm.__version__}, torch {torch.__version__}.\n")
    print("| backbone | groups | M parameters | " + " | ".join(map(str, LEVELS)) + " |")
    print("|" + " --- |" * (3 + len(LEVELS)))
    for backbone in BACKBONES:
        params = TrialParams(backbone=backbone)
        model = build_model(params, Weights(backbone, "none", None), 10)
        size = sum(p.numel() for p in model.parameters()) / 1e6
        cells = [backbone, str(len(backbone_groups(model))), f"{size:.1f}"]
        for level in LEVELS:
            count = unfrozen_group_count(model, level)
            unfreeze_groups(model, count)
            cells.append(f"{trainable_share(model):.2%} ({count})")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
