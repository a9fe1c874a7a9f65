"""Black frames: a frame without a picture among frames that have one, as when NaN latents are decoded.

Idea: nearly all pixels of the frame are one level, and its neighbour in time is not dark: a fade gets there
slowly.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding

FLAT = 2.0  # levels of standard deviation: no picture
BLOCKS = (18, 32)


def find_black(evidence: Evidence) -> Finding:
    """Raw evidence: share of flat frames, 1 added when a flat frame stands beside one with a picture (0..2).

    A clip that is flat throughout counts 2: nothing was generated.
    """
    spread = picture_spread(evidence.luma)
    flat = spread < FLAT
    if not flat.any():
        return Finding(raw=0.0)
    sudden = bool(np.any(flat[1:] & (spread[:-1] > 5 * FLAT)) or np.any(flat[:-1] & (spread[1:] > 5 * FLAT)))
    raw = 2.0 if flat.all() else float(flat.mean()) + float(sudden)
    frames = tuple(int(i) for i in np.flatnonzero(flat))
    return Finding(raw=raw, rows=(0, evidence.luma.shape[1] - 1), frames=frames)


def picture_spread(luma: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(t,) standard deviation over blocks of each frame, levels."""
    blocks = [cv2.resize(frame, BLOCKS[::-1], interpolation=cv2.INTER_AREA) for frame in luma]
    return np.array([float(block.std()) for block in blocks])
