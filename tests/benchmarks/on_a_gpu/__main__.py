"""Measurements that need a GPU.

    python -m tests.benchmarks.on_a_gpu FOLDER_OF_IMAGES [PART ...] [--rounds N]

Backbones start untrained, because speed and memory do not depend on the weights. Needs one CUDA
device and no network. The parts are ``sweep``, ``roof``, ``stories``, ``memory``, ``together`` and
``shares``; all of them run if none is named. Each part writes its table as soon as it is done. On
an H100, ``memory`` took half a minute and ``together`` one minute. On an H200, a round of ``sweep``
did not end in three minutes, and a search of ``stories`` took 43 s, of which 12 s searched. A
search that is cut off leaves its log in ``$BENCH_SCRATCH/searches/sweep``.
"""

import argparse
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.benchmarks.measuring import SCRATCH, fresh, write_table
from tests.benchmarks.on_a_gpu.co_runners import co_runners
from tests.benchmarks.on_a_gpu.memory import out_of_memory, shared_memory
from tests.benchmarks.on_a_gpu.shares import shares
from tests.benchmarks.on_a_gpu.sweep import against_docs_style
from tests.benchmarks.on_a_gpu.throughput import against_the_roof
from trainables.process import configure_process


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
    "sweep": Part("gpu_sweep", against_docs_style, rounds=2),
    "roof": Part("gpu_throughput", against_the_roof),
    "stories": Part("gpu_shared_memory", shared_memory, rounds=None),
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
