"""`TrialJob`: what all trials of a sweep share, and how one is set up on a machine."""

import os
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from search.cluster import Home
from search.config import SweepConfig
from search.record import Repeat
from spaces import TrialParams
from trainables.data import (
    FEATURES,
    PIXELS,
    Dataset,
    ImageSet,
    PixelFormat,
    PixelStore,
    build_store,
    make_room,
)
from trainables.evaluation import fold_numbers
from trainables.inputs import FeatureStore
from trainables.models import Preprocessing, Weights
from trainables.training import FineTuning, Folds, MemoryCase


@dataclass(frozen=True)
class TrialJob:
    """What all trials of a sweep share; put into Ray's object store once."""

    config: SweepConfig
    dataset: Dataset
    stores: dict[PixelFormat, PixelStore]
    weights: dict[str, Weights]
    """By backbone."""
    on_gpu: bool
    """Whether trials hold a share of one."""
    home: Home = field(default_factory=Home.here)
    """The machine that ``stores`` and ``weights`` lie on."""

    @property
    def features(self) -> FeatureStore | None:
        """Where features are kept; None computes them in every epoch."""
        if self.config.features == "off":
            return None
        return FeatureStore(self.config.cache_dir, self.config.cache_bytes, self.config.features)

    def memory_case(self, params: TrialParams) -> str:
        """What a trial's memory is noted under."""
        folds = f" {self.config.folds} folds" if self.config.folds else ""
        return f"{MemoryCase.of(params)} {self.config.precision}{folds}"

    @property
    def device(self) -> str:
        """Where this process trains: a trial without a share of a GPU leaves them alone."""
        return "cuda" if self.on_gpu and torch.cuda.is_available() else "cpu"

    def store_for(self, params: TrialParams) -> PixelStore:
        """The images at a trial's size, on this machine, marked as used.

        Made again at home if somebody deleted them, and fetched from there where they are not.
        """
        form = Preprocessing.of(params.backbone).form(params.image_size)
        store, cache = self.stores[form], self.config.cache_dir
        try:
            os.utime(store.file)
        except FileNotFoundError:
            store = self.home.call(build_store, self.dataset, form, cache=cache)
            if not store.file.exists():
                size = self.home.size(store.file)
                make_room(cache, size, self.config.cache_bytes, PIXELS, FEATURES)
                self.home.bring(store.file, store.file)
        return store

    def weights_for(self, params: TrialParams) -> Weights:
        """The start of a trial's backbone, on this machine; fetched from home where it is not.

        If it is not there either, raises the `WeightsError` that it gives at home.
        """
        weights = self.weights[params.backbone]
        if weights.file is None or self.home.is_here or weights.is_here:
            return weights
        name = f"{weights.backbone}-{weights.stamp}{weights.file.suffix}"
        file = self.config.cache_dir / "weights" / name
        try:
            self.home.bring(weights.file, file)
        except FileNotFoundError:
            raise weights.gone() from None
        return replace(weights, file=file)

    def begin(
        self, params: TrialParams, repeat: Repeat | None = None, *, images: int | None = None
    ) -> FineTuning | Folds:
        """Set a trial up on this process's device; on so many ``images``, or all."""
        config, patience = self.config, None if repeat else self.config.patience
        store = self.store_for(params)
        all_validated = ImageSet.of(self.dataset, store, *config.validated)
        validated = all_validated.first(images)
        if not config.folds:
            train = ImageSet.of(self.dataset, store, "train").first(images)
            return self._tune(params, train, validated, repeat, patience)
        digests = self.dataset.digests_of(*config.validated)
        numbers = fold_numbers(all_validated.labels, config.folds, config.seed, digests=digests)
        numbers = np.resize(numbers, len(validated))  # as `ImageSet.first` repeats them
        tunings = [
            self._tune(params, validated.part(numbers != k), validated.part(numbers == k), repeat)
            for k in range(config.folds)
        ]
        return Folds(tunings, numbers, validated.labels, metric=config.metric, patience=patience)

    def _tune(
        self,
        params: TrialParams,
        train: ImageSet,
        val: ImageSet,
        repeat: Repeat | None,
        patience: int | None = None,
    ) -> FineTuning:
        config = self.config
        return FineTuning(
            params,
            self.weights_for(params),
            num_classes=len(self.dataset.classes),
            train=train,
            val=val,
            max_epochs=config.max_epochs,
            stop_after=repeat.epochs if repeat else None,
            patience=patience,
            metric=config.metric,
            seed=repeat.seed if repeat else config.seed,
            device=self.device,
            precision=config.precision,
            views=config.views,
            store=self.features,
            cache=config.cache_dir,
        )
