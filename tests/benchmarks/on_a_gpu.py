"""G1 to G5: what can only be known on a card.

    python -m tests.benchmarks.on_a_gpu FOLDER_OF_IMAGES

Backbones start untrained: speed and memory do not ask for weights. Needs one CUDA device, about
twenty minutes, and no network. Each part is told on standard error when it is done.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from search.paths import SweepPaths
from search.study import read_trials
from spaces import TrialParams
from tests.benchmarks.measuring import ROOT, SCRATCH, alternate, fresh, ratios, spread, write_table
from trainables.finetune import FineTuning
from trainables.memory import CONTEXT_MIB
from trainables.model import (
    Preprocessing,
    build_model,
    make_optimizer,
    open_group_count,
    open_groups,
    train_mode,
)
from trainables.pixels import ImageSet, build_store
from trainables.process import prepare_process
from trainables.survey import survey
from trainables.weights import Weights

BACKBONES = ("resnet50", "convnext_tiny", "vit_small_patch16_224")
IMAGES = 4096
TRIALS, EPOCHS = 16, 2


def begin(
    data: Path, params: TrialParams, images: int = IMAGES, *, device: str = "cuda"
) -> FineTuning:
    """A fine-tune without a store on so many images."""
    dataset = survey(data, cache=SCRATCH / "survey").dataset
    form = Preprocessing.of(params.backbone).form(params.image_size)
    pixels = build_store(dataset, form, cache=SCRATCH / "pixels")
    return FineTuning(
        params,
        Weights(params.backbone, "none", None),
        num_classes=len(dataset.classes),
        train=ImageSet.of(dataset, pixels, "train").first(images),
        val=ImageSet.of(dataset, pixels, "val"),
        max_epochs=10,
        device=device,
        cache=SCRATCH / "survey",
    )


def ours(data: Path, params: TrialParams) -> float:
    """Training images per second of a second epoch."""
    tuning = begin(data, params)
    tuning.run_epoch()
    return tuning.run_epoch().images_per_second


def bare(params: TrialParams, steps: int = 40, *, device: str = "cuda") -> tuple[float, float]:
    """Images per second of the same steps on one batch that lies on the card; FLOP an image."""
    model = build_model(params, Weights(params.backbone, "none", None), 2).to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    open_groups(model, open_group_count(model, params.unfreeze))
    train_mode(model, freeze_batchnorm=True)
    optimizer = make_optimizer(model, params)
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
    took = _on_card(lambda: [step() for _ in range(steps)], device)
    return steps * params.batch_size / took, counter.get_total_flops() / params.batch_size


def peak_flops() -> float:
    """bfloat16 FLOP a second of a large matrix product: the roof."""
    side = 8192
    a, b = (torch.rand(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    return 50 * 2 * side**3 / _on_card(lambda: [a @ b for _ in range(50)], "cuda")


def _on_card(work: Callable[[], object], device: str) -> float:
    """Seconds until the card is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def against_the_roof(data: Path) -> list[str]:
    """G1."""
    roof = peak_flops()
    lines = [
        f"G1: training images/s at 224 px, batch 64, bfloat16, nothing kept, augmentation 0.3. The "
        f"card's roof is {roof / 1e12:.0f} TFLOP/s (a product of 8192 x 8192 matrices).",
        "",
        "| backbone | unfreeze | Finesweep | bare loop | E | of the roof, bare |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for backbone in BACKBONES:
        for unfreeze in (0.0, 0.25, 1.0):
            params = TrialParams(
                backbone=backbone, image_size=224, unfreeze=unfreeze, batch_size=64, augment=0.3
            )
            flops = bare(params)[1]
            found = alternate(
                {"ours": lambda p=params: ours(data, p), "bare": lambda p=params: bare(p)[0]}
            )
            of_roof = [rate * flops / roof for rate in found["bare"]]
            lines.append(
                f"| {backbone} | {unfreeze:g} | {spread(found['ours'])} | {spread(found['bare'])} "
                f"| **{spread(ratios(found['ours'], found['bare']), 2)}** | {spread(of_roof, 2)} |"
            )
    return lines


def together(data: Path, count: int) -> float:
    """Images per second of so many fine-tunes on the card at a time, each held to its share."""
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(count), context.Queue()
    workers = [
        context.Process(target=_co_runner, args=(data, count, barrier, rates)) for _ in range(count)
    ]
    for worker in workers:
        worker.start()
    total = sum(rates.get(timeout=300) for _ in workers)
    for worker in workers:
        worker.join()
    return total


def _co_runner(data: Path, count: int, barrier: object, rates: object) -> None:
    prepare_process(threads=1)
    total = torch.cuda.get_device_properties(0).total_memory / 2**20
    torch.cuda.set_per_process_memory_fraction(1 / count - CONTEXT_MIB / total)
    params = TrialParams(backbone="resnet50", image_size=224, unfreeze=0.25, batch_size=32)
    tuning = begin(data, params)
    tuning.run_epoch()
    barrier.wait()  # type: ignore[attr-defined]
    rates.put(tuning.run_epoch().images_per_second)  # type: ignore[attr-defined]


def co_runners(data: Path) -> list[str]:
    """G2."""
    counts = (1, 2, 4, 8)
    found = alternate({str(n): lambda n=n: together(data, n) for n in counts})
    lines = [
        "G2: fine-tunes side by side on one card, ResNet-50 at 224 px, batch 32, a quarter open, "
        "each capped to its share of the memory.",
        "",
        "| at a time | images/s of all | times one alone |",
        "| --- | --- | --- |",
    ]
    for n in counts:
        gain = ratios(found[str(n)], found["1"])
        lines.append(f"| {n} | {spread(found[str(n)])} | **{spread(gain, 3)}** |")
    return lines


@contextmanager
def kernel_share() -> Iterator[list[float]]:
    """Samples of the share of time in which a kernel ran, as NVIDIA's driver counts it."""
    samples: list[float] = []
    words = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    with subprocess.Popen([*words, "-lms", "250"], stdout=subprocess.PIPE, text=True) as asked:
        lines = asked.stdout or ()
        reader = threading.Thread(target=lambda: samples.extend(float(x) / 100 for x in lines))
        reader.start()
        yield samples
        asked.terminate()
        reader.join()


def sweep(data: Path, gpus_per_trial: str) -> tuple[float, float, str]:
    """Wall seconds of a search, share of its time in kernels, and what its trials held."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as made:
        results = Path(made)
        points = [
            {
                "backbone": "resnet50",
                "unfreeze": (0.0, 0.25, 0.5, 1.0)[k % 4],
                "image_size": 224,
                "batch_size": 64,
            }
            for k in range(TRIALS)
        ]
        (results / "points.json").write_text(json.dumps(points))
        command = [sys.executable, "-m", "search", "launch", str(data), "--space", "demo"]
        command += ["--points", str(results / "points.json"), "--trials", str(TRIALS)]
        command += ["--max-epochs", str(EPOCHS), "--stopping", "none", "--no-retrain"]
        command += ["--weights", "untrained", "--gpus-per-trial", gpus_per_trial, "--name", "sweep"]
        command += ["--results-dir", made, "--cache-dir", str(SCRATCH / "gpu-cache")]
        with kernel_share() as samples:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        paths = SweepPaths(results / "sweep")
        assert all(trial.status == "completed" for trial in read_trials(paths.journal))
        seconds = json.loads(paths.profile.read_text())["stages"]["search"]
        held = next(x for x in paths.log.read_text().splitlines() if "at a time" in x)
        busy = samples[-int(4 * seconds) :]
        return seconds, sum(busy) / max(len(busy), 1), held.partition(" INFO ")[2]


def shares(data: Path) -> list[str]:
    """G3 and G5."""
    sweep(data, "auto")  # pixels, features and the table of memory are there for all that follow
    held: dict[str, str] = {}
    busy: dict[str, list[float]] = {"auto": [], "1": [], "0.25": []}

    def run(share: str) -> float:
        seconds, kernels, held[share] = sweep(data, share)
        busy[share].append(kernels)
        return seconds

    found = alternate({share: lambda share=share: run(share) for share in busy})
    lines = [
        f"G3 and G5: a search of {TRIALS} trials of {EPOCHS} epochs, ResNet-50 at 224 px, batch "
        "64, a quarter of them at each depth.",
        "",
        "| share of a card | seconds | time in kernels | trials |",
        "| --- | --- | --- | --- |",
    ]
    for share, times in found.items():
        lines.append(f"| {share} | {spread(times)} | {spread(busy[share], 2)} | {held[share]} |")
    return lines


def out_of_memory(data: Path) -> list[str]:
    """G4."""
    params = TrialParams(backbone="resnet50", image_size=224, unfreeze=1.0, batch_size=256)
    lines = [
        "G4: ResNet-50 at 224 px, all of it, batch 256, one epoch, under a cap of its memory.",
        "",
        "| cap | ran out | training loss | images/s | peak MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for cap in (1.0, 0.2, 0.1):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(cap)
        tuning = begin(data, params, 2048)
        report = tuning.run_epoch()
        lines.append(
            f"| {cap:g} | {'yes' if tuning.ran_out else 'no'} | {report.train_loss:.4f} | "
            f"{report.images_per_second:.0f} | {report.peak_memory_mib:.0f} |"
        )
        del tuning
    torch.cuda.set_per_process_memory_fraction(1.0)
    return lines


def main() -> None:
    """Run all parts and keep the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data.absolute()
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    fresh(SCRATCH)
    prepare_process(threads=1)
    lines = [f"One {torch.cuda.get_device_name()}."]
    for part in (against_the_roof, out_of_memory, co_runners, shares):
        lines += ["", *part(data)]
        print("\n".join(lines), file=sys.stderr)
    write_table("on_a_gpu", "G1 to G5", "python -m tests.benchmarks.on_a_gpu FOLDER", lines)


if __name__ == "__main__":
    main()
