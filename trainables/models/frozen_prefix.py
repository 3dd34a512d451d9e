"""Split a model into a frozen prefix and a trainable suffix.

torch.fx traces the model as a graph. The prefix consists of the nodes that depend neither on a
trainable parameter nor on dropout; the suffix consists of the others. The outputs of the prefix are
called features. `trainables.inputs` computes the features once and stores them.
"""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import fx, nn

from spaces import TrialParams
from spaces.errors import first_line
from trainables.models.backbone import random_head
from trainables.models.batchnorm_fusion import find_fusable_pairs, fuse_batchnorms
from trainables.models.boundary import PROBE_SIZES, Boundary, Features
from trainables.models.precision import without_tf32
from trainables.models.split_graphs import graph_module, prefix_graph, suffix_graph
from trainables.models.tracing import (
    DROPPING_MODULES,
    CannotSplitError,
    frontier_nodes,
    input_node,
    suffix_node_names,
    trace,
)
from trainables.models.unfreezing import (
    backbone_groups,
    set_train_mode,
    unfreeze_groups,
    unfrozen_group_count,
)

CUT_FRACTIONS = (0.0, 0.25, 0.5)
"""Fractions of a backbone's layer groups that the suffix may contain.

The fractions are few, so that trials of similar ``unfreeze`` share stored features. Fractions above
0.5 are not worth a split: near the input, features are large and storing them saves little.
"""

_verified: "dict[str, tuple[Boundary, dict[str, str]]]" = {}
"""Boundary and fusable pairs of each checked split, by its ``architecture`` and the device."""


@dataclass(frozen=True)
class SplitModel:
    """A model in two parts: ``suffix(prefix(images))`` equals ``model(images)`` up to rounding.

    The suffix consists of the model's own modules, in the current mode of the model (training or
    evaluation). The prefix always runs in evaluation mode and computes no gradients.
    """

    prefix: Callable[[torch.Tensor], Features]
    suffix: Callable[[Features], torch.Tensor]
    feature_shapes: tuple[tuple[int, ...], ...]
    """Shapes of one image's features."""
    prefix_module: fx.GraphModule | None = None
    """The prefix before BatchNorm fusion; None if the model is not split."""
    architecture: str = ""
    """Hash of the architecture, followed by the cut and the image size."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the prefix's architecture and weights, which determine its features."""
        assert self.prefix_module is not None
        digest = hashlib.blake2b(f"{self.architecture} ".encode(), digest_size=12)
        for name, tensor in self.prefix_module.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()


def unsplit(model: nn.Module, image_size: int) -> SplitModel:
    """Split with an empty prefix: the features are the images, and the suffix is ``model``."""
    return SplitModel(
        lambda images: (images,), lambda features: model(*features), ((3, image_size, image_size),)
    )


def split_for_trial(model: nn.Module, params: TrialParams) -> SplitModel:
    """Split at the smallest of `CUT_FRACTIONS` whose suffix contains all groups that train.

    The model stays unsplit if there is no such fraction or if `split_model` fails. It also stays
    unsplit if the trial updates the BatchNorm statistics of frozen layers, because each update
    changes the features. A split unfreezes the groups of the suffix and leaves ``model`` in
    training mode.
    """
    groups = len(backbone_groups(model))
    counts = [int(fraction * groups + 0.5) for fraction in CUT_FRACTIONS]
    deep_enough = [c for c in counts if c >= unfrozen_group_count(model, params.unfreeze)]
    if deep_enough and params.batchnorm != "all":
        with contextlib.suppress(CannotSplitError):  # the plan has reported the reason
            return split_model(model, deep_enough[0], params.image_size)
    return unsplit(model, params.image_size)


def split_model(model: nn.Module, unfrozen_count: int, image_size: int) -> SplitModel:
    """Split ``model`` before its last ``unfrozen_count`` groups, and unfreeze these groups.

    Raises `CannotSplitError` if torch.fx can't trace the model, if nothing lies in front of the
    cut, or if prefix and suffix give different logits from the whole model.
    """
    # 1. Trace the model in both modes, and find where the suffix begins.
    unfreeze_groups(model, unfrozen_count)
    set_train_mode(model, "batch")
    training = trace(model)
    suffix_nodes = suffix_node_names(training, model)
    model.eval()
    evaluating = trace(model)
    set_train_mode(model, "batch")
    frontier = _common_frontier(training, evaluating, suffix_nodes)
    # 2. Build the prefix, and classify the values that it passes to the suffix.
    prefix = graph_module(model, prefix_graph(evaluating, frontier))
    device = next(model.parameters()).device
    probes = [torch.rand(n, 3, image_size, image_size, device=device) for n in PROBE_SIZES]
    architecture = f"{_architecture_hash(model)} cut at {frontier} for {image_size}"
    key = f"{architecture} {device}"
    verified = _verified.get(key)
    boundary, pairs = verified or _probe(prefix, probes)
    # 3. Build the suffix for each mode.
    suffixes = {
        mode: graph_module(model, suffix_graph(graph, suffix_nodes, frontier, boundary))
        for mode, graph in ((True, training), (False, evaluating))
    }
    # 4. Join prefix and suffix, and check the first split of this architecture.
    split = _join(model, prefix, suffixes, boundary, pairs, architecture)
    if verified is None:
        _check(model, split, probes[1])
        if not boundary.fixed:  # fixed tensors may depend on this model's weights
            _verified[key] = (boundary, pairs)
    return split


def _common_frontier(training: fx.Graph, evaluating: fx.Graph, suffix_nodes: set[str]) -> list[str]:
    """Names of the nodes at the cut.

    Raises `CannotSplitError` if the names differ between training and evaluation mode, or if the
    only node is the input.
    """
    frontier = [node.name for node in frontier_nodes(training, suffix_nodes)]
    if frontier != [node.name for node in frontier_nodes(evaluating, suffix_nodes)]:
        raise CannotSplitError("its graph differs between training and evaluation")
    if frontier == [input_node(training).name]:
        raise CannotSplitError("nothing lies in front of the cut")
    return frontier


def _probe(prefix: fx.GraphModule, probes: list[torch.Tensor]) -> tuple[Boundary, dict[str, str]]:
    """Run the prefix on two batches, to find its boundary and its fusable BatchNorms."""
    with torch.no_grad(), without_tf32():
        boundary = Boundary.of(*(_first_run(prefix, probe) for probe in probes))
        return boundary, find_fusable_pairs(prefix, probes[0])


def _join(
    model: nn.Module,
    prefix: fx.GraphModule,
    suffixes: dict[bool, fx.GraphModule],
    boundary: Boundary,
    pairs: dict[str, str],
    architecture: str,
) -> SplitModel:
    """Combine a prefix with the suffix of each mode; fuse BatchNorms when the prefix first runs."""

    @cache
    def fused_prefix() -> fx.GraphModule:
        return fuse_batchnorms(prefix, pairs)

    def run_prefix(images: torch.Tensor) -> Features:
        with torch.no_grad():
            return boundary.features(fused_prefix()(images))

    def run_suffix(features: Features) -> torch.Tensor:
        logits: torch.Tensor = suffixes[model.training](*features, *boundary.fixed)
        return logits

    return SplitModel(run_prefix, run_suffix, boundary.feature_shapes, prefix, architecture)


def _first_run(part: Callable[[Any], Any], inputs: Any) -> Any:
    """Run a traced part for the first time. Raises `CannotSplitError` if its code fails."""
    try:
        return part(inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the model's code may raise any error when it runs in parts
        raise CannotSplitError(f"its traced parts fail ({first_line(error)})") from None


def _architecture_hash(model: nn.Module) -> str:
    """Hash of a model's modules and tensor shapes, without its weights.

    Leaves out layers of dropout and stochastic depth: they do nothing in a prefix, and their rates
    differ by trial. Leaves out identities too, because timm uses identities in place of these
    layers if the rate is 0.
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


def _check(model: nn.Module, split: SplitModel, images: torch.Tensor) -> None:
    """Raise `CannotSplitError` if prefix and suffix give different logits from the whole model."""
    model.eval()
    with torch.no_grad(), without_tf32(), random_head(model):
        actual, expected = _first_run(split.suffix, split.prefix(images)), model(images)
    set_train_mode(model, "batch")
    if not torch.allclose(actual, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
        raise CannotSplitError("its parts give different logits from the whole model")
