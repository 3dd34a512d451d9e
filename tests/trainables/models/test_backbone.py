import pytest
import timm
import torch
from torch import nn

from spaces import SpaceError, TrialParams, WeightsError
from tests.support.models import untrained_model
from trainables.models import timm_model_args
from trainables.models.backbone import has_drop_path


def test_drop_path_is_set_if_the_backbone_supports_it_and_ignored_otherwise() -> None:
    assert not has_drop_path("vgg11")
    assert untrained_model("vgg11", drop_path=0.1)(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    rates = [
        m.drop_prob
        for m in untrained_model("convnext_atto", drop_path=0.1).modules()
        if "DropPath" in str(type(m))
    ]
    assert max(rates) == pytest.approx(0.1)


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit", "resnetv2_50x1_bit"])
def test_a_head_can_have_a_hidden_layer(backbone: str) -> None:
    size = 160 if backbone == "test_vit" else 32
    model = untrained_model(backbone, head_hidden=8, head_activation="tanh")
    assert model(torch.rand(2, 3, size, size)).shape == (2, 3)
    assert any(isinstance(m, nn.Tanh) for m in model.modules())


def test_a_backbone_of_fixed_size_can_be_built_for_another_size() -> None:
    assert untrained_model("test_vit", image_size=64)(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert timm_model_args(TrialParams(backbone="test_vit", image_size=64)) == {"img_size": 64}
    assert timm_model_args(TrialParams(backbone="test_vit", image_size=160)) == {}
    assert timm_model_args(TrialParams(backbone="test_resnet", image_size=64)) == {}


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(WeightsError, match="Unknown backbone"):
        untrained_model("resnet1")


def test_dropout_reaches_models_that_apply_it_without_a_module() -> None:
    model = untrained_model("resnet18", dropout=0.5)
    assert not any(isinstance(m, nn.Dropout) and m.p == 0.5 for m in model.modules())
    assert model.drop_rate == 0.5
    assert timm.create_model("resnet18").drop_rate == 0.0


def test_a_head_that_is_not_a_linear_layer_can_not_get_a_hidden_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainables.models.backbone.head_names", lambda model: ("blocks",))
    with pytest.raises(SpaceError, match="hidden layer of 8 units; leave head_hidden at 0"):
        untrained_model("test_efficientnet", head_hidden=8)
