"""`FeatureLoader`: an image set as batches of features, the input of the trainable suffix.

A `FeatureStore` keeps the features that frozen prefixes compute from images and their views. The
trial that first needs a feature computes and stores it during training; later epochs and trials
read it.
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
from trainables.inputs.feature_store import FeatureBlock, FeatureStore
from trainables.inputs.out_of_memory import run_by_halves
from trainables.inputs.prefetch import prefetched
from trainables.inputs.views import Views
from trainables.models import Features, Preprocessing, SplitModel, normalise

_log = logging.getLogger("finesweep")

CPU_BATCH_SIZE, GPU_BATCH_SIZE = 64, 256
"""Number of images per forward pass of a prefix or an evaluation; results don't depend on it."""
_FORMAT = 1
"""Version in every block's key. Raise the version if new code gives other features."""


class FeatureLoader:
    """Features of an image set, batch by batch: read from the store, else computed.

    Args:
        images: The image set, as decoded pixels.
        split: The model, split into a frozen prefix and a trainable suffix.
        preprocessing: Normalisation that the backbone expects.
        device: Device that computes features, and that batches are returned on.
        autocast: Autocast type of the prefix; None is float32.
        store: Store of features; None computes them in every epoch.
    """

    def __init__(
        self,
        images: ImageSet,
        split: SplitModel,
        preprocessing: Preprocessing,
        *,
        device: torch.device,
        autocast: torch.dtype | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        self.images, self.split = images, split
        self._preprocessing, self._device, self._autocast = preprocessing, device, autocast
        self._store = store
        self._block_rows = images.sharing_rows
        """Dataset rows of a block's images. A subset (e.g. a fold) uses the block of its parent."""
        self._block_positions = np.arange(len(images))
        """``(n,)`` position of each image in a block."""
        if images.parent_rows is not None:
            order = np.argsort(self._block_rows)
            ranks = np.searchsorted(self._block_rows, images.rows, sorter=order)
            self._block_positions = order[ranks]
        self.batch_size = GPU_BATCH_SIZE if device.type == "cuda" else CPU_BATCH_SIZE
        """Number of images per forward pass of the prefix or an evaluation."""
        self._blocks: dict[tuple[object, ...], FeatureBlock | None] = {}
        self._width = sum(math.prod(shape) for shape in split.feature_shapes)
        self.seconds = 0.0
        """Seconds spent so far on computing features; on a GPU, only on launching kernels."""
        self._computed = 0
        """Number of images whose features were computed so far."""

    def __len__(self) -> int:
        return len(self.images)

    def seconds_per_image(self) -> float:
        """Seconds of computing an image's features, by this loader or by those that stored them.

        0 if this is unknown.
        """
        if not self._computed:
            return self._store.read_seconds(self._key_of_features) if self._store else 0.0
        measured = self.seconds / self._computed
        if self._store:
            self._store.write_seconds(self._key_of_features, measured)
        return measured

    def batches(
        self, batches: Sequence[np.ndarray], views: Views | None = None, epoch_index: int = 0
    ) -> Iterator[Features]:
        """Features, on the device, of each batch of image positions.

        Without ``views``, the images are not augmented. Small batches go through a frozen prefix
        together, about `batch_size` images at a time.
        """
        views = views or Views(0.0, None, 0)
        groups = list(_groups(batches, self.batch_size if self.split.prefix_module else 1))
        merged = [np.concatenate(group) for group in groups]
        computed: Iterable[Features]
        if self._store is None:
            pixels = zip(merged, self._read_pixels(merged), strict=True)
            computed = (
                self._compute(positions, images, views, epoch_index) for positions, images in pixels
            )
        else:
            computed = (
                self._unflatten(self._read_or_compute(positions, views, epoch_index))
                for positions in merged
            )
        for group, features in zip(groups, computed, strict=True):
            sizes = [len(batch) for batch in group]
            yield from zip(*(torch.split(f, sizes) for f in features), strict=True)

    def _read_or_compute(
        self, positions: np.ndarray, views: Views, epoch_index: int
    ) -> torch.Tensor:
        """``(n, width)`` float32 features on the CPU; missing ones are computed and stored."""
        assert self._store is not None
        view = views.view_of(epoch_index)
        levels = views.levels(self.images.rows[positions], view)
        # 1. Read the stored features.
        features = torch.empty(len(positions), self._width)
        missing = np.ones(len(positions), dtype=bool)
        for level in np.unique(levels).tolist():
            if block := self._block(views, level, view):
                at_level = np.flatnonzero(levels == level)
                stored = at_level[block.written[self._block_positions[positions[at_level]]] == 1]
                rows = torch.from_numpy(self._block_positions[positions[stored]])
                features[stored] = block.values[rows].float()
                missing[stored] = False
        # 2. Compute the missing features, and store the rows whose values fit the store's type.
        absent = np.flatnonzero(missing)
        parts = np.array_split(absent, -(-len(absent) // self.batch_size)) if len(absent) else ()
        for part in parts:
            images = self.images.images(positions[part])
            computed = self._compute(positions[part], images, views, epoch_index)
            flat = self._flatten(computed).cpu()
            rounded = flat.to(self._store.torch_dtype)
            holds = rounded.isfinite().all(dim=1)
            features[part] = torch.where(holds[:, None], rounded.float(), flat)
            for level in np.unique(levels[part]).tolist():
                if block := self._block(views, level, view):
                    chosen = holds.numpy() & (levels[part] == level)
                    block.write(self._block_positions[positions[part][chosen]], rounded[chosen])
        return features

    def _read_pixels(self, batches: Sequence[np.ndarray]) -> Iterable[torch.Tensor]:
        """Pixels of each batch. For a GPU, prefetches the next batch into pinned memory."""
        if self._device.type != "cuda":
            return map(self.images.images, batches)
        return prefetched(lambda batch: self.images.images(batch).pin_memory(), batches)

    def _compute(
        self, positions: np.ndarray, images: torch.Tensor, views: Views, epoch_index: int
    ) -> Features:
        """Float32 features of ``(n, 3, h, w)`` uint8 images, in parts if memory runs out."""
        rows = self.images.rows[positions]
        parts = run_by_halves(
            lambda part: self._compute_at_once(rows[part], images[part], views, epoch_index),
            0,
            len(rows),
        )
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    def _compute_at_once(
        self, rows: np.ndarray, images: torch.Tensor, views: Views, epoch_index: int
    ) -> Features:
        began, view = time.perf_counter(), views.view_of(epoch_index)
        images = images.to(self._device, non_blocking=True)
        images = views.augment(images, rows, view, views.levels(rows, view))
        with torch.autocast(
            self._device.type, dtype=self._autocast, enabled=self._autocast is not None
        ):
            features = self.split.prefix(normalise(images, self._preprocessing))
        self.seconds += time.perf_counter() - began
        self._computed += len(rows)
        return tuple(feature.float() for feature in features)

    def _block(self, views: Views, level: int, view: int) -> FeatureBlock | None:
        """Block of the store for a view at a strength level; None if the store has no room."""
        assert self._store is not None
        block_id = views.block_id(level, view)
        if block_id not in self._blocks:
            key = hashlib.blake2b(digest_size=12)
            key.update(f"{self._key_of_features} {block_id} ".encode())
            key.update(self._block_rows.tobytes())
            block = self._store.open(key.hexdigest(), len(self._block_rows), self._width)
            self._blocks[block_id] = block
        return self._blocks[block_id]

    @property
    def _key_of_features(self) -> str:
        """All that the features of an image depend on, beside its view."""
        return (
            f"{self.images.store.key} {self.split.fingerprint} {self._autocast} "
            f"{self._device.type} {self._preprocessing} {_FORMAT} torch {torch.__version__} "
            f"timm {timm.__version__}"
        )

    def _flatten(self, features: Features) -> torch.Tensor:
        """``(n, width)`` features, one row per image; feature maps have channels last."""
        flat = [f.permute(0, 2, 3, 1) if f.ndim == 4 else f for f in features]
        return torch.cat([f.reshape(len(f), -1) for f in flat], dim=1)

    def _unflatten(self, flat: torch.Tensor) -> Features:
        """Inverse of `_flatten`, on the device."""
        flat = flat.to(self._device, non_blocking=True)
        parts = torch.split(flat, [math.prod(shape) for shape in self.split.feature_shapes], dim=1)
        return tuple(
            part.view(-1, *shape[1:], shape[0]).permute(0, 3, 1, 2)
            if len(shape) == 3
            else part.reshape(-1, *shape)
            for part, shape in zip(parts, self.split.feature_shapes, strict=True)
        )


def _groups(batches: Sequence[np.ndarray], images: int) -> Iterator[list[np.ndarray]]:
    """Groups of consecutive batches with at least ``images`` images (fewer in the last group)."""
    group: list[np.ndarray] = []
    for batch in batches:
        group.append(batch)
        if sum(map(len, group)) >= images:
            yield group
            group = []
    if group:
        yield group
