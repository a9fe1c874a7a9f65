"""What the detectors compute with: frames to look at, sums and sorts along one axis, steps between rows.

Shapes: t frames, h rows, w columns.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_COMPARED, LONG = 16, 1000  # rows, and numbers in each, that a network sorts sooner


def mean_over_time(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, ...) uint8 -> (...) float32."""
    total = cv2.reduce(frames.reshape(len(frames), -1), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)  # see `means`
    return np.asarray(total * np.float32(1 / len(frames)), dtype=np.float32).reshape(frames.shape[1:])


def sampled(frames: int, most: int) -> NDArray[np.intp]:
    """Indices of at most `most` frames, evenly spread: what lasts need not be looked at in each frame."""
    return np.unique(np.linspace(0, frames - 1, min(frames, most)).round().astype(np.intp))


def in_pairs(frames: int, most: int) -> NDArray[np.intp]:
    """Indices of at most `most` frames, spread in pairs of neighbours: for what lasts and what moves."""
    if frames <= most:
        return np.arange(frames)
    starts = np.linspace(0, frames - 2, most // 2).round().astype(np.intp)
    return np.union1d(starts, starts + 1)


def panel_penalty(luma: NDArray[np.uint8], first: int) -> float:
    """How much a band from row `first` on looks like a panel with text: 0 for a picture, up to about 8.

    Most pixels of a panel have one level. Those of a picture, of noise and of stripes do not.
    """
    band = luma[sampled(len(luma), 5), first:]
    levels = np.median(band, axis=(1, 2), keepdims=True)
    share = float(np.median((np.abs(band - levels) <= 3).mean(axis=(1, 2))))
    return 12.0 * max(0.0, share - 0.35)


def top_mean(values: NDArray[np.floating], share: float = 0.4, least: int = 3) -> NDArray[np.floating]:
    """Mean of the largest values along axis 0.

    A fault need not be in every frame, but one frame is no proof.
    """
    count = min(len(values), max(least, math.ceil(share * len(values))))
    return sorted_rows(values)[len(values) - count :].mean(axis=0)


def worst_frames(values: NDArray[np.floating], threshold: float) -> tuple[int, ...]:
    """Frames whose value reaches the threshold, at least the worst one."""
    hit = np.flatnonzero(values >= threshold)
    return tuple(int(i) for i in hit) if len(hit) else (int(np.argmax(values)),)


def median_of_few(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """np.median along axis 0, in a fraction of the time where the axis is short."""
    ordered, middle = sorted_rows(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else 0.5 * (ordered[middle - 1] + ordered[middle])


def quantile_of_few(values: NDArray[np.floating], share: float) -> NDArray[np.floating]:
    """np.quantile along axis 0."""
    place = share * (len(values) - 1)
    below, ordered = int(place), sorted_rows(values)
    part = values.dtype.type(place - below)
    return ordered[below] + part * (ordered[min(below + 1, len(values) - 1)] - ordered[below])


def sorted_rows(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """np.sort along axis 0 (no NaN), for a few long rows by a network that compares whole rows."""
    if len(values) > MOST_COMPARED or values.size < LONG * len(values):
        return np.sort(values, axis=0)
    rows = values.copy()
    lower = np.empty_like(rows[0])
    for i, j in comparisons(len(rows)):
        np.minimum(rows[i], rows[j], out=lower)
        np.maximum(rows[i], rows[j], out=rows[j])
        rows[i] = lower
    return rows


@lru_cache
def comparisons(count: int) -> tuple[tuple[int, int], ...]:
    """Pairs to be put in order, one after another, to sort `count` things: Batcher's odd-even merge sort
    (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M)."""
    found = []
    top = 1 << max(count - 1, 0).bit_length() >> 1
    p = top
    while p:
        q, r, d = top, 0, p
        while d:
            found += [(i, i + d) for i in range(count - d) if i & p == r]
            q, r, d = q // 2, p, q - p
        p //= 2
    return tuple(found)


def over_width(step: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(..., parts) -> twice (...): size of the step that three quarters of the parts make at least, all one
    way, 0 where they do not; and how far the quartiles differ."""
    ordered = np.sort(step, axis=-1)
    first = ordered.shape[-1] // 4
    low, high = ordered[..., first], ordered[..., -1 - first]
    return np.where(low > 0, low, np.where(high < 0, -high, 0.0)), high - low


def split_row(level: NDArray[np.floating], starts: NDArray[np.intp]) -> int:
    """Of `starts` the row before and from which on the levels (h,) are most even (least squares)."""

    above = np.cumsum(level, dtype=np.float64)[starts - 1]
    below = np.sum(level, dtype=np.float64) - above
    # The squares' sum is the same for all: what is left over is least where the two means explain most.
    explained = above**2 / starts + below**2 / (len(level) - starts)
    return int(starts[np.argmax(explained)])


def means(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, w) -> (n,) means."""
    # Whole numbers are summed in half the time of REDUCE_AVG.
    total = cv2.reduce(values, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]
    return np.asarray(total * np.float32(1 / values.shape[1]), dtype=np.float32)


def row_steps(luma: NDArray[np.uint8], lag: int = 1) -> NDArray[np.float32]:
    """(t, h): mean |row y - row y-lag|; the first `lag` rows have 0."""
    t, h, w = luma.shape
    rows = np.ascontiguousarray(luma).reshape(t * h, w)
    steps = np.zeros(t * h, np.float32)
    # All frames as one column of rows, so that nothing is copied.
    steps[lag:] = means(cv2.absdiff(rows[lag:], rows[:-lag]))
    steps = steps.reshape(t, h)
    steps[:, :lag] = 0.0  # across two frames
    return steps
