"""`TrainingSteps`: optimizer steps on batches of features, in smaller parts if memory runs out."""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

from trainables.models import Features, is_bias_or_norm
from trainables.training.gradient_graph import StepGradients
from trainables.training.loss import Loss
from trainables.training.team import ALONE, Team


class TrainingSteps:
    """Makes the optimizer steps of a fine-tune.

    Args:
        model: The model, on the device.
        suffix: Trainable part of the model: logits of a batch's features.
        loss: Loss of a batch's logits.
        optimizer: Optimizer of the model's parameters.
        autocast: Autocast type of the suffix; None is float32.
        l1: Factor of the L1 penalty on the trained weights, without biases and norms.
        batch_size: Number of images of a full batch in this process.
        team: Processes that make the steps together.
    """

    def __init__(
        self,
        model: nn.Module,
        suffix: Callable[[Features], torch.Tensor],
        loss: Loss,
        optimizer: Optimizer,
        *,
        autocast: torch.dtype | None,
        l1: float,
        batch_size: int,
        team: Team = ALONE,
    ) -> None:
        self._team = team
        self._model, self._suffix, self._loss, self._optimizer = model, suffix, loss, optimizer
        self._autocast, self._l1 = autocast, l1
        self._device = next(model.parameters()).device
        self._micro_batch_size = batch_size + 1
        self.gradients = StepGradients(self._device, batch_size)
        """Sets the gradients of each step; on a GPU, with a recorded graph."""
        self.ran_out_of_memory = False
        """Whether a step exceeded the device's memory and was repeated in smaller micro-batches."""

    def step(self, features: Features, labels: torch.Tensor) -> torch.Tensor:
        """Make one optimizer step and return its loss.

        If memory runs out, repeats the step without a CUDA graph, or else with micro-batches of
        half the size (at least two images), and keeps this size. BatchNorm then normalises each
        micro-batch by itself; its running statistics also include the failed attempt. Raises
        `torch.OutOfMemoryError` if even two images do not fit.
        """
        while True:
            try:
                loss = self.gradients.compute(self._model, self._backward, features, labels)
                break
            except torch.OutOfMemoryError:
                if not self.gradients.stop_recording():
                    size = min(self._micro_batch_size, len(labels))
                    if size < 4:
                        raise
                    self._micro_batch_size = size // 2
                    self.ran_out_of_memory = True
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        if self._team.size > 1:
            weight = self._loss.weight_sum(labels)
            loss = self._team.average(self._model.parameters(), loss, weight)
        self._optimizer.step()
        return loss

    def _backward(self, features: Features, labels: torch.Tensor) -> torch.Tensor:
        """Accumulate a batch's gradients over its micro-batches, and return the batch's loss."""
        self._optimizer.zero_grad()
        count = max(1, len(labels) // self._micro_batch_size)  # BatchNorm can't train on one image
        parts = [torch.tensor_split(f, count) for f in (*features, labels)]
        divisor = self._loss.weight_sum(labels)
        total = torch.zeros((), device=self._device)
        for *part, targets in zip(*parts, strict=True):
            with torch.autocast(
                self._device.type, dtype=self._autocast, enabled=self._autocast is not None
            ):
                logits = self._suffix(tuple(part))
            loss = self._loss(logits.float(), targets) / divisor
            loss.backward()
            total += loss.detach()
        if self._l1:
            penalty = self._l1 * self._l1_norm()
            penalty.backward()  # type: ignore[no-untyped-call]
            total += penalty.detach()
        return total

    def _l1_norm(self) -> torch.Tensor:
        """Sum of the absolute values of all trained weights, without biases and norms."""
        trained = [(n, p) for n, p in self._model.named_parameters() if p.requires_grad]
        return torch.stack([p.abs().sum() for n, p in trained if not is_bias_or_norm(n, p)]).sum()
