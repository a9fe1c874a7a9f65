"""Seam along a row: what stands still in the mean frame, and what happens to content that crosses the row.

A step that is spread over 16 rows or more is hardly told from the picture itself, unless something moves up
or down across it (crossing.py). Many weak signs, none of which decides alone, are weighed by a small network
whose weights were fitted once (seam_weights.py): a large step speaks for a seam up to some size and against
it beyond, and texture that ends at a row forbids what the other signs would allow.

Rows are looked at in pairs. n: number of pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts import seam_weights
from cogexp.metrics.artifacts.crossing import STRIPS, Crossings, crossings
from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import over_width
from cogexp.metrics.artifacts.seam import (
    DARK,
    LUMA,
    NOISE_BLENDED,
    NOISE_HUE,
    NOISE_SHARP,
    SCALE,
    TILE_NEAR,
    goes_on,
    in_parts,
    middle_size,
    stands_out,
    steps,
    surprises,
)

Picture = NDArray[np.float32]
Profile = NDArray[np.floating]

EDGE = 8  # pairs of rows of 144 at the upper and the lower end that are left out
LEAST = 64  # rows and columns of a picture that is judged
LARGE, LARGE_HUE = 21.0, 12.0  # log brightness and levels of a step: beyond, it is a thing in the picture
FURTHEST = (-4.0, 6.0)  # deviations of a sign from its mean that count

# What crosses a ramp, see `likelihood`.
EXPECTED = 0.1  # log brightness: deviation of the gains of seams
STRIP_NOISE, PIXEL_NOISE = 0.03, 0.05  # log brightness, of a strip and of a crossing pixel, at least
USUAL, OF_NORMAL = 0.75, 0.7  # quantile over the rows of this clip, and what it divides by: chosen by trial
CROSSED = 3.0  # pixels: rows that fewer cross do not count for the noise
GAIN_MOST, SLIGHT_FADE = 0.17, 0.015  # log brightness: a larger gain is none of a tile's
WILD = 0.35  # log brightness of a strip


def find_seam(evidence: Evidence) -> Finding:
    """Tile seam along a row.

    Raw evidence: the network's output less that of the middle clean clip (about -3..8).
    """
    h, w = evidence.mean_frame.shape[:2]
    if min(h, w) < LEAST:
        return Finding(raw=0.0)
    table, sharp = signs(evidence)
    by_pair = weighed(table)
    edge = round(EDGE * len(by_pair) / 144)
    by_pair[:edge] = by_pair[len(by_pair) - edge :] = -np.inf
    best = int(np.argmax(by_pair))
    raw = float(by_pair[best])
    y = 2 * best + int(np.argmax(sharp[2 * best : 2 * best + 2]))
    profile = np.zeros(h)
    profile[: 2 * len(by_pair)] = np.repeat(np.maximum(by_pair, 0.0), 2)
    return Finding(raw=raw, rows=(y, h - 1), profile=tuple(profile.tolist()))


def weighed(table: Picture) -> Profile:
    """(n, signs) -> (n,): a network with one hidden layer."""
    low, high = FURTHEST
    inputs = np.clip((table - seam_weights.MEAN) / seam_weights.DEVIATION, low, high)
    hidden = np.tanh(inputs @ seam_weights.HIDDEN + seam_weights.HIDDEN_BIAS)
    return np.asarray(hidden @ seam_weights.OUTPUT + seam_weights.OUTPUT_BIAS, dtype=np.float64)


def signs(evidence: Evidence) -> tuple[Picture, Profile]:
    """(n, signs) in the order of the weights, and (h,) where in a pair a sharp seam would lie."""
    standing, sharp = standing_signs(evidence)
    moving = moving_signs(crossings(evidence.frames))
    n = len(standing[0])
    rows = np.arange(n) * len(moving[0]) // n
    return np.stack([*standing, *(sign[rows] for sign in moving)], axis=1).astype(np.float32), sharp


def standing_signs(evidence: Evidence) -> tuple[list[Profile], Profile]:
    """What the mean frame shows, (n,) each, and (h,) as in `signs`."""
    picture = evidence.mean_frame
    level = SCALE * np.log(picture @ LUMA + DARK)
    bright, hue = in_parts(level), in_parts(picture[..., 0] - picture[..., 2])
    step, soft, hue_sharp = steps(bright, 2), surprises(bright, 2), surprises(hue, 1)
    sharp = [stands_out(surprises(bright, 1), NOISE_SHARP), stands_out(hue_sharp, NOISE_HUE)]
    blended = [stands_out(soft, NOISE_BLENDED), stands_out(surprises(hue, 2), NOISE_BLENDED)]
    wide = [
        stands_out(surprises(bright, 4), NOISE_BLENDED),
        stands_out(surprises(bright, 8), NOISE_BLENDED),
    ]
    size = in_pairs(np.maximum(middle_size(step), middle_size(soft)))
    hue_size = in_pairs(middle_size(hue_sharp))
    shared, spread = over_width(step)
    shared_wide, _ = over_width(steps(bright, 8))
    return [
        *(in_pairs(each) for each in (*sharp, *blended, *wide)),
        np.maximum(np.log(in_pairs(goes_on(level)) + 0.05), -3.0),
        in_pairs(at_tiles(len(level), evidence.tile_rows)),
        np.log(np.minimum(size, LARGE) + 2.0),
        np.clip(size - LARGE, 0.0, 30.0) / 10.0,
        np.clip(hue_size - LARGE_HUE, 0.0, 20.0) / 10.0,
        *(np.log(in_pairs(each) + 1.0) for each in (shared, shared_wide, spread)),
    ], np.maximum(sharp[0], sharp[1])


def in_pairs(profile: Profile) -> Profile:
    """(h,) -> (h // 2,): the larger of each two rows."""
    return profile[: len(profile) // 2 * 2].reshape(-1, 2).max(1)


def at_tiles(h: int, tiles: tuple[int, ...]) -> Profile:
    """(h,): 1 next to a known boundary, 0 elsewhere."""
    known = np.zeros(h)
    for place in tiles:
        known[max(0, place - TILE_NEAR) : place + TILE_NEAR + 1] = 1.0
    return known


def moving_signs(crossed: Crossings) -> list[Profile]:
    """What crosses the rows shows, (ROWS,) each."""
    for_ramps = []
    for change, weight in zip(crossed.change, crossed.weight, strict=True):
        found, gain = likelihood(change, weight)
        slight = np.exp(-np.maximum(np.abs(gain) - GAIN_MOST, 0.0) / SLIGHT_FADE)
        for_ramps.append(faded(np.where(found > 0, found * slight, found)))
    return for_ramps


def faded(found: Profile) -> Profile:
    """Log likelihood ratio -> its log above 0, and little of it below."""
    return np.where(found > 0, np.log1p(np.maximum(found, 0.0)), 0.3 * np.maximum(found, -2.0))


def likelihood(change: Picture, weight: Picture) -> tuple[Profile, Profile]:
    """(strips, ROWS) sums of a ramp -> (ROWS,) log likelihood ratio of a seam to none, and its gain.

    A strip's gain is change / weight, with the noise of a strip and that of its pixels. The pixels' noise is
    the clip's own: what USUAL of its rows stay below. The gain of a seam is normal with deviation EXPECTED,
    so the ratio is that of two normal distributions of the strips' weighted mean, which is the less precise
    the more the strips differ beyond their noise.
    """
    total = weight.sum(0)
    power = change.sum(0) ** 2 / (total + 1e-3)
    enough = total > CROSSED
    enough[:6] = enough[-6:] = False
    noise = PIXEL_NOISE**2
    if enough.sum() > 20:
        noise = max(noise, float(np.quantile(power[enough], USUAL)) / OF_NORMAL)
    trust = 1.0 / (noise / (weight + 1e-3) + STRIP_NOISE**2)
    gains = np.clip(change / (weight + 1e-3), -WILD, WILD)
    gain = (trust * gains).sum(0) / trust.sum(0)
    excess = (trust * (gains - gain) ** 2).sum(0) / (STRIPS - 1)
    precision = trust.sum(0) / np.maximum(1.0, excess)
    ratio = EXPECTED**2 * precision
    return 0.5 * (precision * gain * gain * ratio / (1.0 + ratio) - np.log1p(ratio)), gain
