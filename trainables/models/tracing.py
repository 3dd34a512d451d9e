"""Trace a model with torch.fx, and find the nodes whose values training changes."""

import inspect
from typing import Any

import torch.nn.functional as F
from timm.layers import (
    DropBlock2d,
    DropPath,
    PatchDropout,
    get_notrace_functions,
    is_notrace_module,
)
from torch import fx, nn

from spaces.errors import first_line
from trainables.models.backbone import head_names

DROPPING_MODULES = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.AlphaDropout, nn.FeatureAlphaDropout, DropPath, DropBlock2d, PatchDropout),
)
"""Modules that drop values at random in training mode."""
_DROPPING_FUNCTIONS = (
    F.dropout,
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    F.alpha_dropout,
    F.feature_alpha_dropout,
    F.scaled_dot_product_attention,
)


class CannotSplitError(Exception):
    """A model can't be split into prefix and suffix, and trains unsplit. The message says why."""


class _Tracer(fx.Tracer):
    """Tracer that opens only modules in which the cut may lie. All other modules are leaves.

    The cut may lie in a module with both frozen and trainable parameters. It may also lie in a
    module that contains the head, because such a module may pool the features in front of the head.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(autowrap_functions=tuple(get_notrace_functions()))
        self._head = head_names(model)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if is_notrace_module(m) or (_is_torch_module(m) and not isinstance(m, nn.Sequential)):
            return True
        contains_head = any(name.startswith(module_qualified_name + ".") for name in self._head)
        return not contains_head and len({p.requires_grad for p in m.parameters()}) < 2


def _is_torch_module(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn")


def trace(model: nn.Module) -> fx.Graph:
    """Trace the model in its current mode. Raises `CannotSplitError` if torch.fx fails."""
    _, *options = inspect.signature(model.forward).parameters.values()
    defaults = {option.name: option.default for option in options}
    try:
        return _Tracer(model).trace(model, concrete_args=defaults)
    except Exception as error:  # on the proxies of fx, the model's code may raise any error
        raise CannotSplitError(f"torch.fx can't trace it ({first_line(error)})") from None


def input_node(graph: fx.Graph) -> fx.Node:
    """Placeholder node of the input images."""
    first: fx.Node = next(iter(graph.nodes))
    return first


def suffix_node_names(graph: fx.Graph, model: nn.Module) -> set[str]:
    """Names of the suffix's nodes: those that depend on a trainable parameter or on dropout."""
    names: set[str] = set()
    for node in graph.nodes:
        depends = any(source.name in names for source in node.all_input_nodes)
        if depends or _starts_suffix(node, model):
            names.add(node.name)
    return names


def _starts_suffix(node: fx.Node, model: nn.Module) -> bool:
    """Whether a node itself has trainable parameters, applies dropout, or is the output."""
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        trains = any(p.requires_grad for p in module.parameters())
        return trains or (module.training and any(map(_drops, module.modules())))
    if node.op == "get_attr":
        value: Any = model
        for name in str(node.target).split("."):
            value = getattr(value, name)
        return isinstance(value, nn.Parameter) and bool(value.requires_grad)
    if node.op == "call_function" and node.target in _DROPPING_FUNCTIONS:
        return bool(_drop_rate(node))
    return node.op == "output"


def _drop_rate(node: fx.Node) -> Any:
    """Drop rate of a call to one of `_DROPPING_FUNCTIONS`; 0 if traced in evaluation mode."""
    if node.target is F.scaled_dot_product_attention:  # built in, without a Python signature
        return node.kwargs.get("dropout_p", node.args[4] if len(node.args) > 4 else 0)
    assert callable(node.target)
    call = inspect.signature(node.target).bind(*node.args, **node.kwargs)
    call.apply_defaults()
    return call.arguments["p"] if call.arguments["training"] else 0


def _drops(module: nn.Module) -> bool:
    """Whether a module drops values at random in training mode, with a rate above 0."""
    rates = ("p", "drop_prob", "prob")  # names of the rate in torch and timm
    return isinstance(module, DROPPING_MODULES) and any(getattr(module, r, 0) for r in rates)


def input_dependent_nodes(graph: fx.Graph) -> set[fx.Node]:
    """Nodes whose values depend on the input images."""
    dependent: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or dependent & set(node.all_input_nodes):
            dependent.add(node)
    return dependent


def frontier_nodes(graph: fx.Graph, suffix: set[str]) -> list[fx.Node]:
    """Nodes of the prefix that depend on the images and that the suffix uses, in graph order."""
    dependent = input_dependent_nodes(graph)
    return [
        node
        for node in graph.nodes
        if node in dependent
        and node.name not in suffix
        and any(user.name in suffix for user in node.users)
    ]
