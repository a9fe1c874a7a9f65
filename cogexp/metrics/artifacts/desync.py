"""Desynchronised band: from some row on, the picture belongs to another frame.

Idea: where the band begins, the step from one row to the next is too large by exactly what the upper row has
changed since that other frame. So the step, less what the rows around lead one to expect, is compared with
that change: at the line taking the change away leaves less, elsewhere it leaves more. At the edge of a panel
it makes no difference; a camera that moves upwards or downwards makes one at every row, so only a row that
stands out from those around it is a line.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import (
    Evidence,
    Finding,
    median_of_few,
    sampled,
    top_mean,
    worst_frames,
)

LAGS = (1, 2, 4, 8)
FRAMES = 12  # are compared with others
SEGMENTS, POINTS = 8, 128  # parts of the width; a row is looked at in so many points
NOISE = 2.0  # squared levels: what compression leaves
CAP = 4.0  # a part of the width cannot say more than this
MARGIN = 10
CANDIDATES = 24  # rows of each lag that are compared with those around
AROUND = (-8, -7, -6, -5, -4, -3, 3, 4, 5, 6, 7, 8)
RIVAL = -2  # of them in order: one of the rows around may be the line itself, blended


def find_desync(evidence: Evidence) -> Finding:
    """Raw evidence: how much of the unexpected step the best other frame explains, over the rows around."""
    t, h, w = evidence.luma.shape
    if t < 3 or h < 64 or w < POINTS:
        return Finding(raw=0.0)
    rows = cv2.resize(evidence.luma.reshape(t * h, w), (POINTS, t * h), interpolation=cv2.INTER_AREA)
    luma = rows.reshape(t, h, POINTS).astype(np.float32)
    picked = sampled(t, FRAMES)
    surprise = unexpected_steps(luma[picked])
    energy = parts(surprise, surprise)
    usual = median_of_few(np.stack([np.roll(energy, k, axis=1) for k in AROUND]))  # of the rows around
    gains = [lag_gain(luma, picked, surprise, energy, usual, lag) for lag in signed_lags(t)]
    by_lag = np.stack([top_mean(gain) for gain in gains])
    by_row = by_lag.max(0)
    y = int(np.argmax(by_row))
    best = int(np.argmax(by_lag[:, y]))
    raw = float(by_row[y])
    return Finding(
        raw=raw,
        rows=(y, h - 1),
        frames=tuple(int(picked[i]) for i in worst_frames(gains[best][:, y], 0.6 * raw)),
        profile=tuple(np.maximum(by_row, 0).tolist()),
    )


def signed_lags(frames: int) -> tuple[int, ...]:
    """The lags that a clip of this length allows, both ways."""
    return tuple(sign * lag for lag in LAGS if lag < frames - 1 for sign in (1, -1))


def parts(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(t, h, points), twice -> means of their products (t, h, segments)."""
    shape = (*one.shape[:2], SEGMENTS, POINTS // SEGMENTS)
    sums = np.einsum("thsp,thsp->ths", one.reshape(shape), other.reshape(shape))
    return np.asarray(sums * np.float32(SEGMENTS / POINTS))


def unexpected_steps(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """(t, h, points): step into each row, less the mean of the steps before and after it."""
    step = np.zeros_like(luma)
    step[:, 1:] = luma[:, 1:] - luma[:, :-1]
    surprise = np.zeros_like(luma)
    surprise[:, 2:-1] = step[:, 2:-1] - 0.5 * (step[:, 1:-2] + step[:, 3:])
    return surprise


def lag_gain(
    luma: NDArray[np.float32],
    picked: NDArray[np.intp],
    surprise: NDArray[np.float32],
    energy: NDArray[np.float32],
    usual: NDArray[np.float32],
    lag: int,
) -> NDArray[np.float32]:
    """(picked, h): what the change since frame i - lag explains of the surprise at the clearest rows."""
    t, h, _ = luma.shape
    source = picked - lag
    valid = (source >= 0) & (source < t)
    change = np.zeros((int(valid.sum()), h, luma.shape[2]), np.float32)
    for i, j, out in zip(picked[valid], source[valid], change, strict=True):
        np.subtract(luma[i, :-1], luma[j, :-1], out=out[1:])  # of the row above
    # |surprise|^2 - |surprise + change|^2
    explained = -parts(change, change) - 2 * parts(change, surprise[valid])
    # At the edge of a panel the surprise is large and another frame explains little of it.
    share = np.maximum(explained, 0.0) / (energy[valid] + NOISE)
    sure = np.clip(explained / (usual[valid] + NOISE), -CAP, CAP)
    sure = np.where(sure > 0, sure * share, sure).mean(2)
    inner = np.arange(MARGIN, h - MARGIN)
    rows = inner[np.argsort(top_mean(sure)[inner])[-CANDIDATES:]]
    around = np.sort(sure[:, rows[:, None] + np.array(AROUND)], axis=2)[:, :, RIVAL]
    gain = np.zeros((len(picked), h), np.float32)
    gain[np.ix_(valid, rows)] = sure[:, rows] - np.maximum(around, 0.0)
    return gain
