"""Slip: how far each row is displaced against the one above it, from gradients.

Lucas and Kanade's estimate in one dimension: the step between two rows is the gradient along them times the
displacement. It sees the small displacements in soft pictures for which a search over whole shifts finds no
clear minimum, and fails for large ones in sharp pictures, where that search is sure.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.rows import median_of_few, sampled, top_mean

FRAMES = 8  # of the given ones are looked at
SEGMENTS = 8
TREND = (-6, -5, -4, -3, 3, 4, 5, 6)  # rows around: slanted structures slip in all of them
RIVALS = tuple(range(-9, -2)) + tuple(range(3, 10))
FLAT = 2.0  # squared levels of gradient: below, a segment says nothing
NOISE = 0.15  # px
MARGIN = 8


def slip_evidence(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h,): log of the displacement that three quarters of the width share at a row, over the rows around."""
    h = luma.shape[1]
    local = slips(luma[sampled(len(luma), FRAMES)])  # (t, h - 1, segments)
    local -= median_of_few(np.stack([np.roll(local, k, axis=1) for k in TREND]))
    ordered = np.sort(local, axis=2)
    low, high = ordered[:, :, SEGMENTS // 4], ordered[:, :, -1 - SEGMENTS // 4]
    to_right, to_left = top_mean(np.maximum(low, 0.0)), top_mean(np.maximum(-high, 0.0))
    shared = np.maximum(to_right, to_left)
    around = np.max([np.roll(shared, k) for k in RIVALS], axis=0)
    evidence = np.zeros(h, np.float32)
    evidence[1:] = np.log((shared + NOISE) / (around + NOISE))
    evidence[:MARGIN] = evidence[h - MARGIN :] = 0
    return evidence


def slips(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h - 1, segments): displacement in px of each row against the one above it."""
    t, h, w = luma.shape
    inner = (w - 2) // SEGMENTS * SEGMENTS
    local = np.empty((t, h - 1, SEGMENTS), np.float32)
    # Arrays that are used again: new ones of this size cost more than what is computed in them.
    along, gradient, step = (np.empty((rows, inner), np.float32) for rows in (h, h - 1, h - 1))
    for i, frame in enumerate(luma):
        cv2.subtract(frame[:, 2 : 2 + inner], frame[:, :inner], dst=along, dtype=cv2.CV_32F)
        cv2.subtract(frame[1:, 1 : 1 + inner], frame[:-1, 1 : 1 + inner], dst=step, dtype=cv2.CV_32F)
        np.add(along[1:], along[:-1], out=gradient)  # four times the gradient
        product, energy = in_segments(gradient, step) / 4, in_segments(gradient, gradient) / 16
        own = in_segments(along, along) / 4 + FLAT
        # A bar or a panel has no texture that could be displaced against the picture's.
        alike = np.minimum(own[1:], own[:-1]) / np.maximum(own[1:], own[:-1])
        local[i] = alike * product / (energy + FLAT)
    return local


def in_segments(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w), twice -> (h, segments) means of their products."""
    part = one.shape[1] // SEGMENTS
    shape = (len(one), SEGMENTS, part)
    return np.asarray(np.einsum("hsp,hsp->hs", one.reshape(shape), other.reshape(shape)) / np.float32(part))
