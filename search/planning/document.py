"""The plan as a document, which `finesweep plan` shows as text or as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from search.config import SweepConfig, expected_rounds, images_per_epoch
from search.planning.backbones import BackboneFacts, timing_device
from search.planning.notes import plan_notes
from search.planning.plan import Plan, class_imbalance
from search.planning.trial_length import choose_rounds
from spaces import Choices, Fixed, Range, TrialParams
from trainables.data import ExpectedStore, ImageIssue, expected_stores
from trainables.listing import SPLITS, Unused


@dataclass(frozen=True)
class ExpectedCost:
    """Epochs and training time that a search is expected to take."""

    trials: int
    expected_epochs: float
    """Epochs of all trials together."""
    rounds_per_epoch: int
    """Expected number of rounds in an epoch; it is 1 if a round is an epoch."""
    round_images: int
    """Expected number of training images in a round."""
    val_images: int
    """Expected number of validation images that score a round."""
    device: Literal["core", "GPU"]
    """Kind of device that `device_hours` are counted on."""
    device_hours: float
    """Hours of training on one device, if the backbones are tried equally often."""
    measured_on: str
    """Hardware on which the backbones were timed."""


@dataclass(frozen=True)
class PlanDocument:
    """Output of `finesweep plan`. The fields of this class are the keys of the JSON."""

    data: str
    kind: str
    """Layout of the data source, such as "a folder per class"."""
    classes: list[str]
    counts: dict[str, dict[str, int]]
    """Number of images by split and class."""
    split: str
    """Description of how the split was made."""
    folds: int
    fingerprint: str
    unused: Sequence[Unused]
    """Files, folders, rows and columns of the data source that are not used."""
    notes: list[str]
    bad_images: list[ImageIssue]
    """Images that were left out."""
    odd_images: list[ImageIssue]
    """Images that were kept although they look wrong."""
    metric: str
    unevenness: float
    """Class imbalance: see `class_imbalance`."""
    space: str
    open: Mapping[str, Fixed | Range | Choices]
    """Parameters that vary, each with its dimension."""
    dependencies: Mapping[str, Sequence[str]]
    """Parameters that each conditional parameter depends on."""
    points: Sequence[TrialParams]
    """Initial points."""
    backbones: list[BackboneFacts]
    decoded_gib: float
    """Size in GiB of the images, decoded to every size that trials may need."""
    cache_gib: float
    """Largest size in GiB of the cache that they are kept in."""
    stores: Sequence[ExpectedStore]
    """Form and size of the images in each format, if the cache is empty and the disk has room."""
    cost: ExpectedCost

    def to_json(self) -> dict[str, Any]:
        """The document as values that `json` can write."""
        return asdict(self) | {
            "open": {name: dimension.model_dump() for name, dimension in self.open.items()},
            "points": [point.model_dump() for point in self.points],
        }


def describe_plan(plan: Plan, backbones: list[BackboneFacts]) -> PlanDocument:
    """Describe a plan, with the measurements of its ``backbones``.

    Compresses some images if they don't all have room decoded. Raises `DataError` if they have
    changed.
    """
    survey, config = plan.survey, plan.config
    return PlanDocument(
        data=str(config.data),
        kind=survey.kind,
        classes=list(survey.dataset.classes),
        counts={split: survey.dataset.counts(split) for split in SPLITS},
        split=survey.split_description,
        folds=config.folds,
        fingerprint=survey.dataset.fingerprint,
        unused=survey.unused,
        notes=plan_notes(plan),
        bad_images=[issue for issue in survey.issues if issue.kind == "bad"],
        odd_images=[issue for issue in survey.issues if issue.kind == "odd"],
        metric=config.metric,
        unevenness=class_imbalance(survey.dataset),
        space=plan.space.name,
        open=plan.space.open,
        dependencies=plan.space.dependencies,
        points=plan.points,
        backbones=backbones,
        decoded_gib=plan.decoded_bytes / 2**30,
        cache_gib=config.cache_gib,
        stores=expected_stores(survey.dataset, plan.pixel_formats, budget_bytes=config.cache_bytes),
        cost=_expected_cost(plan, backbones),
    )


def _expected_cost(plan: Plan, backbones: list[BackboneFacts]) -> ExpectedCost:
    config, dataset = plan.config, plan.survey.dataset
    on_gpu = timing_device(config).type == "cuda"
    rates = [facts.train_images_per_second for facts in backbones]
    rounds = choose_rounds(config, dataset, lambda: float(np.median(rates)))
    epochs = expected_rounds(config, rounds.per_epoch) / rounds.per_epoch
    images = images_per_epoch(config, dataset)
    fine_tunes = config.folds or 1
    seconds = epochs * fine_tunes * images * sum(1 / rate for rate in rates) / len(rates)
    return ExpectedCost(
        trials=config.trials,
        expected_epochs=epochs,
        rounds_per_epoch=rounds.per_epoch,
        round_images=images // rounds.per_epoch,
        val_images=len(rounds.validation_rows(config, dataset)),
        device="GPU" if on_gpu else "core",
        device_hours=seconds / 3600,
        measured_on=_hardware(config, on_gpu),
    )


def _hardware(config: SweepConfig, on_gpu: bool) -> str:
    """Hardware on which the backbones were timed, and the limits of this measurement."""
    if on_gpu:
        return f"one {torch.cuda.get_device_name()} of this machine, one trial at a time"
    if config.gpus_per_trial in (0, "auto"):
        return "one core of this machine, in CPU time, which other programs hardly change"
    return "one core of this machine, in CPU time; trials will hold GPUs, but this machine has none"
