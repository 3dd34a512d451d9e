"""One strength in [0, 1] to random image transforms, drawn anew for every image of a batch."""

import math

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


def augment(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Randomly transform each image on its own; strength 0 changes nothing.

    ``images`` is ``(n, 3, h, w)`` float in [0, 1] and so is the result. ``generator`` must live on
    the CPU whatever the images' device: what is drawn per image is then the same everywhere; the
    noise is drawn on the device, from a seed that it gives.

    In order: crop and zoom, flip, rotation, shift and shear in one affine map (mirrored at the
    border); brightness, contrast, saturation; noise; erasing. Doesn't normalise.
    """
    if strength == 0:
        return images
    images = _move(images, strength, generator)
    images = _recolour(images, strength, generator)
    images = _add_noise(images, strength, generator)
    return _erase(images, strength, generator)


def _draw(
    images: torch.Tensor, low: float, high: float, generator: torch.Generator
) -> torch.Tensor:
    """One uniform number per image, on the images' device."""
    return (low + (high - low) * torch.rand(len(images), generator=generator)).to(images.device)


def _move(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """The affine map: where in the input each pixel of the output comes from."""

    def draw(bound: float) -> torch.Tensor:
        return _draw(images, -strength * bound, strength * bound, generator)

    angle, shear = draw(MAX_ROTATION), draw(MAX_SHEAR).tan()
    shift_x, shift_y = draw(2 * MAX_SHIFT), draw(2 * MAX_SHIFT)
    zoom = _draw(
        images,
        -strength * math.log(MAX_ZOOM_IN),
        strength * math.log(MAX_ZOOM_OUT),
        generator,
    ).exp()
    stretch = draw(math.log(MAX_STRETCH) / 2).exp()
    flip = torch.where(_draw(images, 0, 1, generator) < min(0.5, strength), -1.0, 1.0)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    theta = torch.stack(
        [
            torch.stack([flip * stretch * cos, stretch * (shear * cos - sin), shift_x], dim=1),
            torch.stack([flip * sin / stretch, (shear * sin + cos) / stretch, shift_y], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(
        images, grid.to(images.dtype), padding_mode="reflection", align_corners=False
    )


def _recolour(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    def factor() -> torch.Tensor:
        bound = strength * MAX_COLOUR
        return _draw(images, 1 - bound, 1 + bound, generator).to(images.dtype).view(-1, 1, 1, 1)

    images = images * factor()
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factor()
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device, dtype=images.dtype)
    grey = (images * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return (grey + (images - grey) * factor()).clamp_(0, 1)


def _add_noise(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    seed = int(torch.randint(2**62, (), generator=generator))
    local = torch.Generator(images.device).manual_seed(seed)
    noise = torch.randn(images.shape, generator=local, device=images.device, dtype=images.dtype)
    deviation = _draw(images, 0, strength * MAX_NOISE, generator).to(images.dtype)
    return noise.mul_(deviation.view(-1, 1, 1, 1)).add_(images).clamp_(0, 1)


def _erase(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Cover a rectangle of some images with mid-grey."""
    height, width = images.shape[2:]
    area = _draw(images, 0, strength * MAX_ERASED_AREA, generator)
    aspect = _draw(images, -0.7, 0.7, generator).exp()
    chosen = _draw(images, 0, 1, generator) < strength * ERASE_PROBABILITY
    half_x = (area * aspect).sqrt() / 2 * chosen
    half_y = (area / aspect).sqrt() / 2 * chosen
    centre_x, centre_y = _draw(images, 0, 1, generator), _draw(images, 0, 1, generator)
    x = (torch.arange(width, device=images.device) + 0.5) / width
    y = (torch.arange(height, device=images.device) + 0.5) / height
    inside_x = (x - centre_x[:, None]).abs() < half_x[:, None]
    inside_y = (y - centre_y[:, None]).abs() < half_y[:, None]
    mask = inside_y[:, None, :, None] & inside_x[:, None, None, :]
    return images.masked_fill(mask, 0.5)
