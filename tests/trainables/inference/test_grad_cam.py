import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from spaces import TrialParams
from trainables.inference import LogitsAndFeatures, grad_cam, grad_cam_maps
from trainables.models import Weights, build_model, head_names


def model_of(backbone: str, image_size: int, **fields: object) -> nn.Module:
    """Model whose head has random weights."""
    torch.manual_seed(0)
    params = TrialParams.parse({"backbone": backbone, "image_size": image_size, **fields})
    model = build_model(params, Weights(backbone, "none", None), 3)
    for name in head_names(model):
        for layer in model.get_submodule(name).modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.1)
    return model.eval()


def test_grad_cam_of_a_network_with_mean_pooling_is_the_class_activation_map() -> None:
    """Zhou et al. 2016: the last features, weighted by the classifier's weights."""
    model, images = model_of("test_resnet", 64), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = model.forward_features(images)  # type: ignore[operator]
    weights = model.get_submodule("fc").weight[[0, 2]]  # type: ignore[index]
    expected = torch.einsum("nchw,nc->nhw", features, weights).relu().detach()
    expected /= expected.amax(dim=(1, 2), keepdim=True)
    resized = functional.interpolate(expected[:, None], (64, 64), mode="bilinear")[:, 0]
    maps = grad_cam_maps(model, images, np.array([0, 2]))
    assert maps is not None
    assert np.allclose(maps, resized.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "image_size"),
    [
        ("test_efficientnet", 64),
        ("test_convnext", 64),
        ("test_vit", 160),  # classifies by its class token
        ("swin_tiny_patch4_window7_224", 224),  # channels last
        ("xcit_nano_12_p16_224", 224),  # no class token among the patches
        ("densenet121", 224),
        ("mixer_s32_224", 224),
        ("volo_d1_224", 224),  # channels last, and does not say so
    ],
)
def test_models_of_several_timm_families_have_a_grad_cam_map(
    backbone: str, image_size: int
) -> None:
    model = model_of(backbone, image_size)
    maps = grad_cam_maps(model, torch.rand(2, 3, image_size, image_size), np.array([0, 1]))
    assert maps is not None
    assert maps.shape == (2, image_size, image_size)
    assert 0 <= maps.min() < maps.max() <= 1


def test_a_model_whose_stages_give_the_pixels_of_each_patch_has_no_map() -> None:
    model, images = model_of("tnt_s_legacy_patch16_224", 224), torch.rand(2, 3, 224, 224)
    assert grad_cam_maps(model, images, np.array([0, 1])) is None


def test_the_axis_of_the_channels_is_told_by_their_number() -> None:
    model = nn.Identity()  # whose ``output_fmt`` is not known
    last = grad_cam._as_map(model, torch.zeros(2, 14, 15, 384), 384)
    first = grad_cam._as_map(model, torch.zeros(2, 384, 14, 15), 384)
    assert last is not None
    assert first is not None
    assert last.shape == first.shape == (2, 14, 15, 384)


def test_a_map_changes_with_the_class_and_leaves_no_hook_behind() -> None:
    model, images = model_of("test_resnet", 64), torch.rand(1, 3, 64, 64)
    first, second = (grad_cam_maps(model, images, np.array([k])) for k in (0, 1))
    assert first is not None
    assert not np.array_equal(first, second)  # type: ignore[arg-type]
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("head_hidden", [0, 8])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_efficientnet"])
def test_features_are_the_input_of_the_classifier(backbone: str, head_hidden: int) -> None:
    size = 160 if backbone == "test_vit" else 64
    model = model_of(backbone, size, head_hidden=head_hidden)
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        expected = model(images)
        output = LogitsAndFeatures(model)(images)
        logits, features = output[:, :3], output[:, 3:]
        assert torch.equal(logits, expected)
        classifier = model.get_submodule(head_names(model)[0])
        assert torch.allclose(classifier(features), expected, atol=1e-5)
