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

from cogexp.metrics.artifacts.across import Across, across
from cogexp.metrics.artifacts.rows import in_pairs, mean_over_time, sampled
from cogexp.metrics.clip_frames import Frames, to_gray

SUSPECT, CERTAIN = 1.0, 2.0  # the common scale of all detectors
FEW = 12  # frames
QUIET = 0.2  # on that scale: what nine of ten clean clips stay below


@dataclass(kw_only=True)
class Evidence:
    """One clip as the detectors see it; what several of them need is computed once."""

    frames: Frames  # (t, h, w, 3) uint8 RGB
    fps: float = 8.0
    tile_rows: tuple[int, ...] = ()  # where the VAE's tiles meet, when that is known
    tile_columns: tuple[int, ...] = ()

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """(t, h, w) uint8."""
        return to_gray(self.frames)

    @cached_property
    def few(self) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Indices of at most FEW frames, spread over the clip, and their luma: for faults that last."""
        return self._only(sampled(len(self.luma), FEW))

    @cached_property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """As `few`, in pairs of neighbours: for what moves as well."""
        return self._only(in_pairs(len(self.luma), FEW))

    def _only(self, picked: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        return picked, self.luma if len(picked) == len(self.luma) else self.luma[picked]

    @cached_property
    def across(self) -> Across:
        """How the rows of `pairs` go on in each other."""
        picked, luma = self.pairs
        return across(luma, np.flatnonzero(np.diff(picked) == 1))

    @cached_property
    def mean_frame(self) -> NDArray[np.float32]:
        """(h, w, 3) mean of all frames: what moves fades away, what stands still stays sharp."""
        return mean_over_time(self.frames)

    @cached_property
    def mean_luma(self) -> NDArray[np.float32]:
        """(h, w) mean of all frames."""
        return mean_over_time(self.luma)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one detector says. `raw` is its own unit; rows, columns (first, last) and frames locate the fault.

    profile: (h,) evidence by row for the picture, or () where rows mean nothing. note: what else was seen.
    """

    raw: float
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    frames: tuple[int, ...] = ()
    profile: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A detector with its fixed scale, in the unit of its raw evidence.

    usual: what nine of ten clean clips stay below; suspect, certain: the thresholds.
    """

    find: Callable[[Evidence], Finding]
    usual: float
    suspect: float
    certain: float

    def score(self, raw: float) -> float:
        """Raw evidence -> the common scale: suspect is 1, certain 2, linear from `usual` on and beyond.

        Below `usual` it dwindles towards 0 without reaching it, so that quiet clips are ranked as well.
        """
        if raw >= self.suspect:
            return SUSPECT + (raw - self.suspect) / (self.certain - self.suspect)
        share = (raw - self.usual) / (self.suspect - self.usual)
        return QUIET + (SUSPECT - QUIET) * share if share >= 0 else QUIET * math.exp(share)


def level_of(score: float) -> str:
    """'none', 'suspect' or 'certain'."""
    return "certain" if score >= CERTAIN else "suspect" if score >= SUSPECT else "none"
