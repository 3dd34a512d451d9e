import copy

import pytest
import torch
from torch import nn

from spaces import TrialParams
from trainables.models import (
    CannotSplitError,
    Preprocessing,
    Weights,
    build_model,
    head_names,
    set_train_mode,
    split_for_trial,
    split_model,
    unfreeze_groups,
    unfrozen_group_count,
)
from trainables.models import frozen_prefix as prefix
from trainables.models.torch_internals import flat_leaves

FAMILIES = [
    "vgg16",
    "resnet50",
    "inception_v3",
    "inception_resnet_v2",
    "densenet121",
    "mobilenetv3_large_100",
    "tf_efficientnet_lite0",
    "convnext_atto",
    "regnety_016",
    "dm_nfnet_f0",
    "maxvit_tiny_tf_224",
    "vit_tiny_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "swin_tiny_patch4_window7_224",
    "eva02_tiny_patch14_224",
    "repvgg_a0",
    "ghostnet_100",
    "hrnet_w18_small",
    "caformer_s18",
    "hiera_tiny_224",
    "levit_128",
    "deit_tiny_distilled_patch16_224",
    "mobilevit_s",
]
DEPTHS = (0.0, 0.25, 0.5)


def random_model(params: TrialParams) -> nn.Module:
    """An untrained model with a random head instead of one of zeros."""
    torch.manual_seed(0)
    model = build_model(params, Weights(params.backbone, "none", None), 5)
    for name in head_names(model):
        for layer in model.get_submodule(name).modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.1)
    return model


def small_params(backbone: str, **fields: float) -> TrialParams:
    native = Preprocessing.of(backbone)
    side = 96 if native.image_size > 96 and not native.fixed_input_size else native.image_size
    if "dinov2" in backbone:
        side = 112
    return TrialParams.parse({"backbone": backbone, "image_size": side, **fields})


@pytest.fixture
def unfused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes without BatchNorm fusion: equal to the last digit, not only to rounding."""
    monkeypatch.setattr(prefix, "find_fusable_pairs", lambda module, images: {})
    monkeypatch.setattr(prefix, "_verified", {})


@pytest.mark.slow
@pytest.mark.parametrize("backbone", FAMILIES)
def test_prefix_and_suffix_together_equal_the_whole_model(backbone: str, unfused: None) -> None:
    params = small_params(backbone, dropout=0.2)
    model = random_model(params)
    images = torch.rand(3, 3, params.image_size, params.image_size)
    for unfreeze in DEPTHS:
        parts = split_model(model, unfrozen_group_count(model, unfreeze), params.image_size)
        before = copy.deepcopy(model.state_dict())
        for training in (True, False):
            if training:
                set_train_mode(model, "frozen")
            else:
                model.eval()
            results = []
            for run in (model, lambda images, parts=parts: parts.suffix(parts.prefix(images))):
                torch.manual_seed(1)  # the same features are dropped
                results.append(run(images))
                model.load_state_dict(before)  # BatchNorm of what is open has moved
            torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", FAMILIES)
def test_a_fused_prefix_of_every_family_is_equal_up_to_rounding(backbone: str) -> None:
    params = small_params(backbone)
    model = random_model(params)
    images = torch.rand(3, 3, params.image_size, params.image_size)
    parts = split_model(model, 0, params.image_size)
    assert parts.prefix_module is not None
    with torch.no_grad():
        values = flat_leaves(parts.prefix_module(images))
    plain = [v for v in values if isinstance(v, torch.Tensor) and len(v) == 3]
    for feature, before in zip(parts.prefix(images), plain, strict=True):
        scale = float(before.abs().max())
        torch.testing.assert_close(feature, before, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet", "test_vit"])
@pytest.mark.parametrize("unfreeze", DEPTHS)
def test_training_prefix_and_suffix_gives_the_whole_models_gradients(
    backbone: str, unfreeze: float, unfused: None
) -> None:
    params = small_params(backbone, dropout=0.3)
    model = random_model(params)
    parts = split_model(model, unfrozen_group_count(model, unfreeze), params.image_size)
    images = torch.rand(4, 3, params.image_size, params.image_size)
    gradients = []
    for run in (model, lambda images: parts.suffix(parts.prefix(images))):
        torch.manual_seed(1)
        model.zero_grad()
        run(images).square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    assert {n for n, g in gradients[0].items() if g is not None} == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_head_only_training_reads_one_vector_per_image() -> None:
    for backbone in ("test_resnet", "test_efficientnet", "test_vit", "regnety_002"):
        params = small_params(backbone, unfreeze=0.0)
        model = random_model(params)
        assert split_for_trial(model, params).feature_shapes == ((model.head_hidden_size,),)


def test_similar_unfreeze_fractions_share_a_cut() -> None:
    params = small_params("tf_efficientnet_lite0")
    model = random_model(params)
    shapes = {
        unfreeze: split_for_trial(
            model, params.model_copy(update={"unfreeze": unfreeze})
        ).feature_shapes
        for unfreeze in (0.0, 0.1, 0.25, 0.3, 0.5)
    }
    assert shapes[0.1] == shapes[0.25]
    assert shapes[0.3] == shapes[0.5]
    assert len(set(shapes.values())) == 3


def test_a_fingerprint_follows_the_weights_and_the_cut() -> None:
    params = small_params("test_efficientnet")
    model = random_model(params)
    one = split_model(model, 0, 32).fingerprint
    assert split_model(random_model(params), 0, 32).fingerprint == one
    assert split_model(model, 2, 32).fingerprint != one
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    assert split_model(model, 0, 32).fingerprint != one


@pytest.mark.parametrize("backbone", ["test_vit", "test_convnext"])
def test_trials_of_different_drop_rates_share_a_prefix(backbone: str) -> None:
    rates = ({}, {"drop_path": 0.1}, {"drop_path": 0.2, "dropout": 0.3})
    images, fingerprints = torch.rand(2, 3, 160, 160), set()
    for rate in rates:
        params = small_params(backbone, **{"unfreeze": 0.25, **rate})
        model = random_model(params)
        parts = split_for_trial(model, params)
        fingerprints.add(parts.fingerprint)
        model.eval()
        cropped = images[..., : params.image_size, : params.image_size]
        with torch.no_grad():
            torch.testing.assert_close(parts.suffix(parts.prefix(cropped)), model(cropped))
    assert len(fingerprints) == 1


@pytest.mark.parametrize("fields", [{"unfreeze": 0.8}, {"batchnorm": "all"}])
def test_a_trial_with_nothing_to_store_stays_unsplit(fields: dict[str, float]) -> None:
    params = small_params("test_efficientnet", **{"unfreeze": 0.2, **fields})
    parts = split_for_trial(random_model(params), params)
    assert parts.prefix_module is None
    assert parts.feature_shapes == ((3, params.image_size, params.image_size),)


class DataDependent(nn.Module):
    """A model whose control flow depends on its input, which torch.fx can't trace."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.pretrained_cfg = {"classifier": "model.classifier"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            x = x * 2
        return self.model(x)  # type: ignore[no-any-return]


def test_a_model_that_fx_can_not_trace_is_refused_with_the_reason() -> None:
    with pytest.raises(CannotSplitError, match=r"torch.fx can't trace it \("):
        split_model(DataDependent(random_model(small_params("test_efficientnet"))), 0, 32)


def test_a_prefix_applies_no_dropout_and_changes_no_statistics(untrained: Weights) -> None:
    params = small_params("test_efficientnet", unfreeze=0.25, drop_path=0.5)
    model = build_model(params, untrained, 3)
    parts = split_for_trial(model, params)
    unfreeze_groups(model, unfrozen_group_count(model, params.unfreeze))
    set_train_mode(model, "frozen")
    images = torch.rand(4, 3, params.image_size, params.image_size)
    before = copy.deepcopy(model.state_dict())
    first, again = parts.prefix(images), parts.prefix(images)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_models_of_the_same_class_with_different_widths_are_distinguished() -> None:
    for depth in (0.0, 0.25):
        shapes = []
        for backbone in ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_tiny_patch16_224"):
            params = small_params(backbone, unfreeze=depth)
            shapes.append(split_for_trial(random_model(params), params).feature_shapes)
        assert shapes[0] == shapes[2] != shapes[1]


def test_a_split_with_other_results_is_refused_even_if_the_head_is_zero(
    untrained: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = small_params("test_efficientnet", unfreeze=0.25, image_size=48)
    model = build_model(params, untrained, 3)
    kept = copy.deepcopy(model.state_dict())
    features = prefix.Boundary.features
    monkeypatch.setattr(
        prefix.Boundary,
        "features",
        lambda self, output: tuple(2 * f for f in features(self, output)),
    )
    with pytest.raises(CannotSplitError, match="different logits from the whole model"):
        split_model(model, 1, 48)
    assert all(torch.equal(t, kept[n]) for n, t in model.state_dict().items())
