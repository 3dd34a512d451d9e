"""`HeadStart`: the linear probe with whose head a fine-tune begins.

The head of one probe serves all trials of a backbone. It is solved once and kept in the cache
folder, from where all processes of a machine read it.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from spaces import TrialParams
from trainables.data import ImageSet
from trainables.models import Weights, head_names
from trainables.training.settings import ComputeSettings

_MAX_IMAGES = 2000
"""Largest number of training images that the probe is solved on."""
_FORMAT = 1
"""Version in the key of every kept head. Raise it if new code solves other heads."""

Head = Mapping[str, torch.Tensor]
"""Parameters of a head by their names in the model."""


@dataclass(frozen=True)
class HeadStart:
    """A linear probe: its parameters, its backbone's weights and its training images."""

    params: TrialParams
    weights: Weights
    num_classes: int
    images: ImageSet
    compute: ComputeSettings

    @classmethod
    def of(
        cls,
        params: TrialParams,
        weights: Weights,
        num_classes: int,
        train: ImageSet,
        compute: ComputeSettings,
    ) -> Self | None:
        """Head start of a fine-tune; None if its head begins at zero, or is itself a probe's.

        The probe gets `_MAX_IMAGES` of the training images at most, as many of each class as its
        share.
        """
        if "head_start" in params.without_effect or params.head_start == "zero":
            return None
        if weights.file is None:  # random features say nothing
            return None
        part = train.subset(_stratified(train.labels, _MAX_IMAGES))
        return cls(params.linear_probe, weights, num_classes, part, compute)

    def read(self) -> Head | None:
        """The head, if it was kept."""
        file = self._file
        return load_file(file) if file and file.exists() else None

    def keep(self, head: Head) -> None:
        """Keep the head, if there is a cache folder."""
        if file := self._file:
            file.parent.mkdir(parents=True, exist_ok=True)
            own = file.with_suffix(f".{os.getpid()}")
            save_file(dict(head), own)
            own.replace(file)

    @property
    def _file(self) -> Path | None:
        """File of the head; None without a cache folder."""
        if self.compute.cache is None:
            return None
        key = hashlib.blake2b(digest_size=16)
        key.update(f"{_FORMAT} torch {torch.__version__} timm {timm.__version__} ".encode())
        key.update(
            f"{self.params.model_dump()} {self.weights.digest()} {self.num_classes} ".encode()
        )
        key.update(f"{torch.device(self.compute.device).type} {self.compute.precision} ".encode())
        key.update(self.images.store.file.stem.encode())
        key.update(self.images.rows.tobytes() + self.images.labels.tobytes())
        return self.compute.cache / "heads" / f"{key.hexdigest()}.safetensors"


def head_of(model: nn.Module) -> Head:
    """Copy of the parameters of a model's head, on the CPU."""
    layers = {name: model.get_submodule(name) for name in head_names(model)}
    return {
        f"{name}.{own}": tensor.detach().cpu().clone()
        for name, layer in layers.items()
        for own, tensor in layer.state_dict().items()
    }


def set_head(model: nn.Module, head: Head) -> None:
    """Set the parameters of a model's head."""
    unknown = model.load_state_dict(head, strict=False).unexpected_keys
    assert not unknown, f"the head has parameters that this model lacks: {unknown}"


def _stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions, in order, of about ``count`` images at most; a class has its share, at least one.

    ``labels`` are the ``(n,)`` class numbers.
    """
    rng, share = np.random.default_rng(0), min(1.0, count / len(labels))
    members = [rng.permutation(np.flatnonzero(labels == k)) for k in np.unique(labels)]
    return np.sort(np.concatenate([m[: max(1, round(share * len(m)))] for m in members]))
