"""Shear: from some row on, the picture is displaced sideways.

Idea: across the tear the rows differ, and a sideways shift explains the difference, in most of the width at
once. Rows that merely differ (a horizon, a letterbox, a subtitle) are not explained by a shift; a slanted
texture is, but then the rows above and below are so as well and their gain is subtracted.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding, top_mean, worst_frames

CANDIDATES = 12
SEGMENTS = 8
NOISE = 2.0  # levels: differences below this are noise, not evidence
CONTROLS = (-6, -4, 4, 6)


def find_shear(evidence: Evidence) -> Finding:
    """Raw evidence: mean log ratio of the difference left by the best shift, less that of the controls."""
    return _find(evidence.luma)


def _find(luma: NDArray[np.uint8]) -> Finding:
    _, h, w = luma.shape
    if h < 24 or w < 64:
        return Finding(raw=0.0)
    rows = candidate_rows(luma)
    gains = np.stack([shift_gain(luma, rows, gap) for gap in (0, 1)])  # (2, t, K)
    raw = top_mean(gains.swapaxes(0, 1))  # (2, K)
    by_row = raw.max(0)
    best = int(np.argmax(by_row))
    profile = np.zeros(h)
    np.maximum.at(profile, rows, np.maximum(by_row, 0))
    frames = gains[int(np.argmax(raw[:, best])), :, best]
    return Finding(
        raw=float(by_row[best]),
        rows=(int(rows[best]), h - 1),
        frames=worst_frames(frames, 0.6 * float(by_row[best])),
        profile=tuple(float(v) for v in profile),
    )


def row_steps(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h): mean |row y - row y-1|; row 0 has 0."""
    t, h, w = luma.shape
    difference = cv2.absdiff(luma[:, 1:].reshape(-1, w), np.ascontiguousarray(luma[:, :-1]).reshape(-1, w))
    steps = np.zeros((t, h), np.float32)
    steps[:, 1:] = cv2.reduce(difference, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).reshape(t, h - 1)
    return steps


def candidate_rows(luma: NDArray[np.uint8], margin: int = 8) -> NDArray[np.intp]:
    """(K,) boundaries whose step stands out from the rows around it."""
    steps = row_steps(luma)
    h = steps.shape[1]
    around = np.stack([np.roll(steps, k, axis=1) for k in (-6, -5, -4, -3, 3, 4, 5, 6)])
    excess = top_mean(np.log((steps + NOISE) / (np.median(around, axis=0) + NOISE)))
    excess[:margin] = excess[h - margin + 1 :] = -np.inf
    return np.sort(np.argsort(excess)[-CANDIDATES:])


def shift_gain(luma: NDArray[np.uint8], rows: NDArray[np.intp], gap: int) -> NDArray[np.float32]:
    """(t, K): how much better a shift explains row y + gap from row y - 1 - gap than no shift does."""
    t, h, w = luma.shape
    reach = w // 14
    boundaries = np.clip(rows[:, None] + np.array((0, *CONTROLS)), 1 + gap, h - 1 - gap)  # (K, 1 + C)
    shift, error = shift_errors(luma, boundaries.ravel(), gap, reach)  # (S,), (S, t, K*C, segments)
    still = np.abs(shift) <= 1 + gap
    null = error[still].min(0)
    gain = np.log((null + NOISE) / (error + NOISE)).mean(-1)  # (S, t, K*C)
    gain = gain.reshape(len(shift), t, *boundaries.shape)
    net = gain[..., 0] - np.maximum(gain[..., 1:].max(-1), 0.0)
    return np.asarray(net[~still].max(0), dtype=np.float32)


def shift_errors(
    luma: NDArray[np.uint8], boundaries: NDArray[np.intp], gap: int, reach: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Shifts (S,) and mean |difference| (S, t, B, segments): row above each boundary, shifted row below."""
    t, _, w = luma.shape
    inner = (w - 2 * reach) // SEGMENTS * SEGMENTS
    above = np.ascontiguousarray(luma[:, boundaries - 1 - gap, reach : reach + inner]).reshape(-1, inner)
    below = np.ascontiguousarray(luma[:, boundaries + gap]).reshape(-1, w)
    shifts = np.arange(-reach, reach + 1)
    errors = np.empty((len(shifts), above.shape[0] * SEGMENTS), np.float32)
    for i, s in enumerate(shifts):
        difference = cv2.absdiff(above, np.ascontiguousarray(below[:, reach + s : reach + s + inner]))
        errors[i] = cv2.reduce(
            difference.reshape(-1, inner // SEGMENTS), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F
        ).ravel()
    return shifts, errors.reshape(len(shifts), t, len(boundaries), SEGMENTS)
