"""Small untrained models."""

from torch import nn

from spaces import TrialParams
from trainables.models import Weights, build_model


def untrained_model(backbone: str, num_classes: int = 3, **fields: object) -> nn.Module:
    """Build a backbone with random weights; ``fields`` set other fields of `TrialParams`."""
    params = TrialParams.parse({"backbone": backbone, **fields})
    return build_model(params, Weights(backbone, "none", None), num_classes)
