"""Recorded fine-tunes of many backbones on 16 image sets, as a table of accuracies.

The source is zLizy/transferability_graph, `doc/ftrecords_img.csv`: 25 epochs at a fixed rate. Its
models have names of the Hugging Face hub. `TIMM_NAMES` has the timm model with the same weights.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

RATE = 0.01
"""Learning rate of the records that are read. The others, at 0.1, are few and nearly all failed."""
FULL_SET_RATIO = 16
"""A record that took more than this many times its model's median seconds was trained on the whole
set, where the others were trained on 1,000 images. Three sets have both kinds."""
TASK_PAIRS = ("clevr", "dsprites", "smallnorb")
"""Sets of which two tasks were recorded under one name. The mean of both counts."""
FEWEST_SETS = 12
"""A model with records of fewer sets is left out."""
PUBLISHERS = (
    "facebook",
    "google",
    "microsoft",
    "nvidia",
    "timm",
    "Visual-Attention-Network",
    "WinKawaks",
)
"""Accounts whose models are pretrained backbones; those of others are fine-tunes of these."""
ARCHITECTURES = ("convnext", "swin", "data2vec", "beit", "dit-", "deit", "mit-", "van-", "convit")
"""Words in a model's name that say its architecture; all others are plain ViTs."""

_PREFIXES = {"facebook/": "fb", "microsoft/": "ms", "google/": "orig", "WinKawaks/": "augreg"}


def timm_name(model: str) -> str | None:
    """Name of the timm model with the weights of a model of the hub; None if timm has none."""
    prefix = next((p for p in _PREFIXES if model.startswith(p)), None)
    if prefix is None:
        return None
    by, base = _PREFIXES[prefix], model.removeprefix(prefix).replace("-", "_")
    if base.startswith("deit"):
        return f"{base}.fb_in1k"
    if match := re.fullmatch(r"(convnext_\w+?)_(224|384)(_22k)?(_1k)?", base):
        name, size, on_22k, on_1k = match.groups()
        tag = "fb_in22k_ft_in1k" if on_1k else "fb_in22k" if on_22k else "fb_in1k"
        if size == "384":
            return f"{name}.{tag}_384" if on_1k else None
        return f"{name}.{tag}"
    if base.startswith("swin"):
        if base.endswith("_in22k"):
            return f"{base.removesuffix('_in22k')}.ms_in22k"
        return f"{base}.ms_in22k_ft_in1k" if "large" in base else f"{base}.ms_in1k"
    if base.startswith("beit") and not base.endswith("_pt22k"):
        only_22k = base.endswith("_pt22k_ft22k")
        name = base.removesuffix("_pt22k_ft22k")
        return f"{name}.in22k_ft_in22k" if only_22k else f"{name}.in22k_ft_in22k_in1k"
    return f"{base}.{by}_in21k_ft_in1k" if base.startswith("vit") else None


@dataclass(frozen=True, eq=False)
class FineTunes:
    """Accuracies of ``m`` models on ``s`` image sets."""

    models: Sequence[str]
    sets: Sequence[str]
    accuracy: np.ndarray
    """``(m, s)`` test accuracies in points, NaN where nothing was recorded."""

    @classmethod
    def read(cls, file: Path) -> Self:
        """Accuracies at `RATE` after training on 1,000 images."""
        records = pd.read_parquet(file)
        records = records[records.lr == RATE]
        pair = ["model_identifier", "train_dataset_name"]
        usual = records.groupby(pair).elapsed_time.min().groupby(level=0).median()
        ratio = records.elapsed_time / records.model_identifier.map(usual)
        groups = records[ratio < FULL_SET_RATIO].groupby(pair).test_accuracy
        means, counts = 100 * groups.mean().unstack(), groups.size().unstack()
        for name in TASK_PAIRS:
            means[name] = means[name].where(counts[name] == 2)
        means = means[means.notna().sum(axis=1) >= FEWEST_SETS]
        return cls(list(means.index), list(means.columns), means.to_numpy())

    @cached_property
    def architectures(self) -> np.ndarray:
        """``(m,)`` architecture of each model, read off its name."""
        found = (next((a for a in ARCHITECTURES if a in m.lower()), "vit") for m in self.models)
        return np.array(list(found))

    @cached_property
    def published(self) -> np.ndarray:
        """Indices of the pretrained backbones among the models."""
        return np.flatnonzero([m.split("/")[0] in PUBLISHERS for m in self.models])

    def without_failures(self) -> "FineTunes":
        """The same, with NaN for fine-tunes that hardly learned anything.

        These reach less than half of the way from the least accuracy of their set (2nd percentile)
        to the best (95th).
        """
        low, high = np.nanpercentile(self.accuracy, [2, 95], axis=0)
        learned = self.accuracy > (low + high) / 2
        return FineTunes(self.models, self.sets, np.where(learned, self.accuracy, np.nan))
