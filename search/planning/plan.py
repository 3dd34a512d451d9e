"""What a launch understood, before anything is trained."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from search.config.settings import SweepConfig
from search.final.selection import positive_class
from search.planning.prepare import Draft
from spaces import ConfigError, Fixed, TrialParams
from trainables.data.dataset import Dataset
from trainables.data.decoding import read_rgb, resize_square
from trainables.data.listing import SPLITS
from trainables.data.pixel_store import Staged
from trainables.data.survey import Survey, survey
from trainables.inputs.augmentation import NUMBERS, augment
from trainables.models.backbone import (
    backbone_groups,
    build_model,
    make_optimizer,
    open_group_count,
    open_groups,
    train_mode,
    trainable_share,
)
from trainables.progress import Progress, no_progress

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
UNEVEN = 3.0
"""Where a class has more than so many times the training images of another, accuracy would be the
frequent one's."""


@dataclass(frozen=True)
class Plan(Draft):
    """Everything that is settled before a sweep: a draft, and the images."""

    survey: Survey


@dataclass(frozen=True)
class BackboneFacts:
    """What `finesweep plan` says of a backbone."""

    backbone: str
    weights: str
    image_size: int
    parameters: int
    groups: int
    trainable_share: dict[str, float]
    """By unfreeze level: the share of all parameters that train."""
    train_images_per_second: float
    """Of one core of this machine at the space's default depth, a few steps long."""


def make_plan(
    draft: Draft,
    progress: Progress = no_progress,
    *,
    staged: Staged | None = None,
    recorded: Dataset | None = None,
) -> Plan:
    """Survey the images, and put them into ``staged`` as they are opened.

    Of a launched sweep they have to be those that were ``recorded``, and stand in that order,
    whatever their files are called now. Raises `UserError`.
    """
    config = draft.config
    surveyed = survey(
        config.data,
        cache=config.cache_dir,
        val_fraction=config.split.val_fraction,
        test_fraction=config.split.test_fraction,
        seed=config.seed,
        eval_is=config.split.eval_is,
        forms=draft.forms,
        staged=staged,
        progress=progress,
    )
    if recorded is not None:
        _check_classes(config, surveyed.dataset, recorded)
        if surveyed.dataset.fingerprint != recorded.fingerprint:
            raise ConfigError(
                f"The images in {config.data} are not those that the sweep {config.name!r} was "
                "launched with; bring them back, or launch another."
            )
        surveyed = replace(surveyed, dataset=surveyed.dataset.in_order_of(recorded))
    positive_class(config, surveyed.dataset.classes)
    _check_folds(config, surveyed.dataset)
    if config.metric == "auto":
        uneven = unevenness(surveyed.dataset) > UNEVEN
        metric = "val_balanced_accuracy" if uneven else "val_accuracy"
        draft = replace(draft, config=config.model_copy(update={"metric": metric}))
    return Plan(**vars(draft), survey=surveyed)


def _check_classes(config: SweepConfig, dataset: Dataset, recorded: Dataset) -> None:
    """Raises `ConfigError` if the images show other classes than those of the recorded sweep."""
    now, then = set(dataset.classes), set(recorded.classes)
    if now == then:
        return
    new = ", ".join(name for name in dataset.classes if name not in then)
    gone = ", ".join(name for name in recorded.classes if name not in now)
    differ = "; ".join([*[f"new: {new}"] * bool(new), *[f"missing: {gone}"] * bool(gone)])
    raise ConfigError(
        f"The classes in {config.data} are not those that the sweep {config.name!r} was launched "
        f"with ({differ}); bring them back, or launch another."
    )


def _check_folds(config: SweepConfig, dataset: Dataset) -> None:
    """Raises `ConfigError` if a class has too few images for some in every fold."""
    labels = dataset.labels[dataset.rows(*config.validated)].tolist()
    different = dict(zip(dataset.digests_of(*config.validated), labels, strict=True))
    rarest = int(np.bincount(list(different.values()), minlength=len(dataset.classes)).min())
    if config.folds > rarest:
        raise ConfigError(
            f"folds is {config.folds}, but a class has {rarest} different training and validation "
            "images; give so many folds or fewer."
        )


def unevenness(dataset: Dataset) -> float:
    """How many times the training images of the rarest class the most frequent one has."""
    counts = dataset.counts("train").values()
    return max(counts) / min(counts)


def _balance_note(plan: Plan) -> list[str]:
    """What to tell a user whose classes are uneven and whose space lets them be."""
    untouched = plan.space.dimensions["balance"] == Fixed(value="none")
    if unevenness(plan.survey.dataset) <= UNEVEN or not untouched:
        return []
    return [
        'The classes are uneven, and the space leaves that be; balance = "weighted" in a space of '
        "your own gained 3 to 12 points of balanced accuracy where it was measured."
    ]


def backbone_facts(plan: Plan) -> list[BackboneFacts]:
    """Build and time each backbone. Takes a few seconds each."""
    classes = len(plan.survey.dataset.classes)
    facts = []
    for name, weights in plan.weights.items():
        params = plan.space.params({"backbone": name}, native_image_size=plan.native_image_size)
        model = build_model(params, weights, classes)
        shares = {}
        for level in LEVELS:
            open_groups(model, open_group_count(model, level))
            shares[f"{level:g}"] = trainable_share(model)
        facts.append(
            BackboneFacts(
                backbone=name,
                weights=weights.origin,
                image_size=params.image_size,
                parameters=sum(p.numel() for p in model.parameters()),
                groups=len(backbone_groups(model)),
                trainable_share=shares,
                train_images_per_second=_time_steps(model, params),
            )
        )
    return facts


def expected_epochs(config: SweepConfig) -> float:
    """Epochs that a sweep's trials train in all, if ASHA keeps one in eta at every rung.

    Of other rules nothing is expected.
    """
    if config.stopping != "asha":
        return float(config.trials * config.max_epochs)
    total, alive, done = 0.0, float(config.trials), 0
    rung = config.asha.grace_epochs
    while done < config.max_epochs:
        step = min(rung, config.max_epochs) - done
        total += alive * step
        done += step
        alive = max(alive / config.asha.reduction_factor, 1.0)
        rung *= config.asha.reduction_factor
    return total


def plan_document(plan: Plan, facts: list[BackboneFacts]) -> dict[str, Any]:
    """The plan as one JSON document."""
    dataset = plan.survey.dataset
    epochs = expected_epochs(plan.config)
    rates = [fact.train_images_per_second for fact in facts]
    images = len(dataset.rows("train"))
    if plan.config.folds:  # each image is left out once
        images = (plan.config.folds - 1) * len(dataset.rows(*plan.config.validated))
    seconds = epochs * images * sum(1 / rate for rate in rates) / len(rates)
    return {
        "data": str(plan.config.data),
        "kind": plan.survey.kind,
        "classes": list(dataset.classes),
        "counts": {split: dataset.counts(split) for split in SPLITS},
        "split": plan.survey.split_made,
        "folds": plan.config.folds,
        "fingerprint": dataset.fingerprint,
        "ignored": plan.survey.ignored,
        "notes": [*plan.survey.notes, *_balance_note(plan)],
        "bad_images": [asdict(s) for s in plan.survey.suspects if s.kind == "bad"],
        "odd_images": [asdict(s) for s in plan.survey.suspects if s.kind == "odd"],
        "metric": plan.config.metric,
        "unevenness": unevenness(dataset),
        "space": plan.space.name,
        "open": {field: dim.model_dump() for field, dim in plan.space.open.items()},
        "points": [point.model_dump() for point in plan.points],
        "backbones": [asdict(fact) for fact in facts],
        "cost": {
            "trials": plan.config.trials,
            "expected_epochs": epochs,
            "core_hours": seconds / 3600,
            "measured_on": "one CPU core of this machine",
        },
    }


def draw_augmentation(dataset: Dataset, file: Path, *, images: int = 6) -> None:
    """A picture: rows of strengths from 0 to 1, the same training images in each row."""
    chosen = dataset.rows("train")[:: max(1, len(dataset.rows("train")) // images)][:images]
    side = 160
    squares = [resize_square(read_rgb(dataset.file(r)), side, "bilinear") for r in chosen]
    batch = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    numbers = np.random.default_rng(0).random((len(batch), NUMBERS))
    rows = []
    for strength in (0.0, 0.1, 0.3, 0.6, 1.0):
        moved = augment(batch, np.full(len(batch), strength), numbers)
        rows.append(torch.cat(list(moved), dim=2))
    sheet = torch.cat(rows, dim=1).permute(1, 2, 0).numpy()
    Image.fromarray(sheet).save(file)


def _time_steps(model: torch.nn.Module, params: TrialParams, *, batch: int = 16) -> float:
    """Training images per second on one core, from two steps after a first one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    open_groups(model, open_group_count(model, params.unfreeze))
    train_mode(model, freeze_batchnorm=True)
    model = model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, params)
    images = torch.rand(batch, 3, params.image_size, params.image_size)
    began = 0.0
    for step in range(3):
        if step == 1:
            began = time.perf_counter()
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return 2 * batch / (time.perf_counter() - began)
