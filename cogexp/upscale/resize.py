"""Enlarging by interpolation, with Pillow.

Pillow's kernels are the textbook ones: Keys' cubic with a = -1/2 and Lanczos with three lobes. (OpenCV and
torch call "bicubic" the one with a = -3/4, which rings more.) At the border the kernel is cut off and what is
left of it is brought back to sum 1: nothing is padded, and a flat picture stays flat.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

KERNELS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def enlarge(frame: np.ndarray, scale: int, kernel: str) -> np.ndarray:
    """uint8 (h, w, 3) -> uint8 (scale*h, scale*w, 3), rounded and clipped."""
    height, width = frame.shape[:2]
    picture = Image.fromarray(frame).resize((width * scale, height * scale), KERNELS[kernel])
    return np.asarray(picture)


def resizer(kernel: str, scale: int, blend: float) -> Callable[[np.ndarray], np.ndarray]:
    """A function that enlarges one frame by `kernel`, with the share `blend` (0..1) of Lanczos mixed in."""
    if blend == 0 or kernel == "lanczos":
        return lambda frame: enlarge(frame, scale, kernel)
    return lambda frame: mix(enlarge(frame, scale, kernel), enlarge(frame, scale, "lanczos"), blend)


def mix(frame: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """(1 - share) * frame + share * other, both on the scale 0..255, rounded to uint8."""
    mixed = frame * np.float32(1 - share) + other * np.float32(share)
    return np.rint(mixed).astype(np.uint8)
