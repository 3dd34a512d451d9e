"""`ModelCost`: size and latency of a trial's model.

torch and timm are imported only to measure: code that reads stored costs does not need them.
"""

import time
from dataclasses import dataclass
from typing import Self

from spaces import TrialParams

_TIMED_RUNS = 7


@dataclass(frozen=True)
class ModelCost:
    """Cost of a trial's model with a head of two classes; more classes change it little.

    The field names are also journal keys, table columns and names of objectives.
    """

    parameters: float
    """Number of parameters, in millions."""
    latency_ms: float
    """Milliseconds for one float32 image on one core of the measuring machine; best of 7 runs."""

    @classmethod
    def measure(cls, params: TrialParams) -> Self:
        """Build a trial's model with random weights, and time it on this machine."""
        import torch

        from trainables.models.backbone import build_model
        from trainables.models.weights import Weights
        from trainables.process import single_torch_thread

        model = build_model(params, Weights(params.backbone, "none", None), 2).eval()
        image = torch.zeros(1, 3, params.image_size, params.image_size)
        seconds = []
        with single_torch_thread(), torch.inference_mode():
            for _ in range(_TIMED_RUNS):
                began = time.perf_counter()
                model(image)
                seconds.append(time.perf_counter() - began)
        return cls(sum(p.numel() for p in model.parameters()) / 1e6, 1000 * min(seconds))
