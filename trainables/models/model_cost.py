"""`ModelCost`: what a model costs in use. Light to import: journals have it too."""

import time
from dataclasses import dataclass
from typing import Self

from spaces import TrialParams

_TIMES = 7


@dataclass(frozen=True)
class ModelCost:
    """Of a trial's model with two classes; more change little."""

    parameters: float
    """Millions."""
    latency_ms: float
    """Of one image on one core of the machine that measured it, in float32: the least of a few."""

    @classmethod
    def measure(cls, params: TrialParams) -> Self:
        """Build a trial's model and time it."""
        import torch

        from trainables.models.backbone import build_model
        from trainables.models.weights import Weights
        from trainables.process import single_torch_thread

        model = build_model(params, Weights(params.backbone, "none", None), 2).eval()
        image = torch.zeros(1, 3, params.image_size, params.image_size)
        took = []
        with single_torch_thread(), torch.inference_mode():
            for _ in range(_TIMES):
                began = time.perf_counter()
                model(image)
                took.append(time.perf_counter() - began)
        return cls(sum(p.numel() for p in model.parameters()) / 1e6, 1000 * min(took))
