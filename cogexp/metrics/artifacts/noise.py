"""Noise band: from some row on, the picture is noise, garbage, or its rows are shaken one by one.

Idea: the fine detail of a picture is found again in the frame before, a little shifted. That of noise is not,
nor that of rows that are shaken independently. How much no shift explains jumps at one row in all parts of
the width at once; a ticker, a still panel and rich texture are explained. Shaken rows of a soft picture
differ little from the frame before, but go on in each other only when shifted back.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import (
    means,
    panel_penalty,
    quantile_of_few,
    split_row,
    top_mean,
    worst_frames,
)

SMALLEST = 96  # px: smaller pictures have too few rows and columns to tell noise from texture
SEGMENTS = 8
REACH = 8  # px: shifts that are tried
SHARED_ROWS = 7  # must shift together
NOISE = 1.5  # levels
SHORTEST, DEEPEST = 5, 0.22  # rows; share of the height
NEAR = 6  # rows in which the line is looked for once the band is known
ABOVE = 12  # rows that the band is compared with
CALM_PARTS, CALM_ROWS = 0.3, 0.8  # quantiles over the width and over the rows above
ROUGH_WEIGHT, ROUGH_CAP = 0.25, 1.5  # the plain jump in roughness supports the evidence
SHAKEN_WEIGHT, SHAKEN_CAP = 1.5, 1.5


def find_noise_band(evidence: Evidence) -> Finding:
    """Raw evidence: the jump of log unexplained detail into the band, in the calmer parts of the width, and
    what a shift explains of the band's own rows."""
    luma = evidence.luma
    t, h, w = luma.shape
    if t < 2 or h < SMALLEST or w < SMALLEST:
        return Finding(raw=0.0)
    deep = int(DEEPEST * h)
    tail = luma[:, h - deep - ABOVE - SHARED_ROWS :]
    picked, _ = evidence.few
    rough, left = roughness(tail[picked]), unexplained(tail, picked)  # (picked, rows, segments)
    rows = rough.shape[1]
    starts = np.arange(rows - deep, rows - SHORTEST)
    support = np.minimum(band_jump(rough, starts), ROUGH_CAP)
    both = band_jump(left, starts) + ROUGH_WEIGHT * support  # (t, starts, segments)
    shaken = shaken_rows(evidence.across.gains[0], h - rows + starts)

    by_frame = np.quantile(both, CALM_PARTS, axis=2)
    by_start = top_mean(by_frame) + SHAKEN_WEIGHT * shaken
    best = int(np.argmax(by_start))
    frames = worst_frames(by_frame[:, best], 0.6 * float(by_start[best]))
    first = h - rows + first_row(rough[list(frames)], left[list(frames)], starts)
    profile = np.zeros(h)
    profile[h - deep : h - SHORTEST] = np.maximum(by_start, 0)
    return Finding(
        raw=float(by_start[best]) - 0.5 * panel_penalty(luma, first),
        rows=(first, h - 1),
        frames=tuple(int(picked[i]) for i in frames),
        profile=tuple(profile.tolist()),
    )


def shaken_rows(gain: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.floating]:
    """(t, h) what a shift explains of the step into each row -> (starts,), its mean from each start to the
    bottom beyond that of the rows just above: rows that are shaken one by one go on only when shifted."""
    kept = gain.clip(0.0, SHAKEN_CAP)
    inside = np.cumsum(kept[:, ::-1], axis=1)[:, ::-1][:, starts + 1] / (kept.shape[1] - 1 - starts)
    above = np.stack([kept[:, starts - k] for k in range(2, ABOVE)])
    return top_mean(inside - quantile_of_few(above, CALM_ROWS))


def segment_mean(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(..., w) -> (..., segments)."""
    inner = values.shape[-1] // SEGMENTS * SEGMENTS
    flat = np.ascontiguousarray(values[..., :inner]).reshape(-1, inner // SEGMENTS)
    return means(flat).reshape(*values.shape[:-1], SEGMENTS)


def roughness(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h, segments): mean change to the row above, levels."""
    down = np.zeros_like(luma)
    down[:, 1:] = cv2.absdiff(np.ascontiguousarray(luma[:, 1:]), np.ascontiguousarray(luma[:, :-1]))
    return segment_mean(down)


def unexplained(tail: NDArray[np.uint8], picked: NDArray[np.intp]) -> NDArray[np.float32]:
    """(picked, rows, segments): levels of fine detail that no sideways shift of the frame before explains.

    tail: (t, rows, w). The first frame is compared with the second.
    """
    rows, w = tail.shape[1:]
    before = np.where(picked > 0, picked - 1, 1)
    fine = {i: fine_detail(tail[i]) for i in {*picked.tolist(), *before.tolist()}}
    padded = {i: cv2.copyMakeBorder(fine[i], 0, 0, REACH, REACH, cv2.BORDER_REFLECT) for i in before.tolist()}
    left = np.empty((len(picked), rows, SEGMENTS), np.float32)
    part = w // SEGMENTS
    for n, (i, j) in enumerate(zip(picked.tolist(), before.tolist(), strict=True)):
        # All shifts side by side, so that the rows are blurred at once.
        gap = np.empty((2 * REACH + 1, rows, part * SEGMENTS), np.uint8)
        for s in range(2 * REACH + 1):
            cv2.absdiff(fine[i][:, : part * SEGMENTS], padded[j][:, s : s + part * SEGMENTS], dst=gap[s])
        means = segment_mean(gap).transpose(1, 0, 2).reshape(rows, -1)
        shared = cv2.blur(means, (1, SHARED_ROWS))
        left[n] = shared.reshape(rows, -1, SEGMENTS).min(1)
    return left


def fine_detail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w): the frame less its blurred self, 128 added."""
    return cv2.addWeighted(frame, 1.0, cv2.GaussianBlur(frame, (5, 5), 0), -1.0, 128.0)


def band_jump(feature: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.float32]:
    """(t, starts, segments): log of the mean from each start to the bottom over the highest of the rows just
    above."""
    rows = feature.shape[1]
    total = np.cumsum(feature[:, ::-1], axis=1)[:, ::-1]
    inside = np.log(total[:, starts + 1] / (rows - 1 - starts)[:, None] + NOISE)
    above = np.stack([feature[:, starts - k] for k in range(2, ABOVE)])
    return inside - np.log(quantile_of_few(above, CALM_ROWS) + NOISE)


def first_row(rough: NDArray[np.float32], left: NDArray[np.float32], starts: NDArray[np.intp]) -> int:
    """The row where the band begins, of the rows given: (t, rows, segments) of the frames that have it.

    The rows fall into two groups of even log levels best there; within NEAR rows it is where the roughness
    jumps most, which is the line itself.
    """
    by_row = log_level(rough, CALM_PARTS) + log_level(left, CALM_PARTS)
    near = split_row(by_row, starts)
    level = log_level(rough, 0.5)
    total = np.concatenate([[0.0], np.cumsum(level)])
    rows = np.arange(max(int(starts[0]), near - NEAR, SHORTEST), min(near + NEAR + 1, len(level) - SHORTEST))
    jump = total[rows + SHORTEST] - 2 * total[rows] + total[rows - SHORTEST]
    return int(rows[np.argmax(jump)])


def log_level(feature: NDArray[np.float32], share: float) -> NDArray[np.floating]:
    """(t, rows, segments) -> (rows,): quantile over the width of the log mean over the frames."""
    return np.quantile(np.log(feature.mean(0) + NOISE), share, axis=1)
