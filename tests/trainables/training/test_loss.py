import numpy as np
import pytest
import torch
from torch import nn

from spaces import TrialParams
from trainables.training.loss import BETA, Loss

LABELS = np.array([0] * 8 + [1] * 2)


def loss_of(labels: np.ndarray = LABELS, num_classes: int = 2, **fields: object) -> Loss:
    return Loss.of(TrialParams.parse({"backbone": "a", **fields}), labels, num_classes)


def test_class_weights_are_inverse_to_the_number_of_images() -> None:
    assert loss_of()._weight is None
    weight = loss_of(balance="weighted")._weight
    assert weight is not None
    assert weight.tolist() == pytest.approx([10 / 16, 10 / 4])
    assert (weight[LABELS]).sum() == pytest.approx(10)


def test_the_effective_number_of_images_has_a_ceiling() -> None:
    labels = np.repeat([0, 1, 2], [10, 20, 100_000])
    weight = loss_of(labels, 3, balance="effective")._weight
    assert weight is not None
    assert weight.sum() == pytest.approx(3)
    assert weight[0] / weight[1] == pytest.approx((1 - BETA**20) / (1 - BETA**10))
    assert weight[0] / weight[2] < 110  # of 10,000 times the images


@pytest.mark.parametrize("balance", ["none", "weighted", "effective"])
def test_without_focal_scaling_the_loss_is_the_cross_entropy_of_torch(balance: str) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 0, 0])
    ours = loss_of(balance=balance, label_smoothing=0.1)
    theirs = nn.CrossEntropyLoss(ours._weight, label_smoothing=0.1)(logits, labels)
    assert ours(logits, labels) / ours.weight_sum(labels) == pytest.approx(theirs.item(), rel=1e-5)


def test_focal_scaling_reduces_the_loss_of_confident_predictions() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 0.1]])
    confident, uncertain = (torch.tensor([0]), torch.tensor([0]))
    plain, focused = loss_of(), loss_of(focal_gamma=2.0)
    shares = [
        float(focused(logits[[i]], label) / plain(logits[[i]], label))
        for i, label in enumerate((confident, uncertain))
    ]
    assert shares[0] == pytest.approx((1 - 1 / (1 + np.exp(-4))) ** 2, rel=1e-3)
    assert shares[1] == pytest.approx((1 - 1 / (1 + np.exp(0.1))) ** 2, rel=1e-3)


def test_the_focal_loss_of_a_certain_prediction_has_a_finite_gradient() -> None:
    logits = torch.tensor([[30.0, 0.0]], requires_grad=True)
    loss_of(focal_gamma=0.5)(logits, torch.tensor([0])).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_class_without_images_has_a_finite_weight() -> None:
    for balance in ("weighted", "effective"):
        weight = loss_of(np.zeros(4, dtype=int), 2, balance=balance)._weight
        assert weight is not None
        assert weight.isfinite().all()
