import pytest
import timm
import torch
from torch import nn

from spaces import TrialParams, WeightsError
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
from trainables.models.backbone import has_drop_path
from trainables.models.optimizer import parameter_groups

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


def made(backbone: str, num_classes: int = 3, **fields: object) -> nn.Module:
    params = TrialParams.parse({"backbone": backbone, **fields})
    return build_model(params, Weights(backbone, "none", None), num_classes)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> nn.Module:
    return made(request.param)


def test_groups_and_head_cover_every_parameter_once(family: nn.Module) -> None:
    grouped = [name for group in backbone_groups(family) for name in group]
    head = head_names(family)
    rest = {n for n, _ in family.named_parameters()} - set(grouped)
    assert len(grouped) == len(set(grouped))
    assert rest
    assert all(name.startswith(head) for name in rest)


def test_unfreezing_goes_from_the_head_alone_to_everything(family: nn.Module) -> None:
    shares = []
    for level in (0, 0.25, 0.5, 0.75, 1):
        unfreeze_groups(family, unfrozen_group_count(family, level))
        shares.append(trainable_share(family))
    assert shares == sorted(shares)
    head = sum(p.numel() for n, p in family.named_parameters() if n.startswith(head_names(family)))
    assert shares[0] == pytest.approx(head / sum(p.numel() for p in family.parameters()))
    assert shares[-1] == 1


def test_a_new_head_answers_evenly(family: nn.Module) -> None:
    size = Preprocessing.of(family.pretrained_cfg["architecture"]).image_size
    logits = family.eval()(torch.rand(2, 3, size, size))
    assert torch.equal(logits, torch.zeros(2, 3))


def test_only_what_trains_gets_gradients() -> None:
    model = made("test_efficientnet")
    unfreeze_groups(model, unfrozen_group_count(model, 0.5))
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    trained = {n for n, p in model.named_parameters() if p.grad is not None}
    assert trained == {n for n, p in model.named_parameters() if p.requires_grad}


def statistics(model: nn.Module) -> list[torch.Tensor]:
    return [b.clone() for n, b in model.named_buffers() if n.endswith("running_mean")]


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_batchnorm_keeps_its_statistics_unless_told_not_to(freeze: bool) -> None:
    model = made("test_efficientnet")
    unfreeze_groups(model, 0)
    before = statistics(model)
    set_train_mode(model, freeze_batchnorm=freeze)
    model(torch.rand(4, 3, 32, 32))
    moved = [not torch.equal(a, b) for a, b in zip(before, statistics(model), strict=True)]
    assert all(moved) if not freeze else not any(moved)


def test_drop_path_is_set_where_a_backbone_has_it_and_passed_over_where_not() -> None:
    assert not has_drop_path("vgg11")
    assert made("vgg11", drop_path=0.1)(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    rates = [
        m.drop_prob
        for m in made("convnext_atto", drop_path=0.1).modules()
        if "DropPath" in str(type(m))
    ]
    assert max(rates) == pytest.approx(0.1)


def test_frozen_parts_drop_nothing() -> None:
    model = made("test_efficientnet", dropout=0.0, drop_path=0.5)
    unfreeze_groups(model, 0)
    set_train_mode(model, freeze_batchnorm=True)
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(model.forward_features(images), model.forward_features(images))


def test_learning_rates_fall_from_the_head_downwards() -> None:
    fields = {"learning_rate": 1e-2, "backbone_lr_scale": 0.1, "layer_decay": 0.5, "unfreeze": 1.0}
    params = TrialParams(backbone="test_efficientnet", weight_decay=0.3, **fields)
    model = made("test_efficientnet", **fields)
    groups = parameter_groups(model, params)
    rates = list(dict.fromkeys(group["lr"] for group in groups))
    assert rates[:3] == [1e-2, 1e-3, 5e-4]
    assert len(rates) == 1 + len(backbone_groups(model))
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        plain = all(p.ndim <= 1 for p in group["params"])
        assert group["weight_decay"] == (0.0 if plain else 0.3)


def test_a_head_may_have_a_hidden_layer() -> None:
    for backbone in ("test_efficientnet", "test_vit", "resnetv2_50x1_bit"):
        size = 32 if backbone != "test_vit" else 160
        model = made(backbone, head_hidden=8, head_activation="tanh")
        assert model(torch.rand(2, 3, size, size)).shape == (2, 3)
        assert any(isinstance(m, nn.Tanh) for m in model.modules())


def test_a_fixed_size_backbone_takes_another_size_when_asked() -> None:
    assert made("test_vit", image_size=64)(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_what_timm_does_not_have_is_told_in_a_sentence() -> None:
    with pytest.raises(WeightsError, match="Unknown backbone"):
        made("resnet1")


def test_preprocessing_is_timms_own_for_each_backbone() -> None:
    lite, inception = Preprocessing.of("tf_efficientnet_lite0"), Preprocessing.of("inception_v3")
    assert (lite.mean, lite.interpolation) == ((0.5, 0.5, 0.5), "bicubic")
    assert inception.image_size == 299
    assert Preprocessing.of("vit_tiny_patch16_224").fixed_input_size
    assert not Preprocessing.of("resnet18").fixed_input_size


def test_dropout_reaches_models_that_apply_it_without_a_module() -> None:
    model = made("resnet18", dropout=0.5)
    assert not any(isinstance(m, nn.Dropout) and m.p == 0.5 for m in model.modules())
    assert model.drop_rate == 0.5
    assert timm.create_model("resnet18").drop_rate == 0.0
