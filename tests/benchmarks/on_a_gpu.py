"""G1 to G5: measurements that need a GPU.

    python -m tests.benchmarks.on_a_gpu FOLDER_OF_IMAGES [PART ...] [--rounds N]

Backbones start untrained, because speed and memory do not depend on the weights. Needs one CUDA
device and no network. The parts are ``roof``, ``memory``, ``together`` and ``shares``; all of them
run if none is named. Each part writes its table as soon as it is done. If device time is short, run
``roof`` first, before ``tests.benchmarks.compiled_steps``. On an H100, ``memory`` took half a
minute and ``together`` one minute; ``shares`` has seven sweeps of more than a minute each.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from search.record import SweepPaths, read_trials
from spaces import TrialParams
from tests.benchmarks.measuring import ROOT, SCRATCH, alternate, fresh, ratios, spread, write_table
from trainables.data import ImageSet, build_store, survey_images
from trainables.models import (
    Preprocessing,
    Weights,
    build_model,
    make_optimizer,
    set_train_mode,
    unfreeze_groups,
    unfrozen_group_count,
)
from trainables.process import configure_process
from trainables.training import CONTEXT_MIB, ComputeSettings, FineTuneSettings, FineTuning

CASES = (
    ("resnet50", 1.0, 64),
    ("vit_small_patch16_224", 1.0, 64),
    ("convnext_tiny", 1.0, 64),
    ("resnet50", 0.25, 64),
    ("resnet50", 1.0, 256),
    ("resnet50", 0.0, 64),
)
"""Backbones, unfreeze fractions and batch sizes of the throughput's table."""
IMAGES = 2048
TRIALS, EPOCHS = 8, 6
UNFREEZE = (0.0, 0.25, 0.5, 1.0)
SHARES = {
    "measured": ["--gpus-per-trial", "auto"],
    "a whole card": ["--gpus-per-trial", "1"],
    "measured, no feature kept": ["--gpus-per-trial", "auto", "--features", "off"],
}
"""Flags of each variant of the search: the trials' share of the GPU, and stored features."""
CO_RUNNERS = (1, 2, 4, 8)


def begin(
    data: Path, params: TrialParams, images: int = IMAGES, *, device: str = "cuda"
) -> FineTuning:
    """Start a fine-tune on the first ``images`` training images, without stored features."""
    dataset = survey_images(data, cache=SCRATCH / "survey").dataset
    form = Preprocessing.of(params.backbone).pixel_format(params.image_size, params.fit)
    pixels = build_store(dataset, form, cache=SCRATCH / "pixels")
    return FineTuning(
        params,
        Weights(params.backbone, "none", None),
        num_classes=len(dataset.classes),
        train=ImageSet.of(dataset, pixels, "train").take(images),
        val=ImageSet.of(dataset, pixels, "val"),
        settings=FineTuneSettings(max_epochs=10),
        compute=ComputeSettings(device=device, cache=SCRATCH / "survey"),
    )


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


def co_runners(data: Path, rounds: int) -> list[str]:
    """G2: throughput of 1, 2, 4 and 8 fine-tunes side by side on one GPU."""
    context = multiprocessing.get_context("spawn")
    rates = context.Queue()
    orders = [context.Queue() for _ in range(max(CO_RUNNERS))]
    workers = [context.Process(target=_co_runner, args=(data, order, rates)) for order in orders]
    for worker in workers:
        worker.start()
    for _ in workers:
        rates.get(timeout=300)

    def together(count: int) -> float:
        for order in orders[:count]:
            order.put(True)
        return sum(rates.get(timeout=300) for _ in range(count))

    rates_of = alternate({str(n): lambda n=n: together(n) for n in CO_RUNNERS}, rounds)
    for order, worker in zip(orders, workers, strict=True):
        order.put(False)
        worker.join()
    lines = [
        "G2: fine-tunes side by side on one GPU, ResNet-50 at 224 px, batch 32, a quarter of the "
        "backbone unfrozen, each capped to an eighth of the memory. Idle ones keep their model in "
        "GPU memory.",
        "",
        "| fine-tunes at a time | images/s, total | relative to one |",
        "| --- | --- | --- |",
    ]
    for n in CO_RUNNERS:
        gain = ratios(rates_of[str(n)], rates_of["1"])
        lines.append(f"| {n} | {spread(rates_of[str(n)])} | **{spread(gain, 3)}** |")
    return lines


def _co_runner(data: Path, orders: Any, rates: Any) -> None:
    """Run an epoch for each True in ``orders``, and put its images per second into ``rates``."""
    configure_process(threads=1)
    total = torch.cuda.get_device_properties(0).total_memory / 2**20
    torch.cuda.set_per_process_memory_fraction(1 / max(CO_RUNNERS) - CONTEXT_MIB / total)
    params = TrialParams(backbone="resnet50", image_size=224, unfreeze=0.25, batch_size=32)
    tuning = begin(data, params)
    tuning.run_round()
    rates.put(0.0)
    while orders.get():
        rates.put(tuning.run_round().images_per_second)


@contextmanager
def kernel_share() -> Iterator[list[float]]:
    """Sample the share of time in which a GPU kernel ran, with nvidia-smi, 4 times a second."""
    samples: list[float] = []
    words = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    with subprocess.Popen([*words, "-lms", "250"], stdout=subprocess.PIPE, text=True) as process:
        lines = process.stdout or ()
        reader = threading.Thread(target=lambda: samples.extend(float(x) / 100 for x in lines))
        reader.start()
        yield samples
        process.terminate()
        reader.join()


def points() -> list[dict[str, object]]:
    """Points of the trials, all of them different, so that no trial finds another's features."""
    return [
        {
            "backbone": "resnet50",
            "image_size": 224,
            "batch_size": 64,
            "unfreeze": UNFREEZE[k % len(UNFREEZE)],
            "augment": 0.2 if k < len(UNFREEZE) else 0.4,
        }
        for k in range(TRIALS)
    ]


@dataclass(frozen=True)
class SearchRun:
    """Measurements of one search."""

    seconds: float
    """Wall seconds of the search, without the start of Ray, the scan and the memory probe."""
    kernel_share: float
    """Mean share of those seconds in which a kernel ran."""
    allocation: str
    """Line of the log that says how many trials ran at a time, and on which resources."""


def run_search(data: Path, options: Sequence[str], epochs: int = EPOCHS) -> SearchRun:
    """Launch a sweep in a new process with an empty cache, and measure its search."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        results = Path(folder)
        (results / "points.json").write_text(json.dumps(points()))
        command = [sys.executable, "-m", "search", "launch", str(data), "--space", "demo"]
        command += ["--points", str(results / "points.json"), "--trials", str(TRIALS)]
        command += ["--max-epochs", str(epochs), "--stopping", "none", "--no-retrain"]
        command += ["--weights", "untrained", "--name", "sweep", "--results-dir", folder]
        command += ["--cache-dir", str(results / "cache"), *options]
        with kernel_share() as samples:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        paths = SweepPaths(results / "sweep")
        assert all(trial.status == "completed" for trial in read_trials(paths.journal))
        seconds = json.loads(paths.profile.read_text())["stages"]["search"]
        line = next(x for x in paths.log.read_text().splitlines() if "at a time" in x)
        in_search = samples[-int(4 * seconds) :]
        busy = sum(in_search) / max(len(in_search), 1)
        return SearchRun(seconds, busy, line.partition(" INFO ")[2])


def shares(data: Path, rounds: int) -> list[str]:
    """G3 and G5: time and GPU utilization of a search with each variant of `SHARES`."""
    run_search(
        data, SHARES["measured"], epochs=1
    )  # untimed: files and libraries are then in the page cache
    runs: dict[str, list[SearchRun]] = {share: [] for share in SHARES}

    def seconds_of(share: str) -> float:
        runs[share].append(run_search(data, SHARES[share]))
        return runs[share][-1].seconds

    alternate({share: partial(seconds_of, share) for share in SHARES}, rounds)
    lines = [
        f"G3 and G5: a search of {TRIALS} distinct trials of {EPOCHS} epochs, ResNet-50 at 224 px, "
        "batch 64, a quarter of the trials at each unfreeze fraction. An untimed sweep ran first.",
        "",
        "| GPU share of a trial | search, s | share of time in kernels | trials at a time |",
        "| --- | --- | --- | --- |",
    ]
    for share, measured in runs.items():
        seconds = spread([run.seconds for run in measured])
        kernels = spread([run.kernel_share for run in measured], 2)
        lines.append(f"| {share} | {seconds} | {kernels} | {measured[-1].allocation} |")
    return lines


def out_of_memory(data: Path, rounds: int) -> list[str]:
    """G4: a fine-tune under each of several memory caps, run once each; ``rounds`` is unused."""
    params = TrialParams(backbone="resnet50", image_size=224, unfreeze=1.0, batch_size=256)
    lines = [
        "G4: second epoch of ResNet-50 at 224 px, fully unfrozen, batch 256, under a cap on its "
        "GPU memory.",
        "",
        "| cap, MiB | ran out of memory | training loss | images/s | peak MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    total = torch.cuda.get_device_properties(0).total_memory / 2**20
    for cap in (total, 8000, 4000, 2500):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(cap / total)
        tuning = begin(data, params, 2048)
        tuning.run_round()
        report = tuning.run_round()
        ran_out = "yes" if tuning.ran_out_of_memory else "no"
        lines.append(
            f"| {cap:.0f} | {ran_out} | {report.train_loss:.4f} | "
            f"{report.images_per_second:.0f} | {report.peak_memory_mib:.0f} |"
        )
        del tuning
    torch.cuda.set_per_process_memory_fraction(1.0)
    return lines


@dataclass(frozen=True)
class Part:
    """A measurement and the table that it writes."""

    table: str
    """Name of the table's file in results/benchmarks, without ``.md``."""
    measure: Callable[[Path, int], list[str]]
    """Function of a folder of images and a number of rounds that returns the table's lines."""
    rounds: int | None = 3
    """Default for ``--rounds``; None if the part runs only once."""


PARTS = {
    "roof": Part("gpu_throughput", against_the_roof),
    "memory": Part("gpu_out_of_memory", out_of_memory, rounds=None),
    "together": Part("gpu_co_runners", co_runners),
    "shares": Part("gpu_shares", shares, rounds=2),
}


def main() -> None:
    """Run the parts, and write the table of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--rounds", type=int)
    args = parser.parse_args()
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    fresh(SCRATCH)
    configure_process(threads=1)
    for name in args.parts:
        part = PARTS[name]
        rounds = None if part.rounds is None else args.rounds or part.rounds
        try:
            lines = part.measure(args.data.absolute(), rounds or 1)
        except Exception:  # go on with the other parts
            traceback.print_exc()
            continue
        if rounds is None:
            lines = ["Each row was run once.", "", *lines]
        title = f"Measurements on one {torch.cuda.get_device_name()}"
        command = f"python -m tests.benchmarks.on_a_gpu FOLDER {name}"
        command += f" --rounds {rounds}" if rounds else ""
        write_table(part.table, title, command, lines, rounds=rounds is not None)


if __name__ == "__main__":
    main()
