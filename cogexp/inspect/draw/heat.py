"""Heat over frames: what the pictures of words share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cogexp.inspect.draw import kit
from cogexp.inspect.seen import Activations
from cogexp.media.text_layout import writable

SECTION = "Where words act"
TILE = 200
PER_ROW = 5
COLOURS = "inferno"
FADED = 0.6  # of the frame's light that is left under the heat
TOP = 99.7  # percentile where the colours end: a few patches draw far more than the others
SAME = 1e-5  # of the largest value: what differs by less differs by rounding


def overlay(frame: np.ndarray, heat: np.ndarray, low: float, high: float) -> np.ndarray:
    """Heat (h, w) between low and high over a darkened grey frame (H, W, 3) uint8, where heat is it glows."""
    size = frame.shape[:2]
    from PIL import Image

    smooth = np.asarray(
        Image.fromarray(heat.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    )
    high = max(high, low + SAME * abs(high))
    unit = ((smooth - low) / max(high - low, 1e-30)).clip(0, 1)[..., None]
    grey = frame.astype(np.float32).mean(2, keepdims=True).repeat(3, 2) * FADED
    glow = kit.coloured(smooth, low, high, COLOURS).astype(np.float32)
    mixed = grey * (1 - unit) + glow * unit + grey * unit * 0.35
    result: np.ndarray = mixed.clip(0, 255).astype(np.uint8)
    return result


def ends(heat: np.ndarray) -> tuple[float, float]:
    """Where the colours begin and end: what is above the mean glows."""
    return float(heat.mean()), float(np.percentile(heat, TOP))


def written(found: Activations, column: int) -> str:
    """The word, or its number where no font of this machine can write it."""
    word = found.columns[column]
    return word if writable(word) else f"word {column + 1}"


def middle_frame(found: Activations) -> int:
    """The row of patches in time that stands for the clip."""
    return int(found.passes.grid[0] // 2)


def over_middle(
    found: Activations,
    maps: Sequence[np.ndarray],
    labels: Sequence[str],
    *,
    zero: bool = False,
    unit: str = "",
) -> Any:
    """A figure of maps (h, w) over the middle frame, each on a scale of its own (from its mean, or from 0).

    The ends of the scale are written behind the label.
    """
    size = kit.tile_size(*found.frames.shape[1:3], widest=TILE + 60)
    under = kit.resized(found.frames[found.shown_frame(middle_frame(found))], size, smooth=True)
    tiles, names = [], []
    for heat, label in zip(maps, labels, strict=True):
        low, high = ends(heat)
        low = 0.0 if zero else low
        tiles.append(overlay(under, heat, low, high))
        names.append(f"{label}: {kit.number(low)} to {kit.number(high)}{unit}")
    columns = min(PER_ROW, len(tiles))
    width = (kit.WIDTH - 0.6) * columns / PER_ROW
    made = kit.figure(kit.WIDTH, kit.labelled_height(width, size, len(tiles), columns) + 0.5)
    kit.show_labelled(made, tiles, names, (0.3, 0.2, width), columns)
    return made
