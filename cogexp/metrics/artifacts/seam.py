"""Seam: the picture goes on across a row or a column, but a little brighter or of another hue.

Idea for rows: one common step of log brightness explains the difference across the line in all parts of the
width and in all colours. The picture itself goes on there: its texture is as strong below as above and
alike, which is not so at the edge of a bar, of a panel or of water. Idea for columns: nearly all parts of
the height step the same way, by less than the edge of a thing does. Both look at the mean frame, in which
motion fades and a seam stays. A step that is spread over 16 rows or more is hardly told from the picture.

Where the VAE's tiles meet is known: there the same evidence counts for more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding

PARTS = 16  # for sharp steps
SEGMENTS = 32  # for common steps
MARGIN = 10
SCALE, DARK = 128.0, 16.0  # log brightness: SCALE * log(level + DARK)
NOISE, SHARP_NOISE = 0.5, 0.4
UNEVEN = 0.3
CAP = 60.0  # squared deviations beyond this say no more
SMALL, FADE = 0.2, 0.1  # log brightness: a larger step is a thing in the picture
SMALL_LEVELS, FADE_LEVELS = 24.0, 8.0
BESIDE = 6  # rows above and below a line whose texture is compared
SAME, STRICT, WEAK = 0.2, 3.0, 0.5  # log ratio of their textures that is usual; what lies beyond; no texture
LUMA = np.array((0.299, 0.587, 0.114), np.float32)
TILE_WEIGHT, TILE_NEAR = 1.5, 3  # at a known tile boundary, within so many px


def find_seam(evidence: Evidence) -> Finding:
    """Tile seam along a row. Raw evidence: log of what a common step explains across it (about 0..3)."""
    profile = step_evidence(evidence.mean_frame)
    profile *= goes_on(evidence.mean_frame)
    profile *= tile_weight(len(profile), evidence.tile_rows)
    y = int(np.argmax(profile))
    return Finding(raw=float(profile[y]), rows=(y, len(profile) - 1), profile=tuple(profile.tolist()))


def find_vertical_seam(evidence: Evidence) -> Finding:
    """Tile seam along a column. Raw evidence: the sharp one, as for rows."""
    turned = np.ascontiguousarray(evidence.mean_luma.T)
    profile = sharp_step(turned) * tile_weight(turned.shape[0], evidence.tile_columns)
    x = int(np.argmax(profile))
    return Finding(raw=float(profile[x]), rows=(0, turned.shape[1] - 1), columns=(x, len(profile) - 1))


def tile_weight(size: int, tiles: tuple[int, ...]) -> NDArray[np.float64]:
    """(size,): TILE_WEIGHT next to the known boundaries, 1 elsewhere."""
    weight = np.ones(size)
    for place in tiles:
        weight[max(0, place - TILE_NEAR) : place + TILE_NEAR + 1] = TILE_WEIGHT
    return weight


def sharp_step(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """(h,): log of the step into each row that three quarters of the width share, over those around."""
    h, w = picture.shape
    inner = w // PARTS * PARTS
    parts = np.diff(picture[:, :inner], axis=0).reshape(h - 1, PARTS, -1)
    middle = parts.shape[2] // 2
    step = np.sort(np.partition(parts, middle, axis=2)[:, :, middle], axis=1)  # (h - 1, PARTS) medians
    low, high = step[:, PARTS // 4], step[:, -1 - PARTS // 4]
    shared, size = np.zeros(h), np.zeros(h)
    shared[1:] = np.where(low > 0, low, np.where(high < 0, -high, 0.0))
    shared[1:] = np.maximum(shared[1:] - UNEVEN * (high - low), 0.0)
    size[1:] = np.abs(step[:, PARTS // 2])
    around = np.max([np.roll(shared, k) for k in (-6, -5, -4, -3, 3, 4, 5, 6)], axis=0)
    evidence = np.log((shared + SHARP_NOISE) / (around + SHARP_NOISE))
    evidence *= np.exp(-np.maximum(0, size - SMALL_LEVELS) / FADE_LEVELS)
    evidence[:MARGIN] = evidence[h - MARGIN :] = 0
    return evidence


def step_evidence(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """(h,) evidence that each row begins an offset region."""
    h, w, _ = picture.shape
    inner = w // SEGMENTS * SEGMENTS
    level = picture[:, :inner].reshape(h, SEGMENTS, -1, 3)
    level = (SCALE * np.log(level + DARK)).mean(2)
    y = np.arange(2, h - 1)
    step = (level[y] + level[y + 1] - level[y - 1] - level[y - 2]) / 2
    offsets = [k * s for k in range(4, 14, 2) for s in (-1, 1)]
    sigma = 1.5 * np.median([np.abs(np.roll(step, k, axis=0)) for k in offsets], axis=0) + NOISE
    common = np.median(step, axis=1, keepdims=True)
    plain = np.minimum((step / sigma) ** 2, CAP).mean((1, 2))
    left = np.minimum(((step - common) / sigma) ** 2, CAP).mean((1, 2))
    size = np.abs(common).mean((1, 2)) / SCALE
    profile = np.zeros(h)
    profile[y] = np.log((plain + 1) / (left + 1)) * np.exp(-np.maximum(0, size - SMALL) / FADE)
    profile[: MARGIN + 3] = profile[h - MARGIN - 3 :] = 0
    return profile


def goes_on(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """(h,) from 0 to 1: whether the texture above each row goes on below it, as strong and alike."""
    level = 0.5 * SCALE * np.log(picture @ LUMA + DARK)
    along = np.diff(level, axis=1)
    h = len(along)
    sums = np.concatenate([[0.0], np.cumsum(np.abs(along).mean(1))])
    y = np.arange(BESIDE + 2, h - BESIDE - 2)
    below, above = sums[y + 1 + BESIDE] - sums[y + 1], sums[y - 1] - sums[y - 1 - BESIDE]
    weight = np.zeros(h)
    other = np.abs(np.log((below + WEAK * BESIDE) / (above + WEAK * BESIDE)))
    weight[y] = np.exp(-STRICT * np.maximum(other - SAME, 0))
    return weight * likeness(along) ** 2


def likeness(along: NDArray[np.float32]) -> NDArray[np.float64]:
    """(h,) from 0 to 1: correlation of the gradients of rows y - 2 and y + 1 over that of the rows around."""
    first, second = along[:-3], along[3:]
    power = np.sqrt((first * first).sum(1) * (second * second).sum(1)) + 0.05 * along.shape[1]
    alike = np.zeros(len(along))
    alike[2:-1] = np.maximum((first * second).sum(1) / power, 0.0)
    around = np.median([np.roll(alike, k) for k in (-10, -8, -6, -5, 5, 6, 8, 10)], axis=0)
    return np.minimum((alike + 0.05) / (around + 0.05), 1.0)
