"""Freeze: frames that repeat their forerunner in a clip that otherwise moves.

Idea: the difference to the frame before falls far below what is usual in this very clip.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding

FLOOR = 0.02  # levels: what compression leaves in a repeated frame


def find_freeze(evidence: Evidence) -> Finding:
    """Raw evidence: log of the usual over the smallest difference of adjacent frames (about 0..4)."""
    luma = evidence.luma
    if len(luma) < 4:
        return Finding(raw=0.0)
    differences = adjacent_differences(luma)
    usual = float(np.percentile(differences, 75))
    gains = np.log((usual + FLOOR) / (differences + FLOOR))
    raw = float(gains.max())
    frames = tuple(int(i) + 1 for i in np.flatnonzero(gains > 0.7 * raw)) if raw > 0 else ()
    return Finding(raw=raw, rows=(0, luma.shape[1] - 1), frames=frames)


def adjacent_differences(luma: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(t-1,) mean |difference| of adjacent frames, levels."""
    return np.array([cv2.absdiff(a, b).mean() for a, b in pairwise(luma)])
