"""Training throughput of fine-tunes, relative to bare loops and to the peak of the GPU."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from spaces import TrialParams
from tests.benchmarks.measuring import alternate, ratios, spread
from tests.benchmarks.on_a_gpu.fine_tunes import begin
from trainables.models import (
    Weights,
    build_model,
    make_optimizer,
    set_train_mode,
    unfreeze_groups,
    unfrozen_group_count,
)

CASES = (
    ("resnet50", 1.0, 64),
    ("vit_small_patch16_224", 1.0, 64),
    ("convnext_tiny", 1.0, 64),
    ("resnet50", 0.25, 64),
    ("resnet50", 1.0, 256),
    ("resnet50", 0.0, 64),
)
"""Backbones, unfreeze fractions and batch sizes of the throughput's table."""


def bare(
    params: TrialParams, steps: int = 40, *, device: str = "cuda", graph: bool = False
) -> tuple[Callable[[], float], float]:
    """Build a bare training loop, which repeats one step on a batch that stays on the GPU.

    With ``graph``, the whole step is replayed as a CUDA graph. Returns a function that runs the
    loop and returns its images per second, and the FLOPs of one image in a training step.
    """
    model = build_model(params, Weights(params.backbone, "none", None), 2).to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    unfreeze_groups(model, unfrozen_group_count(model, params.unfreeze))
    set_train_mode(model, "batch")
    optimizer = make_optimizer(model, params)
    for group in optimizer.param_groups:
        group["capturable"] = graph
    side = params.image_size
    images = torch.rand(params.batch_size, 3, side, side, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(params.batch_size, device=device) % 2

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = model(images)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    for _ in range(5):
        step()
    repeated: Callable[[], object] = _recorded(step) if graph else step

    def run() -> float:
        took = _on_card(lambda: [repeated() for _ in range(steps)], device)
        return steps * params.batch_size / took

    return run, counter.get_total_flops() / params.batch_size


def _recorded(step: Callable[[], object]) -> Callable[[], object]:
    """Record a step as a CUDA graph; return the graph's replay."""
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        step()

    def replay(_kept: Callable[[], object] = step) -> None:  # keeps the step's tensors alive
        recorded.replay()

    return replay


def peak_flops() -> float:
    """FLOP/s of a large matrix product in bfloat16: the compute roof of the roofline model."""
    side = 8192
    a, b = (torch.rand(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    return 50 * 2 * side**3 / _on_card(lambda: [a @ b for _ in range(50)], "cuda")


def _on_card(work: Callable[[], object], device: str) -> float:
    """Wall seconds of ``work``, until the device has finished it."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def against_the_roof(data: Path, rounds: int) -> list[str]:
    """G1: training throughput, relative to bare loops and to the GPU's peak FLOP/s."""
    roof = peak_flops()
    lines = [
        "G1: training images/s at 224 px, bfloat16, no stored features, augmentation strength 0.3. "
        "Kernel by kernel: Finesweep without recording steps as CUDA graphs. A bare loop repeats "
        "one step (AdamW, channels last) on a batch that stays on the GPU; its better form replays "
        f"the whole step as a CUDA graph. The GPU's peak is {roof / 1e12:.0f} TFLOP/s (a product "
        "of 8192 x 8192 matrices).",
        "",
        "| backbone, unfreeze, batch | Finesweep | kernel by kernel | times as fast | bare loop "
        "| bare loop in a graph | Finesweep over that | that, share of peak |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for backbone, unfreeze, batch_size in CASES:
        params = TrialParams(
            backbone=backbone,
            image_size=224,
            unfreeze=unfreeze,
            batch_size=batch_size,
            augment=0.3,
        )
        ours, unrecorded = begin(data, params), begin(data, params)
        unrecorded._steps.gradients.stop_recording()
        ours.run_round(), unrecorded.run_round()
        run_bare, _ = bare(params)
        run_graph, flops = bare(params, graph=True)
        rates = alternate(
            {
                "ours": lambda t=ours: t.run_round().images_per_second,
                "kernels": lambda t=unrecorded: t.run_round().images_per_second,
                "bare": run_bare,
                "graph": run_graph,
            },
            rounds,
        )
        of_roof = [rate * flops / roof for rate in rates["graph"]]
        lines.append(
            f"| {backbone}, {unfreeze:g}, {batch_size} | {spread(rates['ours'])} "
            f"| {spread(rates['kernels'])} | **{spread(ratios(rates['ours'], rates['kernels']), 2)}"
            f"** | {spread(rates['bare'])} | {spread(rates['graph'])} "
            f"| **{spread(ratios(rates['ours'], rates['graph']), 2)}** | {spread(of_roof, 2)} |"
        )
    return lines
