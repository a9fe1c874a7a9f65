"""Seam: the picture goes on across a row or a column, but a little brighter or of another hue.

Two ideas, because a seam may be sharp or blended. Sharp: nearly all parts of the width step the same way
between two neighbouring rows; a natural edge rarely crosses three quarters of the frame, and where it does
(letterbox, panel) its step is far larger than a seam's. Blended: one common step explains the difference
across the line in all parts and colours. Both look at the mean frame, in which motion fades and a seam
stays.

Where the VAE's tiles meet is known: there the same evidence counts for more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding

PARTS = 16  # for sharp steps
SEGMENTS = 32  # for blended steps
REACHES = (1, 5)  # px over which a blended step is looked for
MARGIN = 10
SCALE, DARK = 128.0, 16.0  # log brightness: SCALE * log(level + DARK)
NOISE, SHARP_NOISE = 0.5, 0.4
UNEVEN = 0.3
CAP = 60.0  # squared deviations beyond this say no more
SMALL, FADE = 0.2, 0.1  # log brightness: a larger step is a thing in the picture
SMALL_LEVELS, FADE_LEVELS = 24.0, 8.0
SHARP_WEIGHT = 1.0
TILE_WEIGHT, TILE_NEAR = 1.5, 3  # at a known tile boundary, within so many px


def find_seam(evidence: Evidence) -> Finding:
    """Tile seam along a row. Raw evidence: log of the shared step over the steps around it (about 0..3)."""
    blended = np.max([step_evidence(evidence.mean_frame, reach) for reach in REACHES], axis=0)
    sharp = SHARP_WEIGHT * sharp_step(evidence.mean_luma)
    profile = np.maximum(blended, sharp) * tile_weight(len(sharp), evidence.tile_rows)
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


def step_evidence(picture: NDArray[np.float32], reach: int) -> NDArray[np.float64]:
    """(h,) evidence that each row begins an offset region, the step spread over `reach` px."""
    h, w, _ = picture.shape
    inner = w // SEGMENTS * SEGMENTS
    level = picture[:, :inner].reshape(h, SEGMENTS, -1, 3).mean(2)
    level = SCALE * np.log(level + DARK)
    before, after = (reach + 1) // 2, reach // 2  # rows y - before.. against rows y + after..
    y = np.arange(before + 1, h - after - 1)
    below = level[y + after] + level[y + after + 1]
    above = level[y - before] + level[y - before - 1]
    step = (below - above) / 2
    offsets = [k * s for k in range(reach + 2, reach + 12, 2) for s in (-1, 1)]
    sigma = 1.5 * np.median([np.abs(np.roll(step, k, axis=0)) for k in offsets], axis=0) + NOISE
    common = np.median(step, axis=1, keepdims=True)
    plain = np.minimum((step / sigma) ** 2, CAP).mean((1, 2))
    left = np.minimum(((step - common) / sigma) ** 2, CAP).mean((1, 2))
    size = np.abs(common).mean((1, 2)) / SCALE
    profile = np.zeros(h)
    profile[y] = np.log((plain + 1) / (left + 1)) * np.exp(-np.maximum(0, size - SMALL) / FADE)
    profile[: MARGIN + reach] = profile[h - MARGIN - reach :] = 0
    return profile
