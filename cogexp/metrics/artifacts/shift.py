"""Shift: a search over sideways shifts that explain the step between two rows, at a few candidate rows.

The differences are taken in several parts of the width and the part that gains most is left out: one moving
object can gain by a shift by itself, a tear gains all over.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SEGMENTS = 8
NOISE = 1.0  # levels: differences below this are noise, not evidence
CONTROLS = (-5, 5)  # rows whose own gain is subtracted
AMBIGUOUS = 0.8  # share of what another shift explains as well: a periodic texture


def shift_gain(luma: NDArray[np.uint8], rows: NDArray[np.intp], gap: int) -> NDArray[np.float32]:
    """(t, K): how much better a shift explains row y + gap from row y - 1 - gap than no shift does."""
    t, h, w = luma.shape
    boundaries = np.clip(rows[:, None] + np.array((0, *CONTROLS)), 1 + gap, h - 1 - gap)  # (K, 1 + controls)
    shift, error = shift_errors(luma, boundaries.ravel(), gap, reach=w // 14)  # (S,), (S, t*K*.., segments)
    still = np.abs(shift) <= 1 + gap
    null = error[still].min(0)
    gain = explained(null, error[~still]).reshape(-1, t, *boundaries.shape)
    net = gain[..., 0] - np.maximum(gain[..., 1:].max(-1), 0.0)
    total = np.sort(null.reshape(t, *boundaries.shape, SEGMENTS), axis=-1)[..., :-1].sum(-1) + 2 * NOISE
    stands_out = np.log(
        total[..., 0] / total[..., 1:].max(-1)
    )  # a slanted edge steps at the next rows as well
    net = np.minimum(net, stands_out)
    best = net.argmax(0)
    moved = shift[~still]
    far = np.abs(moved[:, None, None] - moved[best]) > 5
    second = np.where(far, net, 0.0).max(0)
    return np.asarray(net.max(0) - AMBIGUOUS * np.maximum(second, 0.0), dtype=np.float32)


def explained(null: NDArray[np.float32], error: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, segments), (S, n, segments) -> (S, n): log ratio of the summed errors without the segment that
    gains most.

    One moving object can gain by a shift by itself; a tear gains in more than one part of the width.
    """
    most = (null - error).argmax(-1)
    n = np.arange(len(null))
    null_left = null.sum(-1) - null[n, most]
    error_left = error.sum(-1) - np.take_along_axis(error, most[..., None], -1)[..., 0]
    return np.log((null_left + 2 * NOISE) / (error_left + 2 * NOISE))


def shift_errors(
    luma: NDArray[np.uint8], boundaries: NDArray[np.intp], gap: int, reach: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Shifts (S,) and mean |difference| (S, t*B, segments): row above each boundary, shifted row below."""
    w = luma.shape[2]
    inner = (w - 2 * reach) // SEGMENTS * SEGMENTS
    above = np.ascontiguousarray(luma[:, boundaries - 1 - gap, reach : reach + inner]).reshape(-1, inner)
    below = np.ascontiguousarray(luma[:, boundaries + gap]).reshape(-1, w)
    shifts = np.arange(-reach, reach + 1)
    errors = np.empty((len(shifts), above.shape[0], SEGMENTS), np.float32)
    for i, s in enumerate(shifts):
        difference = cv2.absdiff(above, np.ascontiguousarray(below[:, reach + s : reach + s + inner]))
        parts = difference.reshape(-1, inner // SEGMENTS)
        errors[i] = cv2.reduce(parts, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).reshape(-1, SEGMENTS)
    return shifts, errors
