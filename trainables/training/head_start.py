"""`HeadStart`: the linear probe with whose head a fine-tune begins.

One head serves all trials of a backbone with the same image size, fit, balance and training images.
It is solved once and kept in the cache folder, from where all processes of a machine read it.
"""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

import timm
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from spaces import TrialParams
from trainables.data import ImageSet
from trainables.files import write_atomically
from trainables.models import Weights, head_names
from trainables.stratification import stratified_part
from trainables.training.linear_probe import BIAS_OF_ABSENT_CLASS
from trainables.training.settings import ComputeSettings

_MAX_IMAGES = 2000
"""Largest number of training images that the probe is solved on."""
_FORMAT = 3
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
        part = train.subset(stratified_part(train.labels, _MAX_IMAGES))
        return cls(params.linear_probe, weights, num_classes, part, compute)

    def locked(self) -> AbstractContextManager[object]:
        """Lock that only one process holds at a time, so that the others wait for its head."""
        file = self._file
        if file is None:
            return nullcontext()
        file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(file.with_suffix(".lock"))

    def read(self) -> Head | None:
        """The head, if it was kept."""
        file = self._file
        try:
            return load_file(file) if file and file.exists() else None
        except SafetensorError:  # a damaged file is written anew
            return None

    def keep(self, head: Head) -> None:
        """Keep the head, if there is a cache folder."""
        if file := self._file:
            write_atomically(file, lambda partial: save_file(dict(head), partial))

    @cached_property
    def _file(self) -> Path | None:
        """File of the head; None without a cache folder."""
        if self.compute.cache is None:
            return None
        key = hashlib.blake2b(digest_size=16)
        key.update(f"{_FORMAT} torch {torch.__version__} timm {timm.__version__} ".encode())
        key.update(
            f"{self.params.model_dump()} {_digest(self.weights)} {self.num_classes} ".encode()
        )
        key.update(f"{torch.device(self.compute.device).type} {self.compute.precision} ".encode())
        key.update(self.images.store.key.encode())
        key.update(self.images.rows.tobytes() + self.images.labels.tobytes())
        key.update(repr(self.images.units).encode())  # they share folds, so the penalty depends
        return self.compute.cache / "heads" / f"{key.hexdigest()}.safetensors"


@lru_cache
def _digest(weights: Weights) -> str:
    """`Weights.digest`, read once for each stamp of the file."""
    return weights.digest()


def head_of(probe: nn.Module) -> Head:
    """Copy of the parameters of a probe's head, on the CPU.

    A class without training images gets the lowest bias of the others, from where it can be learned
    if images of it come.
    """
    head: dict[str, torch.Tensor] = {}
    for name in head_names(probe):
        for own, tensor in probe.get_submodule(name).state_dict().items():
            value = tensor.detach().cpu().clone()
            if own == "bias" and (absent := value <= BIAS_OF_ABSENT_CLASS).any():
                value[absent] = value[~absent].min()
            head[f"{name}.{own}"] = value
    return head


def set_head(model: nn.Module, head: Head) -> None:
    """Set the parameters of a model's head."""
    unknown = model.load_state_dict(head, strict=False).unexpected_keys
    assert not unknown, f"the head has parameters that this model lacks: {unknown}"
