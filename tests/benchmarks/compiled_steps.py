"""Speed of training steps: eager, with `torch.compile`, and with the whole step as a CUDA graph.

    python -m tests.benchmarks.compiled_steps cold MODEL BATCH_SIZE
    python -m tests.benchmarks.compiled_steps warm MODEL BATCH_SIZE [--autotune]

``cold`` compiles once, in the default mode. Set ``TORCHINDUCTOR_CACHE_DIR`` to an empty folder for
it. ``warm``, in a second process, then measures every variant of the step with that cache. Both
print rows of a Markdown table; results/benchmarks/gpu_compiled_steps.md combines the rows of four
models. A ``warm`` run takes about half a minute per model before ``reduce-overhead``, which never
ended in our runs: set a time limit. Where device time is short, run
``tests.benchmarks.on_a_gpu FOLDER roof`` first.

Needs no network: models start untrained. Images are random, and one batch stays on the device. The
script does not compare the results of the variants. Without a CUDA device it uses the CPU and 32 px
images, which only shows that the script runs.
"""

import argparse
import gc
import logging
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import timm
import torch

from tests.benchmarks.measuring import spread

Step = Callable[[], object]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
IMAGE_SIZE_PX = 224 if DEVICE == "cuda" else 32
ROUNDS, ROUND_SECONDS = (5, 0.6) if DEVICE == "cuda" else (1, 0.1)
WARM_UP_STEPS = 3
HEADER = (
    "| model | batch | step | images/s | first step + second, then third; capture "
    "| peak reserved MiB | time |\n| --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True)
class Variant:
    """Variant of a training step: eager or compiled, with or without a CUDA graph."""

    label: str
    mode: str | None = None
    """Mode of `torch.compile`; None runs the model eagerly."""
    graph: bool = False
    """Whether the whole step is captured in a CUDA graph."""
    measured: bool = True
    """Whether to measure images per second, besides the time of the first steps."""


COLD = Variant("compile, empty cache", "default", measured=False)
WARM_UP = Variant("(warming up)", measured=False)
EAGER = Variant("eager")
GRAPH = Variant("eager, whole step in a CUDA graph", graph=True)
COMPILED = Variant("compile default, cache of another process", "default")
COMPILED_GRAPH = Variant("compile default, whole step in a CUDA graph", "default", graph=True)
REDUCE_OVERHEAD = Variant("compile reduce-overhead", "reduce-overhead")
AUTOTUNE = Variant("compile max-autotune-no-cudagraphs", "max-autotune-no-cudagraphs")


def training_step(name: str, batch_size: int, mode: str | None) -> Callable[[bool], object]:
    """Build a function that runs one training step of the whole model.

    Its argument is autocast's ``cache_enabled``.
    """
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=2)
    model = model.to(DEVICE, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, fused=True, capturable=DEVICE == "cuda"
    )
    images = torch.rand(batch_size, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX, device=DEVICE)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch_size, device=DEVICE) % 2
    forward = model if mode is None else torch.compile(model, mode=mode)

    def step(cache_casts: bool) -> object:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, dtype=torch.bfloat16, cache_enabled=cache_casts):
            logits = forward(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def captured(step: Callable[[bool], object]) -> Step:
    """Capture the step as a CUDA graph, after a warm-up on a side stream; return its replay."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            step(False)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(False)
    return graph.replay


def device_seconds(run: Step, times: int = 1) -> float:
    """Wall seconds of ``times`` calls, until the device has finished."""
    _synchronize()
    began = time.perf_counter()
    for _ in range(times):
        run()
    _synchronize()
    return time.perf_counter() - began


def images_per_second(step: Step, batch_size: int) -> list[float]:
    """Images per second in each round, after a warm-up."""
    for _ in range(WARM_UP_STEPS):
        step()
    steps = max(3, int(ROUND_SECONDS / device_seconds(step)))
    return [steps * batch_size / device_seconds(step, steps) for _ in range(ROUNDS)]


def measure(name: str, batch_size: int, variant: Variant) -> None:
    """Measure a variant, and print its row of the table, or its error if it fails."""
    began = time.perf_counter()
    try:
        _forget_the_last_model()
        step = training_step(name, batch_size, variant.mode)
        run: Step = partial(step, True)
        first, second, third = (device_seconds(run) for _ in range(3))
        took = f"{first:.1f} + {second:.1f}, then {1000 * third:.0f} ms"
        if variant.graph:
            capture_began = time.perf_counter()
            run = captured(step)
            took += f"; capture {time.perf_counter() - capture_began:.1f}"
        rate = spread(images_per_second(run, batch_size)) if variant.measured else ""
        row = f"{rate} | {took} | {_peak_mib():.0f} | {time.perf_counter() - began:.0f} s in all |"
    except Exception as error:  # go on with the other variants
        traceback.print_exc()
        row = f"FAILED {type(error).__name__}: {str(error)[-300:]!r} | | | |"
    print(f"| {name} | {batch_size} | {variant.label} | {row}", flush=True)


def _forget_the_last_model() -> None:
    gc.collect()
    torch._dynamo.reset()
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def _peak_mib() -> float:
    return torch.cuda.max_memory_reserved() / 2**20 if DEVICE == "cuda" else 0.0


def main() -> None:
    """Measure all variants for one model and batch size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cache", choices=["cold", "warm"])
    parser.add_argument("model")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("--autotune", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if args.cache == "cold":
        variants = [COLD]
    elif DEVICE == "cuda":
        variants = [WARM_UP, EAGER, GRAPH, COMPILED, COMPILED_GRAPH, REDUCE_OVERHEAD]
        variants += [AUTOTUNE] * args.autotune
    else:
        variants = [EAGER, COMPILED]
    print(HEADER)
    for variant in variants:
        measure(args.model, args.batch_size, variant)


if __name__ == "__main__":
    main()
