"""Across: how well each row goes on in the next one, in its place and shifted; and how bands of rows sway.

Both are normalised cross-correlations of gradients along the rows, for all rows and all shifts at once by
Fourier transforms. A gradient is divided by its own size plus SOFT, so that one strong edge cannot outvote
the width and noise counts little. With the correlation r0 in place and r1 at the best shift, log((1 - r0) /
(1 - r1)) is the logarithm of what is left unexplained: what the shift explains.

Across a tear the rows go on only when shifted. A band that is displaced by another amount in each frame, or
in some frames only, also sways against the rows above it: its motion from frame to frame is another one.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import median_of_few, top_mean

SOFT = 8.0  # levels of gradient: weaker ones are noise
FLOOR = 2.0  # energy that a row must have to say anything
LEFT = 0.05  # of 1 - r: what even a perfect shift leaves
REACH, STILL = 36, 1  # px: shifts that are tried, and those that a slanted line makes
RIVALS = (-8, -7, -6, -5, -4, -3, 3, 4, 5, 6, 7, 8)  # rows whose own gain is subtracted
AROUND = (-7, -6, -5, -4, 4, 5, 6, 7)  # rows that say how well rows of this clip go on
BAND, SWAY = 6, 20  # rows that sway together; px a frame
FAR = (*range(-14, -7), *range(8, 15))
SOME = 0.2  # share of the frames in which a band sways: at the least where the fault begins and ends

Spectra = NDArray[np.float32]


def gradients(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(t, h, w) in -1..1: change along each row, strong ones cut."""
    slope = np.zeros(luma.shape, np.float32)
    for frame, out in zip(luma, slope, strict=True):  # one by one they stay in the processor's cache
        level = frame.astype(np.float32)
        change = level[:, 2:] - level[:, :-2]
        np.divide(change, np.abs(change) + SOFT, out=out[:, 1:-1])
    return slope


def spectra(slope: NDArray[np.float32]) -> Spectra:
    """(t, h, w): Fourier transform of each row, in OpenCV's packed format."""
    return cv2.dft(slope.reshape(-1, slope.shape[2]), flags=cv2.DFT_ROWS).reshape(slope.shape)


def correlations(first: Spectra, second: Spectra) -> NDArray[np.float32]:
    """(n, w), (n, w) -> (n, w): products of the rows, the second moved left by each shift (circular)."""
    return cv2.idft(multiplied(first, second), flags=cv2.DFT_ROWS | cv2.DFT_SCALE)


def multiplied(first: Spectra, second: Spectra) -> Spectra:
    """The spectrum of the rows' correlation."""
    return cv2.mulSpectrums(
        np.ascontiguousarray(second), np.ascontiguousarray(first), cv2.DFT_ROWS, conjB=True
    )


def unexplained(correlation: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 - r, never 0."""
    return np.maximum(1.0 - correlation, 0.0) + LEFT


def shift_profile(slope: NDArray[np.float32], rows: Spectra, gap: int = 0) -> NDArray[np.floating]:
    """(h,): what a shift explains at each boundary beyond the rows around, in log units.

    gap: rows left out on either side of the boundary: a tear may be blended over one row.
    """
    t, h, w = slope.shape
    lag, still, reach = 1 + 2 * gap, STILL + gap, min(REACH, w // 4)
    scale = scales(slope, lag)
    gain = np.zeros((t, h), np.float32)
    for i in range(t):  # frame by frame, all stays in the processor's cache
        product = correlations(rows[i, :-lag], rows[i, lag:])
        kept = largest(product, (0, still + 1), (w - still, w)) / scale[i]
        moved = largest(product, (still + 1, reach + 1), (w - reach, w - still)) / scale[i]
        gain[i, 1 + gap : h - gap] = np.log(unexplained(kept) / unexplained(moved))
    rivals = np.max([np.roll(gain, k, axis=1) for k in RIVALS], axis=0)
    return top_mean(gain - np.maximum(rivals, 0.0))


def largest(values: NDArray[np.float32], *spans: tuple[int, int]) -> NDArray[np.float32]:
    """(n, w) -> (n,): the largest value of each row in these spans of columns."""
    parts = [cv2.reduce(values[:, a:b], 1, cv2.REDUCE_MAX)[:, 0] for a, b in spans]
    return np.maximum.reduce(parts)


def goes_on_profile(slope: NDArray[np.float32]) -> NDArray[np.floating]:
    """(h,): how well the rows around each boundary go on (-1..1): in noise no shift proves anything."""
    t, h, _ = slope.shape
    goes_on = np.zeros((t, h), np.float32)
    goes_on[:, 1:] = (slope[:, :-1] * slope[:, 1:]).sum(-1) / scales(slope, 1)
    return median_of_few(np.stack([np.roll(goes_on, k, axis=1) for k in AROUND])).mean(0)


def scales(slope: NDArray[np.float32], lag: int) -> NDArray[np.float32]:
    """(t, h - lag): what makes a correlation of the product of rows y and y + lag."""
    energy = (slope * slope).sum(-1) + FLOOR
    return np.sqrt(energy[:, :-lag] * energy[:, lag:])


def sway_profile(slope: NDArray[np.float32], rows: Spectra, pairs: NDArray[np.intp]) -> NDArray[np.floating]:
    """(h,): how differently the BAND rows below and above each boundary move, beyond the rows farther off.

    pairs: (n,) indices i of frames with i + 1 the next one of the clip. Log units: of the two bands the one
    that the other's motion explains better.
    """
    _, h, w = slope.shape
    if not len(pairs) or h < 4 * BAND:
        return np.zeros(h)
    energy = cv2.blur((slope * slope).sum(-1), (BAND, 1), anchor=(0, 0)) * BAND + FLOOR * BAND
    reach = min(SWAY, w // 4)
    sways = np.zeros((len(pairs), h), np.float32)
    y = np.arange(BAND, h - BAND + 1)
    for n, i in enumerate(pairs):
        joint = cv2.blur(multiplied(rows[i], rows[i + 1]), (1, BAND), anchor=(0, 0))  # mean of y..y+BAND-1
        product = BAND * cv2.idft(joint, flags=cv2.DFT_ROWS | cv2.DFT_SCALE)
        product = np.concatenate([product[:, w - reach :], product[:, : reach + 1]], axis=1)
        left = unexplained(product / np.sqrt(energy[i] * energy[i + 1])[:, None])
        best, least = left.argmin(1), left.min(1)
        below = left[y, best[y - BAND]] / least[y]
        above = left[y - BAND, best[y]] / least[y - BAND]
        sways[n, y] = np.log(np.minimum(below, above))
    swaying = top_mean(sways, share=SOME)
    return swaying - np.max([np.roll(swaying, k) for k in FAR], axis=0)
