from typing import Any

import pytest
import torch
from torch import nn

from spaces import TrialParams
from trainables.models import Features
from trainables.training.loss import Loss
from trainables.training.training_steps import TrainingSteps

WIDTH, CLASSES, BATCH = 5, 3, 16


class SmallMemory(nn.Module):
    """A linear model that runs out of memory with more than ``images`` images at a time."""

    def __init__(self, images: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.images, self.refused = images, 0

    def forward(self, features: Features) -> torch.Tensor:
        if len(features[0]) > self.images:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        logits: torch.Tensor = self.head(features[0])
        return logits


def steps_of(model: SmallMemory, *, l1: float = 0.0, **fields: Any) -> TrainingSteps:
    """Steps of plain gradient descent with a rate of 1."""
    params = TrialParams.parse({"backbone": "test_vit", **fields})
    counts = torch.arange(9) % CLASSES
    return TrainingSteps(
        model,
        model,
        Loss.of(params, counts.numpy(), CLASSES),
        torch.optim.SGD(model.parameters(), lr=1.0),
        autocast=None,
        l1=l1,
        batch_size=BATCH,
    )


def batch(images: int = BATCH) -> tuple[Features, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(images, WIDTH, generator=generator)
    return (features,), torch.arange(images) % CLASSES


@pytest.mark.parametrize(
    "fields", [{}, {"balance": "weighted", "label_smoothing": 0.1, "l1": 1e-2}]
)
def test_out_of_memory_steps_continue_with_micro_batches_and_the_same_loss(
    fields: dict[str, Any],
) -> None:
    plain, tight = SmallMemory(BATCH), SmallMemory(5)
    plain_steps, tight_steps = steps_of(plain, **fields), steps_of(tight, **fields)
    for _ in range(3):
        expected, loss = plain_steps.step(*batch()), tight_steps.step(*batch())
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(tight.head.weight, plain.head.weight)
    assert tight.refused == 2, "from 16 to 8 to 4, and then no more"
    assert tight_steps.ran_out_of_memory
    assert not plain_steps.ran_out_of_memory


def test_a_step_fails_if_two_images_do_not_fit() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        steps_of(SmallMemory(0)).step(*batch())


def test_the_l1_penalty_counts_weights_and_no_biases() -> None:
    with_penalty, without = SmallMemory(BATCH), SmallMemory(BATCH)
    norm = with_penalty.head.weight.detach().abs().sum().item()
    loss = steps_of(with_penalty, l1=0.1).step(*batch())
    plain = steps_of(without).step(*batch())
    assert loss.item() == pytest.approx(plain.item() + 0.1 * norm, rel=1e-5)
    torch.testing.assert_close(with_penalty.head.bias, without.head.bias)
    assert not torch.equal(with_penalty.head.weight, without.head.weight)
