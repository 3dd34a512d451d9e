"""Evaluation of a model on images: from the features of its frozen layers to logits."""

from functools import partial

import numpy as np
import torch
from torch import nn

from trainables.inputs import FeatureLoader, run_by_halves
from trainables.models import Features, without_tf32

_FLOAT16_LIMIT = 6e4
"""Magnitude to which larger logits are clipped for float16, whose largest value is 65,504."""


def logits_of(
    model: nn.Module, inputs: FeatureLoader, *, autocast: torch.dtype | None = None
) -> np.ndarray:
    """``(n, classes)`` float32 logits of all images, in order. Puts ``model`` in eval mode.

    ``inputs`` yields the outputs of the model's frozen layers, and ``inputs.split.suffix`` runs the
    remaining layers. Without ``autocast``, a GPU computes in float32 without TF32. The exported
    model then gives the same logits on a CPU, up to rounding.
    """
    model.eval()
    device = next(model.parameters()).device.type
    logits: list[torch.Tensor] = []

    def suffix(features: Features, part: slice) -> torch.Tensor:
        with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
            return inputs.split.suffix(tuple(f[part] for f in features)).float()

    batches = np.array_split(np.arange(len(inputs)), -(-len(inputs) // inputs.batch_size))
    with torch.inference_mode(), without_tf32():
        for batch, features in zip(batches, inputs.batches(batches), strict=True):
            logits += run_by_halves(partial(suffix, features), 0, len(batch))
        return np.asarray(torch.cat(logits).cpu().numpy())


def to_float16(logits: np.ndarray) -> np.ndarray:
    """Logits as float16, which take half the space in files and messages."""
    return np.asarray(np.clip(logits, -_FLOAT16_LIMIT, _FLOAT16_LIMIT), dtype=np.float16)
