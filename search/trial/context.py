"""`TrialJob`: settings, data and weights that all trials share, and the set-up of a trial."""

import os
import socket
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from search.cluster import DriverMachine
from search.config import WHOLE_EPOCHS, Rounds, SweepConfig, Validation
from search.record import Repeat
from spaces import DataError, TrialParams
from trainables.data import (
    FEATURE_FILES,
    PIXEL_FILES,
    Dataset,
    ImageSet,
    PixelStore,
    StoredImages,
    build_store,
    make_room,
    stored_files,
)
from trainables.evaluation import fold_numbers
from trainables.images import PixelFormat, stamp_of
from trainables.inputs import FeatureStore
from trainables.models import Preprocessing, Weights
from trainables.stratification import stratified_part
from trainables.training import (
    ComputeSettings,
    CrossValidation,
    FineTuneSettings,
    FineTuning,
    MemoryCase,
)


@dataclass(frozen=True)
class TrialJob:
    """Settings, data and weights that all trials of a sweep share. Ray stores the object once."""

    config: SweepConfig
    dataset: Dataset
    stores: dict[PixelFormat, PixelStore]
    """Images by pixel format."""
    weights: dict[str, Weights]
    """Weights by the name of the backbone."""
    on_gpu: bool
    """Whether trials hold a share of a GPU."""
    rounds: Rounds = WHOLE_EPOCHS
    """The rounds of an epoch."""
    driver: DriverMachine = field(default_factory=DriverMachine.current)
    """The driver's machine, where the files of ``stores`` and ``weights`` lie."""

    @property
    def features(self) -> FeatureStore | None:
        """Store of the frozen prefix's features; None if every epoch computes them again."""
        if self.config.features == "off":
            return None
        return FeatureStore(self.config.cache_dir, self.config.cache_bytes, self.config.features)

    @cached_property
    def validation(self) -> Validation:
        """The images that score trials and repeats."""
        return Validation.of(self.config, self.dataset, self.rounds)

    def memory_case(self, params: TrialParams) -> str:
        """Key of a trial's kind in the `MemoryTable` of measured peaks.

        "graphs" tells peaks with the memory of recorded steps from those of earlier versions.
        """
        folds = f" {self.config.folds} folds" if self.config.folds else ""
        return f"{MemoryCase.of(params)} {self.config.precision} graphs{folds}"

    @property
    def device(self) -> str:
        """Device of this process: "cuda" only if trials hold a share of a GPU."""
        return "cuda" if self.on_gpu and torch.cuda.is_available() else "cpu"

    def store_for(self, params: TrialParams) -> PixelStore:
        """Images in the format of a trial, marked as just used.

        If a file of stored images is missing here, this machine fetches it from the driver's
        machine. If that has lost the file too, it makes the file again first. Raises `DataError` if
        the images have to be decoded here, and this machine can't read them.
        """
        form = _pixel_format(params)
        store = self.stores[form]
        if isinstance(store, StoredImages):
            try:
                os.utime(store.file)
            except FileNotFoundError:
                store = self._build(self.dataset, form)
        return self._here(store, self.dataset)

    def test_images(self, params: TrialParams) -> ImageSet:
        """Test images with the pixels that `predict` makes of them, in the format of a trial.

        If the images of the trial are compressed, the driver's machine decodes the test images from
        their original files, into a file of their own if that has room. Raises `DataError` as
        `store_for`, and if an original file is missing.
        """
        store = self.store_for(params)
        if store.is_exact:
            return ImageSet.of(self.dataset, store, "test")
        test = self.dataset.part("test")
        exact = self._build(test, _pixel_format(params), exact=True)
        return ImageSet.of(test, self._here(exact, test), "test")

    def _build(self, dataset: Dataset, form: PixelFormat, *, exact: bool = False) -> PixelStore:
        """`build_store` on the driver's machine."""
        return self.driver.call(
            build_store,
            dataset,
            form,
            cache=self.config.cache_dir,
            budget_bytes=self.config.cache_bytes,
            keep=stored_files(self.stores.values()),
            exact=exact,
        )

    def _here(self, store: PixelStore, dataset: Dataset) -> PixelStore:
        """A store of ``dataset`` that this machine can read. Raises `DataError` if it can't."""
        if isinstance(store, StoredImages):
            if not store.file.exists():
                size, cache = self.driver.size_bytes(store.file), self.config.cache_dir
                make_room(cache, size, self.config.cache_bytes, *PIXEL_FILES, *FEATURE_FILES)
                self.driver.fetch(store.file, store.file)
        elif not stamp_of(first := dataset.file(0)):
            raise DataError(
                f"{socket.gethostname()} can't read {first}. Share the folder of the images with "
                "all machines, or raise cache_gib: images in the cache are sent to them."
            )
        return store

    def weights_for(self, params: TrialParams) -> Weights:
        """Pretrained weights of a trial's backbone, in a file on this machine.

        Fetches the file from the driver's machine if needed. Raises `WeightsError` if that machine
        has lost the file. The message of the error is the same on every machine.
        """
        weights = self.weights[params.backbone]
        if weights.file is None or self.driver.is_this_machine or weights.is_local:
            return weights
        name = f"{weights.backbone}-{weights.stamp}{weights.file.suffix}"
        file = self.config.cache_dir / "weights" / name
        try:
            self.driver.fetch(weights.file, file)
        except FileNotFoundError:
            raise weights.missing_file_error() from None
        return replace(weights, file=file)

    def training_part(self, params: TrialParams, images: ImageSet) -> ImageSet:
        """The images that a trial trains on: all, or as many as a round has for a linear probe."""
        if params.head != "solved" or self.rounds.per_epoch == 1:
            return images
        return images.subset(stratified_part(images.labels, len(images) // self.rounds.per_epoch))

    def begin(
        self, params: TrialParams, repeat: Repeat | None = None, *, images: int | None = None
    ) -> FineTuning | CrossValidation:
        """Set up a trial on this process's device, with ``images`` images of each split, or all."""
        config, patience = self.config, None if repeat else self.config.patience
        store = self.store_for(params)
        if not config.folds:
            train, val = self._train_and_val(store, repeat.part if repeat else None)
            return self._tune(params, train.take(images), val.take(images), repeat, patience)
        all_validated = self._validated(store)
        validated = all_validated.take(images)
        rows = all_validated.rows
        numbers = fold_numbers(
            all_validated.labels,
            config.folds,
            config.seed,
            digests=self.dataset.digests_at(rows),
            units=self.dataset.units_at(rows),
        )
        numbers = np.resize(numbers, len(validated))  # repeated as `ImageSet.take` repeats images
        tunings = [
            self._tune(
                params, validated.subset(numbers != k), validated.subset(numbers == k), repeat
            )
            for k in range(config.folds)
        ]
        return CrossValidation(
            tunings,
            numbers,
            validated.labels,
            metric=config.metric,
            patience=None if patience is None else patience * self.rounds.per_epoch,
        )

    def _validated(self, store: PixelStore) -> ImageSet:
        """Images that score a trial."""
        rows = self.rounds.validation_rows(self.config, self.dataset)
        images = ImageSet.of(self.dataset, store, *self.config.validation_splits)
        return images.subset(np.isin(images.rows, rows)) if len(rows) < len(images) else images

    def _train_and_val(self, store: PixelStore, part: int | None) -> tuple[ImageSet, ImageSet]:
        """Training and validation images of a trial or, with a ``part``, of a repeat.

        If repeats have other images, both are subsets of one image set, so that trials and repeats
        share stored features.
        """
        parts = self.validation.parts
        if not parts:
            return ImageSet.of(self.dataset, store, "train"), self._validated(store)
        images = ImageSet.of(self.dataset, store, "train", "val")
        is_val = np.isin(images.rows, self.dataset.rows("val") if part is None else parts[part])
        return images.subset(~is_val), images.subset(is_val)

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
            train=self.training_part(params, train),
            val=val,
            settings=FineTuneSettings(
                max_epochs=config.epochs,
                rounds_per_epoch=self.rounds.per_epoch,
                stop_after=repeat.rounds if repeat else None,
                patience=patience,
                metric=config.metric,
                seed=repeat.seed if repeat else config.seed,
                views=config.views,
            ),
            compute=ComputeSettings(
                device=self.device,
                precision=config.precision,
                store=self.features,
                cache=config.cache_dir,
            ),
        )


def _pixel_format(params: TrialParams) -> PixelFormat:
    """Pixel format of a trial."""
    return Preprocessing.of(params.backbone).pixel_format(params.image_size, params.fit)
