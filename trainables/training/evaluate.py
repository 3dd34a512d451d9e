"""From images to logits, and from logits to the metrics of an epoch."""

from functools import partial

import numpy as np
import torch
from torch import nn

from trainables.inputs import Inputs, run_by_halves
from trainables.models import Features, without_tf32


def logits_of(
    model: nn.Module, inputs: Inputs, *, autocast: torch.dtype | None = None
) -> np.ndarray:
    """``(n, classes)`` float32 logits of all images, in order. Puts ``model`` in eval mode.

    Without ``autocast`` a GPU computes in full float32, as an export on a CPU will.
    """
    model.eval()
    device = next(model.parameters()).device.type
    logits: list[torch.Tensor] = []

    def answer(features: Features, some: slice) -> torch.Tensor:
        with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
            return inputs.split.suffix(tuple(f[some] for f in features)).float()

    batches = np.array_split(np.arange(len(inputs)), -(-len(inputs) // inputs.batch))
    with torch.inference_mode(), without_tf32():
        for batch, features in zip(batches, inputs.batches(batches), strict=True):
            logits += run_by_halves(partial(answer, features), 0, len(batch))
        return np.asarray(torch.cat(logits).cpu().numpy())


def half(logits: np.ndarray) -> np.ndarray:
    """As float16, to be kept or sent."""
    return np.asarray(np.clip(logits, -6e4, 6e4), dtype=np.float16)
