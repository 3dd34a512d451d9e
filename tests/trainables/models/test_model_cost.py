import pytest
import torch

from spaces import TrialParams
from tests.support.models import untrained_model
from trainables.models import ModelCost


def test_a_models_parameters_are_counted_in_millions_and_its_latency_timed() -> None:
    params = TrialParams(backbone="test_efficientnet", image_size=32)
    threads = torch.get_num_threads()
    cost = ModelCost.measure(params)
    model = untrained_model("test_efficientnet", num_classes=2)
    assert cost.parameters == pytest.approx(sum(p.numel() for p in model.parameters()) / 1e6)
    assert 0 < cost.latency_ms < 10_000
    assert torch.get_num_threads() == threads
