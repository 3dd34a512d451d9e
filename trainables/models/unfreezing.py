"""Freezing: which parameters train, and which modules are in training mode."""

from collections.abc import Iterable
from typing import Any, Literal

from timm.models import group_parameters
from timm.optim import auto_group_layers
from torch import nn

from trainables.models.backbone import head_names

BatchNormMode = Literal["frozen", "batch", "all"]
"""Values of ``TrialParams.batchnorm``."""
_BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def backbone_groups(model: nn.Module) -> list[list[str]]:
    """Names of the backbone's parameters in timm's layer groups, input first; without the head.

    A model without a ``group_matcher`` is divided into groups of twelve parameters, as in timm's
    layer-wise learning rate decay.
    """
    head = head_names(model)
    if hasattr(model, "group_matcher"):
        by_number = group_parameters(model, _matcher_without_heads(model, head))
        groups = [by_number[number] for number in sorted(by_number)]
    else:
        number_of = auto_group_layers(model)
        numbers = sorted(set(number_of.values()))
        groups = [[name for name in number_of if number_of[name] == k] for k in numbers]
    without_head = [[name for name in group if not is_inside(name, head)] for group in groups]
    return [group for group in without_head if group]


def _matcher_without_heads(model: nn.Module, head: Iterable[str]) -> Any:
    """The model's ``group_matcher``, made while single layers stand in for its heads.

    Those of Inception look for a head of one layer, and fail where we have added a hidden one.
    """
    heads = {name: model.get_submodule(name) for name in head}
    for name in heads:
        model.set_submodule(name, nn.Identity())
    try:
        matcher: Any = model.group_matcher
        return matcher(coarse=False)
    finally:
        for name, layer in heads.items():
            model.set_submodule(name, layer)


def unfrozen_group_count(model: nn.Module, unfreeze: float) -> int:
    """Number of backbone groups that the fraction ``unfreeze`` stands for; halves round up."""
    return int(unfreeze * len(backbone_groups(model)) + 0.5)


def unfreeze_groups(model: nn.Module, count: int) -> None:
    """Train the head and the last ``count`` groups of the backbone; freeze all other parameters."""
    trained = {name for group in backbone_groups(model)[::-1][:count] for name in group}
    head = head_names(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained or is_inside(name, head))


def trainable_share(model: nn.Module) -> float:
    """Number of trainable parameters divided by the number of all parameters."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(size for size, trains in sizes if trains) / sum(size for size, _ in sizes)


def set_train_mode(model: nn.Module, batchnorm: BatchNormMode) -> None:
    """Put the model into training mode, and its wholly frozen modules into evaluation mode.

    Frozen modules then apply no dropout. A BatchNorm layer normalises by its running statistics and
    keeps them if it is frozen, or if ``batchnorm`` is "frozen"; with "all", no layer does.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()
        if isinstance(module, _BATCHNORMS) and batchnorm != "batch":
            module.train(batchnorm == "all")


def is_inside(name: str, modules: Iterable[str]) -> bool:
    """Whether the parameter or module ``name`` is one of ``modules`` or lies in one of them."""
    return any(name == module or name.startswith(module + ".") for module in modules)
