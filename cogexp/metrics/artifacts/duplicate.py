"""Duplicated band: the bottom shows rows that were already shown higher up.

Idea: row by row, the band equals the rows a fixed lag above, far closer than rows of this clip usually are.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import sampled, top_mean, worst_frames

FRAMES = 8  # of a clip are looked at
WIDTH = 64  # a row is compared at this many points
USUAL_STEP = 6  # every so many lags say what is usual
SHORTEST = 10  # rows
DEEPEST = 0.24  # of the height
NOISE = 1.2  # levels
LOOSE = 0.9  # quantile of the band's own distances that its first rows stay below
ONE_THREAD = 65536 * 4  # products: above, OpenBLAS takes all its threads
UNLIKE = 255.0  # the distance to a row outside the frame


def find_duplicated_band(evidence: Evidence) -> Finding:
    """Raw evidence: log of how unlike rows usually are over how unlike band and original are (about 0..3)."""
    picked = sampled(len(evidence.luma), FRAMES)
    luma = evidence.luma[picked]
    t, h, w = luma.shape
    deep = int(DEEPEST * h)
    if deep < SHORTEST + 2 or w < WIDTH:
        return Finding(raw=0.0)
    rows = cv2.resize(luma.reshape(t * h, w), (WIDTH, t * h), interpolation=cv2.INTER_AREA)
    rows = rows.reshape(t, h, WIDTH).astype(np.float32)
    distance = row_distances(rows, deep)  # (t, deep, h)
    lags = np.arange(SHORTEST, h - SHORTEST)
    source = np.arange(h - deep, h) - lags[:, None]  # (lags, deep): the row that each row may repeat
    along = distance[:, np.arange(deep), np.maximum(source, 0)]  # (t, lags, deep)
    along[:, source < 0] = UNLIKE
    total = to_bottom_mean(along)
    usual = to_bottom_mean(np.median(along[:, ::USUAL_STEP], axis=1))
    texture = np.minimum(usual, near_distance(rows, deep))
    texture = np.minimum(texture, own_texture(rows, deep))
    gain = np.log((texture[:, None] + NOISE) / (total + NOISE))[:, :, : deep - SHORTEST]  # (t, lags, starts)
    by_place = top_mean(gain)
    length = np.minimum(deep - np.arange(deep - SHORTEST), 24)
    lag, start = np.unravel_index(int(np.argmax(by_place * np.sqrt(length / 24))), by_place.shape)
    raw = float(by_place[lag, start] * np.sqrt(length[start] / 24))
    frames = worst_frames(gain[:, lag, start], 0.6 * raw)
    first = first_row(along[list(frames), lag].mean(0), int(start))
    profile = np.zeros(h)
    profile[h - deep : h - SHORTEST] = np.maximum(by_place.max(0), 0)
    return Finding(
        raw=raw,
        rows=(h - deep + first, h - 1),
        frames=tuple(int(picked[i]) for i in frames),
        profile=tuple(profile.tolist()),
    )


def first_row(distance: NDArray[np.float32], start: int) -> int:
    """Where the band begins: rows above `start` that equal their originals as closely belong to it.

    distance: (deep,) of each row to the one that it may repeat.
    """
    inside = float(np.quantile(distance[start:], LOOSE)) + NOISE
    while start > 0 and distance[start - 1] <= inside:
        start -= 1
    return start


def to_bottom_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., rows): mean from each row to the last."""
    count = np.arange(values.shape[-1], 0, -1, dtype=np.float32)
    return np.asarray(np.cumsum(values[..., ::-1], axis=-1)[..., ::-1] / count, dtype=np.float32)


def row_distances(rows: NDArray[np.float32], deep: int) -> NDArray[np.float32]:
    """(t, deep, h): root mean square difference of each of the last rows to every row."""
    band = rows[:, -deep:]
    square = (rows**2).sum(-1)
    # In parts that OpenBLAS computes on one thread: for matrices this small more cost more than the work.
    part = max(1, ONE_THREAD // (deep * rows.shape[2]))
    parts = [band @ rows[:, y : y + part].swapaxes(1, 2) for y in range(0, rows.shape[1], part)]
    gram = np.concatenate(parts, axis=2)
    gap = square[:, -deep:, None] + square[:, None] - 2 * gram
    return np.asarray(np.sqrt(np.maximum(gap, 0) / rows.shape[2]), dtype=np.float32)


def near_distance(rows: NDArray[np.float32], deep: int, lag: int = 6) -> NDArray[np.float32]:
    """(t, deep): mean difference of rows a few apart, from each row to the bottom.

    Flat content proves nothing.
    """
    gap = np.sqrt(((rows[:, -deep:] - rows[:, -deep - lag : -lag]) ** 2).mean(-1))
    return to_bottom_mean(gap)


def own_texture(rows: NDArray[np.float32], deep: int) -> NDArray[np.float32]:
    """(t, deep): mean deviation along each row, from each row to the bottom. A flat bar repeats anything."""
    own = rows[:, -deep:].std(-1)
    return to_bottom_mean(own)
