from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from spaces import SpaceError, TrialParams, WeightsError
from tests.support.models import untrained_model
from trainables.models import (
    Weights,
    build_model,
    check_weights,
    separate_tensors,
    timm_model_args,
)
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


@pytest.fixture
def of_its_own_size(tmp_path: Path) -> Callable[[str], Weights]:
    """Makes weights of a backbone at timm's image size."""

    def make(backbone: str) -> Weights:
        file = tmp_path / "weights.safetensors"
        save_file(separate_tensors(timm.create_model(backbone)), file)
        return Weights.from_file(backbone, "a file", file)

    return make


def test_weights_that_fit_one_image_size_alone_are_not_called_incomplete(
    of_its_own_size: Callable[[str], Weights],
) -> None:
    weights = of_its_own_size("pit_ti_224")
    assert build_model(TrialParams(backbone="pit_ti_224", image_size=224), weights, 3)
    with pytest.raises(
        SpaceError, match=r"are for images of 224 pixels alone, so image_size can't be 96; leave"
    ):
        check_weights(TrialParams(backbone="pit_ti_224", image_size=96), weights)
    other = replace(weights, backbone="crossvit_tiny_240")
    with pytest.raises(WeightsError, match="does not hold all weights of crossvit_tiny_240"):
        check_weights(TrialParams(backbone="crossvit_tiny_240", image_size=96), other)


def test_an_image_size_that_timm_asserts_against_is_refused_in_a_sentence(
    of_its_own_size: Callable[[str], Weights],
) -> None:
    params = TrialParams(backbone="xcit_nano_12_p16_224", image_size=100)
    with pytest.raises(SpaceError, match=r"can't take images of 100 pixels \(.*divide image"):
        check_weights(params, of_its_own_size(params.backbone))


def test_the_reason_names_a_tensor_that_does_not_fit(
    of_its_own_size: Callable[[str], Weights],
) -> None:
    weights = of_its_own_size("test_resnet")
    assert weights.file
    state = load_file(weights.file)
    first = next(name for name, tensor in state.items() if tensor.ndim == 4)
    save_file({**state, first: state[first][:1].contiguous()}, weights.file)
    with pytest.raises(WeightsError, match=rf"\(size mismatch for {first}"):
        build_model(TrialParams(backbone="test_resnet"), weights, 3)


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
