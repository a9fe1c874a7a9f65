"""Shear: from some row (or column) on, the picture is displaced along it.

Idea: across the tear the rows differ, and a sideways shift explains the difference, in several parts of the
width at once. Rows that merely differ (a horizon, a letterbox, a subtitle) are not explained by a shift; a
slanted texture is, but then the rows above and below are so as well and their gain is subtracted.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import (
    Evidence,
    Finding,
    row_steps,
    sampled,
    top_mean,
    worst_frames,
)
from cogexp.metrics.artifacts.slip import slip_evidence

ROW_FRAMES, COLUMN_FRAMES = 12, 6  # of a clip are looked at
CANDIDATES, SLIPPING = 16, 6  # rows with the clearest step, with the clearest slip
SLIP_WEIGHT = 0.18  # of the slip's log ratio, beside the shift's
SEGMENTS = 8
NOISE = 1.0  # levels: differences below this are noise, not evidence
CONTROLS = (-5, 5)
GAPS = (0, 1)  # rows left out at the boundary: a tear may be blended over one row
MARGIN = 8
AMBIGUOUS = 0.8  # share of what another shift explains as well: a periodic texture
BAND_SHARE = 0.45  # a second line this strong ends the band


def find_shear(evidence: Evidence) -> Finding:
    """Rows displaced sideways.

    Raw evidence: log ratio of what no shift and what the best shift leaves (about 0..1).
    """
    luma = evidence.luma
    picked = sampled(len(luma), ROW_FRAMES)
    found = line_evidence(luma[picked])
    if found is None:
        return Finding(raw=0.0)
    rows, gains, raw = found
    first, last = band(rows, raw, luma.shape[1])
    return Finding(
        raw=float(raw.max()),
        rows=(first, last),
        frames=tuple(
            int(picked[i]) for i in worst_frames(gains[:, int(np.argmax(raw))], 0.6 * float(raw.max()))
        ),
        profile=profile_of(rows, raw, luma.shape[1]),
    )


def find_vertical_shear(evidence: Evidence) -> Finding:
    """Columns displaced up or down. Raw evidence as for rows."""
    luma = evidence.luma
    picked = sampled(len(luma), COLUMN_FRAMES)
    turned = np.ascontiguousarray(luma[picked].transpose(0, 2, 1))
    found = line_evidence(turned)
    if found is None:
        return Finding(raw=0.0)
    columns, gains, raw = found
    best = int(np.argmax(raw))
    return Finding(
        raw=float(raw[best]),
        rows=(0, luma.shape[1] - 1),
        columns=(int(columns[best]), luma.shape[2] - 1),
        frames=tuple(int(picked[i]) for i in worst_frames(gains[:, best], 0.6 * float(raw[best]))),
    )


def line_evidence(
    luma: NDArray[np.uint8],
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.floating]] | None:
    """Candidate rows (K,), gain by frame (t, K), gain of the clip (K,).

    None for a picture too small to say.
    """
    _, h, w = luma.shape
    if h < 40 or w < 96:
        return None
    slip = slip_evidence(luma)
    rows = np.union1d(candidate_rows(luma), np.argsort(slip)[-SLIPPING:])
    gains = np.stack([shift_gain(luma, rows, gap) for gap in GAPS], axis=1)  # (t, gaps, K)
    found = np.maximum(top_mean(gains).max(0), 0.0)
    return rows, gains.max(1), found + SLIP_WEIGHT * np.maximum(near_best(slip)[rows], 0.0)


def near_best(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h,): the best of each row and its two neighbours: a blended line slips over two rows."""
    return np.asarray(np.max([np.roll(evidence, k) for k in (-1, 0, 1)], axis=0), dtype=np.float32)


def candidate_rows(luma: NDArray[np.uint8]) -> NDArray[np.intp]:
    """(K,) boundaries whose step stands out from the rows around it."""
    steps = row_steps(luma)
    h = steps.shape[1]
    around = np.stack([np.roll(steps, k, axis=1) for k in (-6, -5, -4, -3, 3, 4, 5, 6)])
    excess = top_mean(np.log((steps + NOISE) / (np.median(around, axis=0) + NOISE)))
    excess[:MARGIN] = excess[h - MARGIN + 1 :] = -np.inf
    return np.sort(np.argsort(excess)[-CANDIDATES:])


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


def band(rows: NDArray[np.intp], raw: NDArray[np.floating], height: int) -> tuple[int, int]:
    """First and last row of what is displaced: to the second line where there is one, else to the bottom."""
    best = int(np.argmax(raw))
    others = [k for k in range(len(rows)) if abs(int(rows[k]) - int(rows[best])) >= 6]
    if others:
        second = max(others, key=lambda k: float(raw[k]))
        if raw[second] > max(BAND_SHARE * float(raw[best]), 0.15):
            return int(min(rows[best], rows[second])), int(max(rows[best], rows[second])) - 1
    return int(rows[best]), height - 1


def profile_of(rows: NDArray[np.intp], raw: NDArray[np.floating], height: int) -> tuple[float, ...]:
    """(h,) evidence by row: that of the candidates, 0 elsewhere."""
    profile = np.zeros(height)
    np.maximum.at(profile, rows, np.maximum(raw, 0))
    return tuple(profile.tolist())
