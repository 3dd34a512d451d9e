import pytest
import torch
from torch import nn

from spaces import TrialParams
from tests.support.models import untrained_model
from trainables.models import backbone_groups, is_bias_or_norm, make_optimizer
from trainables.models.optimizer import parameter_groups

FIELDS = {"learning_rate": 1e-2, "backbone_lr_scale": 0.1, "layer_decay": 0.5, "unfreeze": 1.0}


def test_learning_rates_fall_from_the_head_to_the_input() -> None:
    params = TrialParams(backbone="test_efficientnet", weight_decay=0.3, **FIELDS)
    model = untrained_model("test_efficientnet", **FIELDS)
    groups = parameter_groups(model, params)
    rates = list(dict.fromkeys(group["lr"] for group in groups))
    assert rates[:3] == [1e-2, 1e-3, 5e-4]
    assert len(rates) == 1 + len(backbone_groups(model))
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        exempt = all(p.ndim <= 1 for p in group["params"])
        assert group["weight_decay"] == (0.0 if exempt else 0.3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adamw", torch.optim.AdamW),
        ("adam", torch.optim.Adam),
        ("sgd", torch.optim.SGD),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_each_optimizer_name_makes_that_optimizer(
    name: str, kind: type[torch.optim.Optimizer]
) -> None:
    params = TrialParams(backbone="test_efficientnet", optimizer=name, unfreeze=0.0)
    optimizer = make_optimizer(untrained_model("test_efficientnet"), params)
    assert type(optimizer) is kind
    assert {group["lr"] for group in optimizer.param_groups} == {params.learning_rate}


def test_biases_and_norms_are_distinguished_from_weights() -> None:
    layer, norm = nn.Linear(2, 3), nn.BatchNorm2d(4)
    assert is_bias_or_norm("fc.bias", layer.bias)
    assert is_bias_or_norm("bn.weight", norm.weight)
    assert not is_bias_or_norm("fc.weight", layer.weight)
