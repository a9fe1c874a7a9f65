"""Anti-aliased drawing on premultiplied RGBA canvases (uint8): chains of circles, polygons, blending.

A chain is a row of circles joined by their tangents: limbs, bodies, trunks, clouds, all round by nature.
OpenCV's anti-aliased edge mixes all four channels towards the opaque colour, which is exactly 'over' for
premultiplied pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, sqrt
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Colour = tuple[float, float, float]
# cv2 takes fixed-point coordinates with this many fractional bits.
_BITS = 4
_ONE = 1 << _BITS


def canvas(width: int, height: int) -> Image:
    """An empty, transparent (height, width, 4) picture."""
    return np.zeros((height, width, 4), np.uint8)


def opaque(colour: Colour) -> tuple[float, float, float, float]:
    """RGB 0..255 as an RGBA colour that cv2 accepts."""
    return (*colour, 255.0)


def fixed(points: Any) -> NDArray[np.int32]:
    """Pixel positions as cv2's fixed-point integers."""
    return np.round(np.asarray(points, np.float64) * _ONE).astype(np.int32)


def polygon(target: Image, points: Any, colour: Colour) -> None:
    """Fill a polygon of (n, 2) pixel positions."""
    cv2.fillPoly(target, [fixed(points)], opaque(colour), cv2.LINE_AA, _BITS)


def disc(target: Image, x: float, y: float, radius: float, colour: Colour) -> None:
    """Fill a circle."""
    centre = (round(x * _ONE), round(y * _ONE))
    cv2.circle(target, centre, max(round(radius * _ONE), 1), (*colour, 255.0), cv2.FILLED, cv2.LINE_AA, _BITS)


def chain(
    target: Image, points: Sequence[Any], radii: Sequence[float], colour: Colour, grow: float = 0.0
) -> None:
    """Fill the hull of consecutive circles; `grow` adds to every radius (for outlines).

    Plain floats, no arrays: a clip has thousands of these, each of a few points.
    """
    before: tuple[float, float, float] | None = None
    for (x, y), size in zip(points, radii, strict=True):
        radius = size + grow
        if before == (x, y, radius):
            continue
        disc(target, x, y, radius, colour)
        if before is not None:
            _hull(target, before, (x, y, radius), colour)
        before = (x, y, radius)


def _hull(
    target: Image, a: tuple[float, float, float], b: tuple[float, float, float], colour: Colour
) -> None:
    """The quadrilateral between two circles' outer tangents; its normals lean towards the smaller one."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = hypot(dx, dy)
    if length < 1e-6 or length <= abs(a[2] - b[2]):
        return
    dx, dy = dx / length, dy / length
    lean = (a[2] - b[2]) / length
    across = sqrt(1 - lean * lean)
    normals = (
        (dx * lean - dy * across, dy * lean + dx * across),
        (dx * lean + dy * across, dy * lean - dx * across),
    )
    corners = [
        (round((x + nx * r) * _ONE), round((y + ny * r) * _ONE))
        for (nx, ny), circles in zip(normals, ((a, b), (b, a)), strict=True)
        for x, y, r in circles
    ]
    cv2.fillConvexPoly(target, np.array(corners, np.int32), (*colour, 255.0), cv2.LINE_AA, _BITS)


def over(bottom: Image, top: Image, inverse_alpha: Image) -> None:
    """Lay premultiplied RGB `top` over `bottom`, in place. inverse_alpha: 255 - alpha, three channels."""
    cv2.multiply(bottom, inverse_alpha, dst=bottom, scale=1 / 255)
    cv2.add(bottom, top, dst=bottom)


def split_alpha(rgba: Image) -> tuple[Image, Image]:
    """(premultiplied RGB, 255 - alpha in three channels), both contiguous."""
    inverse = 255 - rgba[..., 3]
    return np.ascontiguousarray(rgba[..., :3]), cv2.merge([inverse, inverse, inverse])


def ridge_layer(width: int, heights: Floats, top: Colour, bottom: Colour, rows: tuple[int, int]) -> Image:
    """A hill line as premultiplied RGBA rows [rows[0], rows[1]): `heights` is its y in pixels at each column.

    The colour runs from `top` at the highest crest to `bottom` at the last row, like mist in a valley.
    """
    first, last = rows
    y = np.arange(first, last, dtype=np.float32)[:, None]
    alpha = np.clip(y - heights[None, :width] + 0.5, 0, 1)[..., None]
    depth = np.clip((y - heights.min()) / max(last - heights.min(), 1.0), 0, 1)[..., None]
    colour = np.asarray(top, np.float32) * (1 - depth) + np.asarray(bottom, np.float32) * depth
    layer = np.empty((last - first, width, 4), np.uint8)
    layer[..., :3] = np.clip(colour * alpha + 0.5, 0, 255)
    layer[..., 3:] = alpha * 255 + 0.5
    return layer
