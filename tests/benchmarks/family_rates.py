"""Whether any family of backbones diverges at the central learning rates of the presets.

    python -m tests.benchmarks.family_rates

Trains each family that the tests of the frozen prefix know, whole and from random weights, for a
few steps on real digits. Random weights are the harder case: pretrained ones can't be had here, and
start nearer to a minimum. A run has diverged if its loss is no longer finite, or if the mean of its
last losses is above twice the first loss.
"""

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from tests.benchmarks.measuring import write_table
from tests.trainables.models.test_frozen_prefix import FAMILIES, small_params
from trainables.models import Weights, build_model, make_optimizer, set_train_mode
from trainables.process import configure_process
from trainables.training.lr_schedule import LearningRate

WORKERS, STEPS, BATCH_SIZE, LAST = 2, 12, 8, 3
CENTRES = {"adamw": 1e-3, "rmsprop": 1e-3, "sgd": 5e-3}
"""Default learning rates of the presets `default` and `classic`, by optimizer."""
BACKBONE_LR_SCALE = 0.1


@dataclass(frozen=True)
class Outcome:
    """Losses of one run."""

    first: float
    last: float
    """Mean of the `LAST` losses."""

    @property
    def diverged(self) -> bool:
        """Whether the loss is not finite or has doubled."""
        return not math.isfinite(self.last) or self.last > 2 * self.first


def train(family: str, optimizer: str) -> Outcome:
    """Train a family for `STEPS` steps, with a warm-up over half of them."""
    params = small_params(
        family,
        unfreeze=1.0,
        learning_rate=CENTRES[optimizer],
        backbone_lr_scale=BACKBONE_LR_SCALE,
        optimizer=optimizer,
    )
    digits = load_digits()
    torch.manual_seed(0)
    model = build_model(params, Weights(family, "none", None), 10)
    set_train_mode(model, "batch")
    steps = make_optimizer(model, params)
    schedule = LearningRate(steps, params, max_epochs=1)
    losses = []
    for step in range(STEPS):
        schedule.set((step + 0.5) / STEPS)
        rows = np.random.default_rng(step).choice(len(digits.images), BATCH_SIZE, replace=False)
        pixels = torch.tensor(digits.images[rows], dtype=torch.float32)[:, None] / 8 - 1
        images = F.interpolate(pixels, size=params.image_size).expand(-1, 3, -1, -1)
        loss = F.cross_entropy(model(images), torch.tensor(digits.target[rows]))
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    return Outcome(losses[0], float(np.mean(losses[-LAST:])))


def main() -> None:
    """Train every family with every optimizer, and write the table."""
    runs = [(family, optimizer) for family in FAMILIES for optimizer in CENTRES]
    context = multiprocessing.get_context("spawn")
    initializer = partial(configure_process, threads=1)
    outcomes = {}
    with ProcessPoolExecutor(WORKERS, context, initializer) as pool:
        for run, outcome in zip(runs, pool.map(train, *zip(*runs, strict=True)), strict=True):
            outcomes[run] = outcome
            print(*run, outcome, flush=True)
    diverged = sum(outcome.diverged for outcome in outcomes.values())
    lines = [
        f"{len(FAMILIES)} families, trained whole from random weights for {STEPS} steps of "
        f"{BATCH_SIZE} real digits, with the rates in the table for the head and a tenth for the "
        f"backbone. Cells: first loss, and mean of the last {LAST}. Diverged: {diverged} of "
        f"{len(runs)}.",
        "",
        "| family | " + " | ".join(f"{name} {rate:g}" for name, rate in CENTRES.items()) + " |",
        "| --- |" + " --- |" * len(CENTRES),
    ]
    for family in FAMILIES:
        cells = [
            f"{o.first:.2f}, {o.last:.2f}" + " (diverged)" * o.diverged
            for o in (outcomes[family, optimizer] for optimizer in CENTRES)
        ]
        lines.append(f"| {family} | {' | '.join(cells)} |")
    write_table(
        "family_rates",
        "Central learning rates over families of backbones",
        "python -m tests.benchmarks.family_rates",
        lines,
        rounds=False,
    )


if __name__ == "__main__":
    main()
