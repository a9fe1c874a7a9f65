"""What the detectors share: the clip's luma and colour, and how raw evidence becomes a score with a level.

Shapes: t frames, h rows, w columns, all of EvalClip.detail. Row y is a boundary when the fault begins at y.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.clip_frames import Frames, to_gray

SUSPECT, CERTAIN = 1.0, 2.0  # the common scale of all detectors


@dataclass(kw_only=True)
class Evidence:
    """One clip as the detectors see it; what several of them need is computed once."""

    frames: Frames  # (t, h, w, 3) uint8 RGB
    fps: float = 8.0

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """(t, h, w) uint8."""
        return to_gray(self.frames)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one detector says. `raw` is its own unit; rows, columns (first, last) and frames locate the fault.

    profile: (h,) evidence by row for the picture, or () where rows mean nothing.
    """

    raw: float
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    frames: tuple[int, ...] = ()
    profile: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A detector with its fixed thresholds, in the unit of its raw evidence."""

    name: str
    find: Callable[[Evidence], Finding]
    suspect: float
    certain: float

    def score(self, raw: float) -> float:
        """Raw evidence -> the common scale.

        Suspect is 1, certain is 2, linear between and beyond, never below 0.
        """
        if not math.isfinite(raw):
            return 0.0
        if raw >= self.suspect:
            return SUSPECT + (raw - self.suspect) / (self.certain - self.suspect)
        return max(0.0, raw / self.suspect)


def level_of(score: float) -> str:
    """'none', 'suspect' or 'certain'."""
    return "certain" if score >= CERTAIN else "suspect" if score >= SUSPECT else "none"


def top_mean(values: NDArray[np.floating], share: float = 0.4, least: int = 3) -> NDArray[np.floating]:
    """Mean of the largest values along axis 0.

    A fault need not be in every frame, but one frame is no proof.
    """
    count = min(len(values), max(least, math.ceil(share * len(values))))
    return np.sort(values, axis=0)[len(values) - count :].mean(axis=0)


def worst_frames(values: NDArray[np.floating], threshold: float) -> tuple[int, ...]:
    """Frames whose value reaches the threshold, at least the worst one."""
    hit = np.flatnonzero(values >= threshold)
    return tuple(int(i) for i in hit) if len(hit) else (int(np.argmax(values)),)
