"""Flicker: the whole picture becomes brighter and darker from frame to frame.

Idea: in every part of the picture the brightness changes by the same factor, and the change is taken back
in the next frame. A fade goes one way, a cut and a lamp that is switched or pulses change each part
differently, motion averages out over the parts, and a light in the scene (lightning, an explosion) changes
it by far more than a decoder does.

What speaks against a flicker makes it less rather than nothing: of two busy clips the one that flickers as
well must still rank higher.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import worst_frames

BLOCKS = (9, 16)
SPREAD = 0.15  # share of the blocks' spread that a common change must exceed
TAKEN_BACK, STRICT = (
    0.25,
    3,
)  # share of a change that is taken back; below it the evidence falls by this power
# A spread of log changes that only motion, a cut or a lamp makes, how often the common change must exceed it
# to be a flicker's all the same, and the weight of one that does not.
UNEVEN, EXCEEDS, UNEVEN_COUNTS = 0.05, 1.5, 0.05
LIGHT, LIGHT_COUNTS = 0.4, 0.1  # a common log change that only light in the scene makes, and its weight
LIGHT_LASTS, LIGHT_SPREAD = 2, 0.15  # frames before and after it; a change this uneven is a cut instead
DARK, BRIGHT = 16.0, 225.0  # levels: blocks beyond are cut off and say nothing about a factor


def find_flicker(evidence: Evidence) -> Finding:
    """Raw evidence: mean size of the largest taken-back brightness changes, in per cent, noise subtracted."""
    luma = evidence.luma
    if len(luma) < 3:
        return Finding(raw=0.0)
    change, spread = brightness_changes(luma)
    back = reversals(change, spread)
    raw = float(np.sort(back)[-max(1, len(back) // 6) :].mean()) * 100
    frames = tuple(i + 1 for i in worst_frames(back, 0.5 * float(back.max())))
    return Finding(raw=raw, rows=(0, luma.shape[1] - 1), frames=frames)


def brightness_changes(luma: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(t-1,) median over blocks of the log brightness change, and its median deviation over the blocks."""
    blocks = np.stack([cv2.resize(f, BLOCKS[::-1], interpolation=cv2.INTER_AREA) for f in luma])
    level = blocks.reshape(len(luma), -1).astype(np.float64)
    step = np.log(level[1:] + 1) - np.log(level[:-1] + 1)
    step[(np.minimum(level[1:], level[:-1]) < DARK) | (np.maximum(level[1:], level[:-1]) > BRIGHT)] = np.nan
    with np.errstate(all="ignore"):
        known = np.isfinite(step).sum(1) >= 8
        step[~known] = 0.0
        median = np.nanmedian(step, axis=1)
        spread = np.nanmedian(np.abs(step - median[:, None]), axis=1)
    return median, spread


def reversals(change: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """(t-2,): how much of the change into a frame is taken back on leaving it, beyond the blocks' spread."""
    sure = np.sign(change) * np.maximum(np.abs(change) - SPREAD * spread, 0.0) * weights(change, spread)
    into, out_of = np.abs(sure[:-1]), np.abs(sure[1:])
    less, more = np.minimum(into, out_of), np.maximum(into, out_of)
    # A cut followed by a slow change is no flicker: what is taken back must be of the size of what came.
    alike = np.minimum(less / np.maximum(more, 1e-9) / TAKEN_BACK, 1.0) ** STRICT
    return np.where(sure[:-1] * sure[1:] < 0, less * alike, 0.0)


def weights(change: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """(t-1,): 1 for a change that a flicker can make, less for cuts, lamps and light all over the scene."""
    size = np.abs(change)
    weight = np.where((spread > UNEVEN) & (size < EXCEEDS * spread), UNEVEN_COUNTS, 1.0)
    light = (size > LIGHT) & (spread < LIGHT_SPREAD)
    near = np.convolve(light, np.ones(2 * LIGHT_LASTS + 1), mode="full")[LIGHT_LASTS:][: len(size)] > 0
    return np.where(near, LIGHT_COUNTS * weight, weight)
