"""The plan as a document, which `finesweep plan` shows as text or as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from search.config import SweepConfig
from search.planning.backbones import BackboneFacts
from search.planning.plan import IMBALANCE_THRESHOLD, Plan, class_imbalance
from spaces import Choices, Fixed, Range, TrialParams
from trainables.data import SPLITS, ImageIssue


@dataclass(frozen=True)
class ExpectedCost:
    """Expected cost of a search."""

    trials: int
    expected_epochs: float
    """Epochs of all trials together."""
    core_hours: float
    """Hours of training on one CPU core, if the backbones are tried equally often."""
    measured_on: str
    """Hardware on which the backbones were timed."""


@dataclass(frozen=True)
class PlanDocument:
    """A plan as people and programs read it; its fields are the keys of the JSON."""

    data: str
    kind: str
    """Layout of the source, in words."""
    classes: list[str]
    counts: dict[str, dict[str, int]]
    """Number of images by split and class."""
    split: str
    """The split and its origin, in words."""
    folds: int
    fingerprint: str
    ignored: dict[str, int]
    """Number of files passed over, by reason."""
    notes: list[str]
    bad_images: list[ImageIssue]
    """Images that were left out."""
    odd_images: list[ImageIssue]
    """Images that were kept and look wrong."""
    metric: str
    unevenness: float
    """Class imbalance: see `class_imbalance`."""
    space: str
    open: Mapping[str, Fixed | Range | Choices]
    """Parameters that vary, each with its dimension."""
    points: Sequence[TrialParams]
    """Initial points."""
    backbones: list[BackboneFacts]
    cost: ExpectedCost

    def to_json(self) -> dict[str, Any]:
        """The document as values that `json` can write."""
        return asdict(self) | {
            "open": {name: dimension.model_dump() for name, dimension in self.open.items()},
            "points": [point.model_dump() for point in self.points],
        }


def describe_plan(plan: Plan, backbones: list[BackboneFacts]) -> PlanDocument:
    """Document of a plan whose ``backbones`` were measured."""
    survey, config = plan.survey, plan.config
    return PlanDocument(
        data=str(config.data),
        kind=survey.kind,
        classes=list(survey.dataset.classes),
        counts={split: survey.dataset.counts(split) for split in SPLITS},
        split=survey.split_description,
        folds=config.folds,
        fingerprint=survey.dataset.fingerprint,
        ignored=survey.ignored,
        notes=[*survey.notes, *_imbalance_note(plan)],
        bad_images=[issue for issue in survey.issues if issue.kind == "bad"],
        odd_images=[issue for issue in survey.issues if issue.kind == "odd"],
        metric=config.metric,
        unevenness=class_imbalance(survey.dataset),
        space=plan.space.name,
        open=plan.space.open,
        points=plan.points,
        backbones=backbones,
        cost=_expected_cost(plan, backbones),
    )


def _imbalance_note(plan: Plan) -> list[str]:
    """Advice for imbalanced classes, if the space leaves ``balance`` at none."""
    is_unbalanced = plan.space.dimensions["balance"] == Fixed(value="none")
    if class_imbalance(plan.survey.dataset) <= IMBALANCE_THRESHOLD or not is_unbalanced:
        return []
    return [
        "The classes are uneven, and the space does not balance them; "
        'balance = "weighted" in a space of your own gained 3 to 12 points of balanced accuracy '
        "where it was measured."
    ]


def _expected_cost(plan: Plan, backbones: list[BackboneFacts]) -> ExpectedCost:
    config, dataset = plan.config, plan.survey.dataset
    epochs = expected_epochs(config)
    images_per_epoch = len(dataset.rows("train"))
    if config.folds:  # each image is left out of training once
        images_per_epoch = (config.folds - 1) * len(dataset.rows(*config.validation_splits))
    rates = [facts.train_images_per_second for facts in backbones]
    seconds = epochs * images_per_epoch * sum(1 / rate for rate in rates) / len(rates)
    return ExpectedCost(
        trials=config.trials,
        expected_epochs=epochs,
        core_hours=seconds / 3600,
        measured_on="one CPU core of this machine",
    )


def expected_epochs(config: SweepConfig) -> float:
    """Epochs that all trials of a sweep train together.

    ASHA is expected to promote one trial in eta at every rung. Other stopping rules are counted as
    if they stopped none.
    """
    if config.stopping != "asha":
        return float(config.trials * config.max_epochs)
    total, running, epochs_done = 0.0, float(config.trials), 0
    rung = config.asha.grace_epochs
    while epochs_done < config.max_epochs:
        epochs = min(rung, config.max_epochs) - epochs_done
        total += running * epochs
        epochs_done += epochs
        running = max(running / config.asha.reduction_factor, 1.0)
        rung *= config.asha.reduction_factor
    return total
