"""Freeze: frames that repeat their forerunner in a clip that otherwise moves.

Idea: the difference to the frame before falls far below what is usual in this very clip.

A slide show repeats frames as well, but nothing moves in it: it holds a picture for several frames and then
shows another one. Motion goes on for several frames, or changes the picture no more than a shift by half a
cell of a coarse grid does; changes that do neither, in a clip that holds its frames, count little.

A film converted to more frames a second repeats one at regular intervals (24 to 30 fps: every fifth). Such a
cadence is named and is no freeze; a repeat that is not part of it still is one.
"""

from __future__ import annotations

from itertools import groupby, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding

FLOOR = 0.02  # levels: what compression leaves in a repeated frame
REPEATED = 0.1  # share of a large change of the clip (its 90th percentile) that a repeated frame stays below
HOLD = 2  # repeats in a row: a frame that stays
GOES_ON = 3  # changes in a row: motion
GRID = (64, 36)  # columns, rows of the coarse grid
# Intervals at which conversions of standard rates repeat a frame: 24 to 30 fps, 25 to 30, 24 to 25. A cadence
# has at the least so many repeats, and this share of those that the interval asks for.
CADENCES, CADENCE_REPEATS, CADENCE_SHARE = (5, 6, 25), 4, 0.8
SHIFT, SLIDE_COUNTS = 0.5, 0.02  # cells of that grid; the weight of a change that is none of these


def find_freeze(evidence: Evidence) -> Finding:
    """Raw evidence: log of the usual over the smallest difference of adjacent frames (about 0..4)."""
    luma = evidence.luma
    if len(luma) < 4:
        return Finding(raw=0.0)
    differences = adjacent_differences(luma)
    usual = float(np.percentile(differences * motion_weights(differences, luma), 75))
    gains = np.log((usual + FLOOR) / (differences + FLOOR))
    interval, on_it = cadence(differences)
    note = f"every {interval}th frame repeats the one before it, as after a conversion of its rate"
    gains[on_it] = 0.0
    raw = float(gains.max())
    frames = tuple(int(i) + 1 for i in np.flatnonzero(gains > 0.7 * raw)) if raw > 0 else ()
    rows = (0, luma.shape[1] - 1)
    return Finding(raw=raw, rows=rows, frames=frames, note=note if interval else "")


def cadence(differences: NDArray[np.float64]) -> tuple[int, NDArray[np.bool_]]:
    """The interval at which frames repeat all through the clip, and which of the (t-1,) changes are repeats
    on it; (0, none) without a cadence."""
    repeated = differences < REPEATED * np.percentile(differences, 90)
    places = np.arange(len(differences))
    for interval in CADENCES:
        for phase in range(interval):
            on_it = places % interval == phase
            hits = int(repeated[on_it].sum())
            if hits < CADENCE_REPEATS or hits < CADENCE_SHARE * on_it.sum():
                continue
            if hits >= CADENCE_SHARE * repeated.sum():
                return interval, on_it & repeated
    return 0, np.zeros(len(differences), bool)


def adjacent_differences(luma: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(t-1,) mean |difference| of adjacent frames, levels."""
    return np.array([cv2.absdiff(a, b).mean() for a, b in pairwise(luma)])


def motion_weights(differences: NDArray[np.float64], luma: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(t-1,): 1 for a repeated frame and for motion, SLIDE_COUNTS for the next picture of a slide show."""
    repeated = differences < REPEATED * np.percentile(differences, 90)
    run = lengths(repeated)
    weight = np.ones(len(differences))
    if run[repeated].max(initial=0) < HOLD:
        return weight
    for i in np.flatnonzero(~repeated & (run < GOES_ON)):
        if shift(luma[i], luma[i + 1]) > SHIFT:
            weight[i] = SLIDE_COUNTS
    return weight


def lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,): how many equal flags in a row each one is part of."""
    groups = (len(list(group)) for _, group in groupby(flags))
    return np.concatenate([np.full(n, n) for n in groups])


def shift(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """About how many cells of the grid a motion would have to be to change one frame, (h, w), into the other.

    A picture that moves by s changes by s times its gradient.
    """
    a, b = (cv2.resize(f, GRID, interpolation=cv2.INTER_AREA).astype(np.float32) for f in (before, after))
    return float(np.abs(b - a).mean() / (min(gradient(a), gradient(b)) + 0.5))


def gradient(cells: NDArray[np.float32]) -> float:
    """Mean |difference| of neighbouring cells, down plus across."""
    return float(np.abs(np.diff(cells, axis=0)).mean() + np.abs(np.diff(cells, axis=1)).mean())
