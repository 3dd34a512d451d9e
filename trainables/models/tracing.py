"""Follow a model with torch.fx, and tell what of it depends on training."""

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

DROPPING_MODULES = (nn.modules.dropout._DropoutNd, DropPath, DropBlock2d, PatchDropout)
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
    """Why a model can't be split, in a few words; it trains whole then."""


class _Tracer(fx.Tracer):
    """Opens modules that mix frozen with trainable parameters, and those around the head.

    The latter pool before they classify.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(autowrap_functions=tuple(get_notrace_functions()))
        self._head = head_names(model)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if is_notrace_module(m) or (_of_torch(m) and not isinstance(m, nn.Sequential)):
            return True
        around = any(name.startswith(module_qualified_name + ".") for name in self._head)
        return not around and len({p.requires_grad for p in m.parameters()}) < 2


def _of_torch(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn")


def trace(model: nn.Module) -> fx.Graph:
    """The model as a graph, in the mode that it is in. Raises `CannotSplitError`."""
    _, *options = inspect.signature(model.forward).parameters.values()
    given = {option.name: option.default for option in options}
    try:
        return _Tracer(model).trace(model, concrete_args=given)
    except Exception as error:  # fx runs the model's own code on stand-ins: anything may come
        raise CannotSplitError(f"torch.fx can't follow it ({first_line(error)})") from None


def input_node(graph: fx.Graph) -> fx.Node:
    """The images."""
    first: fx.Node = next(iter(graph.nodes))
    return first


def suffix_node_names(graph: fx.Graph, model: nn.Module) -> set[str]:
    """Names of the nodes that depend on a trainable parameter, or on chance."""
    found: set[str] = set()
    for node in graph.nodes:
        if any(n.name in found for n in node.all_input_nodes) or _varies(node, model):
            found.add(node.name)
    return found


def _varies(node: fx.Node, model: nn.Module) -> bool:
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
    """Of a call of one of `_DROPPING_FUNCTIONS`."""
    if node.target is F.scaled_dot_product_attention:  # built in: it has no signature to bind
        return node.kwargs.get("dropout_p", node.args[4] if len(node.args) > 4 else 0)
    assert callable(node.target)
    call = inspect.signature(node.target).bind(*node.args, **node.kwargs)
    call.apply_defaults()
    return call.arguments["p"] if call.arguments["training"] else 0


def _drops(module: nn.Module) -> bool:
    """Whether a module drops something at random in training."""
    rates = ("p", "drop_prob", "prob")  # as torch and timm call it
    return isinstance(module, DROPPING_MODULES) and any(getattr(module, r, 0) for r in rates)


def input_dependent_nodes(graph: fx.Graph) -> set[fx.Node]:
    """Nodes that depend on the input."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or found & set(node.all_input_nodes):
            found.add(node)
    return found


def frontier_nodes(graph: fx.Graph, trained: set[str]) -> list[fx.Node]:
    """Nodes of the prefix whose values the suffix needs, in order."""
    images = input_dependent_nodes(graph)
    return [
        node
        for node in graph.nodes
        if node in images
        and node.name not in trained
        and any(user.name in trained for user in node.users)
    ]
