"""Tests of `StepGradients` on a CPU; graphs are tested in `test_on_a_gpu`."""

import pytest
import torch
from torch import nn

from trainables.models import Features
from trainables.training import STEPS_BEFORE_RECORDING
from trainables.training.gradient_graph import StepGradients


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_first_steps_and_incomplete_batches_are_computed(device: str) -> None:
    gradients, model = StepGradients(torch.device(device), batch_size=4), nn.Linear(2, 1)
    seen: list[int] = []

    def compute(features: Features, labels: torch.Tensor) -> torch.Tensor:
        seen.append(len(labels))
        return features[0].mean()

    sizes = [3] * 9 + [4] * (STEPS_BEFORE_RECORDING - 1) + [3]
    losses = [
        gradients.compute(model, compute, (torch.full((n, 2), float(k)),), torch.zeros(n))
        for k, n in enumerate(sizes)
    ]
    assert seen == sizes
    assert torch.stack(losses).tolist() == list(range(len(sizes)))


def test_a_cpu_computes_every_step() -> None:
    gradients, model = StepGradients(torch.device("cpu"), batch_size=4), nn.Linear(2, 1)
    for k in range(3 * STEPS_BEFORE_RECORDING):
        features = (torch.full((4, 2), float(k)),)
        loss = gradients.compute(model, lambda f, _: f[0].mean(), features, torch.zeros(4))
        assert loss == k
