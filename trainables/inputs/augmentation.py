"""One strength in [0, 1] to random image transforms, different for every image.

What happens to an image is settled by `NUMBERS` uniform numbers of its own, so that a transformed
image can be made again, and kept: a numbered view of it. One fast path for each kind of device.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F

# What strength 1 means; every bound shrinks in proportion to the strength.
MAX_ROTATION = math.radians(30)
MAX_SHEAR = math.radians(20)
MAX_SHIFT = 0.2
"""Of the image's side."""
MAX_ZOOM_IN = 1.5
MAX_ZOOM_OUT = 1.2
MAX_STRETCH = 1.25
"""Of one side against the other."""
MAX_COLOUR = 0.5
"""Brightness, contrast and saturation vary by a factor of 1 +- this."""
MAX_NOISE = 0.1
"""Standard deviation of Gaussian noise; white is 1."""
MAX_ERASED_AREA = 0.25
ERASE_PROBABILITY = 0.5

NUMBERS = 18
"""Uniform numbers that an image's transform is made of."""
_GREY = (0.299, 0.587, 0.114)
_ERASED = 128
_NOISE_MEAN, _NOISE_UNIT = 128, 32
"""Of the noise that images take pieces of, in grey levels."""


def augment(images: torch.Tensor, strengths: np.ndarray, numbers: np.ndarray) -> torch.Tensor:
    """Transform each image by its own strength and numbers; strength 0 changes nothing.

    ``images`` is ``(n, 3, h, w)`` uint8 and so is the result, channels last in memory.
    ``strengths`` is ``(n,)`` in [0, 1], ``numbers`` is ``(n, NUMBERS)`` in [0, 1). A GPU rounds
    otherwise than a CPU, by a few grey levels.

    In order: crop and zoom, flip, rotation, shift and shear in one affine map (mirrored at the
    border); brightness, contrast, saturation; noise; erasing. Doesn't normalise.
    """
    moved = np.flatnonzero(strengths)
    if len(moved) == 0:
        return images
    plan = _Plan.of(strengths[moved], numbers[moved], *images.shape[2:])
    if images.device.type != "cuda":
        return _on_cpu(images, plan, moved)
    if len(moved) == len(images):
        return _on_gpu(images, plan)
    places = torch.from_numpy(moved).to(images.device, non_blocking=True)
    result = images.clone(memory_format=torch.channels_last)
    return result.index_copy_(0, places, _on_gpu(images[places], plan))


@dataclass(frozen=True)
class _Plan:
    """What is done to each of n images."""

    maps: np.ndarray
    """``(n, 2, 3)``: from an output pixel to the input it shows, both in [-1, 1]."""
    colours: np.ndarray
    """``(n, 3)`` factors of brightness, contrast, saturation."""
    noise: np.ndarray
    """``(n,)`` standard deviations; white is 1."""
    offsets: np.ndarray
    """``(n, 2)`` in [0, 1): where in the tile of noise an image takes its piece."""
    boxes: np.ndarray
    """``(n, 4)`` left, top, right, bottom of what is erased, in pixels; empty for most."""

    @classmethod
    def of(cls, strengths: np.ndarray, numbers: np.ndarray, height: int, width: int) -> "_Plan":
        column: Iterator[np.ndarray] = iter(numbers.T.astype(np.float64))
        s = strengths.astype(np.float64)

        def spread(bound: float) -> np.ndarray:
            drawn: np.ndarray = s * bound * (2 * next(column) - 1)
            return drawn

        angle, shear = spread(MAX_ROTATION), np.tan(spread(MAX_SHEAR))
        shift_x, shift_y = spread(2 * MAX_SHIFT), spread(2 * MAX_SHIFT)
        low, high = -math.log(MAX_ZOOM_IN), math.log(MAX_ZOOM_OUT)
        zoom = np.exp(s * (low + (high - low) * next(column)))
        stretch = np.exp(spread(math.log(MAX_STRETCH) / 2))
        flip = np.where(next(column) < np.minimum(0.5, s), -1.0, 1.0)
        cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
        rows = [
            [flip * stretch * cos, stretch * (shear * cos - sin), shift_x],
            [flip * sin / stretch, (shear * sin + cos) / stretch, shift_y],
        ]
        maps = np.array(rows).transpose(2, 0, 1)

        colours = np.stack([1 + spread(MAX_COLOUR) for _ in range(3)], axis=1)
        noise = s * MAX_NOISE * next(column)
        offsets = np.stack([next(column), next(column)], axis=1)

        area = s * MAX_ERASED_AREA * next(column)
        aspect = np.exp(0.7 * (2 * next(column) - 1))
        half = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=1) / 2
        half *= (next(column) < s * ERASE_PROBABILITY)[:, None]
        centre = np.stack([next(column), next(column)], axis=1)
        size = np.array([width, height])
        corners = np.concatenate([(centre - half) * size, (centre + half) * size], axis=1)
        boxes = np.clip(np.rint(corners), 0, np.tile(size, 2)).astype(np.int64)
        return cls(maps, colours, noise, offsets, boxes)


def _on_cpu(images: torch.Tensor, plan: _Plan, moved: np.ndarray) -> torch.Tensor:
    """By OpenCV, image by image in uint8: several times as fast as torch's grid_sample.

    ``plan`` is for the images ``moved``; the others stay as they are.
    """
    source = images.permute(0, 2, 3, 1).contiguous().numpy()
    height, width = source.shape[1:3]
    result = source.copy()
    maps = _in_pixels(plan.maps, height, width)
    colours, shifts = _colour_maps(plan.colours)
    matrices = np.concatenate([colours, np.zeros((len(moved), 3, 1))], axis=2)
    tile = _noise_tile(max(height, width))
    starts = _starts(plan, tile, height, width)
    amounts = plan.noise * 255 / _NOISE_UNIT
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for i, (row, box) in enumerate(zip(moved.tolist(), plan.boxes.tolist(), strict=True)):
        image = cv2.warpAffine(
            source[row], maps[i], (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        matrices[i, :, 3] = shifts[i] * sum(cv2.mean(image)) / 3
        image = cv2.transform(image, matrices[i])
        y, x = starts[i]
        piece = tile[y : y + height, x : x + width]
        a = amounts[i]
        cv2.addWeighted(image, 1, piece, a, -_NOISE_MEAN * a, dst=result[row])
        left, top, right, bottom = box
        result[row, top:bottom, left:right] = _ERASED
    return torch.from_numpy(result).permute(0, 3, 1, 2)


def _on_gpu(images: torch.Tensor, plan: _Plan) -> torch.Tensor:
    """The same for all images at once, in float. Waits for nothing that the GPU has yet to do."""
    device = images.device
    height, width = images.shape[2:]

    def there(values: np.ndarray) -> torch.Tensor:
        whole = values.dtype == np.int64
        kept = values if whole else values.astype(np.float32)
        return torch.from_numpy(kept).to(device, non_blocking=True)

    grid = F.affine_grid(there(plan.maps), list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    colours, shifts = _colour_maps(plan.colours)
    mean = moved.mean(dim=(1, 2, 3)) * there(shifts)
    moved = torch.einsum("nij,njhw->nihw", there(colours), moved) + mean.view(-1, 1, 1, 1)
    tile = _noise_tile(max(height, width))
    starts = there(_starts(plan, tile, height, width))
    y = starts[:, 0, None] + torch.arange(height, device=device)
    x = starts[:, 1, None] + torch.arange(width, device=device)
    noise = _noise_there(max(height, width), device)[y[:, :, None], x[:, None, :]]
    amounts = there(plan.noise * 255 / _NOISE_UNIT).view(-1, 1, 1, 1)
    moved = moved + (noise.permute(0, 3, 1, 2).float() - _NOISE_MEAN) * amounts
    boxes = there(plan.boxes)[:, :, None]
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    inside_y = (rows >= boxes[:, 1]) & (rows < boxes[:, 3])
    inside_x = (columns >= boxes[:, 0]) & (columns < boxes[:, 2])
    moved = moved.masked_fill((inside_y[:, :, None] & inside_x[:, None, :])[:, None], _ERASED)
    whole = moved.round_().clamp_(0, 255).to(torch.uint8)
    return whole.contiguous(memory_format=torch.channels_last)


def _in_pixels(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps between coordinates in [-1, 1] as maps between pixels, whose centres are whole."""
    side = np.array([width, height], dtype=np.float64)
    linear = maps[:, :, :2] * side[:, None] / side
    # u = (2 p + 1) / side - 1 for a pixel p, there and back
    offset = (np.einsum("nij,j->ni", maps[:, :, :2], 1 / side - 1) + maps[:, :, 2] + 1) * side - 1
    return np.concatenate([linear, offset[:, :, None] / 2], axis=2)


def _colour_maps(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(n, 3, 3)`` maps of colours, and what of an image's mean grey is added: ``(n,)``."""
    brightness, contrast, saturation = factors.T[:, :, None, None]
    mixed = saturation * np.eye(3) + (1 - saturation) * np.array(_GREY)
    return brightness * contrast * mixed, (brightness * (1 - contrast))[:, 0, 0]


def _starts(plan: _Plan, tile: np.ndarray, height: int, width: int) -> np.ndarray:
    """``(n, 2)`` row and column of each image's piece of noise."""
    room = np.array(tile.shape[:2]) - [height, width]
    starts: np.ndarray = (plan.offsets * room).astype(np.int64)
    return starts


@lru_cache(maxsize=4)
def _noise_tile(side: int) -> np.ndarray:
    """Noise that images of ``side`` pixels take their pieces of."""
    normal = np.random.default_rng(0).normal(_NOISE_MEAN, _NOISE_UNIT, (side + 256,) * 2 + (3,))
    return np.clip(np.rint(normal), 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _noise_there(side: int, device: torch.device) -> torch.Tensor:
    """The same on a GPU."""
    return torch.from_numpy(_noise_tile(side)).to(device)
