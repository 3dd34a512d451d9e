"""The prefix and suffix graphs of a split model, copied from the traced graph of the whole."""

from typing import Any

from torch import fx, nn

from trainables.models.boundary import Boundary
from trainables.models.tracing import input_dependent_nodes


def graph_module(model: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """Module that runs ``graph``, with the submodules of ``model`` that ``graph`` needs."""
    module = fx.GraphModule(model, graph)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def prefix_graph(graph: fx.Graph, frontier: list[str]) -> fx.Graph:
    """Graph that maps the images to the values of the ``frontier`` nodes, as a tuple."""
    needed = {node for node in graph.nodes if node.name in frontier}
    for node in reversed(graph.nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    prefix = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node in needed:
            copies[node] = prefix.node_copy(node, copies.__getitem__)
    by_name = {node.name: copy for node, copy in copies.items()}
    prefix.output(tuple(by_name[name] for name in frontier))
    return prefix


def suffix_graph(
    graph: fx.Graph, suffix_nodes: set[str], frontier: list[str], boundary: Boundary
) -> fx.Graph:
    """Graph that maps the boundary's features, and then its fixed tensors, to the logits."""
    suffix = fx.Graph()
    features = [suffix.placeholder(f"feature_{k}") for k in range(boundary.kinds.count("feature"))]
    fixed = [suffix.placeholder(f"fixed_{k}") for k in range(boundary.kinds.count("fixed"))]
    inputs = {"feature": iter(features), "fixed": iter(fixed)}
    leaves: list[Any] = []
    for kind, value in zip(boundary.kinds, boundary.values, strict=True):
        if kind in inputs:
            leaves.append(next(inputs[kind]))
        elif kind == "batch":
            leaves.append(suffix.call_method("size", (features[0], 0)))
        else:
            leaves.append(value)
    by_name = {node.name: node for node in graph.nodes}
    copies: dict[fx.Node, Any] = {
        by_name[name]: value for name, value in zip(frontier, boundary.nest(leaves), strict=True)
    }
    dependent = input_dependent_nodes(graph)
    for node in graph.nodes:
        if node.name in suffix_nodes or node not in dependent:
            copies[node] = suffix.node_copy(node, copies.__getitem__)
    return suffix
