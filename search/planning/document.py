"""The plan as a document: what was understood, and what it may cost."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from search.config import SweepConfig
from search.planning.plan import UNEVEN, Plan, unevenness
from spaces import Fixed, TrialParams
from trainables.data import SPLITS
from trainables.models import (
    backbone_groups,
    build_model,
    make_optimizer,
    open_group_count,
    open_groups,
    train_mode,
    trainable_share,
)

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


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
