"""Stripes of rows from elsewhere: at the bottom each block of some rows is covered by one blurred row.

Idea: what covers is smooth along the rows and the same all down a block, so at the blocks' edges, every few
rows, the level steps all across the width, and in between it does so no more than before. Little of the
texture shows through, and beside it the steps are large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.rows import row_steps, top_mean, worst_frames
from cogexp.metrics.artifacts.smear import column_texture

BLOCKS = (2, 3, 4, 5, 8)  # rows of one
COUNTS = (2, 3, 4, 6, 8, 12, 16, 20)  # blocks of a band
SHORTEST, DEEPEST = 6, 0.18  # rows of a band; share of the height
OTHERS, COMMON = 0.8, 0.98  # of the height: the clip's other bands lie above; what most of them stay below
ENOUGH = 6  # edges: more of them prove no more
NOISE, LARGEST = 0.5, 1.6  # levels; a peak (a log) beyond it counts for no more
LEFT_ALONE = 0.4  # of the peaks in the band: an edge below it speaks for no block there
ABOVE = 40  # rows above a band whose texture its own is compared with
FADE, NEAR = 8, 12  # rows over which a cover may come; rows above the first clear edge that are looked at
MOST = 0.7  # of a picture that is covered
CLEARLY = 0.4  # so much better must a cover that comes gradually fit
STEEP = 1.5  # steps beside texture (a log) beyond it say no more
USUAL = 1.0  # fall of the texture (a log): where it falls farther there is a panel
# Weights from a logistic regression (as good on sources left out): they bring it to the scale of stripes.py.
PERIODIC, STEPS, FALL = 1.0, 1.1, 1.35


@dataclass(frozen=True, kw_only=True)
class Covered:
    """The band at the bottom that looks most like it.

    raw: evidence on the scale of stripes.py. row: where it begins. frames: indices of those that have it.
    peak: (h,) how far each row's step stands out above those around it (a log, up to LARGEST).
    """

    raw: float
    row: int
    frames: tuple[int, ...]
    peak: NDArray[np.floating]


def covered_rows(luma: NDArray[np.uint8], step: NDArray[np.float32]) -> Covered:
    """luma: (t, h, w). step: (t, h, parts), levels from the row before into each row."""
    h = luma.shape[1]
    level = np.log(np.abs(step) + NOISE).mean(2)
    by_block = {block: peaks(level, block) for block in BLOCKS}
    combs = {
        (block, count): comb(peak, block, count)
        for block, peak in by_block.items()
        for count in COUNTS
        if SHORTEST <= block * count <= DEEPEST * h
    }
    means = {key: top_mean(gain) for key, gain in combs.items()}
    block, count = max(means, key=lambda key: float(means[key].max()))
    phase = int(np.argmax(means[block, count]))
    periodic = float(means[block, count][phase])
    frames = worst_frames(combs[block, count][:, phase], 0.6 * periodic)
    peak = by_block[block][list(frames)].mean(0)
    edges = h - block * (count - np.arange(count)) + phase
    first = first_edge(peak, edges)
    # Only as far up as is needed.
    top = h - int(DEEPEST * h) - ABOVE - FADE
    band = np.ascontiguousarray(luma[list(frames), top:])
    along = np.log(column_texture(band) + NOISE).mean(0)
    steps = float((np.log(row_steps(band) + NOISE).mean(0) - along)[edges - top].mean())
    inside = first - top
    fall = float(along[inside - ABOVE : inside - 1].mean() - along[inside + 1 :].mean())
    return Covered(
        raw=PERIODIC * periodic + STEPS * min(steps, STEEP) + FALL * min(fall, 2 * USUAL - fall),
        row=top + faded_from(along, inside, block),
        frames=frames,
        peak=peak,
    )


def peaks(level: NDArray[np.floating], block: int) -> NDArray[np.floating]:
    """(t, h): how far each row's level is above the mean of the `block` - 1 rows on either side."""
    kernel = np.ones((1, 2 * block - 1), np.float32) / (2 * block - 2)
    kernel[0, block - 1] = 0
    around = cv2.filter2D(level, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.minimum(level - around, LARGEST)


def comb(peak: NDArray[np.floating], block: int, count: int) -> NDArray[np.floating]:
    """(t, block): mean peak of the lowest `count` rows of each phase, beyond what the clip's other bands
    reach; more where there are more edges."""
    t, h = peak.shape
    total = np.cumsum(peak[:, h % block :].reshape(t, -1, block), axis=1)
    means = (total[:, count:] - total[:, :-count]) / count
    others = means[:, : int(OTHERS * total.shape[1]) - count].reshape(t, -1)
    rank = int(COMMON * others.shape[1])
    usual = np.partition(others, rank, axis=1)[:, rank, None]
    return np.asarray(math.sqrt(min(count, ENOUGH)) * (means[:, -1] - usual))


def first_edge(peak: NDArray[np.floating], edges: NDArray[np.intp]) -> int:
    """The row of their phase from which on the peaks stay farthest above LEFT_ALONE of those at `edges`."""
    h, block = len(peak), int(edges[1] - edges[0])
    rows = np.arange(edges[-1], h - int(DEEPEST * h) - 1, -block)
    rows = rows[rows <= h - SHORTEST]
    total = np.cumsum(peak[rows] - LEFT_ALONE * peak[edges].mean())
    return int(rows[np.argmax(total)])


def faded_from(along: NDArray[np.floating], first: int, block: int) -> int:
    """`first`, or an edge some blocks above, where the texture (log, by row) falls as under a cover that
    comes over FADE rows: steps that are weak yet do not show as peaks."""
    rows = np.arange(first - NEAR, min(first + FADE - 2, len(along)))
    at_once = misfit(along[rows], (rows >= first).astype(np.float64))
    starts = range(first - block, first - FADE - 3, -block)
    misfits = {start: misfit(along[rows], ((rows - start + 1) / FADE).clip(0, 1)) for start in starts}
    best = min(misfits, key=lambda start: misfits[start])
    return best if misfits[best] < CLEARLY * at_once else first


def misfit(along: NDArray[np.floating], cover: NDArray[np.floating]) -> float:
    """What is left of the levels' squares when a fall in the course of the cover (0..1) is taken out."""
    course = np.log(1 - MOST * cover)
    course, level = course - course.mean(), along - along.mean()
    depth = max(0.0, float(course @ level) / float(course @ course))
    return float(((level - depth * course) ** 2).sum())
