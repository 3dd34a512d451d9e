"""SplitModel a model where training begins: a frozen prefix, and the suffix that is trained.

The model is traced with torch.fx, opening only modules that hold both frozen and trainable
parameters. What depends on no trainable parameter and on no dropout is prefix; its outputs can be
computed once and kept (`trainables.inputs.feature_loader`).
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import torch
from torch import fx, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from spaces import TrialParams
from spaces.errors import first_line
from trainables.models.backbone import (
    backbone_groups,
    head_names,
    set_train_mode,
    unfreeze_groups,
    unfrozen_group_count,
)
from trainables.models.batchnorm_fusion import fold, foldable
from trainables.models.precision import without_tf32
from trainables.models.tracing import (
    DROPPING_MODULES,
    CannotSplitError,
    frontier_nodes,
    input_dependent_nodes,
    input_node,
    suffix_node_names,
    trace,
)

Features = tuple[torch.Tensor, ...]
"""What a prefix gives for a batch of images; the first dimension of every tensor is the batch."""

CUT_FRACTIONS = (0.0, 0.25, 0.5)
"""Where models are cut, as shares of their groups that lie behind: few, so that trials of nearly
the same depth share features. Deeper training repays no kept features: they are large, and what
they save is small."""

_checked: "dict[str, tuple[_Border, dict[str, str]]]" = {}
"""What crosses the cut, and what is folded, by traced model: checked once for each in a process."""


@dataclass(frozen=True)
class SplitModel:
    """A model in two parts that share its modules: ``suffix(prefix(images))`` is ``model(images)``.

    The suffix follows the model between training and evaluation; the prefix always evaluates, and
    without gradients.
    """

    prefix: Callable[[torch.Tensor], Features]
    suffix: Callable[[Features], torch.Tensor]
    feature_shapes: tuple[tuple[int, ...], ...]
    """Of one image's features."""
    prefix_module: fx.GraphModule | None = None
    """The prefix as a module; None if there is none."""
    architecture: str = ""
    """What the model is and where it is cut, in a few words and a hash."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what the prefix computes and of the weights it does so with."""
        assert self.prefix_module is not None
        digest = hashlib.blake2b(f"{self.architecture} ".encode(), digest_size=12)
        for name, tensor in self.prefix_module.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()


def unsplit(model: nn.Module, image_size: int) -> SplitModel:
    """No prefix: the suffix is all of ``model``, and an image is its own feature."""
    return SplitModel(
        lambda images: (images,), lambda features: model(*features), ((3, image_size, image_size),)
    )


def split_for_trial(model: nn.Module, params: TrialParams) -> SplitModel:
    """SplitModel at the first of `CUT_FRACTIONS` that has all that trains behind it, or not at all.

    Where frozen BatchNorm statistics move there is nothing to keep. Leaves the groups of the cut
    open and ``model`` in training mode.
    """
    groups = len(backbone_groups(model))
    counts = [int(share * groups + 0.5) for share in CUT_FRACTIONS]
    behind = [count for count in counts if count >= unfrozen_group_count(model, params.unfreeze)]
    if behind and params.freeze_batchnorm:
        with contextlib.suppress(CannotSplitError):  # the plan said so
            return split_model(model, behind[0], params.image_size)
    return unsplit(model, params.image_size)


def split_model(model: nn.Module, open_count: int, image_size: int) -> SplitModel:
    """SplitModel ``model`` where its last ``open_count`` groups and the head are all that may train.

    Opens those groups. Raises `CannotSplitError` if torch.fx can't follow the model, or if nothing
    lies in front of the cut.
    """
    unfreeze_groups(model, open_count)
    set_train_mode(model, freeze_batchnorm=True)
    training = trace(model)
    trained = suffix_node_names(training, model)
    model.eval()
    evaluating = trace(model)
    set_train_mode(model, freeze_batchnorm=True)
    names = [node.name for node in frontier_nodes(training, trained)]
    if names != [node.name for node in frontier_nodes(evaluating, trained)]:
        raise CannotSplitError("it is built differently for training and for evaluation")
    if names == [input_node(training).name]:
        raise CannotSplitError("nothing lies in front of the cut")

    prefix = _module(model, _prefix_graph(evaluating, names))
    device = next(model.parameters()).device
    probes = [torch.rand(n, 3, image_size, image_size, device=device) for n in (2, 3)]
    architecture = f"{_architecture(model)} cut at {names} for {image_size}"
    key = f"{architecture} {device}"
    fresh = key not in _checked
    if fresh:
        with torch.no_grad(), without_tf32():
            border = _Border.of(*(_run(prefix, probe) for probe in probes))
            pairs = foldable(prefix, probes[0])
    else:
        border, pairs = _checked[key]
    suffixes = {
        mode: _module(model, _suffix_graph(graph, trained, names, border))
        for mode, graph in ((True, training), (False, evaluating))
    }

    @cache
    def folded() -> fx.GraphModule:
        return fold(prefix, pairs)

    def run_prefix(images: torch.Tensor) -> Features:
        with torch.no_grad():
            return border.features(folded()(images))

    def run_suffix(features: Features) -> torch.Tensor:
        logits: torch.Tensor = suffixes[model.training](*features, *border.fixed)
        return logits

    made = SplitModel(run_prefix, run_suffix, border.feature_shapes, prefix, architecture)
    if fresh:
        _check(model, made, probes[1])
        if not border.fixed:  # else it holds a part of these very weights
            _checked[key] = (border, pairs)
    return made


def _run(part: Callable[[Any], Any], given: Any) -> Any:
    """Run a traced part for the first time. Raises `CannotSplitError`."""
    try:
        return part(given)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the model's own code, torn from its context: anything may come
        raise CannotSplitError(f"its traced parts don't run ({first_line(error)})") from None


def _architecture(model: nn.Module) -> str:
    """Hash of all that two models must share to do the same with the same weights.

    Dropout and stochastic depth are left out: they do nothing in a prefix, and every trial has its
    own. timm puts an identity where there is none.
    """
    digest = hashlib.blake2b(digest_size=12)
    cfg: Any = getattr(model, "pretrained_cfg", None) or {}
    digest.update(f"{type(model).__name__} {cfg.get('architecture')} ".encode())
    for name, module in model.named_modules():
        if not isinstance(module, (nn.Identity, *DROPPING_MODULES)):
            digest.update(f"{name} {type(module).__name__} {module.extra_repr()} ".encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
    return digest.hexdigest()


def _check(model: nn.Module, made: SplitModel, images: torch.Tensor) -> None:
    """Raises `CannotSplitError` if the parts don't give what the whole gives.

    With a head of random weights: one that starts at zero would say yes to anything.
    """
    heads = [p for name in head_names(model) for p in model.get_submodule(name).parameters()]
    kept = [p.detach().clone() for p in heads]
    random = torch.Generator().manual_seed(0)
    model.eval()
    with torch.no_grad(), without_tf32():
        for parameter in heads:
            parameter.copy_(torch.randn(parameter.shape, generator=random) / 10)
        apart, together = _run(made.suffix, made.prefix(images)), model(images)
        for parameter, value in zip(heads, kept, strict=True):
            parameter.copy_(value)
    set_train_mode(model, freeze_batchnorm=True)
    if not torch.allclose(apart, together, rtol=1e-3, atol=1e-3 * float(together.abs().max())):
        raise CannotSplitError("its parts don't give what the whole gives")


@dataclass(frozen=True)
class _Border:
    """What crosses from prefix to suffix, told apart by running two batch sizes."""

    values: tuple[Any, ...]
    """Nested values laid flat: constants and what is fixed, and of features an image's shape."""
    kinds: tuple[Literal["feature", "fixed", "batch", "constant"], ...]
    layout: Any

    @classmethod
    def of(cls, first: Any, second: Any) -> "_Border":
        values, layout = tree_flatten(first)
        kinds = [_kind(a, b) for a, b in zip(values, tree_leaves(second), strict=True)]
        if "feature" not in kinds:
            raise CannotSplitError("nothing in front of the cut depends on the images alone")
        kept = [
            tuple(value.shape[1:]) if kind == "feature" else value
            for value, kind in zip(values, kinds, strict=True)
        ]
        return cls(tuple(kept), tuple(kinds), layout)

    def features(self, given: Any) -> Features:
        """Those of the prefix's values that differ by image."""
        return tuple(self._only("feature", tree_leaves(given)))

    @property
    def fixed(self) -> Features:
        """Tensors that are the same for all images."""
        return tuple(self._only("fixed", self.values))

    @property
    def feature_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of one image's features."""
        return tuple(self._only("feature", self.values))

    def _only(self, kind: str, leaves: Iterable[Any]) -> list[Any]:
        return [leaf for leaf, k in zip(leaves, self.kinds, strict=True) if k == kind]


def _kind(a: Any, b: Any) -> Literal["feature", "fixed", "batch", "constant"]:
    """Of a value at the border, from what it is for a batch of two and for one of three."""
    if isinstance(a, torch.Tensor):
        if a.shape == b.shape:
            if torch.equal(a, b):
                return "fixed"
        elif (len(a), len(b)) == (2, 3) and a.shape[1:] == b.shape[1:]:
            return "feature"
    elif a == b:
        return "constant"
    elif (a, b) == (2, 3):
        return "batch"
    raise CannotSplitError("what crosses the cut can't be kept image by image")


def _module(model: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """``graph`` over the modules of ``model``, what it doesn't use left out."""
    made = fx.GraphModule(model, graph)
    made.graph.eliminate_dead_code()
    made.delete_all_unused_submodules()
    made.recompile()
    return made


def _prefix_graph(graph: fx.Graph, frontier: list[str]) -> fx.Graph:
    """From the images to the values of ``frontier``, all else left out."""
    wanted = {node for node in graph.nodes if node.name in frontier}
    for node in reversed(graph.nodes):
        if node in wanted:
            wanted.update(node.all_input_nodes)
    made = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node in wanted:
            copies[node] = made.node_copy(node, copies.__getitem__)
    by_name = {node.name: copy for node, copy in copies.items()}
    made.output(tuple(by_name[name] for name in frontier))
    return made


def _suffix_graph(
    graph: fx.Graph, trained: set[str], frontier: list[str], border: _Border
) -> fx.Graph:
    """From the features, then what is fixed, to the logits."""
    made = fx.Graph()
    features = [made.placeholder(f"feature_{k}") for k in range(border.kinds.count("feature"))]
    fixed = [made.placeholder(f"fixed_{k}") for k in range(border.kinds.count("fixed"))]
    sources = {"feature": iter(features), "fixed": iter(fixed)}
    leaves: list[Any] = []
    for kind, value in zip(border.kinds, border.values, strict=True):
        if kind in sources:
            leaves.append(next(sources[kind]))
        elif kind == "batch":
            leaves.append(made.call_method("size", (features[0], 0)))
        else:
            leaves.append(value)
    given = tree_unflatten(leaves, border.layout)
    by_name = {node.name: node for node in graph.nodes}
    copies: dict[fx.Node, Any] = {
        by_name[name]: value for name, value in zip(frontier, given, strict=True)
    }
    images = input_dependent_nodes(graph)
    for node in graph.nodes:
        if node.name in trained or node not in images:
            copies[node] = made.node_copy(node, copies.__getitem__)
    return made
