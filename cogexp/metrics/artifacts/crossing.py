"""Crossing: what moves up or down across a seam changes its brightness there, whatever its texture is.

A seam stands still in the frame while the picture moves. Let rows be brighter by a gain g(y), in log
brightness: content that moves from row y to y + v changes by g(y + v) - g(y), and its own gradient cancels
(brightness constancy: Horn and Schunck, Determining optical flow, 1981). For a gain that rises by a over some
rows, as the ramp p(y) from 0 to 1, a is the regression of those changes on d = p(y + v) - p(y):
sum(change d) / sum(d d). Where nothing moves up or down, both sums are 0 and nothing is said: bars, panels,
stills.

Done for every row and ramp in strips of the width, since a seam is alike in all of them; a lamp, a shadow or
a wrong flow is not. Both sums need only how many pixels go from which row to which, and by how much they
change.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.clip_frames import Frames

ROWS, COLUMNS, STRIPS = 144, 256, 8  # the size at which motion is looked at
THINNED = 4  # every fourth column is followed
RAMPS = (2, 8, 20)  # of these rows, over which the gain rises: sharp, blended over 16 and over 40 rows of 288
PAIRS, REACH = 3, 10.0  # pairs of frames, so far apart that most of the picture moves by REACH px
COARSE = 2  # how fast it moves is looked at in pictures that many times smaller
LONGEST = 0.7  # of the clip, from one frame of a pair to the other
DARK = 8.0  # levels
ROUGH, TOO_ROUGH = 0.03, 0.15  # log brightness left along a row after the motion: the flow is wrong there
LARGE = 0.3  # log brightness: another thing, not the same one a little brighter
FEW = 0.1  # of the pixels that agree: fewer, as after a cut, say nothing

Picture = NDArray[np.float32]

LUMA = np.array((0.299, 0.587, 0.114), np.float32)
X, Y = np.meshgrid(np.arange(0, COLUMNS, THINNED, dtype=np.float32), np.arange(ROWS, dtype=np.float32))
Y0 = np.arange(ROWS)
FROM = np.ascontiguousarray(Y.astype(np.intp))
ONCE_OR_TWICE = 2 * np.triu(np.ones((ROWS, ROWS))) - np.eye(ROWS)  # as (r, s) and (s, r)
STRIP = X.astype(np.intp) * STRIPS // COLUMNS

SHAPE = (len(RAMPS), STRIPS, ROWS)
Seen = tuple[NDArray[np.uint8], Picture]  # (ROWS, COLUMNS) luma, its log


@dataclass(frozen=True, kw_only=True)
class Crossings:
    """(ramps, strips, ROWS) each, for a ramp in the middle of which each row lies.

    change: sum(change d), in log brightness. weight: sum(d d), in pixels that cross the whole ramp.
    """

    change: Picture
    weight: Picture


def crossings(frames: Frames) -> Crossings:
    """(t, h, w, 3) uint8 -> what crosses each row."""
    last, flow = len(frames) - 1, cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    seen: dict[int, Seen] = {}

    def at(i: int) -> Seen:
        if i not in seen:
            seen[i] = reduced(frames[i])
        return seen[i]

    if not last:
        return Crossings(change=np.zeros(SHAPE, np.float32), weight=np.zeros(SHAPE, np.float32))
    found = [followed(flow, at(i), at(i + lag)) for i, lag in pairs(last, speed(flow, frames))]
    cells, weight, change = (np.concatenate(each) for each in zip(*found, strict=True))
    size, shape = STRIPS * ROWS * ROWS, (STRIPS, ROWS, ROWS)
    moved = np.bincount(cells, weight, minlength=size).reshape(shape)
    changed = np.bincount(cells, weight * change, minlength=size).reshape(shape)
    sums = [over_ramps(moved[k], changed[k]) for k in range(STRIPS)]
    change_sums, weight_sums = (np.stack(each, axis=1) for each in zip(*sums, strict=True))
    return Crossings(change=change_sums, weight=weight_sums)


def reduced(frame: NDArray[np.uint8]) -> Seen:
    """(h, w, 3) -> luma for the flow, log brightness for what is measured."""
    small = cv2.resize(frame, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    exact = small.astype(np.float32) @ LUMA  # not rounded: the gains are small
    return np.asarray(luma, dtype=np.uint8), np.asarray(cv2.log(exact + DARK), dtype=np.float32)


def speed(flow: cv2.DISOpticalFlow, frames: Frames) -> float:
    """px a frame that four fifths of the picture stay below, at the calmer of two places of the clip."""
    last = len(frames) - 1
    step = 2 if last >= 4 else 1
    places = (last // 4, 3 * last // 4 - step + 1) if last >= 8 else (min(last // 2, last - step),)
    moves = [flow.calc(coarse(frames[i]), coarse(frames[i + step]), None)[::4, ::4] for i in places]
    return COARSE * min(float(np.quantile(np.hypot(m[..., 0], m[..., 1]), 0.8)) for m in moves) / step


def coarse(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) -> luma of a COARSE-th of ROWS and COLUMNS."""
    small = cv2.resize(frame, (COLUMNS // COARSE, ROWS // COARSE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def pairs(last: int, moving: float) -> list[tuple[int, int]]:
    """(first frame, frames to the second): so far apart that content moves by REACH, spread over the clip."""
    lag = int(np.clip(round(REACH / max(moving, 0.1)), 1, max(1, round(LONGEST * last))))
    return [(int(i), lag) for i in np.unique(np.linspace(0, last - lag, PAIRS).round())]


def followed(flow: cv2.DISOpticalFlow, one: Seen, other: Seen) -> tuple[NDArray[np.intp], Picture, Picture]:
    """Along the flow, (pixels,) each: cell of (strip, upper row, lower row), how far it is trusted (0..1),
    and how much brighter it is in the lower row (log), when what all of them become is left out."""
    move = flow.calc(one[0], other[0], None)[:, ::THINNED]
    x, y = X + move[..., 0], Y + move[..., 1]
    after = cv2.remap(other[1], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    change = after - one[1][:, ::THINNED]
    # Along rows, for a seam is no reason to doubt the flow.
    rough = cv2.blur(np.abs(change - cv2.blur(change, (5, 1))), (5, 3))
    weight = ROUGH**2 / (ROUGH**2 + rough * rough)
    weight *= (x >= 1) & (x <= COLUMNS - 2) & (y >= 1) & (y <= ROWS - 2) & (rough < TOO_ROUGH)
    agree = change[::3, ::3][weight[::3, ::3] > 0]
    change -= np.median(agree) if len(agree) else 0.0
    weight *= (np.abs(change) < LARGE) & (len(agree) >= FEW * change[::3, ::3].size)
    to = np.clip(np.rint(y), 0, ROWS - 1).astype(np.intp)
    cells = (STRIP * ROWS + np.minimum(FROM, to)) * ROWS + np.maximum(FROM, to)
    return cells.ravel(), weight.ravel(), np.where(to < FROM, -change, change).ravel()


def over_ramps(moved: NDArray[np.floating], changed: NDArray[np.floating]) -> tuple[Picture, Picture]:
    """(upper row, lower row) of a strip's pixels and of their changes -> both sums, (ramps, ROWS) each.

    A ramp over n rows is the mean of n steps, so d is the mean of the steps that a pixel crosses, and d d the
    mean over all pairs of them.
    """
    gained = changed.sum(0) - changed.sum(1)
    crossed = np.concatenate([np.cumsum(gained[::-1])[::-1], [0.0]])  # by a step from each row on
    before = np.concatenate([[0.0], np.cumsum(crossed)])
    inside = cv2.integral(moved)
    # Pixels that cross a step from row r on and one from row s >= r on.
    both = (inside[:-1, -1:] - inside[:-1, :-1]) * ONCE_OR_TWICE
    area = cv2.integral(both)
    change, weight = [], []
    for rows in RAMPS:
        first, end = np.maximum(Y0 - rows // 2, 0), np.minimum(Y0 - rows // 2 + rows, ROWS)
        change.append((before[end] - before[first]) / rows)
        weight.append((area[end, end] - area[first, end] - area[end, first] + area[first, first]) / rows**2)
    return np.stack(change).astype(np.float32), np.stack(weight).astype(np.float32)
