"""Stripes that run down: in a band at the bottom every row waves alike.

Idea: the mean over the band's rows takes texture away; in its spectrum along the row one line stands out
above its neighbours and above the same line in the clip's other bands (a fence goes on upwards), and the
band's parts agree in size and phase (letters of a ticker do not).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from cogexp.metrics.artifacts.rows import split_row, top_mean, worst_frames

STRIP = 6  # rows averaged into one part of a band
ABOVE = 16  # rows above the deepest band, to see where the wave begins
FEWEST, DEEPEST = 2, 0.2  # strips of a band; share of the height
SHORT, LONG = 3.0, 20.0  # px: periods
AROUND, GAP = 12, 2  # lines of the spectrum on either side: neighbours, and those that are the line's own
NOISE, LEAST = 0.25, 0.05  # levels
FENCE = 0.7  # so far beyond the other bands (a log) counts as not being there
# The common scale of both directions: what clean clips reach in one they reach in the other.
SLOPE, OFFSET = 6.0, -4.8


@dataclass(frozen=True, kw_only=True)
class UprightWave:
    """The clearest wave along the rows at the bottom.

    raw: evidence on the scale of stripes.py. line: of the spectrum. rows: the lowest ones, in which it is
    clearest. frames: indices of those that have it.
    """

    raw: float
    line: int
    rows: int
    frames: tuple[int, ...]


def upright_wave(luma: NDArray[np.uint8]) -> UprightWave:
    """luma: (t, h, w)."""
    _, h, w = luma.shape
    deep = int(DEEPEST * h / STRIP)
    strips = spectrum(averaged(luma, STRIP))  # (t, n, F)
    low, others = strips[:, -deep:], strips[:, :-deep]
    counts = np.arange(FEWEST, deep + 1)
    pairs = 0.5 * (others[:, 1:] + others[:, :-1])  # wherever a fence's or a wall's courses begin
    fours = 0.5 * (pairs[:, 2:] + pairs[:, :-2])
    usual = np.where(
        (counts < 4)[:, None], usual_lines(np.abs(pairs)), usual_lines(np.abs(fours))
    )  # (t, counts, F)
    share = (1 / counts[:, None]).astype(np.float32)
    whole = np.cumsum(low[:, ::-1], axis=1)[:, FEWEST - 1 :] * share  # (t, counts, F)
    power = np.cumsum(np.abs(low[:, ::-1]) ** 2, axis=1)[:, FEWEST - 1 :] * share
    size = np.abs(whole)
    line = np.log(size + NOISE)
    stands_out = line - np.log(neighbours(size) + NOISE)
    beyond = line - np.log(usual + NOISE)
    agreement = np.log((size + LEAST) / (np.sqrt(power) + 2 * LEAST))
    gain = np.minimum(stands_out, beyond + FENCE) + agreement
    inside = slice(*lines(w))
    by_line = top_mean(gain)[:, inside]
    best = int(np.argmax(by_line.max(1)))
    column = int(np.argmax(by_line[best]))
    raw = float(by_line[best, column])
    return UprightWave(
        raw=OFFSET + SLOPE * raw,
        line=inside.start + column,
        rows=int(counts[best]) * STRIP,
        frames=worst_frames(gain[:, best, inside.start + column], 0.6 * raw),
    )


def usual_lines(size: NDArray[np.floating]) -> NDArray[np.floating]:
    """(t, n, F) -> (t, 1, F): what nine of ten other bands stay below, in a line or beside it."""
    widest = cv2.dilate(size.reshape(-1, size.shape[2]), np.ones((1, 3))).reshape(size.shape)
    rank = int(0.9 * size.shape[1])
    return np.asarray(np.sort(widest, axis=1)[:, rank : rank + 1])


def lines(width: int) -> tuple[int, int]:
    """First and last + 1 line of the spectrum of `width` px that is a period of SHORT..LONG."""
    return int(np.ceil(width / LONG)), int(width / SHORT) + 1


def averaged(band: NDArray[np.uint8], rows: int) -> NDArray[np.float32]:
    """(t, h, w) -> (t, h // rows, w): means of `rows` rows each, from the bottom."""
    _, h, w = band.shape
    count = h // rows
    strips = [
        cv2.resize(frame[h - count * rows :], (w, count), interpolation=cv2.INTER_AREA) for frame in band
    ]
    return np.stack(strips).astype(np.float32)


def window_of(width: int) -> NDArray[np.float32]:
    """(width,) Hann, scaled so that a line has the amplitude of its wave."""
    window = np.hanning(width)
    return (2 * window / window.sum()).astype(np.float32)


def spectrum(strips: NDArray[np.float32]) -> NDArray[np.complex64]:
    """(t, n, w) -> (t, n, F): amplitude and phase of each line, in levels."""
    width = strips.shape[2]
    mean = strips.mean(2, keepdims=True)
    return np.asarray(rfft((strips - mean) * window_of(width), axis=2)[:, :, : lines(width)[1] + AROUND])


def neighbours(size: NDArray[np.floating]) -> NDArray[np.floating]:
    """(t, n, F): mean of the lines around each line."""
    flat = np.ascontiguousarray(size.reshape(-1, size.shape[2]))
    wide, own = (cv2.boxFilter(flat, -1, (2 * k + 1, 1), normalize=False) for k in (AROUND, GAP))
    return ((wide - own) / (2 * (AROUND - GAP))).reshape(size.shape)


def upright_rows(luma: NDArray[np.uint8], wave: UprightWave) -> tuple[int, NDArray[np.floating]]:
    """The row at which the wave begins; (h,) how much each row has of it, in levels, 0 far above."""
    _, h, w = luma.shape
    first = h - int(DEEPEST * h) - ABOVE
    band = luma[list(wave.frames), first:].astype(np.float32)
    window = window_of(w)
    turn = np.exp(-2j * np.pi * wave.line / w * np.arange(w))
    across = np.stack([window * turn.real, window * turn.imag], axis=1).astype(np.float32)
    real, imaginary = np.moveaxis((band - band.mean(2, keepdims=True)) @ across, 2, 0)
    by_row = real + 1j * imaginary  # (n, rows)
    phase = by_row[:, -wave.rows :].mean(1, keepdims=True)
    level = (by_row * phase.conj() / (np.abs(phase) + 1e-6)).real.mean(0)
    profile = np.zeros(h)
    profile[first:] = np.maximum(level, 0.0)
    return first + split_row(level, np.arange(ABOVE, len(level) - STRIP)), profile
