"""Lines in the latents themselves: a displaced or a smeared band that the denoiser left.

The decoder blends such a line over about eight rows of the picture, where no detector sees it; in the latents
it is sharp. From one latent row to the next the content goes on in its place: a shift along the row that
explains the next row far better is a shear, rows that repeat each other are a smear.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cogexp.tiles import SCALE

LEFT = 0.02  # of 1 - r: what even the right shift leaves
STILL = 1  # columns: content may be slanted by so much from row to row
DISPLACED = 0.25  # log of what is left in place over what the best shift leaves; clean latents: 0.14 at most
SAME = 0.05  # root mean square step in standard deviations of a channel; clean latents: 0.12 at least
REPEATED = 2  # steps in a row that a smear takes
SMALLEST = (8, 16)  # latent rows, columns


def torn_rows(latents: NDArray[np.float32]) -> tuple[int, int] | None:
    """(t, c, h, w) latents -> (first, last) row in pixels from the first line to the bottom, None without."""
    h, w = latents.shape[2:]
    if h < SMALLEST[0] or w < SMALLEST[1]:
        return None
    spread = latents.std(axis=(0, 2, 3), keepdims=True)
    plain = (latents - latents.mean(axis=(0, 2, 3), keepdims=True)) / np.maximum(spread, 1e-6)
    sheared, smeared = shear_line(plain), smear_line(plain)
    lines = [row for row in (sheared, smeared) if row is not None]
    return (SCALE * min(lines), SCALE * h - 1) if lines else None


def shear_line(plain: NDArray[np.float32]) -> int | None:
    """The latent row from which on (t, c, h, w) is displaced sideways, None when none is."""
    gain = shift_gain(plain)
    best = int(np.argmax(gain))
    return best + 1 if gain[best] >= DISPLACED else None


def shift_gain(plain: NDArray[np.float32]) -> NDArray[np.floating]:
    """(h - 1,): log of what is left of each row's step in place over what the best shift leaves."""
    w = plain.shape[3]
    rows = np.fft.rfft(plain, axis=3)
    energy = (plain * plain).sum((0, 1, 3)) + 1e-6
    product = np.fft.irfft((np.conj(rows[:, :, 1:]) * rows[:, :, :-1]).sum((0, 1)), n=w, axis=1)
    left = 1 - product / np.sqrt(energy[1:] * energy[:-1])[:, None] + LEFT
    far = np.minimum(np.arange(w), w - np.arange(w))
    return np.log(left[:, 0] / left[:, (far > STILL) & (far <= w // 4)].min(1))


def smear_line(plain: NDArray[np.float32]) -> int | None:
    """The latent row from which on the rows of (t, c, h, w) repeat each other, None when they do not."""
    step = np.sqrt(((plain[:, :, 1:] - plain[:, :, :-1]) ** 2).mean((0, 1, 3)))
    alike = np.lib.stride_tricks.sliding_window_view(step < SAME, REPEATED).all(1)
    return int(np.argmax(alike)) if alike.any() else None
