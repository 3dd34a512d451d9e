"""What is settled of a launch before an image is opened: space, points, weights, models."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from search.config import SweepConfig
from search.planning.checks import read_points
from search.planning.initial_points import first_points, points_to_go_on
from search.record import Resolved, SweepPaths
from spaces import ConfigError, SearchSpace, SpaceError, TrialParams
from trainables.data import PixelFormat, check_source
from trainables.models import (
    CUTS,
    CannotSplitError,
    Preprocessing,
    Weights,
    build_model,
    check_weights,
    find_weights,
    open_group_count,
    split,
)
from trainables.process import one_thread

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class Draft:
    """What is settled before an image is opened: space, points, weights."""

    config: SweepConfig
    space: SearchSpace
    points: tuple[TrialParams, ...]
    weights: dict[str, Weights]
    """By backbone, of the space's backbones and those the points name."""
    preprocessing: dict[str, Preprocessing]
    sampler_seed: int

    @property
    def native_image_size(self) -> dict[str, int]:
        """Each backbone's own input side in pixels."""
        return {name: stated.image_size for name, stated in self.preprocessing.items()}

    @property
    def forms(self) -> list[PixelFormat]:
        """Every format of pixels that a trial may ask for."""
        pairs = [(point.backbone, point.image_size) for point in self.points]
        if len(pairs) < self.config.trials:
            pairs += self.space.inputs(self.native_image_size)
        return list(dict.fromkeys(self.preprocessing[name].form(size) for name, size in pairs))


@dataclass(frozen=True)
class Begun:
    """What a sweep that was launched has recorded, so that a resume does not settle it anew."""

    space: SearchSpace
    points: list[dict[str, object]]
    """All that is tried first: the given points, and what the settings added to them."""
    sampler_seed: int

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """Of a launched sweep. Raises `ConfigError`."""
        space, points = SearchSpace.load(str(paths.space)), read_points(paths.points)
        return cls(space, points, Resolved.read(paths).sampler_seed)


def draft_plan(config: SweepConfig, begun: Begun | None = None) -> Draft:
    """Read the space and the points, find the weights, try the models. Raises `UserError`.

    Of a sweep that was ``begun``, the space, the points and the seed are those that it recorded.
    """
    _check_cache(config.cache_dir)
    check_source(config.data, cache=config.cache_dir)
    space = begun.space if begun else SearchSpace.load(config.space)
    if config.image_size is not None and not begun:
        space = space.with_fixed(image_size=config.image_size)
    raw_points = begun.points if begun else read_points(config.points)
    named = [str(point["backbone"]) for point in raw_points if "backbone" in point]
    names = list(dict.fromkeys([*space.backbones, *named]))
    stated = {name: Preprocessing.of(name) for name in names}
    native = {name: s.image_size for name, s in stated.items()}
    if begun:
        points = points_to_go_on(config, space, raw_points, native)
    else:
        points = first_points(config, space, raw_points, native)
    used = list(dict.fromkeys(p.backbone for p in points))
    if len(points) < config.trials:
        used = list(dict.fromkeys([*used, *space.backbones]))
    weights = {n: find_weights(n, config.weights, cache=config.cache_dir) for n in used}
    with one_thread():  # Ray's workers import beside it, and threads that wait for a core spin
        _try_models(space, points, weights, native)
    if config.sampler in ("gp", "nsga2") and config.stopping != "none":
        _log.warning(
            "The sampler %s learns only from trials that run to their end, and %s ends most of "
            "them before: consider --stopping none.",
            config.sampler,
            config.stopping,
        )
    return Draft(
        config,
        space,
        points,
        weights,
        {name: stated[name] for name in used},
        begun.sampler_seed if begun else config.sampler_seed,
    )


def _check_cache(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        raise ConfigError(
            f"The cache_dir {cache} can't be written ({error.strerror}); name another one."
        ) from None


def _try_models(
    space: SearchSpace,
    points: tuple[TrialParams, ...],
    weights: dict[str, Weights],
    native: dict[str, int],
) -> None:
    """Build what trials may build, once each: what timm refuses is heard now."""
    widest = max(space.dimensions["head_hidden"].extremes, key=float)
    tried = [
        space.params(
            {"backbone": backbone, "image_size": size, "head_hidden": widest},
            native_image_size=native,
        )
        for backbone, size in space.inputs(native)
        if backbone in weights
    ]
    tried += {(p.backbone, p.image_size, p.head_hidden): p for p in points}.values()
    for params in {p.backbone: p for p in tried}.values():
        check_weights(params, weights[params.backbone])
    extremes = [float(value) for value in space.dimensions["unfreeze"].extremes]
    opened = [p.unfreeze for p in points] + extremes
    low, high = min(opened), max(opened)
    cuts = [c for c, below in zip(CUTS, (-1.0, *CUTS), strict=False) if low <= c and below < high]
    for params in tried:
        _try_model(params, weights[params.backbone], cuts)


def _try_model(params: TrialParams, weights: Weights, depths: Sequence[float]) -> None:
    """A few images through the model. Raises `SpaceError` if the size doesn't fit it.

    Says so if it can't be cut at one of ``depths``: such trials compute all of it in every epoch.
    """
    try:
        model = build_model(params, weights, 2).eval()
        with torch.inference_mode():
            model(torch.zeros(1, 3, params.image_size, params.image_size))
    except (AssertionError, RuntimeError) as error:
        raise SpaceError(
            f"{params.backbone} can't take images of {params.image_size} pixels "
            f"({str(error).splitlines()[0]}); choose another image_size."
        ) from None
    for depth in depths:
        try:
            split(model, open_group_count(model, depth), params.image_size)
        except CannotSplitError as reason:
            _log.warning(
                "%s can't be split at %g of its depth (%s): such trials compute all of it in every "
                "epoch.",
                params.backbone,
                depth,
                reason,
            )
