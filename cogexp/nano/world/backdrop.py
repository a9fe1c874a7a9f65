"""The layers of one picture, and their composition when the camera moves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import cv2
import numpy as np

from cogexp.nano.words import PLACES
from cogexp.nano.world import land, sky, woods
from cogexp.nano.world.shapes import Image, over, split_alpha

# At entropy 0 all behind the animals is this much out of focus (a share of the height): eyes go to the
# animals, and a small VAE spends its bits on them. At entropy 1 everything is sharp.
_DEFOCUS = 0.0045
# Layers kept from clip to clip, most recently used: a low-entropy world has few.
_KEPT = 80


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Premultiplied RGB and 255 - alpha of the rows from `first` on, wider than the picture."""

    rgb: Image
    inverse_alpha: Image
    first: int
    parallax: float


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """Everything but the animals. `still`: the composed picture behind them when the camera stands still."""

    width: int
    height: int
    margin: int
    sky: Image
    ridges: tuple[Layer, ...]
    ground: Image
    trees: tuple[Layer, ...]
    front: Layer
    still: Image

    def behind(self, pan_px: float) -> Image:
        """A new (h, w, 3) picture of all behind the animals; the camera is `pan_px` to the right."""
        if pan_px == 0.0:
            return self.still.copy()
        picture = self.sky.copy()
        for layer in self.ridges:
            _lay(picture, layer, pan_px, self.margin)
        _pan_ground(picture, self.ground, pan_px, self.margin)
        for layer in self.trees:
            _lay(picture, layer, pan_px, self.margin)
        return picture

    def before(self, picture: Image, pan_px: float) -> None:
        """Lay the foreground over the picture, in place."""
        _lay(picture, self.front, pan_px, self.margin)


def _shifted(wide: Image, width: int, offset: float) -> Image:
    """`width` columns of `wide` from a fractional offset on, linear between columns."""
    start = int(offset)
    share = offset - start
    view = wide[:, start : start + width]
    if share < 1e-3:
        return np.ascontiguousarray(view)
    return cv2.addWeighted(view, 1 - share, wide[:, start + 1 : start + 1 + width], share, 0)


def _lay(picture: Image, layer: Layer, pan_px: float, margin: int) -> None:
    width = picture.shape[1]
    offset = margin + pan_px * layer.parallax
    rows = picture[layer.first : layer.first + layer.rgb.shape[0]]
    over(rows, _shifted(layer.rgb, width, offset), _shifted(layer.inverse_alpha, width, offset))


def _pan_ground(picture: Image, ground: Image, pan_px: float, margin: int) -> None:
    """Every row moves by its own depth: the floor of a room, seen from a moving eye."""
    height, width = picture.shape[:2]
    first = height - ground.shape[0]
    rows = np.array([land.depth_of(y / height) for y in range(first, height)], np.float32)
    columns = np.arange(width, dtype=np.float32)[None] + (margin + pan_px * rows)[:, None]
    lines = np.broadcast_to(np.arange(len(rows), dtype=np.float32)[:, None], columns.shape)
    picture[first:] = cv2.remap(ground, columns, np.ascontiguousarray(lines), cv2.INTER_LINEAR)


def _softened(image: Image, sigma: float) -> Image:
    """Out of focus; premultiplied layers may be blurred as they are."""
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.2 else image


def _layer(rgba: Image, first: int, parallax: float, sigma: float = 0.0) -> Layer:
    """Keep only the rows that hold something."""
    above = min(first, ceil(3 * sigma))
    # A crest that starts at the first row needs room to fade into.
    rgba, first = cv2.copyMakeBorder(rgba, above, 0, 0, 0, cv2.BORDER_CONSTANT), first - above
    rgba = _softened(rgba, sigma)
    filled = np.flatnonzero(rgba[..., 3].any(axis=1))
    low, high = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 1)
    rgb, inverse_alpha = split_alpha(rgba[low:high])
    return Layer(rgb=rgb, inverse_alpha=inverse_alpha, first=first + low, parallax=parallax)


@lru_cache(maxsize=_KEPT)
def backdrop(
    place: str, time: str, width: int, height: int, reach_px: int, layout: int, looseness: float
) -> Backdrop:
    """Draw the layers. reach_px: how far the camera moves at the animals' feet. layout: the random layout."""
    rng = np.random.default_rng([layout, land_index(place)])
    margin = ceil(reach_px * woods.FRONT_PARALLAX) + 2 if reach_px else 0
    wide = width + 2 * margin
    side = 0.22 if land_index(place) % 2 else 0.76
    lamp = side + looseness * float(rng.uniform(-0.12, 0.12))
    sigma = _DEFOCUS * height * (1 - looseness)
    heaven = _softened(sky.paint_sky(time, width, height, lamp, rng, looseness), sigma)
    ridges = tuple(_layer(*row, sigma) for row in land.ridges(place, time, wide, height, rng))
    seen = cv2.copyMakeBorder(heaven, 0, 0, margin, margin, cv2.BORDER_REPLICATE)
    for ridge in ridges:
        over(seen[ridge.first : ridge.first + ridge.rgb.shape[0]], ridge.rgb, ridge.inverse_alpha)
    floor = _softened(land.ground(place, time, wide, height, rng, seen), sigma)
    trees = tuple(
        _layer(rgba, 0, parallax, sigma) for rgba, parallax in woods.tree_rows(place, time, wide, height, rng)
    )
    front = _layer(woods.foreground(place, time, wide, height, rng), 0, woods.FRONT_PARALLAX)
    seen[height - floor.shape[0] :] = floor
    for layer in trees:
        over(seen[layer.first : layer.first + layer.rgb.shape[0]], layer.rgb, layer.inverse_alpha)
    still = np.ascontiguousarray(seen[:, margin : margin + width])
    return Backdrop(
        width=width,
        height=height,
        margin=margin,
        sky=heaven,
        ridges=ridges,
        ground=floor,
        trees=trees,
        front=front,
        still=still,
    )


def land_index(place: str) -> int:
    """The place's number: part of the layout's seed, and the side on which its sun stands."""
    return PLACES.index(place)
