"""What a trial's trainable part is fed: features of images, each computed once per machine.

A `FeatureStore` keeps what frozen prefixes made of images and their views. The trial that first
needs a row computes it in its ordinary epoch and writes it; later epochs and trials read it.
"""

import hashlib
import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import timm
import torch

from trainables.data import ImageSet
from trainables.inputs.feature_store import Block, FeatureStore
from trainables.inputs.out_of_memory import run_by_halves
from trainables.inputs.prefetch import prefetched
from trainables.inputs.views import LEVELS, Views
from trainables.models import Features, Preprocessing, Split, normalise

_log = logging.getLogger("finesweep")

BATCH, GPU_BATCH = 64, 256
"""Images that go through a prefix, or an evaluation, at a time; results do not depend on it."""
_FORMAT = 1
"""Raised when the same key would mean other features: a change of `augment`, views or splits."""


class Inputs:
    """The features of an image set, batch by batch: read where they are kept, else computed."""

    def __init__(
        self,
        images: ImageSet,
        split: Split,
        stated: Preprocessing,
        *,
        device: torch.device,
        autocast: torch.dtype | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        self.images, self.split = images, split
        self._stated, self._device, self._autocast = stated, device, autocast
        self._store = store
        self._kept = images.rows if images.whole is None else images.whole
        """Rows whose features lie in one block; `_places` says where in it each image's do."""
        self._places = np.arange(len(images))
        if images.whole is not None:
            order = np.argsort(self._kept)
            self._places = order[np.searchsorted(self._kept, images.rows, sorter=order)]
        self.batch = GPU_BATCH if device.type == "cuda" else BATCH
        """Images that go through the prefix, or an evaluation, at a time."""
        self._blocks: dict[tuple[int, ...], Block | None] = {}
        self._width = sum(math.prod(shape) for shape in split.shapes)
        self.seconds = 0.0
        """Spent so far on making images into features; on a GPU on asking for it."""

    def __len__(self) -> int:
        return len(self.images)

    def batches(
        self, chosen: Sequence[np.ndarray], views: Views | None = None, epoch: int = 0
    ) -> Iterator[Features]:
        """The features of each batch of positions, on the device; without ``views``, as they are.

        Several batches go through a frozen prefix together.
        """
        views = views or Views(0.0, None, 0)
        groups = list(_groups(chosen, self.batch if self.split.frozen else 1))
        together = [np.concatenate(group) for group in groups]
        made: Iterable[Features]
        if self._store is None:
            read = zip(together, self._read(together), strict=True)
            made = (self._make(batch, images, views, epoch) for batch, images in read)
        else:
            made = (self._shaped(self._fetch(batch, views, epoch)) for batch in together)
        for group, features in zip(groups, made, strict=True):
            sizes = [len(batch) for batch in group]
            yield from zip(*(torch.split(f, sizes) for f in features), strict=True)

    def _fetch(self, chosen: np.ndarray, views: Views, epoch: int) -> torch.Tensor:
        """``(n, width)`` float32 on the CPU, through the store."""
        assert self._store is not None
        number = views.number(epoch)
        levels = views.levels(self.images.rows[chosen], number)
        found = torch.empty(len(chosen), self._width)
        missing = np.ones(len(chosen), dtype=bool)
        for level in np.unique(levels).tolist():
            if block := self._block(level, number, views.seed):
                places = np.flatnonzero(levels == level)
                places = places[block.known[self._places[chosen[places]]] == 1]
                kept = torch.from_numpy(self._places[chosen[places]])
                found[places] = block.values[kept].float()
                missing[places] = False
        todo = np.flatnonzero(missing)
        for part in np.array_split(todo, -(-len(todo) // self.batch)) if len(todo) else ():
            images = self.images.images(chosen[part])
            made = self._flat(self._make(chosen[part], images, views, epoch)).cpu()
            rounded = made.to(self._store.torch_dtype)
            held = rounded.isfinite().all(dim=1)
            found[part] = torch.where(held[:, None], rounded.float(), made)
            for level in np.unique(levels[part]).tolist():
                if block := self._block(level, number, views.seed):
                    inside = held.numpy() & (levels[part] == level)
                    block.write(self._places[chosen[part][inside]], rounded[inside])
        return found

    def _read(self, chosen: Sequence[np.ndarray]) -> Iterable[torch.Tensor]:
        """The pixels of each batch; for a GPU a batch ahead, where it can fetch them by itself."""
        if self._device.type != "cuda":
            return map(self.images.images, chosen)
        return prefetched(lambda batch: self.images.images(batch).pin_memory(), chosen)

    def _make(self, chosen: np.ndarray, images: torch.Tensor, views: Views, epoch: int) -> Features:
        """Pixels through the prefix, in float32."""
        rows = self.images.rows[chosen]
        parts = run_by_halves(
            lambda some: self._make_at_once(rows[some], images[some], views, epoch), 0, len(rows)
        )
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    def _make_at_once(
        self, rows: np.ndarray, images: torch.Tensor, views: Views, epoch: int
    ) -> Features:
        began, number = time.perf_counter(), views.number(epoch)
        images = images.to(self._device, non_blocking=True)
        images = views.show(images, rows, number, views.levels(rows, number))
        with torch.autocast(
            self._device.type, dtype=self._autocast, enabled=self._autocast is not None
        ):
            features = self.split.prefix(normalise(images, self._stated))
        self.seconds += time.perf_counter() - began
        return tuple(feature.float() for feature in features)

    def _block(self, level: int, number: int, seed: int) -> Block | None:
        """Where the images' features in a view are kept, if they are."""
        assert self._store is not None
        view = (level, number, seed) if LEVELS[level] else (level,)
        if view not in self._blocks:
            key = hashlib.blake2b(digest_size=12)
            key.update(f"{self.images.store.file.stem} {self.split.fingerprint} ".encode())
            key.update(f"{self._autocast} {self._device.type} {self._stated} {view} ".encode())
            key.update(f"{_FORMAT} torch {torch.__version__} timm {timm.__version__} ".encode())
            key.update(self._kept.tobytes())
            self._blocks[view] = self._store.open(key.hexdigest(), len(self._kept), self._width)
        return self._blocks[view]

    def _flat(self, features: Features) -> torch.Tensor:
        """One row an image; maps lie channels last."""
        flat = [f.permute(0, 2, 3, 1) if f.ndim == 4 else f for f in features]
        return torch.cat([f.reshape(len(f), -1) for f in flat], dim=1)

    def _shaped(self, flat: torch.Tensor) -> Features:
        """What `_flat` laid flat, on the device."""
        flat = flat.to(self._device, non_blocking=True)
        parts = torch.split(flat, [math.prod(shape) for shape in self.split.shapes], dim=1)
        return tuple(
            part.view(-1, *shape[1:], shape[0]).permute(0, 3, 1, 2)
            if len(shape) == 3
            else part.reshape(-1, *shape)
            for part, shape in zip(parts, self.split.shapes, strict=True)
        )


def _groups(batches: Sequence[np.ndarray], images: int) -> Iterator[list[np.ndarray]]:
    """Runs of batches with at least so many images, but for the last."""
    group: list[np.ndarray] = []
    for batch in batches:
        group.append(batch)
        if sum(map(len, group)) >= images:
            yield group
            group = []
    if group:
        yield group
