"""Stripes: lines across the whole width (or down) in a band near the bottom.

Idea: at the edge of a stripe every part of the width steps the same way by the same amount. One such row is
an edge of a panel; many of them in a band, and few elsewhere in the clip, are stripes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import (
    Evidence,
    Finding,
    panel_penalty,
    split_row,
    top_mean,
    worst_frames,
)

SEGMENTS = 16
CAP = 8.0  # levels: so that many edges count for more than one strong edge
NOISE = 0.35
SMALLEST = 96  # px: in smaller pictures chance alone makes rows step alike
SHORTEST, DEEPEST = 6, 0.24  # rows; share of the height
LOW_BAND = 6
UPRIGHT_CAP = 30.0
BAND = 16  # rows of the clip's other bands


def find_stripes(evidence: Evidence) -> Finding:
    """Raw evidence: log of the shared steps in the band over those in the clip's other bands (about 0..3)."""
    luma = evidence.luma
    t, h, w = luma.shape
    if h < SMALLEST or w < SMALLEST:
        return Finding(raw=0.0)
    coherent = coherent_steps(luma)  # (t, h)
    deep = int(DEEPEST * h)
    starts = np.arange(h - deep, h - SHORTEST)
    total = np.cumsum(coherent[:, ::-1], axis=1)[:, ::-1]
    inside = total[:, starts] / np.maximum(h - starts, 10)
    upper = np.cumsum(coherent[:, : h - deep], axis=1)
    usual = np.quantile((upper[:, BAND:] - upper[:, :-BAND]) / BAND, 0.9, axis=1)
    gain = np.log((inside + NOISE) / (usual[:, None] + NOISE))
    by_start = top_mean(gain)
    raw = float(by_start.max())
    near = int(np.argmax(by_start))
    hit = list(worst_frames(gain[:, near], 0.6 * raw))
    level = np.log(coherent[hit].mean(0)[starts[0] - BAND :] + NOISE)
    best = split_row(level, starts - starts[0] + BAND) - BAND
    raw -= panel_penalty(luma, int(starts[best]))
    upright, y0 = upright_stripes(luma)
    upright -= panel_penalty(luma, y0)
    if upright > raw:
        return Finding(raw=upright, rows=(y0, h - 1), frames=tuple(range(t)))
    profile = np.zeros(h)
    profile[starts] = np.maximum(by_start, 0)
    return Finding(
        raw=raw,
        rows=(int(starts[best]), h - 1),
        frames=worst_frames(gain[:, best], 0.6 * raw),
        profile=tuple(profile.tolist()),
    )


def coherent_steps(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h): size of the step into each row that all parts of the width share, at most CAP levels."""
    t, h, w = luma.shape
    level = cv2.resize(luma.reshape(t * h, w), (SEGMENTS, t * h), interpolation=cv2.INTER_AREA)
    step = np.diff(level.reshape(t, h, SEGMENTS).astype(np.float32), axis=1)
    ordered = np.sort(step, axis=2)
    low, high = ordered[:, :, SEGMENTS // 4], ordered[:, :, -1 - SEGMENTS // 4]
    # The quartile nearest to zero, when both have one sign: three quarters of the width step at least so far.
    shared = np.where(low > 0, low, np.where(high < 0, -high, 0.0))
    coherent = np.zeros((t, h), np.float32)
    coherent[:, 1:] = np.minimum(shared, CAP)
    return coherent


def upright_stripes(luma: NDArray[np.uint8]) -> tuple[float, int]:
    """Stripes that run down.

    Log of the column steps shared by a low band's rows over those of other bands; its row.
    """
    _, h, w = luma.shape
    count = h // LOW_BAND
    first = h - count * LOW_BAND
    bands = [cv2.resize(frame[first:], (w, count), interpolation=cv2.INTER_AREA) for frame in luma]
    steps = np.minimum(np.abs(np.diff(np.stack(bands).astype(np.float32), axis=2)), UPRIGHT_CAP).mean(
        2
    )  # (t, count)
    deep = int(DEEPEST * count)
    usual = np.quantile(steps[:, :-deep], 0.9, axis=1)
    gain = top_mean(np.log((steps[:, -deep:] + 1.0) / (usual[:, None] + 1.0)))
    tail = np.cumsum(gain[::-1])[::-1] / np.arange(deep, 0, -1)
    best = int(np.argmax(gain))
    while best > 0 and gain[best - 1] > 0.5 * gain[best]:
        best -= 1
    return float(tail.max()), h - (deep - best) * LOW_BAND
