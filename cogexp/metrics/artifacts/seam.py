"""Seam: the picture goes on across a row or a column, but a little brighter or of another hue.

Idea: the step into a row, less what the steps before and after it lead one to expect, is nothing but noise in
a picture; at a seam three quarters of the width step alike, far more than at the other rows of this clip.
It is looked for in log brightness (a seam is a factor) and in red minus blue, sharp and blended over a few
rows, in the mean frame, in which motion fades and a seam stays.

The edge of a bar, of a panel or of water steps alike as well. But there the texture does not go on, and the
step is large: tiles of one decoder differ by their statistics, which is slight.

Here for columns, turned to rows; what else is known of rows is weighed together in seam_rows.py.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import over_width

Picture = NDArray[np.float32]
Profile = NDArray[np.floating]

PART = 16  # columns that are averaged
SCALE, DARK = 128.0, 16.0  # log brightness: SCALE * log(level + DARK), 1.28 for a per cent
MARGIN = 12
USUAL = 0.98  # quantile over the rows of the clip: only a few of them step alike by nature
NOISE_SHARP, NOISE_HUE, NOISE_BLENDED = 0.2, 0.3, 0.5
BLENDED_LESS = 0.2  # rows that are blended stand out by nature more often
DOUBT = 0.5  # power of what speaks against a seam: all of it together would hide the faint ones
SLIGHT, SLIGHT_FADE = 21.0, 2.0  # log brightness: 17 %; a larger step is a thing in the picture
SLIGHT_HUE, SLIGHT_HUE_FADE = 12.0, 3.0  # levels
BESIDE = 6  # rows above and below a line whose texture is compared
SAME, STRICT, WEAK = 0.2, 3.0, 0.5  # log ratio of their textures that is usual; what lies beyond; no texture
LUMA = np.array((0.299, 0.587, 0.114), np.float32)
TILE_BONUS, TILE_NEAR = 0.6, 3  # at a known tile boundary, within so many px


def find_vertical_seam(evidence: Evidence) -> Finding:
    """Tile seam along a column.

    Raw evidence: log of the step that the height shares over the largest ones of the clip (about 0..4).
    """
    turned = np.ascontiguousarray(evidence.mean_frame.transpose(1, 0, 2))
    profile = seam_profile(turned, evidence.tile_columns)
    x = int(np.argmax(profile))
    return Finding(raw=float(profile[x]), rows=(0, turned.shape[1] - 1), columns=(x, len(profile) - 1))


def seam_profile(picture: Picture, tiles: tuple[int, ...]) -> Profile:
    """(h, w, 3) mean frame -> (h,) evidence that a seam lies above each row."""
    h, w, _ = picture.shape
    if h < 4 * MARGIN or w < 4 * PART:
        return np.zeros(h)
    level = SCALE * np.log(picture @ LUMA + DARK)
    bright, hue = in_parts(level), in_parts(picture[..., 0] - picture[..., 2])
    sharp_bright, sharp_hue = surprises(bright, 1), surprises(hue, 1)
    soft_bright, soft_hue = surprises(bright, 2), surprises(hue, 2)
    evidence = np.max(
        [
            stands_out(sharp_bright, NOISE_SHARP),
            stands_out(sharp_hue, NOISE_HUE),
            stands_out(soft_bright, NOISE_BLENDED) - BLENDED_LESS,
            stands_out(soft_hue, NOISE_BLENDED) - BLENDED_LESS,
        ],
        axis=0,
    )
    evidence += tile_bonus(h, tiles)
    largest = np.maximum(middle_size(steps(bright, 2)), middle_size(soft_bright))
    for_a_seam = slight(largest, SLIGHT, SLIGHT_FADE)
    for_a_seam *= slight(middle_size(sharp_hue), SLIGHT_HUE, SLIGHT_HUE_FADE)
    for_a_seam *= goes_on(level)
    evidence *= for_a_seam**DOUBT
    evidence[:MARGIN] = evidence[h - MARGIN :] = 0
    return evidence


def in_parts(picture: Picture) -> Picture:
    """(h, w) -> (h, parts): means of PART columns each."""
    h, w = picture.shape
    whole = np.ascontiguousarray(picture[:, : w // PART * PART])
    return np.asarray(cv2.resize(whole, (w // PART, h), interpolation=cv2.INTER_AREA), dtype=np.float32)


def steps(parts: Picture, rows: int) -> Picture:
    """(h, parts): mean of the `rows` rows from each row on, less that of the `rows` rows before it."""
    h = len(parts)
    total = np.concatenate([np.zeros_like(parts[:1]), np.cumsum(parts, axis=0, dtype=np.float64)])
    y = np.arange(rows, h - rows + 1)
    step = np.zeros_like(parts)
    step[y] = (total[y + rows] - 2 * total[y] + total[y - rows]) / rows
    return step


def surprises(parts: Picture, rows: int) -> Picture:
    """(h, parts): the step into each row, less the mean of those before and after it."""
    step, apart = steps(parts, rows), 1 if rows == 1 else 2 * rows
    return step - 0.5 * (np.roll(step, apart, axis=0) + np.roll(step, -apart, axis=0))


def stands_out(surprise: Picture, noise: float) -> Profile:
    """(h,): log of the size that three quarters of the parts reach, over the clip's largest ones."""
    shared, _ = over_width(surprise)
    usual = np.quantile(shared[MARGIN : len(shared) - MARGIN], USUAL)
    return np.log((shared + noise) / (usual + noise))


def middle_size(step: Picture) -> Profile:
    """(h,): size of the median step of the width, the largest of a row and its neighbours."""
    size = np.abs(np.median(step, axis=1))
    return np.max([np.roll(size, k) for k in (-1, 0, 1)], axis=0)


def slight(size: Profile, limit: float, fade: float) -> Profile:
    """(h,) from 1 for steps below the limit to 0."""
    return np.exp(-np.maximum(size - limit, 0.0) / fade)


def tile_bonus(size: int, tiles: tuple[int, ...]) -> Profile:
    """(size,): TILE_BONUS next to the known boundaries, 0 elsewhere."""
    bonus = np.zeros(size)
    for place in tiles:
        bonus[max(0, place - TILE_NEAR) : place + TILE_NEAR + 1] = TILE_BONUS
    return bonus


def goes_on(level: Picture) -> Profile:
    """(h,) from 0 to 1: whether the texture above each row goes on below it, as strong and alike."""
    along = 0.5 * np.diff(level, axis=1)
    h = len(along)
    sums = np.concatenate([[0.0], np.cumsum(np.abs(along).mean(1))])
    y = np.arange(BESIDE + 2, h - BESIDE - 2)
    below, above = sums[y + 1 + BESIDE] - sums[y + 1], sums[y - 1] - sums[y - 1 - BESIDE]
    weight = np.zeros(h)
    other = np.abs(np.log((below + WEAK * BESIDE) / (above + WEAK * BESIDE)))
    weight[y] = np.exp(-STRICT * np.maximum(other - SAME, 0))
    return weight * likeness(along) ** 2


def likeness(along: Picture) -> Profile:
    """(h,) from 0 to 1: correlation of the gradients of rows y - 2 and y + 1 over that of the rows around."""
    first, second = along[:-3], along[3:]
    power = np.sqrt((first * first).sum(1) * (second * second).sum(1)) + 0.05 * along.shape[1]
    alike = np.zeros(len(along))
    alike[2:-1] = np.maximum((first * second).sum(1) / power, 0.0)
    around = np.median([np.roll(alike, k) for k in (-10, -8, -6, -5, 5, 6, 8, 10)], axis=0)
    return np.minimum((alike + 0.05) / (around + 0.05), 1.0)
