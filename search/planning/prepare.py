"""The prepared plan: space, initial points and weights, chosen before any image is read."""

import logging
from dataclasses import dataclass
from typing import Self, get_args

import torch

from search.config import SweepConfig
from search.planning.candidates import keep_most_promising
from search.planning.checks import (
    CheckedInputs,
    check_data,
    check_folder,
    check_inputs,
    read_points,
)
from search.planning.initial_points import choose_initial_points, recorded_initial_points
from search.record import ResolvedSettings, SweepPaths
from spaces import ConfigError, Fit, SearchSpace, SpaceError, TrialParams, UserError
from spaces.errors import first_line
from trainables.images import PixelFormat
from trainables.models import (
    CUT_FRACTIONS,
    CannotSplitError,
    Preprocessing,
    Weights,
    build_model,
    check_weights,
    find_weights,
    split_model,
    unfrozen_group_count,
)
from trainables.process import single_torch_thread

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class PreparedPlan:
    """A plan before any image is read."""

    config: SweepConfig
    space: SearchSpace
    points: tuple[TrialParams, ...]
    """Initial points, tried before the sampler proposes any: in this order, except that linear
    probes order the backbones and image sizes of points that are otherwise equal."""
    weights: dict[str, Weights]
    """Initial weights of every backbone that a trial may use, by backbone."""
    preprocessing: dict[str, Preprocessing]
    """Preprocessing by backbone."""
    sampler_seed: int
    notes: tuple[str, ...]
    """Sentences about the backbones that "auto" stands for."""

    @property
    def native_image_size(self) -> dict[str, int]:
        """Native input side in pixels, by backbone."""
        return {name: each.image_size for name, each in self.preprocessing.items()}

    @property
    def pixel_formats(self) -> list[PixelFormat]:
        """Distinct pixel formats that trials may need."""
        inputs = [(point.backbone, point.image_size, point.fit) for point in self.points]
        if len(inputs) < self.config.trials:
            inputs += [
                (name, size, fit)
                for name, size in self.space.backbone_sizes(self.native_image_size)
                for fit in get_args(Fit)
                if fit in self.space.values_with("fit", name)
            ]
        formats = [self.preprocessing[name].pixel_format(size, fit) for name, size, fit in inputs]
        return list(dict.fromkeys(formats))


@dataclass(frozen=True)
class RecordedPlan:
    """The part of a launched sweep's plan that is on disk, for a resume to use again."""

    space: SearchSpace
    points: list[dict[str, object]]
    """All initial points: those of the points file, and those that other settings added."""
    sampler_seed: int

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """Read the record of a launched sweep. Raises `ConfigError`."""
        space, points = SearchSpace.load(str(paths.space)), read_points(paths.initial_points)
        return cls(space, points, ResolvedSettings.read(paths).sampler_seed)


def prepare_plan(
    config: SweepConfig,
    recorded: RecordedPlan | None = None,
    *,
    checked: CheckedInputs | None = None,
) -> PreparedPlan:
    """Choose the space, the initial points and the weights, and build every model once.

    A resume passes the ``recorded`` plan of its sweep. A launch may pass the ``checked`` inputs;
    otherwise they are checked here. Raises `UserError`.
    """
    # 1. Read the space and the points that are given.
    check_folder("cache_dir", config.cache_dir)
    if recorded:
        check_data(config)
        space, given_points = recorded.space, recorded.points
    else:
        inputs = checked or check_inputs(config)
        space, given_points = inputs.space, inputs.points

    if config.test_time_flips != "none" and space.dimensions["flips"].extremes == ("none",):
        raise ConfigError(
            "test_time_flips averages over mirror images, but flips is none in this space, so no "
            "model is trained on them; leave one of the two out."
        )

    # 2. Keep the most promising backbones of "auto", and choose the initial points.
    kept = keep_most_promising(space, config)
    space = kept.space
    in_points = [str(point["backbone"]) for point in given_points if "backbone" in point]
    backbones = list(dict.fromkeys([*space.backbones, *in_points]))
    preprocessing = {name: Preprocessing.of(name) for name in backbones}
    native_sizes = {name: each.image_size for name, each in preprocessing.items()}
    choose = recorded_initial_points if recorded else choose_initial_points
    points = choose(config, space, given_points, native_sizes)

    # 3. Find the weights of every backbone that a trial may use.
    used = list(dict.fromkeys(point.backbone for point in points))
    if len(points) < config.trials:
        used = list(dict.fromkeys([*used, *space.backbones]))
    weights = {name: find_weights(name, config.weights, cache=config.cache_dir) for name in used}
    if any(p.head == "solved" and weights[p.backbone].file is None for p in points):
        raise ConfigError(
            'A point with head = "solved" needs pretrained weights, not untrained ones: random '
            "features say nothing about a backbone. Choose other weights, or drop the point."
        )

    # 4. Build every model once, so that errors of timm appear before any trial.
    with single_torch_thread():  # idle torch threads would spin while Ray's workers import
        _check_models(space, points, weights, native_sizes)
    _warn_if_few_trials_teach(config)
    return PreparedPlan(
        config,
        space,
        points,
        weights,
        {name: preprocessing[name] for name in used},
        recorded.sampler_seed if recorded else config.sampler_seed,
        kept.notes,
    )


def _warn_if_few_trials_teach(config: SweepConfig) -> None:
    """Warn if the sampler learns only from completed trials, and few trials will complete."""
    if config.sampler in ("gp", "nsga2") and config.stopping_name != "none":
        _log.warning(
            "The sampler %s learns only from trials that run to their end, but %s stops most "
            "trials earlier: consider --stopping none.",
            config.sampler,
            config.stopping_name,
        )


def _check_models(
    space: SearchSpace,
    points: tuple[TrialParams, ...],
    weights: dict[str, Weights],
    native_sizes: dict[str, int],
) -> None:
    """Build every model of the space with the widest hidden head, and the models of the points.

    Whether a backbone can be split is tried at one image size, with the longest prefix. Raises
    `UserError` if weights do not fit, or if a backbone can't take an image size.
    """
    widest_head = max(space.dimensions["head_hidden"].extremes, key=float)
    to_build = [
        space.params(
            {"backbone": backbone, "image_size": size, "head_hidden": widest_head},
            native_image_size=native_sizes,
        )
        for backbone, size in space.backbone_sizes(native_sizes)
        if backbone in weights
    ]
    kinds = {(p.backbone, p.image_size, p.head_hidden): p for p in (*to_build, *points)}
    one_of_each_backbone = {p.backbone: p for p in kinds.values()}
    for params in one_of_each_backbone.values():
        check_weights(params, weights[params.backbone])
    fraction = _lowest_cut_fraction(space, points)
    for params in kinds.values():
        is_split = params is one_of_each_backbone[params.backbone]
        _check_model(params, weights[params.backbone], fraction if is_split else None)


def _lowest_cut_fraction(space: SearchSpace, points: tuple[TrialParams, ...]) -> float | None:
    """The lowest of `CUT_FRACTIONS` at which some trial may split its model, if any does."""
    unfreeze = [point.unfreeze for point in points]
    lowest = min([*unfreeze, *map(float, space.dimensions["unfreeze"].extremes)])
    return min((cut for cut in CUT_FRACTIONS if cut >= lowest), default=None)


def _check_model(params: TrialParams, weights: Weights, fraction: float | None) -> None:
    """Run a model on one blank image, and split it at an unfreeze ``fraction``, if one is given.

    Logs a warning if the model can't be split: its trials then compute the whole model in every
    epoch. Raises `SpaceError` if the image size does not fit.
    """
    try:
        model = build_model(params, weights, 2).eval()
        with torch.inference_mode():
            model(torch.zeros(1, 3, params.image_size, params.image_size))
    except UserError:
        raise
    except Exception as error:  # timm's code may raise any error at a size that does not fit
        raise SpaceError(
            f"{params.backbone} can't take images of {params.image_size} pixels "
            f"({first_line(error)}); choose another image_size."
        ) from None
    if fraction is None:
        return
    try:
        split_model(model, unfrozen_group_count(model, fraction), params.image_size)
    except CannotSplitError as reason:
        _log.warning(
            "%s can't be split into frozen layers and the others (%s): its trials compute the "
            "whole model in every epoch.",
            params.backbone,
            reason,
        )
