"""Size, trainable share and training speed of the backbones of a plan."""

import time
from dataclasses import dataclass

import torch

from search.planning.plan import Plan
from spaces import TrialParams
from trainables.models import (
    backbone_groups,
    build_model,
    make_optimizer,
    set_train_mode,
    trainable_share,
    unfreeze_groups,
    unfrozen_group_count,
)

UNFREEZE_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Unfreeze fractions at which the trainable share is computed."""


@dataclass(frozen=True)
class BackboneFacts:
    """A backbone as `finesweep plan` shows it."""

    backbone: str
    weights: str
    """Origin of the initial weights."""
    image_size: int
    """Side of the input in pixels."""
    parameters: int
    groups: int
    """Number of groups of layers that are unfrozen one after another."""
    trainable_share: dict[str, float]
    """Share of all parameters that train, by unfreeze fraction."""
    train_images_per_second: float
    """Training images per second on one CPU core of this machine, at the space's default unfreeze
    fraction."""


def measure_backbones(plan: Plan) -> list[BackboneFacts]:
    """Build and time every backbone of a plan, which takes a few seconds for each."""
    class_count = len(plan.survey.dataset.classes)
    facts = []
    for name, weights in plan.weights.items():
        params = plan.space.params({"backbone": name}, native_image_size=plan.native_image_size)
        model = build_model(params, weights, class_count)
        shares = {}
        for fraction in UNFREEZE_FRACTIONS:
            unfreeze_groups(model, unfrozen_group_count(model, fraction))
            shares[f"{fraction:g}"] = trainable_share(model)
        facts.append(
            BackboneFacts(
                backbone=name,
                weights=weights.origin,
                image_size=params.image_size,
                parameters=sum(p.numel() for p in model.parameters()),
                groups=len(backbone_groups(model)),
                trainable_share=shares,
                train_images_per_second=_training_rate(model, params),
            )
        )
    return facts


def _training_rate(
    model: torch.nn.Module, params: TrialParams, *, batch_size: int = 16, timed_steps: int = 2
) -> float:
    """Training images per second on one core, over ``timed_steps`` steps after a warm-up step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    unfreeze_groups(model, unfrozen_group_count(model, params.unfreeze))
    set_train_mode(model, freeze_batchnorm=True)
    model = model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, params)
    images = torch.rand(batch_size, 3, params.image_size, params.image_size)
    started = 0.0
    for step in range(1 + timed_steps):
        if step == 1:
            started = time.perf_counter()
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return timed_steps * batch_size / (time.perf_counter() - started)
