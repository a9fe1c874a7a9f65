"""Smear: near the bottom one row is repeated, or a few rows are stretched over many.

Idea: down the columns nothing changes any more while along the rows the texture goes on. In a clean clip
the two kinds of change are of like size; a band at the bottom in which their ratio falls far below that of
every other band of the same clip is smeared.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding, row_steps, top_mean, worst_frames

NOISE = 0.1  # levels: the mean of a row's changes is known much better than one of them
SHORTEST = 6  # rows
DEEPEST = 0.2  # of the height: how far up a band may begin
BEGINS = 0.7  # of the way from the band's ratio up to the usual one: below it a row belongs to the band


def find_smear(evidence: Evidence) -> Finding:
    """Raw evidence: fall of the log ratio of vertical to horizontal change below the clip's other bands."""
    down = row_steps(evidence.luma)
    along = column_texture(evidence.luma)
    ratio = np.log((down + NOISE) / (along + NOISE))
    h = ratio.shape[1]
    if h < 40:
        return Finding(raw=0.0)
    starts = np.arange(h - int(DEEPEST * h), h - SHORTEST)
    total = np.cumsum(ratio[:, ::-1], axis=1)[:, ::-1]  # total[y]: sum from y to the bottom
    inside = total[:, starts + 1] / (h - starts - 1)  # the row at y0 itself still steps from the one above
    usual = lowest_bands(ratio[:, : starts[0]])
    above = (total[:, starts - 10] - total[:, starts]) / 10
    drop = np.minimum(above, usual[:, None]) - inside
    by_start = top_mean(drop)
    best = int(np.argmax(by_start * np.sqrt(np.minimum(h - starts, 16))))
    profile = np.zeros(h)
    profile[starts] = np.maximum(by_start, 0)
    raw = float(by_start[best])
    frames = worst_frames(drop[:, best], 0.6 * raw)
    hit = list(frames)
    first = change_point(ratio[hit].mean(0), starts, int(starts[best]), float(usual[hit].mean()))
    return Finding(
        raw=raw,
        rows=(first, h - 1),
        frames=frames,
        profile=tuple(profile.tolist()),
    )


def change_point(level: NDArray[np.float32], starts: NDArray[np.intp], near: int, usual: float) -> int:
    """Where the band begins: the start from which on the rows stay farthest below a level in between.

    The deepest fall begins rows later: compression leaves something of the old rows in its blocks.
    """
    inside = float(level[near + 1 :].mean())
    excess = inside + BEGINS * (usual - inside) - level
    to_bottom = np.cumsum(excess[::-1])[::-1]
    return int(starts[np.argmax(to_bottom[starts + 1])])


def column_texture(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h): mean |pixel - its left neighbour| of each row."""
    t, h, w = luma.shape
    flat = luma.reshape(-1, w)
    difference = cv2.absdiff(np.ascontiguousarray(flat[:, 1:]), np.ascontiguousarray(flat[:, :-1]))
    return np.asarray(cv2.reduce(difference, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).reshape(t, h))


def lowest_bands(ratio: NDArray[np.float32], size: int = 12) -> NDArray[np.float32]:
    """(t,): the 5 % lowest mean of `size` neighbouring rows: what this clip's own content can look like."""
    total = np.cumsum(ratio, axis=1)
    means = (total[:, size:] - total[:, :-size]) / size
    return np.asarray(np.quantile(means, 0.05, axis=1), dtype=np.float32)
