"""Optimizer of a trial, with a learning rate for each layer group."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from spaces import TrialParams
from trainables.models.backbone import head_names
from trainables.models.unfreezing import backbone_groups, is_inside, unfrozen_group_count


def parameter_groups(model: nn.Module, params: TrialParams) -> list[dict[str, Any]]:
    """Optimizer groups of all parameters that train, from the first epoch or unfrozen later.

    The head's learning rate is ``learning_rate``. The last layer group of the backbone has this
    rate times ``backbone_lr_scale``. Every other layer group has the rate of the next group
    towards the head times ``layer_decay``. Weight decay is 0 for a parameter if `is_bias_or_norm`
    is True or if the model's ``no_weight_decay`` lists the parameter.
    """
    parameters = dict(model.named_parameters())
    no_weight_decay: Any = getattr(model, "no_weight_decay", tuple)
    exempt = set(no_weight_decay())
    body_groups = backbone_groups(model)[::-1][: unfrozen_group_count(model, params.unfreeze)]
    head = [name for name in parameters if is_inside(name, head_names(model))]
    groups = []
    for depth, names in enumerate([head, *body_groups]):
        rate = params.learning_rate
        if depth > 0:
            rate *= params.backbone_lr_scale * params.layer_decay ** (depth - 1)
        undecayed = [n for n in names if is_bias_or_norm(n, parameters[n]) or n in exempt]
        decayed = [n for n in names if n not in undecayed]
        for members, decay in ((decayed, params.weight_decay), (undecayed, 0.0)):
            if members:
                tensors = [parameters[n] for n in members]
                groups.append({"params": tensors, "lr": rate, "weight_decay": decay})
    return groups


def make_optimizer(model: nn.Module, params: TrialParams) -> Optimizer:
    """Optimizer named by ``params.optimizer`` over the trial's `parameter_groups`."""
    groups = parameter_groups(model, params)
    match params.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, fused=True)
        case "adam":
            return torch.optim.Adam(groups, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups)


def is_bias_or_norm(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a bias or has at most one dimension, as in normalisation layers.

    Weight decay is not applied to these parameters.
    """
    return parameter.ndim <= 1 or name.endswith(".bias")
