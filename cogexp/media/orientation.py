"""Display matrices: how a frame is turned and mirrored before it is shown."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """One of the eight ways to lay a rectangle on itself: first `transpose`, then the flips.

    exact: False for a matrix that turns by another angle; then this is the nearest quarter turn.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False
    exact: bool = True

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """(h, w, c) -> (h, w, c) or (w, h, c), a view."""
        if self.transpose:
            frame = frame.transpose(1, 0, 2)
        if self.flip_x:
            frame = frame[:, ::-1]
        return frame[::-1] if self.flip_y else frame


UPRIGHT = Orientation()


def orientation_of(matrix: bytes | None) -> Orientation:
    """The orientation that FFmpeg's display matrix asks for (a pixel at (p, q) is shown at
    (a p + c q, b p + d q); libavutil/display.h)."""
    if matrix is None or len(matrix) < 36:
        return UPRIGHT
    a, b, _, c, d = struct.unpack("=9i", matrix)[:5]
    upright = abs(a) + abs(d) >= abs(b) + abs(c)
    small, large = (max(abs(b), abs(c)), min(abs(a), abs(d)))
    if not upright:
        small, large = (max(abs(a), abs(d)), min(abs(b), abs(c)))
    exact = small <= 0.02 * large  # a degree or so: written with rounding
    if upright:
        return Orientation(flip_x=a < 0, flip_y=d < 0, exact=exact)
    return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0, exact=exact)
