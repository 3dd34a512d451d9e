"""`FinalModel`: what a sweep's retrained model is, and its test. Light to import: no torch."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from search.paths import SweepPaths
from spaces import TrialParams
from trainables.metrics import TestMetrics

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FinalModel:
    """What ``metrics.json`` holds: how the final model was made, and its test."""

    test: TestMetrics
    majority_accuracy: float
    """What always answering the most frequent class gives on the test images."""
    epochs: int
    trial_id: str
    val_accuracy: float
    """The winner's best in the search: optimistic, it was selected for."""
    params: TrialParams

    def to_dict(self) -> dict[str, Any]:
        """As in ``metrics.json``."""
        fields = {
            name: value for name, value in vars(self).items() if name not in ("test", "params")
        }
        return {"test": asdict(self.test), **fields, "params": self.params.model_dump()}

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """What `retrain` wrote."""
        values = json.loads(paths.metrics.read_text(encoding="utf-8"))
        test = values.pop("test")
        low, high = test.pop("accuracy_ci95")
        metrics = TestMetrics(accuracy_ci95=(low, high), **test)
        return cls(test=metrics, params=TrialParams.parse(values.pop("params")), **values)

    def load(self, paths: SweepPaths, classes: int, *, exportable: bool = False) -> "nn.Module":
        """The trained model, on the CPU, in eval mode."""
        from safetensors.torch import load_file  # who reads the test alone needs no torch

        from trainables.model import build_model
        from trainables.weights import Weights

        untrained = Weights(self.params.backbone, "retrained", None)
        model = build_model(self.params, untrained, classes, exportable=exportable)
        model.load_state_dict(load_file(paths.final_weights))
        return model.eval()
