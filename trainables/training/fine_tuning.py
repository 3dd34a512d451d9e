"""One fine-tune, epoch by epoch. Knows nothing of Ray; trials and the final retrain run it."""

import math
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spaces import DataError, TrialParams
from trainables.data import ImageSet
from trainables.evaluation import NO_SCORES, scores_of
from trainables.inputs import FeatureStore, Inputs, Views, training_batches
from trainables.models import (
    Features,
    Precision,
    Preprocessing,
    Weights,
    build_model,
    choose_autocast,
    is_bias_or_norm,
    make_optimizer,
    set_train_mode,
    split_for_trial,
    unfreeze_groups,
    unfrozen_group_count,
    use_fast_depthwise,
)
from trainables.training.epoch_report import Course, EpochReport
from trainables.training.evaluate import half, logits_of
from trainables.training.loss import Loss
from trainables.training.lr_schedule import LearningRate

_LOOK = 16
"""Steps between two looks at whether the loss is still finite."""


class FineTuning:
    """The state of one fine-tune: model, optimizer, rates, and how far it has come.

    On a CPU the same arguments give the same numbers again, also when the run was broken off
    between two epochs and went on from its `state_dict`; on a GPU, to within its kernels' rounding.
    Seeds torch's global generator.

    Args:
        params: What to train and how.
        weights: Where the backbone starts.
        num_classes: Width of the output.
        train: Images to learn from, at ``params.image_size``.
        val: Images to validate on after each epoch, or None.
        max_epochs: Length of the learning-rate schedule.
        stop_after: Epochs to run, if fewer than ``max_epochs``.
        patience: End after this many epochs without a better ``metric``; None never does.
        metric: One of `METRICS`.
        seed: Of the head, the order of images, dropout and augmentation.
        device: Where to train.
        precision: "auto" is bfloat16 autocast where it is faster.
        views: Augmented views of each image before they come round again; None never repeats one.
        store: Where features of frozen prefixes are kept; None computes them each time.
        cache: Where it is noted how fast bfloat16 is on this CPU; None takes float32.
        plateau_losses: What the "plateau" schedule goes by where there is no ``val``: the
            validation losses of the trial that is repeated, by epoch.
    """

    def __init__(
        self,
        params: TrialParams,
        weights: Weights,
        *,
        num_classes: int,
        train: ImageSet,
        val: ImageSet | None,
        max_epochs: int,
        stop_after: int | None = None,
        patience: int | None = None,
        metric: str = "val_accuracy",
        seed: int = 0,
        device: torch.device | str = "cpu",
        precision: Precision = "auto",
        views: int | None = None,
        store: FeatureStore | None = None,
        cache: Path | None = None,
        plateau_losses: Sequence[float] = (),
    ) -> None:
        if len(train) < 2:
            raise DataError(f"A fine-tune needs at least 2 training images, not {len(train)}.")
        self.params = params
        self.device = device = torch.device(device)
        self.epoch = 0
        self.ended = False
        self.logits: np.ndarray | None = None
        """``(val images, classes)`` of the last epoch."""
        self.ran_out = False
        """Whether a step did not fit the device's memory; it was done in smaller ones."""
        self._micro_batch = params.batch_size + 1
        self._plateau_losses = plateau_losses
        self._train = train
        self._views = Views(params.augment, views, seed)
        self._epochs = min(stop_after or max_epochs, max_epochs)
        self._max_epochs = max_epochs
        self._seed = seed
        self._course = Course(metric, patience)
        stated = Preprocessing.of(params.backbone)
        torch.manual_seed(seed)
        model = build_model(params, weights, num_classes)
        if self.device.type == "cpu":
            use_fast_depthwise(model)
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._open_max = unfrozen_group_count(model, params.unfreeze)
        arithmetic = choose_autocast(
            precision, self.model, params.backbone, params.image_size, cache=cache
        )
        split = split_for_trial(self.model, params)
        self._autocast = arithmetic.suffix

        def feed(images: ImageSet, blocks: float) -> Inputs:
            return Inputs(
                images,
                split,
                stated,
                device=self.device,
                autocast=arithmetic.prefix,
                store=store if store and store.admits(split, len(images), blocks, device) else None,
            )

        self._inputs = feed(train, self._views.blocks())
        self._val = None if val is None else feed(val, 1)
        self._optimizer = make_optimizer(model, params)
        self._rate = LearningRate(self._optimizer, params, max_epochs=max_epochs)
        self._loss = Loss.of(params, train.labels, num_classes).to(self.device)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs; tensors, numbers and strings only.

        Of the model all but what stays frozen.
        """
        held = {id(p) for group in self._optimizer.param_groups for p in group["params"]}
        frozen = {name for name, p in self.model.named_parameters() if id(p) not in held}
        model = {n: t for n, t in self.model.state_dict().items() if n not in frozen}
        return {
            "epoch": self.epoch,
            "ended": self.ended,
            "course": self._course.state_dict(),
            "model": model,
            "optimizer": self._optimizer.state_dict(),
            "rate": self._rate.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of a fine-tune made with the same arguments."""
        self.epoch = state["epoch"]
        self.ended = state["ended"]
        self._course.load_state_dict(state["course"])
        unknown = self.model.load_state_dict(state["model"], strict=False).unexpected_keys
        assert not unknown, f"a state of another model: {unknown}"
        self._optimizer.load_state_dict(state["optimizer"])
        self._rate.load_state_dict(state["rate"])

    def run_epoch(self) -> EpochReport:
        """Train and validate one epoch."""
        began, prefix = time.perf_counter(), [self._prefix_seconds]
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        train_loss, factor, seen = self._train_epoch()
        trained = time.perf_counter()
        prefix.append(self._prefix_seconds)
        scores, self.logits = NO_SCORES, None
        if self._val is not None and math.isfinite(train_loss):
            self.logits = logits_of(self.model, self._val, autocast=self._autocast)
            scores = scores_of(self.logits, self._val.images.labels)
        evaluated = time.perf_counter()
        prefix.append(self._prefix_seconds)
        validated = self._val is None or math.isfinite(scores.loss)
        diverged = not (math.isfinite(train_loss) and validated)
        known = self._val is not None or self.epoch >= len(self._plateau_losses)
        self._rate.end_epoch(scores.loss if known else self._plateau_losses[self.epoch])
        self.epoch += 1
        report = EpochReport(
            epoch=self.epoch,
            train_loss=train_loss,
            val_loss=scores.loss,
            val_accuracy=scores.accuracy,
            val_balanced_accuracy=scores.balanced_accuracy,
            val_macro_f1=scores.macro_f1,
            learning_rate=self.params.learning_rate * factor,
            seconds=time.perf_counter() - began,
            prefix_seconds=prefix[2] - prefix[0],
            evaluate_seconds=evaluated - trained - (prefix[2] - prefix[1]),
            images_per_second=seen / (trained - began),
            peak_memory_mib=_peak_memory_mib(self.device),
            is_last=False,
            diverged=diverged,
        )
        self._course.take(report)
        self.ended = diverged or self._course.tired or self.epoch >= self._epochs
        return replace(report, is_last=self.ended)

    @property
    def best_logits(self) -> np.ndarray | None:
        """`logits` as float16, if no epoch before was better."""
        if self.logits is None or not self._course.improved:
            return None
        return half(self.logits)

    def _train_epoch(self) -> tuple[float, float, int]:
        """Mean loss, last learning-rate factor, images seen; a loss that is NaN ends it early.

        Each look at the loss waits for a GPU, so that is done every `_LOOK` steps.
        """
        torch.manual_seed(_mix(self._seed, self.epoch))
        rng = np.random.default_rng([self._seed, self.epoch])
        unfreeze_groups(self.model, self._open_now())
        set_train_mode(self.model, freeze_batchnorm=self.params.freeze_batchnorm)
        batches = training_batches(self._train.labels, self.params, rng)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        seen, factor = 0, 1.0
        features_of = self._inputs.batches(batches, self._views, self.epoch)
        for step, (chosen, features) in enumerate(zip(batches, features_of, strict=True)):
            factor = self._rate.set(self.epoch + (step + 0.5) / len(batches))
            labels = torch.from_numpy(self._train.labels[chosen])
            value = self._step(features, labels.to(self.device, non_blocking=True))
            total += value * len(chosen)
            seen += len(chosen)
            if (step + 1) % _LOOK == 0 and not math.isfinite(total.item()):
                break
        return total.item() / seen, factor, seen

    def _step(self, features: Features, labels: torch.Tensor) -> torch.Tensor:
        """One update; its loss.

        Out of memory, it goes on with half as many images at a time, at least two, and stays with
        that; BatchNorm then sees the smaller batches, and has seen those that did not fit.
        """
        while True:
            try:
                value = self._backward(features, labels)
                break
            except torch.OutOfMemoryError:
                if min(self._micro_batch, len(labels)) < 4:
                    raise
            self._micro_batch = min(self._micro_batch, len(labels)) // 2
            self.ran_out = True
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        self._optimizer.step()
        return value

    def _backward(self, features: Features, labels: torch.Tensor) -> torch.Tensor:
        """Gradients of a batch's loss, summed over its micro-batches; the loss."""
        self._optimizer.zero_grad()
        count = max(1, len(labels) // self._micro_batch)  # no part of one image: BatchNorm
        parts = [torch.tensor_split(f, count) for f in (*features, labels)]
        whole = self._loss.counted(labels)
        total = torch.zeros((), device=self.device)
        for *some, targets in zip(*parts, strict=True):
            with torch.autocast(
                self.device.type, dtype=self._autocast, enabled=self._autocast is not None
            ):
                logits = self._inputs.split.suffix(tuple(some))
            loss = self._loss(logits.float(), targets) / whole
            loss.backward()
            total += loss.detach()
        if self.params.l1:
            trained = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
            sizes = [p.abs().sum() for n, p in trained if not is_bias_or_norm(n, p)]
            penalty = self.params.l1 * torch.stack(sizes).sum()
            penalty.backward()  # type: ignore[no-untyped-call]
            total += penalty.detach()
        return total

    @property
    def _prefix_seconds(self) -> float:
        return self._inputs.seconds + (self._val.seconds if self._val else 0.0)

    def _open_now(self) -> int:
        """Backbone groups that train in this epoch."""
        if not self.params.gradual_unfreezing or self._max_epochs == 1:
            return self._open_max
        return math.ceil(self._open_max * min(1.0, self.epoch / max(self._max_epochs / 2, 1)))


def finetune(tuning: FineTuning) -> Iterator[EpochReport]:
    """Run what is left of a fine-tune, yielding after each epoch; the last says ``is_last``.

    Between two reports the caller may save ``tuning.state_dict()``, or stop asking.
    """
    while not tuning.ended:
        yield tuning.run_epoch()


def _mix(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _peak_memory_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
