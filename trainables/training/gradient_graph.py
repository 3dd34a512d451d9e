"""Gradients of training steps; a GPU replays steps that repeat as a CUDA graph.

A step launches hundreds of kernels. A fast GPU ends them sooner than one CPU thread launches them:
at 224 pixels and batch size 64, an H200 waits for half of a ResNet-50's step. A CUDA graph launches
all kernels of a step with one call.
"""

import logging
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import nn

from trainables.models import Features

_log = logging.getLogger("finesweep")

STEPS_BEFORE_RECORDING = 2
"""Full batches that are computed kernel by kernel before a graph is recorded. Libraries choose
their kernels in the first steps."""

Compute = Callable[[Features, torch.Tensor], torch.Tensor]
"""Sets the gradients of a batch, given by its features and labels, and returns its loss."""


class GradientGraph:
    """Recorded kernels of a function that sets gradients, for batches of one shape.

    Recording computes nothing. The graph keeps the memory of its tensors as long as it lives.

    Raises `RuntimeError`, or its subclass `torch.OutOfMemoryError`, if the function can't be
    recorded, for example because it waits for the GPU.

    Args:
        compute: Function to record. It must discard the gradients of the step before.
        parameters: Parameters whose gradients ``compute`` sets.
        features: A batch of features.
        labels: ``(n,)`` labels of the batch.
    """

    def __init__(
        self,
        compute: Compute,
        parameters: Sequence[nn.Parameter],
        features: Features,
        labels: torch.Tensor,
    ) -> None:
        self._inputs = tuple(tensor.clone() for tensor in (*features, labels))
        self._graph = torch.cuda.CUDAGraph()
        # "thread_local" lets another thread pin the memory of the next batch meanwhile
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._loss = compute(self._inputs[:-1], self._inputs[-1])
        self._gradients = [(p, p.grad) for p in parameters if p.grad is not None]

    def fits(self, features: Features, labels: torch.Tensor) -> bool:
        """Whether a batch has the shapes and types of the recorded one."""
        pairs = zip(self._inputs, (*features, labels), strict=True)
        return all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)

    def replay(self, features: Features, labels: torch.Tensor) -> torch.Tensor:
        """Set the gradients of a batch; return its loss, which the next replay overwrites."""
        for recorded, given in zip(self._inputs, (*features, labels), strict=True):
            recorded.copy_(given)
        self._graph.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return self._loss


class StepGradients:
    """Sets gradients step by step; on a GPU, with a `GradientGraph` as soon as a step repeats.

    The gradients are the same either way. Steps that can't be recorded are computed kernel by
    kernel.

    Args:
        device: Device of the model.
        batch_size: Number of images of a full batch. Only full batches are recorded.
    """

    def __init__(self, device: torch.device, batch_size: int) -> None:
        self._may_record = device.type == "cuda"
        self._batch_size = batch_size
        self._graph: GradientGraph | None = None
        self._full_batches = 0

    def compute(
        self, model: nn.Module, compute: Compute, features: Features, labels: torch.Tensor
    ) -> torch.Tensor:
        """Set the gradients of a batch as ``compute`` does, and return its loss.

        Use the loss before the next call: a graph overwrites it.
        """
        if len(labels) == self._batch_size and self._may_record and self._graph is None:
            self._full_batches += 1
            if self._full_batches == STEPS_BEFORE_RECORDING:
                return self._watched(compute, features, labels)
            if self._full_batches > STEPS_BEFORE_RECORDING:
                self._record(model, compute, features, labels)
        if self._graph is not None and self._graph.fits(features, labels):
            return self._graph.replay(features, labels)
        return compute(features, labels)

    def forget(self) -> None:
        """Drop the graph and its memory; another one may be recorded later."""
        self._graph, self._full_batches = None, 0

    def stop_recording(self) -> bool:
        """Drop the graph and its memory, and record no other; returns whether there was one."""
        had_graph = self._graph is not None
        self.forget()
        self._may_record = False
        return had_graph

    def _watched(self, compute: Compute, features: Features, labels: torch.Tensor) -> torch.Tensor:
        """Compute a step, and record no later one if this one waits for the GPU.

        A recording that fails for this reason would leave PyTorch in a bad state.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mode = torch.cuda.get_sync_debug_mode()
            torch.cuda.set_sync_debug_mode("warn")
            try:
                loss = compute(features, labels)
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        if any("called a synchronizing CUDA operation" in str(each.message) for each in caught):
            _log.info("training steps wait for the GPU, so no CUDA graph is recorded")
            self.stop_recording()
        return loss

    def _record(
        self, model: nn.Module, compute: Compute, features: Features, labels: torch.Tensor
    ) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        generator = torch.cuda.default_generators[labels.device.index]
        before, stream = generator.clone_state(), torch.cuda.current_stream()
        try:
            self._graph = GradientGraph(compute, parameters, features, labels)
        except RuntimeError as error:  # the model's code may do what a graph can't record
            reason = str(error).partition("\n")[0]
            _log.info("training steps are not recorded as a CUDA graph (%s)", reason)
            self.stop_recording()
            # after a failure, PyTorch goes on on the graph's stream and counts for the graph
            torch.cuda.set_stream(stream)
            generator.graphsafe_set_state(before)
