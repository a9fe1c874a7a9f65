"""Vacated: rows that were displaced may leave black behind at one side of the frame.

Idea: from some row on each row begins (or ends) with a run of black pixels of about one length, and none of
the rows above does. Bars are black from side to side, and dark corners are not black at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.rows import top_mean

BLACK = 9  # levels, and what lies above the line is brighter than PICTURE
PICTURE, EDGE = 24.0, 4  # levels; columns at the side
WIDEST = 48  # px
ROWS = 8  # above and below the line
FEW, MOST = 0.25, 0.8  # quantiles over rows
ALIKE = 2  # times as long the longer runs may be


def vacated_profile(luma: NDArray[np.uint8]) -> NDArray[np.floating]:
    """(t, h, w) -> (h,): log of the length of the black runs that begin at each row."""
    sides = (side_evidence(luma[:, :, : WIDEST + 1]), side_evidence(luma[:, :, : -WIDEST - 2 : -1]))
    return top_mean(np.maximum(*sides))


def side_evidence(strip: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(t, h, WIDEST + 1), outermost column first -> (t, h)."""
    t, h, _ = strip.shape
    evidence = np.zeros((t, h))
    count = h - 2 * ROWS  # the row of the line itself is left out: it may be blended
    if count <= 0:
        return evidence
    seen = strip > BLACK
    run = np.where(seen.any(2), seen.argmax(2), WIDEST)
    few = int(FEW * ROWS)
    if np.count_nonzero(run) < ROWS - few:  # fewer black rows than it takes below a single line
        return evidence
    level = strip[:, :, :EDGE].mean(2)
    windows = np.lib.stride_tricks.sliding_window_view
    above = windows(run, ROWS, axis=1)[:, :count]
    below = np.sort(windows(run, ROWS, axis=1)[:, ROWS + 1 : ROWS + 1 + count], axis=2)
    count = below.shape[1]
    short, long = below[:, :, few], below[:, :, int(MOST * ROWS)]
    none_above = np.sort(above, axis=2)[:, :count, int((1 - FEW) * ROWS)] == 0
    picture_above = np.median(windows(level, ROWS, axis=1)[:, :count], axis=2) >= PICTURE
    sure = none_above & picture_above & (long < WIDEST) & (long <= ALIKE * short + 2)
    evidence[:, ROWS : ROWS + count] = np.where(sure, np.log1p(short), 0.0)
    return evidence
