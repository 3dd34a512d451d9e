"""One trial as Ray Tune runs it: a class Trainable around `finetune`, reset in place."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from ray import tune

from search.config import SweepConfig
from search.sampler import PARAMS
from spaces import TrialParams
from trainables.dataset import Dataset
from trainables.features import GPU_BATCH, FeatureStore
from trainables.finetune import FineTuning, finetune
from trainables.memory import MemoryCase, MemoryTable
from trainables.model import Preprocessing
from trainables.pixels import ImageSet, PixelFormat, PixelStore, build_store
from trainables.precision import Precision
from trainables.process import prepare_process
from trainables.report import EpochReport
from trainables.weights import Weights

_STATE = "state.pt"
CONTEXT_MIB = 600
"""What a process takes of a card before its first tensor; torch does not count it."""
ESTIMATE_FACTOR = 1.5
"""What an estimate of memory is multiplied by when a trial ran out of it."""


@dataclass(frozen=True)
class TrialJob:
    """What all trials of a sweep share; put into Ray's object store once."""

    dataset: Dataset
    stores: dict[PixelFormat, PixelStore]
    weights: dict[str, Weights]
    """By backbone."""
    max_epochs: int
    patience: int | None
    metric: str
    seed: int
    precision: Precision
    views: int
    features: FeatureStore | None
    """Where features are kept; None computes them in every epoch."""
    cache: Path
    on_gpu: bool
    """Whether trials hold a share of one."""

    @classmethod
    def of(
        cls,
        config: SweepConfig,
        dataset: Dataset,
        stores: dict[PixelFormat, PixelStore],
        weights: dict[str, Weights],
        *,
        on_gpu: bool,
    ) -> Self:
        """What a sweep's settings mean for each of its trials."""
        features = None
        if config.features != "off":
            features = FeatureStore(config.cache_dir, config.cache_bytes, config.features)
        return cls(
            dataset=dataset,
            stores=stores,
            weights=weights,
            max_epochs=config.max_epochs,
            patience=config.patience,
            metric=config.metric,
            seed=config.seed,
            precision=config.precision,
            views=config.views,
            features=features,
            cache=config.cache_dir,
            on_gpu=on_gpu,
        )

    def memory_case(self, params: TrialParams) -> str:
        """What a trial's memory is noted under."""
        return f"{MemoryCase.of(params)} {self.precision}"

    @property
    def device(self) -> str:
        """Where this process trains: a trial without a share of a GPU leaves them alone."""
        return "cuda" if self.on_gpu and torch.cuda.is_available() else "cpu"

    def store_for(self, params: TrialParams) -> PixelStore:
        """The images at a trial's size, marked as used; made again if somebody deleted them."""
        form = Preprocessing.of(params.backbone).form(params.image_size)
        store = self.stores[form]
        try:
            os.utime(store.file)
        except FileNotFoundError:
            return build_store(self.dataset, form, cache=self.cache)
        return store

    def begin(self, params: TrialParams, *, images: int | None = None) -> FineTuning:
        """Set a trial up on this process's device; on so many ``images``, or all."""
        store = self.store_for(params)
        return FineTuning(
            params,
            self.weights[params.backbone],
            num_classes=len(self.dataset.classes),
            train=ImageSet.of(self.dataset, store, "train").first(images),
            val=ImageSet.of(self.dataset, store, "val").first(images),
            max_epochs=self.max_epochs,
            patience=self.patience,
            metric=self.metric,
            seed=self.seed,
            device=self.device,
            precision=self.precision,
            views=self.views,
            store=self.features,
            cache=self.cache,
        )


@dataclass(frozen=True)
class GpuPeak:
    """What a fine-tune took of a card."""

    gpu: str
    """The card's name."""
    mib: float
    total_mib: float


def memory_table(cache: Path) -> MemoryTable:
    """Where this machine keeps what trials take of its GPUs."""
    return MemoryTable(cache / "gpu_memory.json")


def probe_peak(job: TrialJob, params: TrialParams) -> GpuPeak | None:
    """A few training steps and a whole evaluation batch on this process's GPU, if it has one."""
    if job.device != "cuda":
        return None
    tuning = replace(job, features=None).begin(params, images=max(3 * params.batch_size, GPU_BATCH))
    report = tuning.run_epoch()
    card = torch.cuda.get_device_properties(0)
    return GpuPeak(card.name, report.peak_memory_mib, card.total_memory / 2**20)


class FineTuneTrial(tune.Trainable):
    """One step is one epoch. The actor is used again for the next trial."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], *, job: TrialJob
    ) -> None:
        """Called once per actor."""
        held = self.trial_resources.required_resources if self.trial_resources else {}
        prepare_process(threads=max(1, int(held.get("CPU", 1))))
        if job.device == "cuda":  # Ray's shares are bookkeeping: this holds a trial to its own
            total = torch.cuda.get_device_properties(0).total_memory / 2**20
            share = held.get("GPU", 1.0) - CONTEXT_MIB / total
            torch.cuda.set_per_process_memory_fraction(max(share, 0.01))
        self._job = job
        self._begin(config[PARAMS])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Make this actor run another trial."""
        del self._tuning, self._reports  # two models at a time may not fit
        if self._job.device == "cuda":
            torch.cuda.empty_cache()
        self._begin(new_config[PARAMS])
        return True

    def step(self) -> dict[str, Any]:
        """Run an epoch."""
        report = next(self._reports)
        if self._tuning.ran_out:  # the next sweep gives its kind more
            self._raise_estimate()
        return {**report.to_dict(), "done": report.is_last}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state after the last epoch."""
        torch.save(self._tuning.state_dict(), Path(checkpoint_dir) / _STATE)

    def load_checkpoint(self, checkpoint: str) -> None:  # type: ignore[override]
        """Go on from a written state."""
        self._tuning.load_state_dict(torch.load(Path(checkpoint) / _STATE, weights_only=True))

    def _raise_estimate(self) -> None:
        table = memory_table(self._job.cache)
        case = self._job.memory_case(self._tuning.params)
        card = torch.cuda.get_device_name() if self._job.device == "cuda" else "CPU"
        table.put(card, case, ESTIMATE_FACTOR * table.read(card).get(case, 1000.0))
        self._tuning.ran_out = False

    def _begin(self, params: TrialParams) -> None:
        self._tuning = self._job.begin(params)
        self._reports: Iterator[EpochReport] = finetune(self._tuning)
