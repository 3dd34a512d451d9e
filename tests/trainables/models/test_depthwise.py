import pytest
import timm
import torch
from torch import nn

from trainables.models import use_fast_depthwise
from trainables.models.depthwise import DepthwiseConv2d


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "height", "width"),
    [(3, 1, 1), (3, 2, 3), (5, 3, 3), (5, 4, 5), (7, 4, 4), (5, 9, 9)],
)
def test_output_and_gradients_equal_those_of_torch(
    kernel: int, height: int, width: int, bias: bool
) -> None:
    plain = nn.Conv2d(6, 6, kernel, padding=kernel // 2, groups=6, bias=bias).double()
    images = torch.rand(4, 6, height, width, dtype=torch.float64)
    results = []
    for fast in (False, True):
        if fast:
            use_fast_depthwise(plain)
        assert isinstance(plain, DepthwiseConv2d) == fast
        plain.zero_grad()
        inputs = images.clone().requires_grad_()
        output = plain(inputs)
        output.square().sum().backward()
        results.append([output, inputs.grad, *(p.grad for p in plain.parameters())])
    for ours, torchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, torchs)


def test_only_depthwise_convolutions_of_stride_1_are_converted() -> None:
    model = timm.create_model("tf_efficientnet_lite0")
    names = set(model.state_dict())
    use_fast_depthwise(model)
    fast = [m for m in model.modules() if isinstance(m, DepthwiseConv2d)]
    depthwise = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(fast) == 12
    assert {m.stride for m in depthwise if m not in fast} == {(2, 2)}
    assert set(model.state_dict()) == names


def test_frozen_weights_and_autocast_use_torchs_own_code() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 5, padding=2, groups=4))
    images = torch.rand(2, 4, 3, 3, requires_grad=True)
    use_fast_depthwise(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(images).sum().backward()
    assert model[0].weight.grad is not None
    model.requires_grad_(False)
    assert "Convolution" in type(model(images).grad_fn).__name__
