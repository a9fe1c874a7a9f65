"""Shift: a search over sideways shifts that explain the step between two rows, at a few candidate rows.

The differences are taken in several parts of the width and the part that gains most is left out: one moving
object can gain by a shift by itself, a tear gains all over.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.rows import means

SEGMENTS = 8
NOISE = 1.0  # levels: differences below this are noise, not evidence
CONTROLS = (-5, 5)  # rows whose own gain is subtracted
AMBIGUOUS = 0.8  # share of what another shift explains as well: a periodic texture


def shift_gain(luma: NDArray[np.uint8], rows: NDArray[np.intp], gap: int) -> NDArray[np.float32]:
    """(t, K): how much better a shift explains row y + gap from row y - 1 - gap than no shift does."""
    t, h, w = luma.shape
    boundaries = np.clip(rows[:, None] + np.array((0, *CONTROLS)), 1 + gap, h - 1 - gap)  # (K, 1 + controls)
    shift, error = shift_errors(luma, boundaries.ravel(), gap, reach=w // 14)  # (S,), (segments, S, t*K*..)
    still = np.abs(shift) <= 1 + gap
    null = error[:, still].min(1)
    gain = explained(null, error[:, ~still]).reshape(-1, t, *boundaries.shape)
    net = gain[..., 0] - np.maximum(gain[..., 1:].max(-1), 0.0)
    total = (null.sum(0) - null.max(0)).reshape(t, *boundaries.shape) + 2 * NOISE
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
    """(segments, n), (segments, S, n) -> (S, n): log ratio of the summed errors without the segment that
    gains most.

    One moving object can gain by a shift by itself; a tear gains in more than one part of the width.
    """
    # Segment by segment: whole arrays are compared at once.
    most = null[0] - error[0]
    null_most, error_most = np.broadcast_to(null[0], most.shape).copy(), error[0].copy()
    for own_null, own_error in zip(null[1:], error[1:], strict=True):
        more = own_null - own_error
        better = more > most
        np.copyto(most, more, where=better)
        np.copyto(null_most, own_null, where=better)
        np.copyto(error_most, own_error, where=better)
    return np.log((null.sum(0) - null_most + 2 * NOISE) / (error.sum(0) - error_most + 2 * NOISE))


def shift_errors(
    luma: NDArray[np.uint8], boundaries: NDArray[np.intp], gap: int, reach: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Shifts (S,) and mean |difference| (segments, S, t*B), row above each boundary, shifted row below."""
    w = luma.shape[2]
    inner = (w - 2 * reach) // SEGMENTS * SEGMENTS
    above = np.ascontiguousarray(luma[:, boundaries - 1 - gap, reach : reach + inner]).reshape(-1, inner)
    below = np.ascontiguousarray(luma[:, boundaries + gap]).reshape(-1, w)
    shifts = np.arange(-reach, reach + 1)
    errors = np.empty((len(shifts), above.shape[0], SEGMENTS), np.float32)
    difference = np.empty_like(above)
    for i, s in enumerate(shifts):
        cv2.absdiff(above, below[:, reach + s : reach + s + inner], dst=difference)
        parts = difference.reshape(-1, inner // SEGMENTS)
        errors[i] = means(parts).reshape(-1, SEGMENTS)
    return shifts, np.ascontiguousarray(errors.transpose(2, 0, 1))
