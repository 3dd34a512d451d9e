"""Fine-tunes and searches that run out of GPU memory."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from spaces import TrialParams
from tests.benchmarks.on_a_gpu.fine_tunes import begin
from tests.benchmarks.on_a_gpu.searches import Point, run_search


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


SMALL: Point = {"backbone": "resnet50", "image_size": 224, "batch_size": 64, "unfreeze": 0.25}
LARGE: Point = {"backbone": "resnet50", "image_size": 224, "batch_size": 512, "unfreeze": 1.0}
"""About 25 GiB: more than an eighth of an H100 or H200."""


@contextmanager
def occupied(free_mib: float) -> Iterator[None]:
    """Let another process take the GPU's memory, except for ``free_mib`` MiB."""
    context = multiprocessing.get_context("spawn")
    taken, over = context.Event(), context.Event()
    other = context.Process(target=_occupy, args=(free_mib, taken, over))
    other.start()
    taken.wait(timeout=60)
    yield
    over.set()
    other.join()


def _occupy(free_mib: float, taken: Any, over: Any) -> None:
    torch.zeros(1, device="cuda")
    size = torch.cuda.mem_get_info()[0] - int(free_mib * 2**20)
    memory = torch.empty(max(size, 1), dtype=torch.uint8, device="cuda")
    taken.set()
    over.wait(timeout=300)
    del memory


def shared_memory(data: Path, rounds: int) -> list[str]:
    """Sweeps whose trials run out of memory beside one another; run once each."""
    eighth = ["--gpus-per-trial", "0.125", "--no-retrain"]
    measured = ["--gpus-per-trial", "auto", "--no-retrain"]
    beside = [{**SMALL, "augment": 0.1 * k} for k in range(7)]
    lines = [
        "Searches of untrained ResNet-50 at 224 px, 2 epochs. Small trials unfreeze a quarter, "
        "batch 64; the large one unfreezes all, batch 512.",
        "",
        "| search | trials | search, s | what its log says of memory |",
        "| --- | --- | --- | --- |",
    ]
    lines.append(_story("seven small trials, each in an eighth of the GPU", data, beside, eighth))
    crowd = [*beside, LARGE]
    lines.append(_story("the same seven and the large one, each in an eighth", data, crowd, eighth))
    for free_mib in (6000, 1500, 300):
        with occupied(free_mib):
            name = f"four small trials while another process leaves {free_mib} MiB"
            lines.append(_story(name, data, beside[:4], measured))
    return lines


def _story(name: str, data: Path, points: Sequence[Point], options: Sequence[str]) -> str:
    """Row of the table: how the trials of a search ended, and its lines about memory."""
    try:
        run = run_search(data, points, options, epochs=2)
    except SystemExit as error:
        return f"| {name} | no result | | {' '.join(str(error).split())[-600:]} |"
    statuses = ", ".join(
        f"{n} {status}" for status, n in Counter(t.status for t in run.trials).items()
    )
    told = [x.partition(" ")[2] for x in run.log.splitlines() if "MiB" in x or "out of memory" in x]
    return f"| {name} | {statuses} | {run.seconds:.0f} | {'; '.join(told)} |"
