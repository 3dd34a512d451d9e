"""One trial as Ray Tune runs it: a class Trainable around `finetune`, reset in place."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from ray import tune

from search.config import SweepConfig
from search.sampler import PARAMS
from spaces import TrialParams
from trainables.dataset import Dataset
from trainables.features import FeatureStore
from trainables.finetune import FineTuning, finetune
from trainables.model import Preprocessing
from trainables.pixels import ImageSet, PixelFormat, PixelStore
from trainables.precision import Precision
from trainables.process import prepare_process
from trainables.report import EpochReport
from trainables.weights import Weights

_STATE = "state.pt"


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
    cpus: float
    gpus: float

    @classmethod
    def of(
        cls,
        config: SweepConfig,
        dataset: Dataset,
        stores: dict[PixelFormat, PixelStore],
        weights: dict[str, Weights],
        *,
        cpus: float,
        gpus: float,
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
            cpus=cpus,
            gpus=gpus,
        )

    @property
    def device(self) -> str:
        """Where this process trains: a trial without a share of a GPU leaves them alone."""
        return "cuda" if self.gpus > 0 and torch.cuda.is_available() else "cpu"

    def begin(self, params: TrialParams) -> FineTuning:
        """Set a trial up on this process's device."""
        stated = Preprocessing.of(params.backbone)
        store = self.stores[stated.form(params.image_size)]
        return FineTuning(
            params,
            self.weights[params.backbone],
            num_classes=len(self.dataset.classes),
            train=ImageSet.of(self.dataset, store, "train"),
            val=ImageSet.of(self.dataset, store, "val"),
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


class FineTuneTrial(tune.Trainable):
    """One step is one epoch. The actor is used again for the next trial."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], *, job: TrialJob
    ) -> None:
        """Called once per actor."""
        prepare_process(threads=max(1, int(job.cpus)))
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
        return {**report.to_dict(), "done": report.is_last}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state after the last epoch."""
        torch.save(self._tuning.state_dict(), Path(checkpoint_dir) / _STATE)

    def load_checkpoint(self, checkpoint: str) -> None:  # type: ignore[override]
        """Go on from a written state."""
        self._tuning.load_state_dict(torch.load(Path(checkpoint) / _STATE, weights_only=True))

    def _begin(self, params: TrialParams) -> None:
        self._tuning = self._job.begin(params)
        self._reports: Iterator[EpochReport] = finetune(self._tuning)
