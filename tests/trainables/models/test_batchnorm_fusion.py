import copy

import pytest
import timm
import torch
from timm.layers import StdConv2d
from torch import fx, nn

from trainables.models import (
    merge_frozen_batchnorms,
    set_train_mode,
    split_model,
    use_fast_depthwise,
)
from trainables.models.batchnorm_fusion import find_fusable_pairs, fuse_batchnorms

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def pretrained_like(backbone: str) -> nn.Module:
    """A model with BatchNorm statistics as after training."""
    torch.manual_seed(0)
    model = timm.create_model(backbone, num_classes=3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model


def frozen_prefix_of(backbone: str) -> fx.GraphModule:
    """Prefix of a model in front of its head."""
    prefix = split_model(pretrained_like(backbone), 0, 64).prefix_module
    assert prefix is not None
    return prefix


@pytest.mark.parametrize(
    ("backbone", "batchnorms"),
    [("resnet18", 20), ("tf_efficientnet_lite0", 49), ("mobilenetv3_small_100", 34)],
)
def test_every_batchnorm_after_a_convolution_is_fused(backbone: str, batchnorms: int) -> None:
    part = frozen_prefix_of(backbone)
    with torch.no_grad():
        pairs = find_fusable_pairs(part, IMAGES)
        before, after = part(IMAGES)[0], fuse_batchnorms(part, pairs)(IMAGES)[0]
    assert len(pairs) == batchnorms
    left = [m for m in fuse_batchnorms(part, pairs).modules() if isinstance(m, nn.BatchNorm2d)]
    assert not left
    assert [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)], "the model keeps its own"
    assert torch.allclose(before, after, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    assert not torch.equal(before, after)


def test_a_norm_in_front_of_its_convolution_is_not_fused() -> None:
    with torch.no_grad():
        pairs = find_fusable_pairs(frozen_prefix_of("resnetv2_50d_gn"), IMAGES)
        assert pairs == {}, "GroupNorm, in front of convolutions"
        pairs = find_fusable_pairs(frozen_prefix_of("densenet121"), IMAGES)
    assert pairs["features.conv0"] == "features.norm0"
    assert all("norm1" not in name for name in pairs.values())


def test_a_convolution_with_weight_standardization_is_not_fused() -> None:
    with torch.no_grad():
        assert find_fusable_pairs(frozen_prefix_of("skresnext50_32x4d"), IMAGES)
        assert find_fusable_pairs(frozen_prefix_of("nf_resnet26"), IMAGES) == {}
        assert find_fusable_pairs(Standardized(), IMAGES) == {}


class Standardized(fx.GraphModule):
    """A convolution with weight standardization, and a BatchNorm after it."""

    def __init__(self) -> None:
        layers = nn.Sequential(StdConv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
        nn.init.uniform_(layers[1].running_var, 2, 3)
        graph = fx.Graph()
        images = graph.placeholder("images")
        convolved = graph.call_module("0", (images,))
        graph.output((graph.call_module("1", (convolved,)),))
        super().__init__(layers, graph)


def loss_and_gradients(model: nn.Module) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss of a step with frozen statistics, and the gradient of every parameter."""
    set_train_mode(model, "frozen")
    model.zero_grad()
    loss = nn.functional.cross_entropy(model(IMAGES) / 10, torch.tensor([0, 2]))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0", "densenet121"])
def test_a_merged_model_trains_as_before_under_the_same_names(backbone: str) -> None:
    model = pretrained_like(backbone)
    use_fast_depthwise(model)
    names = list(model.state_dict())
    loss, gradients = loss_and_gradients(model)
    merge_frozen_batchnorms(model, IMAGES)
    assert any(hasattr(module, "batchnorm") for module in model.modules())
    assert list(model.state_dict()) == names
    for each in (model, copy.deepcopy(model)):
        again, merged = loss_and_gradients(each)
        assert again == pytest.approx(loss, rel=1e-4)
        assert merged.keys() == gradients.keys()
        for name, gradient in merged.items():
            error = torch.linalg.vector_norm(gradient - gradients[name])
            assert error < 0.01 * torch.linalg.vector_norm(gradients[name]) + 1e-6, name


def test_a_copy_of_a_merged_model_has_its_own_batchnorms() -> None:
    model = pretrained_like("resnet18")
    merge_frozen_batchnorms(model, IMAGES)
    copied = copy.deepcopy(model)
    before = model.eval()(IMAGES)
    for module in copied.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    assert torch.equal(model(IMAGES), before)
    assert not torch.allclose(copied.eval()(IMAGES), before)


def test_the_prefix_is_left_as_it_is() -> None:
    model = pretrained_like("resnet18")
    split = split_model(model, 2, 64)
    assert split.prefix_module is not None
    model.eval()
    before = split.suffix(split.prefix(IMAGES)).detach()
    merge_frozen_batchnorms(model, IMAGES, prefix=split.prefix_module)
    frozen = {id(module) for module in split.prefix_module.modules()}
    merged = [id(module) for module in model.modules() if hasattr(module, "batchnorm")]
    assert merged and not frozen.intersection(merged)
    after = split.suffix(split.prefix(IMAGES)).detach()
    assert torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


def test_a_model_that_merging_would_change_stays_as_it_was() -> None:
    model = pretrained_like("resnet18")
    model.conv1 = StdConv2d(3, 64, 7, stride=2, padding=3)
    kinds = [type(module) for module in model.modules()]
    merge_frozen_batchnorms(model, IMAGES)
    assert [type(module) for module in model.modules()] == kinds
