"""Throughput of several fine-tunes side by side on one GPU."""

import multiprocessing
from pathlib import Path
from typing import Any

import torch

from spaces import TrialParams
from tests.benchmarks.measuring import alternate, ratios, spread
from tests.benchmarks.on_a_gpu.fine_tunes import begin
from trainables.process import configure_process
from trainables.training import CONTEXT_MIB

CO_RUNNERS = (1, 2, 4, 8)


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
