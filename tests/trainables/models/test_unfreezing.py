import numpy as np
import pytest
import torch
from torch import nn

from spaces import TrialParams
from tests.support.models import untrained_model
from trainables.models import (
    Preprocessing,
    Weights,
    backbone_groups,
    build_model,
    head_names,
    set_train_mode,
    trainable_share,
    unfreeze_groups,
    unfrozen_group_count,
)
from trainables.models.unfreezing import BatchNormMode, is_inside

# One of each kind of head and grouping that timm has.
FAMILIES = [
    "resnet18",
    "vgg11_bn",
    "mobilenetv3_small_050",
    "efficientnet_b0",
    "densenet121",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "swin_tiny_patch4_window7_224",
    "regnety_002",
    "resnetv2_50x1_bit",
    "poolformer_s12",
]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> nn.Module:
    return untrained_model(request.param)


def test_groups_and_head_cover_every_parameter_once(family: nn.Module) -> None:
    grouped = [name for group in backbone_groups(family) for name in group]
    head = head_names(family)
    rest = {n for n, _ in family.named_parameters()} - set(grouped)
    assert len(grouped) == len(set(grouped))
    assert rest
    assert all(name.startswith(head) for name in rest)


@pytest.mark.parametrize("backbone", ["inception_v3", "inception_resnet_v2"])
def test_a_hidden_layer_in_the_head_leaves_the_groups_of_the_backbone(backbone: str) -> None:
    plain, hidden = (
        build_model(
            TrialParams(backbone=backbone, image_size=299, head_hidden=width),
            Weights(backbone, "none", None),
            3,
        )
        for width in (0, 8)
    )
    assert backbone_groups(hidden) == backbone_groups(plain)
    assert isinstance(hidden.get_submodule(head_names(hidden)[0]), nn.Sequential)


def test_unfreeze_fractions_range_from_the_head_alone_to_the_whole_model(family: nn.Module) -> None:
    shares = []
    for level in (0, 0.25, 0.5, 0.75, 1):
        unfreeze_groups(family, unfrozen_group_count(family, level))
        shares.append(trainable_share(family))
    assert shares == sorted(shares)
    head = sum(p.numel() for n, p in family.named_parameters() if n.startswith(head_names(family)))
    assert shares[0] == pytest.approx(head / sum(p.numel() for p in family.parameters()))
    assert shares[-1] == 1


def test_a_new_head_gives_all_classes_the_same_probability(family: nn.Module) -> None:
    size = Preprocessing.of(family.pretrained_cfg["architecture"]).image_size
    logits = family.eval()(torch.rand(2, 3, size, size))
    assert torch.equal(logits, torch.zeros(2, 3))


def test_only_trainable_parameters_get_gradients() -> None:
    model = untrained_model("test_efficientnet")
    unfreeze_groups(model, unfrozen_group_count(model, 0.5))
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    trained = {n for n, p in model.named_parameters() if p.grad is not None}
    assert trained == {n for n, p in model.named_parameters() if p.requires_grad}


def test_half_a_group_rounds_up() -> None:
    model = untrained_model("test_efficientnet")
    groups = len(backbone_groups(model))
    assert unfrozen_group_count(model, 0.5 / groups) == 1
    assert unfrozen_group_count(model, 0.49 / groups) == 0


def statistics(model: nn.Module) -> list[torch.Tensor]:
    return [b.clone() for n, b in model.named_buffers() if n.endswith("running_mean")]


@pytest.mark.parametrize(("batchnorm", "learn"), [("frozen", 0), ("batch", 0.5), ("all", 1)])
def test_batchnorm_layers_learn_their_statistics_as_asked(
    batchnorm: BatchNormMode, learn: float
) -> None:
    model = untrained_model("test_efficientnet")
    unfreeze_groups(model, unfrozen_group_count(model, 0.5))
    before = statistics(model)
    set_train_mode(model, batchnorm)
    model(torch.rand(4, 3, 32, 32))
    moved = [not torch.equal(a, b) for a, b in zip(before, statistics(model), strict=True)]
    assert np.mean(moved) == learn if learn in (0, 1) else 0 < np.mean(moved) < 1


def test_frozen_parts_apply_no_dropout() -> None:
    model = untrained_model("test_efficientnet", dropout=0.0, drop_path=0.5)
    unfreeze_groups(model, 0)
    set_train_mode(model, "frozen")
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(model.forward_features(images), model.forward_features(images))


def test_a_parameter_is_not_attributed_to_a_module_with_a_similar_name() -> None:
    assert is_inside("head.weight", ("head",))
    assert is_inside("head", ("head",))
    assert not is_inside("head_dist.weight", ("head",))
