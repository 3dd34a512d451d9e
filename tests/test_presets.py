"""The presets against timm: weights, licence and size of every backbone, and whether it trains."""

from functools import cache
from pathlib import Path

import pytest
import timm
import torch
from timm.layers import set_fused_attn, use_fused_attn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from spaces import SearchSpace, TrialParams, preset_names
from trainables.models import (
    Preprocessing,
    Weights,
    build_model,
    make_optimizer,
    split_model,
    timm_model_args,
    unfrozen_group_count,
)
from trainables.models.weights import check_backbone

PAGE = Path(__file__).parents[1] / "docs" / "spaces.md"
COMMERCIAL = {"apache-2.0", "bsd-3-clause", "mit"}
"""Licences that allow commercial use without further conditions."""
SPACES = {name: SearchSpace.load(name) for name in preset_names()}
BACKBONES = sorted({name for space in SPACES.values() for name in space.backbones})


@cache
def rows() -> dict[str, list[str]]:
    """Cells of the page's table of backbones, by the name of the backbone."""
    lines = PAGE.read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0]: cells[1:] for cells in table if len(cells) == 7 and "." in cells[3]}


def licence(backbone: str) -> str:
    cfg = timm.get_pretrained_cfg(backbone)
    assert cfg is not None
    return str(cfg.license)


@cache
def cost(backbone: str, side: int) -> tuple[float, float]:
    """Millions of parameters and GMACs of a backbone with a head of two classes.

    The model is built without memory for its weights. Products of attention are counted too.
    """
    params = TrialParams(backbone=backbone, image_size=side)
    fused = use_fused_attn()
    set_fused_attn(False)
    with torch.device("meta"):
        model = timm.create_model(backbone, num_classes=2, **timm_model_args(params)).eval()
        image = torch.empty(1, 3, side, side)
    set_fused_attn(bool(fused))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters / 1e6, counter.get_total_flops() / 2e9


def test_the_page_lists_the_backbones_of_every_preset() -> None:
    assert sorted(rows()) == BACKBONES
    for name, cells in rows().items():
        presets = {preset for preset, space in SPACES.items() if name in space.backbones}
        assert set(cells[0].split(", ")) == presets, name


@pytest.mark.parametrize("backbone", BACKBONES)
def test_timm_has_weights_of_this_name_under_the_licence_of_the_page(backbone: str) -> None:
    check_backbone(backbone)
    cfg = timm.get_pretrained_cfg(backbone)
    assert cfg is not None
    assert cfg.hf_hub_id
    assert rows()[backbone][-1] == licence(backbone)


@pytest.mark.parametrize("preset", sorted(SPACES))
def test_weights_with_conditions_are_in_thorough_alone_and_named_there(preset: str) -> None:
    space = SPACES[preset]
    conditional = [name for name in space.backbones if licence(name) not in COMMERCIAL]
    assert conditional == (["vit_small_patch16_dinov3.lvd1689m"] if preset == "thorough" else [])
    if conditional:
        assert "DINOv3 has a licence of its own" in space.dimensions["backbone"].reason


@pytest.mark.slow
def test_every_backbone_has_the_size_of_the_page() -> None:
    for name, (_, pixels, parameters, gmacs, *_rest) in rows().items():
        millions, measured = cost(name, int(pixels))
        assert float(parameters) == pytest.approx(millions, abs=0.051), name
        assert float(gmacs) == pytest.approx(measured, abs=0.051 if measured >= 1 else 0.006), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "most_parameters", "least_gmacs", "most_gmacs"),
    [("default", 30, 2.5, 6.5), ("edge", 6, 0.1, 1)],
)
def test_the_backbones_of_a_preset_cost_about_the_same(
    preset: str, most_parameters: float, least_gmacs: float, most_gmacs: float
) -> None:
    sizes = {name: Preprocessing.of(name).image_size for name in SPACES[preset].backbones}
    for name, side in SPACES[preset].backbone_sizes(sizes):
        millions, gmacs = cost(name, side)
        assert millions < most_parameters, name
        assert least_gmacs < gmacs < most_gmacs, name


@pytest.mark.parametrize("preset", sorted(SPACES))
def test_every_preset_begins_with_a_linear_probe_of_each_backbone(preset: str) -> None:
    space = SPACES[preset]
    native = {name: Preprocessing.of(name).image_size for name in space.backbones}
    starts = space.initial_points(native_image_size=native)
    probes = starts[: len(space.backbones)]
    assert [start.backbone for start in probes] == list(space.backbones)
    assert {start.head for start in probes} == {"solved"}
    assert {start.head for start in starts[len(probes) :]} == {"trained"}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_splits_at_each_depth_and_trains_a_step(backbone: str) -> None:
    params = TrialParams(backbone=backbone, image_size=112, unfreeze=0.25, optimizer="sgd")
    torch.manual_seed(0)
    model = build_model(params, Weights(backbone, "none", None), 3)
    for depth in (0.0, 0.5, params.unfreeze):  # every split is compared with the whole model
        parts = split_model(model, unfrozen_group_count(model, depth), params.image_size)
    optimizer = make_optimizer(model, params)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    before = {name: parameter.clone() for name, parameter in trained.items()}
    features = parts.prefix(torch.rand(3, 3, params.image_size, params.image_size))
    for _ in range(2):  # gradients reach the backbone once the head is no longer zero
        cross_entropy(parts.suffix(features), torch.arange(3)).backward()
        optimizer.step()
    gradients = {name: parameter.grad for name, parameter in trained.items()}
    assert [
        name for name, grad in gradients.items() if grad is None or not grad.isfinite().all()
    ] == []
    moved = [name for name, parameter in trained.items() if not parameter.equal(before[name])]
    assert len(moved) > len(trained) / 2  # a scale of 1 does not move by less than its precision


@pytest.mark.parametrize("preset", sorted(SPACES))
def test_any_value_of_a_preset_can_be_fixed_and_the_space_read_again(preset: str) -> None:
    space = SPACES[preset]
    for field, dim in space.open.items():
        for value in dim.extremes:
            fixed = space.with_fixed(**{field: value})
            table = fixed.to_table()
            again = SearchSpace.from_table(
                {key: entry for key, entry in table.items() if key != "name"},
                name=preset,
                recorded=True,
            )
            assert again.dimensions == fixed.dimensions
            assert list(again.distributions()) == list(fixed.distributions())
