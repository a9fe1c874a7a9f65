"""Smear: near the bottom one row is repeated, or a few rows are stretched over many.

Idea: down the columns nothing changes any more while along the rows the texture goes on. In a clean clip
the two kinds of change are of like size; a band at the bottom in which their ratio falls far below that of
every other band of the same clip is smeared. Rows are compared with those LAG above: in a blurred clip two
neighbours differ by no more than compression leaves of a smear. Three measures are added, with weights found
by logistic regression across sources: the fall of the ratio, the ratio itself, and how far the band reaches.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import means, row_steps, top_mean, worst_frames

LAG = 2  # rows
NOISE = 0.1  # levels: the mean of a row's changes is known much better than one of them
SHORTEST = 6  # rows
DEEPEST = 0.2  # of the height: how far up a band may begin
BEGINS = 0.7  # of the way from the band's ratio up to the usual one: below it a row belongs to the band
EVEN, REACH = (
    1.0,
    0.42,
)  # weights beside the fall's 1: of minus the ratio, of the log of the rows over SHORTEST


def find_smear(evidence: Evidence) -> Finding:
    """Raw evidence: how far the log ratio of vertical to horizontal change falls below the clip's other
    bands, more where it is low and where many rows have it (about -1..7)."""
    picked, luma = evidence.few
    h = luma.shape[1]
    if h < 40:
        return Finding(raw=0.0)
    ratio = np.log((row_steps(luma, LAG) + NOISE) / (column_texture(luma) + NOISE))
    starts = np.arange(h - int(DEEPEST * h), h - SHORTEST)
    total = np.cumsum(ratio[:, ::-1], axis=1)[:, ::-1]  # total[y]: sum from y to the bottom
    inside = total[:, starts + LAG] / (h - starts - LAG)  # the rows at y0 still step from those above
    usual = lowest_bands(ratio[:, LAG : starts[0]])
    above = (total[:, starts - 10] - total[:, starts]) / 10
    drop = np.minimum(above, usual[:, None]) - inside
    fall = top_mean(drop)
    best = int(np.argmax(fall * np.sqrt(np.minimum(h - starts, 16))))
    profile = np.zeros(h)
    profile[starts] = np.maximum(fall, 0)
    even = float(top_mean(-inside[:, best]))
    frames = worst_frames(drop[:, best], 0.6 * float(fall[best]))
    hit = list(frames)
    first = change_point(ratio[hit].mean(0), starts, int(starts[best]), float(usual[hit].mean()))
    return Finding(
        raw=float(fall[best]) + EVEN * even + REACH * math.log((h - int(starts[best])) / SHORTEST),
        rows=(first, h - 1),
        frames=tuple(int(picked[i]) for i in frames),
        profile=tuple(profile.tolist()),
    )


def change_point(level: NDArray[np.float32], starts: NDArray[np.intp], near: int, usual: float) -> int:
    """Where the band begins: the start from which on the rows stay farthest below a level in between.

    The deepest fall begins rows later: compression leaves something of the old rows in its blocks.
    """
    inside = float(level[near + LAG :].mean())
    excess = inside + BEGINS * (usual - inside) - level
    to_bottom = np.cumsum(excess[::-1])[::-1]
    return int(starts[np.argmax(to_bottom[starts + LAG])])


def column_texture(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h): mean |pixel - its left neighbour| of each row."""
    t, h, w = luma.shape
    flat = np.ascontiguousarray(luma).reshape(-1)
    change = np.zeros((t * h, w), np.uint8)
    # All rows as one, so that nothing is copied; a row's first pixel has no neighbour.
    change.reshape(-1)[1:] = cv2.absdiff(flat[1:], flat[:-1]).ravel()
    change[:, 0] = 0
    mean = means(change).reshape(t, h)
    return np.asarray(mean * np.float32(w / (w - 1)))


def lowest_bands(ratio: NDArray[np.float32], size: int = 12) -> NDArray[np.float32]:
    """(t,): the 5 % lowest mean of `size` neighbouring rows: what this clip's own content can look like."""
    total = np.cumsum(ratio, axis=1)
    means = (total[:, size:] - total[:, :-size]) / size
    return np.asarray(np.quantile(means, 0.05, axis=1), dtype=np.float32)
