"""Noise band: from some row on, the picture is noise, garbage, or its rows are shaken one by one.

Idea: in a natural picture neighbouring pixels are alike and pixels further apart less so; in noise they
differ as much as distant ones. That ratio jumps at one row in all parts of the width at once, and the band
changes from frame to frame although a still panel or texture would not.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding, panel_penalty, top_mean, worst_frames

SEGMENTS = 8
FAR = 8  # px
NOISE = 1.5  # levels
SHORTEST, DEEPEST = 5, 0.22  # rows; share of the height
ABOVE = 12  # rows that the band is compared with
ROUGHEST = 0.99  # quantile over the clip: a band that is calmer than this is likelier texture
SLACK = 0.3  # how much steadier than rough a band may be; beyond that it is a still panel
CALM_PARTS, CALM_ROWS = 0.3, 0.8  # quantiles over the width and over the rows above


def find_noise_band(evidence: Evidence) -> Finding:
    """Raw evidence: the jump of log roughness into a restless band, in the calmer parts of the width."""
    luma = evidence.luma
    t, h, w = luma.shape
    if t < 2 or h < 64 or w < 64:
        return Finding(raw=0.0)
    deep = int(DEEPEST * h)
    tail = luma[:, h - deep - ABOVE - FAR :]
    rough = roughness(tail)  # (t, rows, segments)
    change = unsteadiness(tail)
    rows = rough.shape[1]
    starts = np.arange(rows - deep, rows - SHORTEST)
    jump, inside = band_jump(rough, starts)
    upper = roughness(luma[:, : h - deep])
    roughest = np.log(np.quantile(upper, ROUGHEST, axis=(1, 2)) + NOISE)
    mild = np.maximum(roughest[:, None, None] - inside, 0.0)
    restless = band_jump(change, starts)[1]
    contrast = band_jump(far_contrast(tail), starts)[1]
    still = np.maximum(inside - restless - SLACK, 0.0) + 0.5 * np.maximum(contrast - restless - SLACK, 0.0)
    both = jump - still - mild  # (t, starts, segments)

    by_frame = np.quantile(both, CALM_PARTS, axis=2)
    by_start = top_mean(by_frame)
    best = sharpest(rough, starts, int(np.argmax(by_start)))
    profile = np.zeros(h)
    profile[h - deep : h - SHORTEST] = np.maximum(by_start, 0)
    raw = float(by_start.max()) - panel_penalty(luma, h - deep + best)
    return Finding(
        raw=raw,
        rows=(h - deep + best, h - 1),
        frames=worst_frames(by_frame[:, best], 0.6 * raw),
        profile=tuple(profile.tolist()),
    )


def segment_mean(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h, w) -> (t, h, segments)."""
    t, h, w = values.shape
    inner = w // SEGMENTS * SEGMENTS
    flat = np.ascontiguousarray(values[:, :, :inner]).reshape(-1, inner // SEGMENTS)
    return np.asarray(cv2.reduce(flat, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).reshape(t, h, SEGMENTS))


def roughness(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h, segments): mean change to the row above, levels."""
    down = np.zeros_like(luma)
    down[:, 1:] = cv2.absdiff(np.ascontiguousarray(luma[:, 1:]), np.ascontiguousarray(luma[:, :-1]))
    return segment_mean(down)


def far_contrast(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h, segments): mean difference of pixels FAR apart in a row, levels."""
    apart = np.zeros_like(luma)
    apart[:, :, FAR:] = cv2.absdiff(
        np.ascontiguousarray(luma[:, :, FAR:]), np.ascontiguousarray(luma[:, :, :-FAR])
    )
    return segment_mean(apart)


def unsteadiness(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h, segments): mean change since the frame before (the first frame: until the next)."""
    change = np.empty_like(luma)
    change[1:] = cv2.absdiff(
        luma[1:].reshape(len(luma) - 1, -1), luma[:-1].reshape(len(luma) - 1, -1)
    ).reshape(luma[1:].shape)
    change[0] = change[1]
    return segment_mean(change)


def band_jump(
    feature: NDArray[np.float32], starts: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(t, starts, segments): mean from each start to the bottom less the highest of the rows just above."""
    rows = feature.shape[1]
    total = np.cumsum(feature[:, ::-1], axis=1)[:, ::-1]
    inside = np.log(total[:, starts + 1] / (rows - 1 - starts)[:, None] + NOISE)
    above = np.stack([feature[:, starts - k] for k in range(2, ABOVE)])
    return inside - np.log(np.quantile(above, CALM_ROWS, axis=0) + NOISE), inside


def sharpest(rough: NDArray[np.float32], starts: NDArray[np.intp], near: int, reach: int = 10) -> int:
    """Index of the start next to `near` where roughness jumps most within a few rows.

    That is the line itself.
    """
    level = np.log(rough.mean((0, 2)) + NOISE)
    total = np.concatenate([[0], np.cumsum(level)])
    jump = (total[starts + 5] - total[starts]) - (total[starts] - total[starts - 5])
    low = max(0, near - reach)
    return low + int(np.argmax(jump[low : near + reach]))
