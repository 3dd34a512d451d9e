"""`FineTuning`: one fine-tune, round by round. Does not need Ray."""

import gc
import math
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from spaces import DataError, TrialParams
from trainables.data import ImageSet
from trainables.evaluation import NO_SCORES, scores_of
from trainables.inputs import FeatureLoader, TransformKinds, Views, round_of, training_batches
from trainables.models import (
    BatchNormMode,
    Preprocessing,
    SplitModel,
    Weights,
    build_model,
    choose_autocast,
    make_optimizer,
    merge_frozen_batchnorms,
    set_train_mode,
    split_for_trial,
    unfreeze_groups,
    unfrozen_group_count,
    use_fast_depthwise,
)
from trainables.training.early_stopping import EarlyStopping
from trainables.training.evaluate import logits_of, to_float16
from trainables.training.head_start import HeadStart, head_of, set_head
from trainables.training.linear_probe import fit_probe
from trainables.training.loss import Loss
from trainables.training.lr_schedule import LearningRate
from trainables.training.round_report import RoundReport
from trainables.training.settings import ComputeSettings, FineTuneSettings
from trainables.training.team import ALONE, Team
from trainables.training.training_steps import TrainingSteps

_STEPS_BETWEEN_LOSS_CHECKS = 16
"""Optimizer steps between two checks that the loss is finite: each check waits for the GPU."""
_DEFAULT_COMPUTE = ComputeSettings()


class FineTuning:
    """One fine-tune: model, optimizer, learning rate, and the number of rounds done.

    A round trains on one of ``settings.rounds_per_epoch`` equal parts of an epoch, and validates.
    On a CPU, the same arguments give the same results, even if training is interrupted between two
    rounds and continued from a `state_dict`. On a GPU, results vary by the rounding of its kernels.
    Seeds torch's global generator.

    Raises `DataError` if there are fewer than two training images.

    Args:
        params: Backbone and hyperparameters.
        weights: Initial weights of the backbone.
        num_classes: Number of outputs.
        train: Training images, at ``params.image_size``.
        val: Images to validate on after each round, or None.
        settings: Length, early stopping and seed.
        compute: Device, precision and caches.
        team: Processes that fine-tune the model together. All have the same arguments, apart from
            their places in it.
    """

    def __init__(
        self,
        params: TrialParams,
        weights: Weights,
        *,
        num_classes: int,
        train: ImageSet,
        val: ImageSet | None,
        settings: FineTuneSettings,
        compute: ComputeSettings = _DEFAULT_COMPUTE,
        team: Team = ALONE,
    ) -> None:
        if len(train) < 2:
            raise DataError(f"A fine-tune needs at least 2 training images, not {len(train)}.")
        self.params, self._settings, self._team = params, settings, team
        has_statistics = weights.file is not None or params.batchnorm != "frozen"
        self._batchnorm: BatchNormMode = params.batchnorm if has_statistics else "batch"
        self.device = torch.device(compute.device)
        self.rounds_done = 0
        self.ended = False
        self.logits: np.ndarray | None = None
        """``(val images, classes)`` float32 validation logits of the last round."""
        self._train_images = train
        self._views = Views(
            params.augment, settings.views, settings.seed, TransformKinds.of(params)
        )
        self._early_stopping = EarlyStopping(settings.metric, settings.patience_rounds)
        # 1. Build the model; its new head is the first to draw from the seeded generator.
        torch.manual_seed(settings.seed)
        model = build_model(params, weights, num_classes)
        if self.device.type == "cpu":
            use_fast_depthwise(model)
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._max_unfrozen_groups = unfrozen_group_count(model, params.unfreeze)
        # 2. Choose the model's precision, and split the model into frozen prefix and suffix.
        dtypes = choose_autocast(
            compute.precision, self.model, params.backbone, params.image_size, cache=compute.cache
        )
        self._autocast = dtypes.suffix
        split = split_for_trial(self.model, params)
        if self._batchnorm == "frozen":
            image = torch.rand(2, 3, params.image_size, params.image_size, device=self.device)
            merge_frozen_batchnorms(self.model, image, prefix=split.prefix_module)
        # 3. Prepare the loading of features: outputs of the prefix, inputs of the suffix.
        views = self._views.count_per_image()
        self._train = self._feature_loader(train, split, views, dtypes.prefix, compute)
        self._val = (
            None if val is None else self._feature_loader(val, split, 1, dtypes.prefix, compute)
        )
        self._head_start = HeadStart.of(params, weights, num_classes, train, compute)
        # 4. Make the optimizer, its steps and the learning-rate schedule.
        self._optimizer = make_optimizer(model, params)
        self._rate = LearningRate(
            self._optimizer,
            params,
            max_epochs=settings.max_epochs,
            rounds_per_epoch=settings.rounds_per_epoch,
        )
        self._steps = TrainingSteps(
            model,
            split.suffix,
            Loss.of(params, train.labels, num_classes).to(self.device),
            self._optimizer,
            autocast=self._autocast,
            l1=params.l1,
            batch_size=params.batch_size // team.size,
            team=team,
        )

    def _feature_loader(
        self,
        images: ImageSet,
        split: SplitModel,
        views: float,
        autocast: torch.dtype | None,
        compute: ComputeSettings,
    ) -> FeatureLoader:
        """Feature loader of ``images``; uses the store if that admits ``views`` views per image."""
        store, stored = compute.store, len(images.sharing_rows)
        if store is not None and not store.admits(split, stored, views, self.device):
            store = None
        preprocessing = Preprocessing.of(self.params.backbone)
        return FeatureLoader(
            images, split, preprocessing, device=self.device, autocast=autocast, store=store
        )

    def state_dict(self) -> dict[str, Any]:
        """State for `load_state_dict`, made of tensors, numbers and strings.

        Parameters of the model that stay frozen are left out.
        """
        trained = {id(p) for group in self._optimizer.param_groups for p in group["params"]}
        frozen = {name for name, p in self.model.named_parameters() if id(p) not in trained}
        model = {n: t for n, t in self.model.state_dict().items() if n not in frozen}
        return {
            "round": self.rounds_done,
            "ended": self.ended,
            "course": self._early_stopping.state_dict(),
            "model": model,
            "optimizer": self._optimizer.state_dict(),
            "rate": self._rate.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of a fine-tune with the same arguments."""
        self.rounds_done = state["round"] if "round" in state else state["epoch"]  # as earlier
        self.ended = state["ended"]
        self._early_stopping.load_state_dict(state["course"])
        unknown = self.model.load_state_dict(state["model"], strict=False).unexpected_keys
        assert not unknown, f"the state has keys that this model lacks: {unknown}"
        self._optimizer.load_state_dict(state["optimizer"])
        self._rate.load_state_dict(state["rate"])

    def run_round(self) -> RoundReport:
        """Train one round and validate."""
        # 1. Train.
        began, prefix = time.perf_counter(), [self._prefix_seconds]
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        is_probe = self.params.head == "solved"
        if self.rounds_done == 0:
            if self._head_start:
                self._start_head(self._head_start)
            self._team.agree(self.model)
        train_loss, rate_factor, images_seen = (
            self._solve_head() if is_probe else self._train_round()
        )
        trained = time.perf_counter()
        prefix.append(self._prefix_seconds)
        # 2. Validate.
        scores, self.logits = NO_SCORES, None
        if self._val is not None and math.isfinite(train_loss):
            self.logits = logits_of(self.model, self._val, autocast=self._autocast)
            scores = scores_of(self.logits, self._val.images.labels)
        evaluated = time.perf_counter()
        prefix.append(self._prefix_seconds)
        val_finite = self._val is None or math.isfinite(scores.loss)
        diverged = not (math.isfinite(train_loss) and val_finite)
        # 3. Update the schedule and early stopping, and report.
        self._rate.end_round(self._plateau_loss(scores.loss))
        self.rounds_done += 1
        report = RoundReport(
            round=self.rounds_done,
            epoch=self._epochs_done,
            train_loss=train_loss,
            val_loss=scores.loss,
            val_accuracy=scores.accuracy,
            val_balanced_accuracy=scores.balanced_accuracy,
            val_macro_f1=scores.macro_f1,
            learning_rate=self.params.learning_rate * rate_factor,
            seconds=time.perf_counter() - began,
            prefix_seconds=prefix[2] - prefix[0],
            evaluate_seconds=evaluated - trained - (prefix[2] - prefix[1]),
            images_per_second=images_seen / (trained - began),
            peak_memory_mib=_peak_memory_mib(self.device),
            is_last=False,
            diverged=diverged,
            prefix_seconds_per_image=max(each.seconds_per_image() for each in self._loaders),
        )
        self._early_stopping.update(report)
        last = is_probe or self.rounds_done >= self._settings.rounds
        self.ended = diverged or self._early_stopping.exhausted or last
        return replace(report, is_last=self.ended)

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether a step exceeded the device's memory and was repeated in smaller micro-batches."""
        return self._steps.ran_out_of_memory

    @property
    def best_logits(self) -> np.ndarray | None:
        """`logits` as float16 if the latest round is the best so far, else None."""
        if self.logits is None or not self._early_stopping.improved:
            return None
        return to_float16(self.logits)

    def _train_round(self) -> tuple[float, float, int]:
        """Train one round; return mean loss, last learning-rate factor and images seen.

        A loss that is not finite ends the round early. The loss is checked only every
        `_STEPS_BETWEEN_LOSS_CHECKS` steps, because each check waits for the GPU.
        """
        seed, rounds = self._settings.seed, self._settings.rounds_per_epoch
        epoch_index, part = divmod(self.rounds_done, rounds)
        own = (self._team.rank,) if self._team.rank else ()
        torch.manual_seed(_mix(seed, self.rounds_done, *own))
        rng = np.random.default_rng([seed, epoch_index])
        if self.params.gradual_unfreezing:
            self.forget_graph()
        unfreeze_groups(self.model, self._unfrozen_groups())
        set_train_mode(self.model, self._batchnorm)
        train = self._train_images
        epoch = training_batches(train.labels, self.params, rng, rounds=rounds)
        whole = round_of(epoch, part, rounds)
        batches = [self._team.part(batch) for batch in whole]
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        images_seen, factor = 0, 1.0
        loaded = self._train.batches(batches, self._views, epoch_index)
        for step, (positions, features) in enumerate(zip(batches, loaded, strict=True)):
            factor = self._rate.set(self._epochs_done + (step + 0.5) / len(batches) / rounds)
            labels = torch.from_numpy(train.labels[positions])
            loss = self._steps.step(features, labels.to(self.device, non_blocking=True))
            total += loss * len(positions)
            images_seen += len(positions)
            if (step + 1) % _STEPS_BETWEEN_LOSS_CHECKS == 0 and not math.isfinite(total.item()):
                break
        return total.item() / images_seen, factor, images_seen

    def _start_head(self, start: HeadStart) -> None:
        """Begin with the head of a linear probe, which is solved unless it was kept.

        A model whose head has no linear probe begins at zero.
        """
        with start.locked():
            head = start.read()
            if head is None:
                probe = FineTuning(
                    start.params,
                    start.weights,
                    num_classes=start.num_classes,
                    train=start.images,
                    val=None,
                    settings=FineTuneSettings(max_epochs=1),
                    compute=start.compute,
                )
                probe._solve_head()
                head = head_of(probe.model)
                start.keep(head)
                del probe
                if self.device.type == "cuda":
                    gc.collect()  # the probe's graphs refer to one another
                    torch.cuda.empty_cache()
        set_head(self.model, head)

    def forget_graph(self) -> None:
        """Free the memory that recorded steps hold, until training goes on."""
        self._steps.gradients.forget()

    def _solve_head(self) -> tuple[float, float, int]:
        """Fit a linear probe; returns the same as `_train_round`."""
        loss = fit_probe(
            self.model,
            self._train,
            autocast=self._autocast,
            balanced=self.params.balance != "none",
            seed=self._settings.seed,
        )
        return loss, 0.0, len(self._train_images)

    @property
    def _epochs_done(self) -> float:
        """Epochs done; an int if each is one round."""
        rounds = self._settings.rounds_per_epoch
        return self.rounds_done if rounds == 1 else self.rounds_done / rounds

    @property
    def _prefix_seconds(self) -> float:
        """Seconds that both loaders have spent on features since the start."""
        return sum(loader.seconds for loader in self._loaders)

    @property
    def _loaders(self) -> tuple[FeatureLoader, ...]:
        return (self._train, self._val) if self._val else (self._train,)

    def _plateau_loss(self, val_loss: float) -> float:
        """Loss for the "plateau" schedule: ``val_loss``, or the recorded loss without ``val``."""
        recorded = self._settings.plateau_losses
        if self._val is None and self.rounds_done < len(recorded):
            return recorded[self.rounds_done]
        return val_loss

    def _unfrozen_groups(self) -> int:
        """Number of backbone groups that train in this round."""
        max_epochs = self._settings.max_epochs
        if not self.params.gradual_unfreezing or max_epochs == 1:
            return self._max_unfrozen_groups
        share = min(1.0, self._epochs_done / max(max_epochs / 2, 1))
        return math.ceil(self._max_unfrozen_groups * share)


def finetune(tuning: FineTuning) -> Iterator[RoundReport]:
    """Run the remaining rounds, yielding the report of each; the last has ``is_last`` set.

    Between two reports the caller may save ``tuning.state_dict()`` or stop iterating.
    """
    while not tuning.ended:
        yield tuning.run_round()


def _mix(*numbers: int) -> int:
    """Seed derived from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _peak_memory_mib(device: torch.device) -> float:
    """Peak memory in MiB, as in `RoundReport.peak_memory_mib`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS, else in KiB
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
