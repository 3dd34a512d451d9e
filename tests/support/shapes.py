"""Drawn images of shapes, whose file contents do not depend on any library's version."""

from pathlib import Path

import numpy as np

SIDE = 32


def draw_shapes(root: Path, each: int = 12) -> Path:
    """Draw three classes below ``root``: ``each`` discs, frames and stripes, as PGM files."""
    y, x = np.mgrid[:SIDE, :SIDE]
    for name in ("disc", "frame", "stripes"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for k in range(each):
            radius, left, top = 6 + k % 7, 10 + (5 * k) % 12, 10 + (7 * k) % 12
            distance = np.maximum(abs(x - left), abs(y - top))
            inside = {
                "disc": (x - left) ** 2 + (y - top) ** 2 <= radius**2,
                "frame": (distance <= radius) & (distance >= radius - 2),
                "stripes": (x + k) % (3 + k % 3) == 0,
            }[name]
            grey = np.where(inside, 255 - 3 * k, 10 + 2 * k) + (x * y * (k + 1)) % 11
            pixels = np.clip(grey, 0, 255).astype(np.uint8).tobytes()
            (root / name / f"{k:02d}.pgm").write_bytes(f"P5 {SIDE} {SIDE} 255\n".encode() + pixels)
    return root
