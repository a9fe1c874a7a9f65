"""Across: how well each row goes on in the next one, in its place and shifted; and how bands of rows sway.

Both are normalised cross-correlations of gradients along the rows, for all rows and all shifts at once by
Fourier transforms. A gradient is divided by its own size plus SOFT, so that one strong edge cannot outvote
the width and noise counts little. With the correlation r0 in place and r1 at the best shift, log((1 - r0) /
(1 - r1)) is the logarithm of what is left unexplained: what the shift explains.

Across a tear the rows go on only when shifted. A band that is displaced by another amount in each frame, or
in some frames only, also sways against the rows above it: its motion from frame to frame is another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.rows import median_of_few, top_mean

SOFT = 8.0  # levels of gradient: weaker ones are noise
FLOOR = 2.0  # energy that a row must have to say anything
LEFT = 0.05  # of 1 - r: what even a perfect shift leaves
REACH, STILL = 36, 1  # px: shifts that are tried, and those that a slanted line makes
RIVALS = (-8, -7, -6, -5, -4, -3, 3, 4, 5, 6, 7, 8)  # rows whose own gain is subtracted
AROUND = (-7, -6, -5, -4, 4, 5, 6, 7)  # rows that say how well rows of this clip go on
BAND, SWAY = 6, 20  # rows that sway together; px a frame
FAR = (*range(-14, -7), *range(8, 15))
GAPS = (0, 1)  # rows left out on either side of a boundary: a tear may be blended over one row
SOME = 0.2  # share of the frames in which a band sways: at the least where the fault begins and ends

Packed = NDArray[np.float32]


class Rows:
    """The rows of one frame. Its arrays are used again for the next frame but one.

    slope: (h, w) in -1..1, the change along each row, strong ones cut. spectrum, conjugate: (h, w) its
    Fourier transform by row in OpenCV's packed format, and the complex conjugate. energy: (h,) sum of the
    slope's squares, and FLOOR.
    """

    def __init__(self, h: int, w: int) -> None:
        self.slope, self.spectrum, self.conjugate = np.zeros((3, h, w), np.float32)
        self.change, self.size = np.empty((2, h, w - 2), np.float32)
        self.energy = np.zeros(h, np.float32)

    def take(self, frame: NDArray[np.uint8]) -> None:
        """frame: (h, w) luma."""
        cv2.subtract(frame[:, 2:], frame[:, :-2], dst=self.change, dtype=cv2.CV_32F)
        np.abs(self.change, out=self.size)
        self.size += SOFT
        np.divide(self.change, self.size, out=self.slope[:, 1:-1])
        cv2.dft(self.slope, dst=self.spectrum, flags=cv2.DFT_ROWS)
        self.conjugate[:, (0, -1)] = self.spectrum[:, (0, -1)]
        np.conjugate(paired(self.spectrum), out=paired(self.conjugate))
        np.einsum("hw,hw->h", self.slope, self.slope, out=self.energy)
        self.energy += FLOOR


@dataclass(frozen=True, kw_only=True)
class Across:
    """What the rows of t frames say about each other, see the functions below.

    goes_on: (t, h), correlation of each row with the one above. gains: gap -> (t, h), see `shift_gain`.
    sways: (pairs of frames, h), see `sway`.
    """

    goes_on: NDArray[np.float32]
    gains: dict[int, NDArray[np.float32]]
    sways: NDArray[np.float32]


def across(luma: NDArray[np.uint8], pairs: NDArray[np.intp]) -> Across:
    """luma: (t, h, w). pairs: indices i of frames with i + 1 the next one of the clip."""
    t, h, w = luma.shape
    goes_on = np.zeros((t, h), np.float32)
    gains = {gap: np.zeros((t, h), np.float32) for gap in GAPS}
    sways: list[NDArray[np.float32]] = []
    # One frame at a time, in arrays that are used again, so that all stays in the processor's cache.
    before, rows, product = Rows(h, w), Rows(h, w), np.zeros((h, w), np.float32)
    correlation = np.zeros((h, w), np.float32)
    for i, frame in enumerate(luma):
        before, rows = rows, before
        rows.take(frame)
        for gap in GAPS:
            lag = 1 + 2 * gap
            multiplied(rows.spectrum[lag:], rows.conjugate[:-lag], product[lag:])
            correlated(product[lag:], correlation[lag:])
            scale = np.sqrt(rows.energy[:-lag] * rows.energy[lag:])
            gains[gap][i, 1 + gap : h - gap] = shift_gain(correlation[lag:], scale, STILL + gap)
            if lag == 1:
                goes_on[i, 1:] = correlation[1:, 0] / scale
        if i - 1 in pairs:
            multiplied(rows.spectrum, before.conjugate, product)
            sways.append(sway(before, rows, product, correlation))
    return Across(goes_on=goes_on, gains=gains, sways=np.reshape(sways, (-1, h)))


def paired(packed: Packed) -> NDArray[np.complex64]:
    """(n, w) -> (n, (w - 1) // 2): the complex part of the packed format, without its real ends."""
    w = packed.shape[1]
    return packed[:, 1 : w - 1 + w % 2].view(np.complex64)


def multiplied(first: Packed, second_conjugate: Packed, out: Packed) -> None:
    """Spectra of rows, one of them conjugate -> the spectrum of their correlation, (n, w) each."""
    np.multiply(paired(first), paired(second_conjugate), out=paired(out))
    for end in (0, -1)[: 2 - first.shape[1] % 2]:
        out[:, end] = first[:, end] * second_conjugate[:, end]


def correlated(product: Packed, out: NDArray[np.float32]) -> None:
    """Spectrum -> (n, w): sums of products of the rows, the first moved left by each shift (circular)."""
    cv2.idft(product, dst=out, flags=cv2.DFT_ROWS | cv2.DFT_SCALE)


def unexplained(correlation: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 - r, never 0."""
    return np.maximum(1.0 - correlation, 0.0) + LEFT


def shift_gain(
    correlation: NDArray[np.float32], scale: NDArray[np.float32], still: int
) -> NDArray[np.float32]:
    """(n, w), (n,) -> (n,): what a shift by more than `still` px explains, in log units."""
    w = correlation.shape[1]
    reach = min(REACH, w // 4)
    kept = largest(correlation, (0, still + 1), (w - still, w)) / scale
    moved = largest(correlation, (still + 1, reach + 1), (w - reach, w - still)) / scale
    return np.asarray(np.log(unexplained(kept) / unexplained(moved)))


def largest(values: NDArray[np.float32], *spans: tuple[int, int]) -> NDArray[np.float32]:
    """(n, w) -> (n,): the largest value of each row in these spans of columns."""
    parts = [cv2.reduce(values[:, a:b], 1, cv2.REDUCE_MAX)[:, 0] for a, b in spans]
    return np.maximum.reduce(parts)


def sway(one: Rows, other: Rows, product: Packed, correlation: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h,): how differently the BAND rows below and above each boundary move from one frame to the next.

    product: (h, w) spectrum of the correlation of their rows; it and what is in correlation (h, w) are lost.
    Log units: of the two bands the one that the other's motion explains better.
    """
    h, w = product.shape
    found = np.zeros(h, np.float32)
    if h < 4 * BAND:
        return found
    cv2.blur(product, (1, BAND), dst=correlation, anchor=(0, 0))  # mean of y..y+BAND-1
    correlated(correlation, product)
    reach = min(SWAY, w // 4)
    near = np.concatenate([product[:, w - reach :], product[:, : reach + 1]], axis=1)
    energy = [cv2.blur(rows.energy[:, None], (1, BAND), anchor=(0, 0)) for rows in (one, other)]
    left = unexplained(near / np.sqrt(energy[0] * energy[1]))
    best, least = left.argmin(1), left.min(1)
    y = np.arange(BAND, h - BAND + 1)
    below = left[y, best[y - BAND]] / least[y]
    above = left[y - BAND, best[y]] / least[y - BAND]
    found[y] = np.log(np.minimum(below, above))
    return found


def shift_profile(gain: NDArray[np.float32]) -> NDArray[np.floating]:
    """(t, h) -> (h,): what a shift explains at each boundary beyond the rows around."""
    rivals = np.max([np.roll(gain, k, axis=1) for k in RIVALS], axis=0)
    return top_mean(gain - np.maximum(rivals, 0.0))


def goes_on_profile(goes_on: NDArray[np.float32]) -> NDArray[np.floating]:
    """(t, h) -> (h,): how well the rows around each boundary go on (-1..1).

    In noise no shift proves anything.
    """
    return median_of_few(np.stack([np.roll(goes_on, k, axis=1) for k in AROUND])).mean(0)


def sway_profile(sways: NDArray[np.float32]) -> NDArray[np.floating]:
    """(pairs, h) -> (h,): how differently the rows below and above each boundary move, beyond those farther
    off."""
    if not len(sways):
        return np.zeros(sways.shape[1])
    swaying = top_mean(sways, share=SOME)
    return swaying - np.max([np.roll(swaying, k) for k in FAR], axis=0)
