"""`Team`: processes that fine-tune one model together, each on a part of every batch.

This is data parallelism. torch's `DistributedDataParallel` wraps the forward pass of a whole model;
here a frozen prefix runs outside of it, and a GPU may replay steps as a graph. So the gradients are
averaged after each step instead, in one message.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import distributed, nn

from spaces import TrialParams


@dataclass(frozen=True)
class Team:
    """A process's place among the processes of a team; by default it is alone."""

    rank: int = 0
    """Number of this process, counted from 0."""
    size: int = 1
    """Number of processes."""

    @classmethod
    def of_process_group(cls) -> Self:
        """The team of torch's default process group, which must have been initialized."""
        return cls(distributed.get_rank(), distributed.get_world_size())

    def enlarge(self, params: TrialParams) -> TrialParams:
        """Parameters of a step with a whole batch for every process.

        The learning rate grows with the batch: by the number of processes for SGD (Goyal et al.
        2017, "Accurate, Large Minibatch SGD"), and by its square root for optimizers that divide by
        the size of the gradients (Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive
        Gradient Algorithms").
        """
        growth = self.size if params.optimizer == "sgd" else math.sqrt(self.size)
        return params.model_copy(
            update={
                "batch_size": params.batch_size * self.size,
                "learning_rate": params.learning_rate * growth,
            }
        )

    def part(self, batch: np.ndarray) -> np.ndarray:
        """This process's part of a batch of positions, at least two.

        Of a batch that is too small to be divided, every process gets the whole.
        """
        if len(batch) < 2 * self.size:
            return batch
        return np.array_split(batch, self.size)[self.rank]

    def agree(self, model: nn.Module) -> None:
        """Give every process the parameters and buffers of the first one."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                distributed.broadcast(tensor, 0)

    def decide(self, answer: bool, device: torch.device) -> bool:
        """The ``answer`` of the first process, for all."""
        if self.size == 1:
            return answer
        said = torch.tensor(float(answer), device=device)
        distributed.broadcast(said, 0)
        return bool(said.item())

    def average(
        self, parameters: Iterable[nn.Parameter], loss: torch.Tensor, weight: torch.Tensor | int
    ) -> torch.Tensor:
        """Replace the gradients by their mean over the processes; return the mean loss.

        ``loss`` and the gradients are means over this process's part of a batch; ``weight`` is how
        much the part counts.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        values = torch.cat([*(g.flatten() for g in gradients), loss.reshape(1)])
        message = torch.cat([values * weight, torch.ones_like(values[:1]) * weight])
        distributed.all_reduce(message)
        *means, mean_loss = torch.split(
            message[:-1] / message[-1], [*(g.numel() for g in gradients), 1]
        )
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view(gradient.shape))
        return mean_loss[0]


ALONE = Team()
"""A team of one process."""
