"""Size, trainable share and training speed of the backbones of a plan."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from search.config import SweepConfig
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
    weights_licence,
)

UNFREEZE_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Unfreeze fractions at which the trainable share is computed."""


@dataclass(frozen=True)
class BackboneFacts:
    """A backbone as `finesweep plan` shows it."""

    backbone: str
    weights: str
    """Origin of the initial weights."""
    licence: str
    """What is known of the licence of the weights, as in `weights_licence`."""
    image_size: int
    """Side of the input in pixels."""
    parameters: int
    groups: int
    """Number of layer groups in the backbone; unfreezing begins with the last group."""
    trainable_share: dict[str, float]
    """Share of all parameters that train, by unfreeze fraction."""
    train_images_per_second: float
    """Training images per second on the `timing_device`, at the space's default unfreeze
    fraction."""


def timing_device(config: SweepConfig) -> torch.device:
    """Device on which a plan times the backbones.

    It is this machine's GPU if there is one and trials will hold a GPU; otherwise it is the CPU.
    """
    on_gpu = config.gpus_per_trial != 0 and torch.cuda.is_available()
    return torch.device("cuda" if on_gpu else "cpu")


def measure_backbones(plan: Plan) -> list[BackboneFacts]:
    """Build and time every backbone of a plan. This takes a few seconds for each backbone."""
    class_count, device = len(plan.survey.dataset.classes), timing_device(plan.config)
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
                licence=weights_licence(name, plan.config.weights),
                image_size=params.image_size,
                parameters=sum(p.numel() for p in model.parameters()),
                groups=len(backbone_groups(model)),
                trainable_share=shares,
                train_images_per_second=_training_rate(model, params, device),
            )
        )
    return facts


def _training_rate(
    model: torch.nn.Module,
    params: TrialParams,
    device: torch.device,
    *,
    batch_size: int = 16,
    timed_steps: int = 2,
) -> float:
    """Training images per second over ``timed_steps`` steps after a warm-up step.

    On the CPU, one core trains, and the CPU time of this process is measured, which other processes
    hardly change. On a GPU, wall time is measured, with bfloat16 autocast if the GPU supports it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    unfreeze_groups(model, unfrozen_group_count(model, params.unfreeze))
    set_train_mode(model, "frozen")
    model = model.to(device).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, params)
    shape = (batch_size, 3, params.image_size, params.image_size)
    images = torch.rand(shape, device=device)
    bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    seconds_now = _clock_of(device)
    started = 0.0
    for step in range(1 + timed_steps):
        if step == 1:
            started = seconds_now()
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16):
            loss = model(images).float().square().mean()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return timed_steps * batch_size / (seconds_now() - started)


def _clock_of(device: torch.device) -> Callable[[], float]:
    """Clock for work on ``device``, in seconds: CPU time for a CPU, wall time for a GPU."""
    if device.type == "cpu":
        return time.process_time

    def after_all_kernels() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return after_all_kernels
