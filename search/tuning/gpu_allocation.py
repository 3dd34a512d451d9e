"""GPU share of each kind of trial, chosen by its measured peak memory.

Ray counts fractional GPUs but does not limit memory. `search.trial` sets the memory cap that keeps
a trial within its share. CPUs are divided in proportion to GPU shares.
"""

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import ray
import torch
from ray import tune

from search.cluster import Node, live_nodes, selector_excluding
from search.config import WHOLE_EPOCHS, SweepConfig
from search.trial import TrialJob
from spaces import ConfigError, SearchSpace, TrialParams
from spaces.wording import counted
from trainables.inputs import GPU_BATCH_SIZE
from trainables.training import (
    CONTEXT_MIB,
    DEPTHS,
    STEPS_BEFORE_RECORDING,
    MemoryCase,
    MemoryTable,
)

_log = logging.getLogger("finesweep")

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""GPU shares that a trial may hold; only a few, as Ray reuses an actor only for an equal share."""
MEMORY_SAFETY_FACTOR = 1.15
"""Factor on the measured peak memory, to leave room for fragmentation and heavier batches."""


@dataclass(frozen=True)
class GpuPeak:
    """Peak GPU memory of a fine-tune."""

    gpu: str
    """Name of the GPU."""
    mib: float
    """Peak memory in MiB."""
    total_mib: float
    """Memory of the whole GPU in MiB."""


Probe = Callable[[TrialJob, Sequence[TrialParams]], Iterable[GpuPeak]]
"""Function that measures trials' peaks on a GPU, in order; none if workers see no GPU."""


@dataclass(frozen=True)
class Resources:
    """CPUs and GPU share of each trial, and how many trials run at a time."""

    cpus: float
    """CPUs of a trial that holds the default share ``gpus``."""
    cpus_scale_with_gpus: bool
    """Whether a trial's CPUs are in proportion to its share of a GPU."""
    gpus: float
    """Default share of a GPU, for trials whose memory was not measured; 0 without GPUs."""
    concurrent: int
    """Number of trials that can run at a time on the machines present when the run begins."""
    shares: Mapping[MemoryCase, float] = field(default_factory=dict)
    """Share of a GPU by kind of trial, for the kinds that were measured."""

    def __str__(self) -> str:
        shares = sorted(self.shares.values()) or [self.gpus]
        ends = dict.fromkeys((shares[0], shares[-1]))
        cpus = " to ".join(dict.fromkeys(f"{self._cpus(share):g}" for share in ends))
        held = f"{self.concurrent} at a time, each with {cpus} CPUs"
        return f"{held} and {' to '.join(f'{s:g}' for s in ends)} of a GPU" if self.gpus else held

    def gpus_of(self, params: TrialParams) -> float:
        """Share of a GPU that a trial holds."""
        return self.shares.get(MemoryCase.of(params), self.gpus)

    def share_held(self, params: TrialParams) -> float:
        """Share of all machines that a trial holds while it runs."""
        smallest = min(self.shares.values(), default=self.gpus)
        times = self.gpus_of(params) / smallest if smallest else 1.0
        return min(1.0, times / self.concurrent)

    def request_for(
        self, params: TrialParams, avoid: Sequence[str] = ()
    ) -> tune.PlacementGroupFactory:
        """Ray's resource request for a trial that avoids the machines with these ids."""
        gpus = self.gpus_of(params)
        held = {"CPU": self._cpus(gpus), "GPU": gpus}
        if not avoid:
            return tune.PlacementGroupFactory([held])
        return tune.PlacementGroupFactory([held], bundle_label_selector=[selector_excluding(avoid)])

    def capacity(self, nodes: Sequence[Node]) -> int:
        """Number of trials that fit on the machines if each holds the smallest share in use."""
        gpus = min(self.shares.values(), default=self.gpus)
        return _count_fitting(nodes, self._cpus(gpus), gpus)

    def _cpus(self, gpus: float) -> float:
        """CPUs of a trial with this share of a GPU; from 1 on, rounded down to whole CPUs."""
        scaled = self.gpus and self.cpus_scale_with_gpus
        cpus = self.cpus * gpus / self.gpus if scaled else self.cpus
        return float(int(cpus)) if cpus >= 1 else cpus


def fit_resources(config: SweepConfig) -> Resources:
    """Resources of trials on the cluster.

    Raises `ConfigError` if no machine can hold a trial, or if there are too few GPUs (or CPUs, if
    trials hold no GPU) for the workers that retrain together.
    """
    nodes = live_nodes()
    gpu = 0.0 if config.gpus_per_trial == "auto" else config.gpus_per_trial
    if config.gpus_per_trial == "auto" and any(node.gpus for node in nodes):
        gpu = 1.0
    cpu = config.cpus_per_trial
    if cpu is None:
        shares = [
            node.cpus / _slots_per_machine(node.gpus, gpu) for node in nodes if gpu and node.gpus
        ]
        share = min(shares, default=1.0)
        cpu = float(int(share)) if share >= 1 else share
    fits = _count_fitting(nodes, cpu, gpu)
    if fits == 0:
        kinds = sorted({(node.cpus, node.gpus) for node in nodes})
        there = " and ".join(f"{cpus:g} CPUs with {gpus:g} GPUs" for cpus, gpus in kinds)
        raise ConfigError(
            f"A trial asks for {cpu:g} CPUs and {gpu:g} GPUs, but no machine has both; there are "
            f"{there}. Lower cpus_per_trial or gpus_per_trial, or leave both unset."
        )
    room = sum(int(node.gpus if gpu else node.cpus) for node in nodes)
    if config.retrain_workers > max(room, 1):
        raise ConfigError(
            f"retrain_workers is {config.retrain_workers}, but the cluster has "
            f"{counted(room, 'GPU' if gpu else 'CPU')}; give {room} or fewer."
        )
    return Resources(cpu, config.cpus_per_trial is None, gpu, min(config.concurrent or fits, fits))


def measure_shares(
    job: TrialJob,
    resources: Resources,
    trials: Iterable[TrialParams],
    *,
    probe: Probe | None = None,
) -> Resources:
    """Give each kind of trial the GPU share that holds its peak memory.

    The peak of a kind is measured if no earlier sweep has recorded it. Returns ``resources``
    unchanged if ``gpus_per_trial`` is not "auto", or if workers see no GPU.

    Args:
        job: Settings, data and weights of the trials.
        resources: Resources before the measurement.
        trials: One trial of each kind that may run, from `one_trial_per_kind`.
        probe: Measures a trial's peak; None for the measurement on a GPU of the cluster.
    """
    config = job.config
    if config.gpus_per_trial != "auto" or not resources.gpus:
        return resources
    probe = probe or _probe_on_cluster
    table = MemoryTable.of(config.cache_dir)
    by_key = {job.memory_case(params): params for params in trials}

    memory: dict[str, float] = {}
    """Memory in MiB of each kind of GPU that was measured on, by name."""

    def measured(key: str) -> float:
        """Largest peak of a kind of trial on these GPUs; 0 if it was not measured."""
        return max((table.read(gpu).get(key, 0.0) for gpu in memory), default=0.0)

    def measure(keys: Sequence[str]) -> None:
        for key, peak in zip(keys, probe(job, [by_key[key] for key in keys]), strict=False):
            memory[peak.gpu] = peak.total_mib
            if peak.mib > table.read(peak.gpu).get(key, 0.0):  # keep an estimate raised after
                table.put(peak.gpu, key, peak.mib)  # a trial ran out of memory

    measure(list(by_key)[:1])
    if not memory:
        _log.warning("Ray lists GPUs, but workers see none; every trial holds a whole GPU")
        return resources
    measure([key for key in by_key if not measured(key)])
    shares: dict[MemoryCase, float] = {}
    for key, params in by_key.items():
        case, mib = MemoryCase.of(params), measured(key)
        shares[case] = share_of(mib, min(memory.values()))
        _log.info("%s: %.0f MiB, %g of a GPU", case, mib, shares[case])
    sized = replace(resources, shares=shares)
    fits = sized.capacity(live_nodes())
    return replace(sized, concurrent=min(config.concurrent or fits, fits))


def share_of(mib: float, total_mib: float) -> float:
    """Smallest of `SHARES` that holds a peak of ``mib`` with safety factor and CUDA context."""
    needed = (mib * MEMORY_SAFETY_FACTOR + CONTEXT_MIB) / total_mib
    return next((share for share in SHARES if needed <= share), 1.0)


def one_trial_per_kind(
    space: SearchSpace,
    points: Sequence[TrialParams],
    native_image_size: Mapping[str, int],
    *,
    drawn: bool,
) -> list[TrialParams]:
    """One trial of each `MemoryCase` that may run: the one that takes the most memory.

    Cases come from ``points`` and, if trials are ``drawn`` from the space, from the whole space.
    """
    trials = _heaviest_trials(space, native_image_size) if drawn else []
    kinds: dict[MemoryCase, TrialParams] = {}
    for params in [*trials, *points]:
        case = MemoryCase.of(params)
        largest = {"unfreeze": case.unfreeze, "batch_size": case.batch_size}
        largest |= {"gradual_unfreezing": False}  # else round 1 trains the head alone
        kinds.setdefault(case, params.model_copy(update=largest))
    return list(kinds.values())


def _heaviest_trials(space: SearchSpace, native_image_size: Mapping[str, int]) -> list[TrialParams]:
    """For each backbone, image size, depth and batch size, the trial that takes most memory."""
    depths = [float(value) for value in space.dimensions["unfreeze"].extremes]
    batches = [int(value) for value in space.dimensions["batch_size"].extremes]
    heaviest: dict[str, object] = {
        "head_hidden": max(space.dimensions["head_hidden"].extremes, key=float)
    }
    if "adamw" in space.dimensions["optimizer"].extremes:
        heaviest["optimizer"] = "adamw"
    powers = {2 ** (batch - 1).bit_length() for batch in batches}
    powers |= {2**k for k in range(1, 16) if min(batches) <= 2**k <= max(batches)}
    trials = []
    for (backbone, size), depth, batch in product(
        space.backbone_sizes(native_image_size), DEPTHS, sorted(powers)
    ):
        next_lower = max((d for d in DEPTHS if d < depth), default=-1.0)
        if min(depths) <= depth and next_lower < max(depths):
            values: dict[str, object] = {"backbone": backbone, "image_size": size}
            values |= {"unfreeze": depth, "batch_size": batch, **heaviest}
            trials.append(space.params(values, native_image_size=native_image_size))
    return trials


def probe_peaks(job: TrialJob, trials: Sequence[TrialParams]) -> Iterator[GpuPeak]:
    """Peak memory of a few training steps and an evaluation batch of each trial; none without GPU.

    There are enough full batches to record a step, also in the part of the images that a fold
    trains on. Without folds, the last batch is as large as an incomplete one can be.
    """
    if job.device != "cuda":
        return
    settings = job.config.model_copy(update={"features": "off"})
    uncached = replace(job, config=settings, rounds=WHOLE_EPOCHS)
    card = torch.cuda.get_device_properties(0)
    for params in trials:
        full = max(STEPS_BEFORE_RECORDING + 1, GPU_BATCH_SIZE // params.batch_size)
        images, folds = (full + 1) * params.batch_size - 1, job.config.folds
        images = -(-images * folds // (folds - 1)) if folds else images
        report = uncached.begin(params, images=images).run_round()
        gc.collect()
        torch.cuda.empty_cache()  # else the next trial's peak includes what this one held
        yield GpuPeak(card.name, report.peak_memory_mib, card.total_memory / 2**20)


def _probe_on_cluster(job: TrialJob, trials: Sequence[TrialParams]) -> Iterator[GpuPeak]:
    """`probe_peaks` in one process, which ends with it and so frees all memory of the GPU."""
    on_a_gpu: Any = ray.remote(num_gpus=1, num_returns="streaming", max_retries=0, max_calls=1)
    yield from map(ray.get, on_a_gpu(probe_peaks).remote(job, trials) if trials else ())


def _count_fitting(nodes: Iterable[Node], cpu: float, gpu: float) -> int:
    """Number of trials that fit on the machines if each holds ``cpu`` CPUs and ``gpu`` GPUs."""
    fits = 0
    for node in nodes:
        by_cpu = int(node.cpus / cpu + 1e-6)
        fits += min(by_cpu, _slots_per_machine(node.gpus, gpu)) if gpu else by_cpu
    return fits


def _slots_per_machine(gpus: float, share: float) -> int:
    """Number of equal shares that fit on a machine's GPUs. No share spans two GPUs."""
    return int(gpus) * int(1 / share + 1e-6)
