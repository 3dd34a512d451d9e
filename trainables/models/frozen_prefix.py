"""Split a model where training begins: a frozen prefix, and a suffix that trains.

The model is traced with torch.fx, which enters only modules that hold both frozen and trainable
parameters. Nodes that depend on no trainable parameter and on no dropout are the prefix. Its
outputs can be computed once and stored, which `trainables.inputs` does.
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
from trainables.models.backbone import head_names
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
"""Fractions of a backbone's groups that may lie behind the cut.

They are few, so that trials of similar depth share stored features. Deeper cuts are not worth it:
their features are large, and storing them saves little.
"""

_verified: "dict[str, tuple[Boundary, dict[str, str]]]" = {}
"""Boundary and fused pairs of splits that this process has checked, by architecture and device."""


@dataclass(frozen=True)
class SplitModel:
    """A model in two parts that share its modules: ``suffix(prefix(images))`` is ``model(images)``.

    The suffix follows the model between training and evaluation mode. The prefix is always in
    evaluation mode and computes no gradients.
    """

    prefix: Callable[[torch.Tensor], Features]
    suffix: Callable[[Features], torch.Tensor]
    feature_shapes: tuple[tuple[int, ...], ...]
    """Shapes of one image's features."""
    prefix_module: fx.GraphModule | None = None
    """The prefix before BatchNorm fusion; None if the model is not split."""
    architecture: str = ""
    """Hash of the architecture, with the cut and the image size."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what the prefix computes: its architecture and its weights."""
        assert self.prefix_module is not None
        digest = hashlib.blake2b(f"{self.architecture} ".encode(), digest_size=12)
        for name, tensor in self.prefix_module.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()


def unsplit(model: nn.Module, image_size: int) -> SplitModel:
    """A model without a prefix: the suffix is all of ``model``, and an image is its own feature."""
    return SplitModel(
        lambda images: (images,), lambda features: model(*features), ((3, image_size, image_size),)
    )


def split_for_trial(model: nn.Module, params: TrialParams) -> SplitModel:
    """Split at the smallest of `CUT_FRACTIONS` that covers all groups the trial trains.

    The model stays unsplit if there is no such fraction, if it can't be split, or if the trial
    updates frozen BatchNorm statistics, which changes the features in every step. Unfreezes the
    groups behind the cut, and leaves ``model`` in training mode.
    """
    groups = len(backbone_groups(model))
    counts = [int(fraction * groups + 0.5) for fraction in CUT_FRACTIONS]
    deep_enough = [c for c in counts if c >= unfrozen_group_count(model, params.unfreeze)]
    if deep_enough and params.freeze_batchnorm:
        with contextlib.suppress(CannotSplitError):  # the plan has reported it
            return split_model(model, deep_enough[0], params.image_size)
    return unsplit(model, params.image_size)


def split_model(model: nn.Module, unfrozen_count: int, image_size: int) -> SplitModel:
    """Split ``model`` in front of its last ``unfrozen_count`` groups, and unfreeze those.

    Raises `CannotSplitError` if torch.fx can't trace the model, if nothing lies in front of the
    cut, or if the parts don't compute what the model computes.
    """
    # 1. Trace the model in both modes, and find where the suffix begins.
    unfreeze_groups(model, unfrozen_count)
    set_train_mode(model, freeze_batchnorm=True)
    training = trace(model)
    suffix_nodes = suffix_node_names(training, model)
    model.eval()
    evaluating = trace(model)
    set_train_mode(model, freeze_batchnorm=True)
    frontier = _common_frontier(training, evaluating, suffix_nodes)
    # 2. Build the prefix, and classify the values that it passes on.
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
    # 4. Join the two, and check the first split of this architecture.
    split = _join(model, prefix, suffixes, boundary, pairs, architecture)
    if verified is None:
        _check(model, split, probes[1])
        if not boundary.fixed:  # fixed tensors may depend on these very weights
            _verified[key] = (boundary, pairs)
    return split


def _common_frontier(training: fx.Graph, evaluating: fx.Graph, suffix_nodes: set[str]) -> list[str]:
    """Names of the nodes at the cut, which must be the same in both modes."""
    frontier = [node.name for node in frontier_nodes(training, suffix_nodes)]
    if frontier != [node.name for node in frontier_nodes(evaluating, suffix_nodes)]:
        raise CannotSplitError("it is built differently for training and for evaluation")
    if frontier == [input_node(training).name]:
        raise CannotSplitError("nothing lies in front of the cut")
    return frontier


def _probe(prefix: fx.GraphModule, probes: list[torch.Tensor]) -> tuple[Boundary, dict[str, str]]:
    """Run the prefix on two batches, for its boundary and its fusable BatchNorms."""
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
    """Split model of a prefix, fused at its first use, and a suffix by training mode."""

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
    except Exception as error:  # the model's own code, out of its context, may raise anything
        raise CannotSplitError(f"its traced parts don't run ({first_line(error)})") from None


def _architecture_hash(model: nn.Module) -> str:
    """Hash of everything but the weights that determines what a model computes.

    Leaves out dropout and stochastic depth, which do nothing in a prefix and differ by trial. timm
    has an identity in their place where the rate is 0.
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
    """Raise `CannotSplitError` if the parts don't compute what the whole model computes.

    Compares logits with random head weights, since a head of zeros would hide any difference.
    Restores the head.
    """
    heads = [p for name in head_names(model) for p in model.get_submodule(name).parameters()]
    original = [p.detach().clone() for p in heads]
    generator = torch.Generator().manual_seed(0)
    model.eval()
    with torch.no_grad(), without_tf32():
        for parameter in heads:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 10)
        actual, expected = _first_run(split.suffix, split.prefix(images)), model(images)
        for parameter, value in zip(heads, original, strict=True):
            parameter.copy_(value)
    set_train_mode(model, freeze_batchnorm=True)
    if not torch.allclose(actual, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
        raise CannotSplitError("its parts don't give what the whole gives")
