"""Desynchronised band: from some row on, the picture belongs to another frame.

Idea: the row below the line fits the row above it in another frame better than in its own. A camera that
moves upwards or downwards makes that so for every row; only a row that stands out from those around it is a
line.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding, top_mean, worst_frames

LAGS = (1, 2, 4, 8)
SEGMENTS = 8
NOISE = 1.5  # levels
MARGIN = 10
QUANTILE = 0.9


def find_desync(evidence: Evidence) -> Finding:
    """Raw evidence: log of the step in the own frame over that to another, less that of the rows around."""
    luma = np.ascontiguousarray(evidence.luma[:, :, ::2])  # every second column says as much
    t, h, _ = luma.shape
    if t < 3 or h < 64:
        return Finding(raw=0.0)
    own = segment_steps(luma, luma)
    gains = np.stack([lag_gain(luma, own, lag) for lag in signed_lags(t)])  # (lags, t, h)
    gain = gains.max(0)
    by_row = top_mean(gain)
    by_row[:MARGIN] = by_row[h - MARGIN :] = 0
    y = int(np.argmax(by_row))
    raw = float(by_row[y])
    return Finding(
        raw=raw,
        rows=(y, h - 1),
        frames=worst_frames(gain[:, y], 0.6 * raw),
        profile=tuple(np.maximum(by_row, 0).tolist()),
    )


def signed_lags(frames: int) -> tuple[int, ...]:
    """The lags that a clip of this length allows, both ways."""
    return tuple(sign * lag for lag in LAGS if lag < frames - 1 for sign in (1, -1))


def segment_steps(below: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h, segments): mean |row y of `below` - row y - 1 of `above|; rows without both have 0."""
    t, h, w = below.shape
    inner = w // SEGMENTS * SEGMENTS
    first = np.ascontiguousarray(below[:, 1:, :inner]).reshape(-1, inner // SEGMENTS)
    second = np.ascontiguousarray(above[:, :-1, :inner]).reshape(-1, inner // SEGMENTS)
    steps = np.zeros((t, h, SEGMENTS), np.float32)
    mean = cv2.reduce(cv2.absdiff(first, second), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    steps[:, 1:] = mean.reshape(t, h - 1, SEGMENTS)
    return steps


def lag_gain(luma: NDArray[np.uint8], own: NDArray[np.float32], lag: int) -> NDArray[np.float32]:
    """(t, h): how much better row y of frame i fits row y-1 of frame i - lag than that of its own frame."""
    t = len(luma)
    source = np.arange(t) - lag
    valid = (source >= 0) & (source < t)
    other = segment_steps(luma[valid], luma[source[valid]])
    ratio = np.log((own[valid] + NOISE) / (other + NOISE)).mean(-1)
    around = np.stack([np.roll(ratio, k, axis=1) for k in (-7, -5, -4, -3, 3, 4, 5, 7)])
    gain = np.full(luma.shape[:2], 0.0, np.float32)
    gain[valid] = ratio - np.quantile(around, QUANTILE, axis=0)
    return gain
