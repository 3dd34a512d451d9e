"""Shares of a GPU for each kind of trial, from the memory that it was measured to take.

Ray's fractional GPUs are bookkeeping: only the cap on memory that `search.trial` sets holds a trial
to its share. CPUs are divided in proportion.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import ray
import torch
from ray import tune

from search.cluster import Node, live_nodes, selector_excluding
from search.config import SweepConfig
from search.trial import TrialJob
from spaces import ConfigError, SearchSpace, TrialParams
from trainables.inputs import GPU_BATCH_SIZE
from trainables.training import CONTEXT_MIB, DEPTHS, MemoryCase, MemoryTable

_log = logging.getLogger("finesweep")

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares that a trial may hold. There are few, for Ray reuses an actor only for an equal share."""
MEMORY_SAFETY_FACTOR = 1.15
"""Safety factor on measured peak memory, for fragmentation and heavier batches."""


@dataclass(frozen=True)
class GpuPeak:
    """Peak memory that a fine-tune took of a GPU."""

    gpu: str
    """Name of the GPU."""
    mib: float
    total_mib: float


Probe = Callable[[TrialJob, TrialParams], GpuPeak | None]
"""Measures a fine-tune on a GPU of the cluster; returns None if its processes see no GPU."""


@dataclass(frozen=True)
class Resources:
    """CPUs and GPU share that trials hold, and how many run at a time."""

    cpus: float
    """CPUs of a trial that holds ``gpus``."""
    cpus_scale_with_gpus: bool
    """Whether the CPUs of a trial shrink with its share of a GPU."""
    gpus: float
    """Share of a GPU for trials that were not measured; 0 without GPUs."""
    concurrent: int
    """Trials at a time, when the sweep began."""
    shares: Mapping[MemoryCase, float] = field(default_factory=dict)
    """Share of a GPU by kind of trial, where it was measured."""

    def __str__(self) -> str:
        shares = sorted(self.shares.values()) or [self.gpus]
        ends = dict.fromkeys((shares[0], shares[-1]))
        cpus = " to ".join(dict.fromkeys(f"{self._cpus(share):g}" for share in ends))
        held = f"{self.concurrent} at a time, each with {cpus} CPUs"
        return f"{held} and {' to '.join(f'{s:g}' for s in ends)} of a GPU" if self.gpus else held

    def gpus_of(self, params: TrialParams) -> float:
        """Share of a GPU that a trial holds."""
        return self.shares.get(MemoryCase.of(params), self.gpus)

    def request_for(
        self, params: TrialParams, avoid: Sequence[str] = ()
    ) -> tune.PlacementGroupFactory:
        """Ray's resource request of one trial, on none of the machines with the ids ``avoid``."""
        gpus = self.gpus_of(params)
        held = {"CPU": self._cpus(gpus), "GPU": gpus}
        if not avoid:
            return tune.PlacementGroupFactory([held])
        return tune.PlacementGroupFactory([held], bundle_label_selector=[selector_excluding(avoid)])

    def capacity(self, nodes: Sequence[Node]) -> int:
        """Number of trials that fit on the machines, if each holds the smallest share there is."""
        gpus = min(self.shares.values(), default=self.gpus)
        return _count_fitting(nodes, self._cpus(gpus), gpus)

    def _cpus(self, gpus: float) -> float:
        follows = self.gpus and self.cpus_scale_with_gpus
        cpus = self.cpus * gpus / self.gpus if follows else self.cpus
        return float(int(cpus)) if cpus >= 1 else cpus


def fit_resources(config: SweepConfig) -> Resources:
    """Resources of a trial on the connected cluster. Raises `ConfigError` if none can run."""
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
            f"A trial asks for {cpu:g} CPUs and {gpu:g} GPUs but no machine has both; there are "
            f"{there}; lower cpus_per_trial or gpus_per_trial, or leave them out."
        )
    return Resources(cpu, config.cpus_per_trial is None, gpu, min(config.concurrent or fits, fits))


def measure_shares(
    job: TrialJob,
    resources: Resources,
    trials: Iterable[TrialParams],
    *,
    probe: Probe | None = None,
) -> Resources:
    """Give each kind of trial the share of a GPU that fits its memory, measured where unknown.

    Does nothing unless ``gpus_per_trial`` is "auto" and the cluster has a GPU. If its processes see
    none, every trial keeps a whole GPU.

    Args:
        job: What the trials share.
        resources: Resources before measuring.
        trials: One trial of every kind that may come, from `one_trial_per_kind`.
        probe: Measures a trial; None does so on the cluster.
    """
    config = job.config
    if config.gpus_per_trial != "auto" or not resources.gpus:
        return resources
    probe = probe or _probe_on_cluster
    table = MemoryTable.of(config.cache_dir)
    shares: dict[MemoryCase, float] = {}
    known: Mapping[str, float] = {}
    peak: GpuPeak | None = None
    for params in trials:
        case, noted = MemoryCase.of(params), job.memory_case(params)
        if peak is None or noted not in known:
            peak = probe(job, params)
            if peak is None:
                _log.warning("no GPU is seen by the workers; every trial holds a whole one")
                return resources
            known = table.read(peak.gpu)
            if peak.mib > known.get(noted, 0.0):  # it may have been raised since
                table.put(peak.gpu, noted, peak.mib)
                known = table.read(peak.gpu)
        shares[case] = share_of(known[noted], peak.total_mib)
        _log.info("%s: %.0f MiB, %g of a GPU", case, known[noted], shares[case])
    sized = replace(resources, shares=shares)
    fits = sized.capacity(live_nodes())
    return replace(sized, concurrent=min(config.concurrent or fits, fits))


def share_of(mib: float, total_mib: float) -> float:
    """Smallest of `SHARES` that holds a measured peak, with its safety factor and the process."""
    needed = (mib * MEMORY_SAFETY_FACTOR + CONTEXT_MIB) / total_mib
    return next((share for share in SHARES if needed <= share), 1.0)


def one_trial_per_kind(
    space: SearchSpace,
    points: Sequence[TrialParams],
    native_image_size: Mapping[str, int],
    *,
    drawn: bool,
) -> list[TrialParams]:
    """One trial of every `MemoryCase` that may come, with the largest memory of its case.

    The cases are those of ``points``, and those of the space if trials are ``drawn`` from it.
    """
    trials = _heaviest_trials(space, native_image_size) if drawn else []
    kinds: dict[MemoryCase, TrialParams] = {}
    for params in [*trials, *points]:
        case = MemoryCase.of(params)
        largest = {"unfreeze": case.unfreeze, "batch_size": case.batch_size}
        largest |= {"gradual_unfreezing": False}  # its first epoch would open nothing
        kinds.setdefault(case, params.model_copy(update=largest))
    return list(kinds.values())


def _heaviest_trials(space: SearchSpace, native_image_size: Mapping[str, int]) -> list[TrialParams]:
    """For each backbone, size, depth and batch of a space, the trial with the largest memory."""
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


def probe_peak(job: TrialJob, params: TrialParams) -> GpuPeak | None:
    """Peak of a few training steps and an evaluation batch on this process's GPU, if it has one."""
    if job.device != "cuda":
        return None
    anew = replace(job, config=job.config.model_copy(update={"features": "off"}))
    tuning = anew.begin(params, images=max(3 * params.batch_size, GPU_BATCH_SIZE))
    report = tuning.run_epoch()
    card = torch.cuda.get_device_properties(0)
    return GpuPeak(card.name, report.peak_memory_mib, card.total_memory / 2**20)


def _probe_on_cluster(job: TrialJob, params: TrialParams) -> GpuPeak | None:
    on_a_gpu: Any = ray.remote(num_gpus=1, max_retries=0, max_calls=1)
    peak: GpuPeak | None = ray.get(on_a_gpu(probe_peak).remote(job, params))
    return peak


def _count_fitting(nodes: Iterable[Node], cpu: float, gpu: float) -> int:
    """Number of trials with so many CPUs and GPUs that fit on the machines."""
    fits = 0
    for node in nodes:
        by_cpu = int(node.cpus / cpu + 1e-6)
        fits += min(by_cpu, _slots_per_machine(node.gpus, gpu)) if gpu else by_cpu
    return fits


def _slots_per_machine(gpus: float, share: float) -> int:
    """Number of shares that fit on a machine's GPUs, none spanning two of them."""
    return int(gpus) * int(1 / share + 1e-6)
