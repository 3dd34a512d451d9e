"""Random augmentation, drawn for each image; one strength in [0, 1] scales all transforms.

The transform of an image is a function of `NUMBERS_PER_IMAGE` uniform random numbers, so that the
same numbers give the same transformed image again. A kind of transform that is off takes its
numbers all the same, so that the other kinds don't change. CPU and GPU have separate
implementations.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from spaces import TrialParams

# Bounds at strength 1; at a lower strength all bounds are narrower.
MAX_SHEAR = math.radians(20)
MAX_SHIFT = 0.2
"""Largest shift, as a share of the image's side."""
MAX_ZOOM_IN = 1.5
"""Largest factor by which the content is enlarged."""
MAX_ZOOM_OUT = 1.2
"""Largest factor by which the content is reduced."""
MAX_STRETCH = 1.25
"""Largest ratio by which one side is stretched against the other."""
MAX_COLOUR = 0.5
"""Largest deviation from 1 of the factors of brightness, contrast and saturation."""
MAX_NOISE = 0.1
"""Largest standard deviation of Gaussian noise, for pixels in [0, 1]."""
MAX_ERASED_AREA = 0.25
"""Largest share of the image that is erased."""
ERASE_PROBABILITY = 0.5
"""Probability that a box of the image is erased."""

NUMBERS_PER_IMAGE = 18
"""Number of uniform random numbers that determine an image's transform."""
_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""
_ERASED_LEVEL = 128
"""Grey level of an erased box."""
_NOISE_MEAN, _NOISE_SD = 128, 32
"""Mean and standard deviation of the noise tile, in grey levels."""


@dataclass(frozen=True)
class TransformKinds:
    """Kinds of transforms that are on: the fields of `TrialParams` that have the same names."""

    flips: Literal["none", "horizontal", "both"] = "horizontal"
    """Directions in which images are mirrored at random."""
    max_rotation: float = 30.0
    """Largest rotation in degrees, to either side, at strength 1."""
    zoom: bool = True
    """Whether images are zoomed, shifted, stretched and sheared."""
    colour: bool = True
    """Whether brightness, contrast and saturation vary."""
    noise: bool = True
    """Whether Gaussian noise is added."""
    erasing: bool = True
    """Whether a box of some images is erased."""

    @classmethod
    def of(cls, params: TrialParams) -> Self:
        """Kinds of a trial."""
        return cls(
            params.flips,
            params.max_rotation,
            params.zoom,
            params.colour,
            params.noise,
            params.erasing,
        )


DEFAULT_KINDS = TransformKinds()
"""Kinds of a trial by default."""


def augment(
    images: torch.Tensor,
    strengths: np.ndarray,
    numbers: np.ndarray,
    kinds: TransformKinds = DEFAULT_KINDS,
) -> torch.Tensor:
    """Transform each image by its own strength and random numbers; strength 0 changes nothing.

    The order is: one affine map (zoom, stretch, flip, rotation, shear and shift, mirrored at the
    border); brightness, contrast and saturation; noise; erasing. Pixels are not normalised. The
    results of GPU and CPU differ by a few grey levels, because they round differently.

    Args:
        images: ``(n, 3, h, w)`` uint8.
        strengths: ``(n,)`` in [0, 1].
        numbers: ``(n, NUMBERS_PER_IMAGE)`` in [0, 1).
        kinds: Kinds of transforms that are on.

    Returns:
        ``(n, 3, h, w)`` uint8, channels last in memory.
    """
    changed = np.flatnonzero(strengths)
    if len(changed) == 0:
        return images
    plan = _Plan.of(strengths[changed], numbers[changed], kinds, *images.shape[2:])
    if images.device.type != "cuda":
        return _on_cpu(images, plan, changed)
    if len(changed) == len(images):
        return _on_gpu(images, plan)
    positions = torch.from_numpy(changed).to(images.device, non_blocking=True)
    result = images.clone(memory_format=torch.channels_last)
    return result.index_copy_(0, positions, _on_gpu(images[positions], plan))


@dataclass(frozen=True)
class _Plan:
    """Parameters of the transforms of n images."""

    maps: np.ndarray
    """``(n, 2, 3)`` affine maps from output to input coordinates, both in [-1, 1]."""
    colours: np.ndarray
    """``(n, 3)`` factors of brightness, contrast and saturation."""
    noise: np.ndarray
    """``(n,)`` standard deviations of the noise, for pixels in [0, 1]."""
    offsets: np.ndarray
    """``(n, 2)`` in [0, 1): relative position of each image's crop in the noise tile."""
    boxes: np.ndarray
    """``(n, 4)`` left, top, right and bottom of the erased box in pixels; most boxes are empty."""

    @classmethod
    def of(
        cls,
        strengths: np.ndarray,
        numbers: np.ndarray,
        kinds: TransformKinds,
        height: int,
        width: int,
    ) -> "_Plan":
        """Derive the parameters from ``(n,)`` strengths and ``(n, NUMBERS_PER_IMAGE)`` numbers."""
        column: Iterator[np.ndarray] = iter(numbers.T.astype(np.float64))
        s = strengths.astype(np.float64)
        zooming, colour = s * kinds.zoom, s * kinds.colour

        def spread(strength: np.ndarray, bound: float) -> np.ndarray:
            values: np.ndarray = strength * bound * (2 * next(column) - 1)
            return values

        angle = spread(s, math.radians(kinds.max_rotation))
        shear = np.tan(spread(zooming, MAX_SHEAR))
        shift_x, shift_y = spread(zooming, 2 * MAX_SHIFT), spread(zooming, 2 * MAX_SHIFT)
        low, high = -math.log(MAX_ZOOM_IN), math.log(MAX_ZOOM_OUT)
        zoom = np.exp(zooming * (low + (high - low) * next(column)))
        stretch = np.exp(spread(zooming, math.log(MAX_STRETCH) / 2))
        flip_x, flip_y = _flips(s, next(column), kinds)
        cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
        rows = [
            [flip_x * stretch * cos, flip_y * stretch * (shear * cos - sin), shift_x],
            [flip_x * sin / stretch, flip_y * (shear * sin + cos) / stretch, shift_y],
        ]
        maps = np.array(rows).transpose(2, 0, 1)

        colours = np.stack([1 + spread(colour, MAX_COLOUR) for _ in range(3)], axis=1)
        noise = s * kinds.noise * MAX_NOISE * next(column)
        offsets = np.stack([next(column), next(column)], axis=1)

        area = s * kinds.erasing * MAX_ERASED_AREA * next(column)
        aspect = np.exp(0.7 * (2 * next(column) - 1))
        half = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=1) / 2
        half *= (next(column) < s * ERASE_PROBABILITY)[:, None]
        centre = np.stack([next(column), next(column)], axis=1)
        size = np.array([width, height])
        corners = np.concatenate([(centre - half) * size, (centre + half) * size], axis=1)
        boxes = np.clip(np.rint(corners), 0, np.tile(size, 2)).astype(np.int64)
        return cls(maps, colours, noise, offsets, boxes)


def _flips(
    strengths: np.ndarray, numbers: np.ndarray, kinds: TransformKinds
) -> tuple[np.ndarray, np.ndarray]:
    """Factors, 1 or -1, of the horizontal and the vertical coordinate, each ``(n,)``.

    Each direction is mirrored with probability ``min(0.5, strength)``. One uniform number decides
    both: given the horizontal flip, its place within its part of [0, 1) is uniform again.
    """
    share = np.minimum(0.5, strengths)
    horizontal = numbers < share
    rest = np.where(horizontal, numbers / share, (numbers - share) / (1 - share))
    vertical = rest < share
    return (
        np.where(horizontal & (kinds.flips != "none"), -1.0, 1.0),
        np.where(vertical & (kinds.flips == "both"), -1.0, 1.0),
    )


def _on_cpu(images: torch.Tensor, plan: _Plan, changed: np.ndarray) -> torch.Tensor:
    """Apply ``plan`` to the images at positions ``changed``, and copy the others.

    Uses OpenCV, image by image in uint8: several times as fast as torch's grid_sample.
    """
    source = images.permute(0, 2, 3, 1).contiguous().numpy()
    height, width = source.shape[1:3]
    result = source.copy()
    maps = _in_pixels(plan.maps, height, width)
    colours, shifts = _colour_maps(plan.colours)
    matrices = np.concatenate([colours, np.zeros((len(changed), 3, 1))], axis=2)
    tile = _noise_tile(max(height, width))
    starts = _starts(plan, tile, height, width)
    amounts = plan.noise * 255 / _NOISE_SD
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for i, (row, box) in enumerate(zip(changed.tolist(), plan.boxes.tolist(), strict=True)):
        image = cv2.warpAffine(
            source[row], maps[i], (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        matrices[i, :, 3] = shifts[i] * sum(cv2.mean(image)) / 3
        image = cv2.transform(image, matrices[i])
        y, x = starts[i]
        crop = tile[y : y + height, x : x + width]
        a = amounts[i]
        cv2.addWeighted(image, 1, crop, a, -_NOISE_MEAN * a, dst=result[row])
        left, top, right, bottom = box
        result[row, top:bottom, left:right] = _ERASED_LEVEL
    return torch.from_numpy(result).permute(0, 3, 1, 2)


def _on_gpu(images: torch.Tensor, plan: _Plan) -> torch.Tensor:
    """Apply ``plan`` to all images at once, in float32. Never waits for the GPU (no sync)."""
    device = images.device
    height, width = images.shape[2:]

    def to_gpu(values: np.ndarray) -> torch.Tensor:
        values = values if values.dtype == np.int64 else values.astype(np.float32)
        return torch.from_numpy(values).to(device, non_blocking=True)

    grid = F.affine_grid(to_gpu(plan.maps), list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    colours, shifts = _colour_maps(plan.colours)
    mean = moved.mean(dim=(1, 2, 3)) * to_gpu(shifts)
    moved = torch.einsum("nij,njhw->nihw", to_gpu(colours), moved) + mean.view(-1, 1, 1, 1)
    tile = _noise_tile(max(height, width))
    starts = to_gpu(_starts(plan, tile, height, width))
    y = starts[:, 0, None] + torch.arange(height, device=device)
    x = starts[:, 1, None] + torch.arange(width, device=device)
    noise = _noise_tile_on_gpu(max(height, width), device)[y[:, :, None], x[:, None, :]]
    amounts = to_gpu(plan.noise * 255 / _NOISE_SD).view(-1, 1, 1, 1)
    moved = moved + (noise.permute(0, 3, 1, 2).float() - _NOISE_MEAN) * amounts
    boxes = to_gpu(plan.boxes)[:, :, None]
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    inside_y = (rows >= boxes[:, 1]) & (rows < boxes[:, 3])
    inside_x = (columns >= boxes[:, 0]) & (columns < boxes[:, 2])
    moved = moved.masked_fill((inside_y[:, :, None] & inside_x[:, None, :])[:, None], _ERASED_LEVEL)
    rounded = moved.round_().clamp_(0, 255).to(torch.uint8)
    return rounded.contiguous(memory_format=torch.channels_last)


def _in_pixels(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Convert ``(n, 2, 3)`` affine maps from coordinates in [-1, 1] to pixels.

    Pixel centres are at whole numbers.
    """
    side = np.array([width, height], dtype=np.float64)
    linear = maps[:, :, :2] * side[:, None] / side
    # pixel p has the coordinate (2 p + 1) / side - 1
    offset = (np.einsum("nij,j->ni", maps[:, :, :2], 1 / side - 1) + maps[:, :, 2] + 1) * side - 1
    return np.concatenate([linear, offset[:, :, None] / 2], axis=2)


def _colour_maps(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(n, 3, 3)`` colour matrices, and ``(n,)`` offsets as shares of each image's mean level."""
    brightness, contrast, saturation = factors.T[:, :, None, None]
    mixed = saturation * np.eye(3) + (1 - saturation) * np.array(_LUMA)
    return brightness * contrast * mixed, (brightness * (1 - contrast))[:, 0, 0]


def _starts(plan: _Plan, tile: np.ndarray, height: int, width: int) -> np.ndarray:
    """``(n, 2)`` first row and column of each image's crop of the noise tile."""
    room = np.array(tile.shape[:2]) - [height, width]
    starts: np.ndarray = (plan.offsets * room).astype(np.int64)
    return starts


@lru_cache(maxsize=4)
def _noise_tile(side: int) -> np.ndarray:
    """``(side + 256, side + 256, 3)`` uint8 Gaussian noise, for images of up to ``side`` pixels."""
    normal = np.random.default_rng(0).normal(_NOISE_MEAN, _NOISE_SD, (side + 256,) * 2 + (3,))
    return np.clip(np.rint(normal), 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _noise_tile_on_gpu(side: int, device: torch.device) -> torch.Tensor:
    """`_noise_tile` on a GPU."""
    return torch.from_numpy(_noise_tile(side)).to(device)
