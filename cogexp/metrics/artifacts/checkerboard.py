"""Checkerboard: a regular two-colour pattern, as transposed convolutions leave it.

Idea: a checkerboard of period P is one sharp line in the spectrum at (1/P, 1/P), and it stands still while
the picture moves. The mean of all frames is searched for lines that rise above the spectrum around them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding

PERIODS = (2, 4, 6, 8, 10, 12, 16)
HALF = 6  # spectrum bins around a line that it is compared with
FLOOR = 0.04  # levels: an amplitude that no screen shows


def find_checkerboard(evidence: Evidence) -> Finding:
    """Raw evidence: log of the line's amplitude over that of the spectrum around it (about 0..5)."""
    picture = evidence.mean_luma
    if min(picture.shape) < 4 * max(PERIODS):
        return Finding(raw=0.0)
    amplitude = spectrum(picture)
    best = max(line_strength(amplitude, period) for period in PERIODS)
    return Finding(raw=best, rows=(0, picture.shape[0] - 1))


def spectrum(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h', w') amplitudes in levels of the windowed picture, cut to multiples of 16 px."""
    h, w = (size // 16 * 16 for size in picture.shape)
    window = cv2.createHanningWindow((w, h), cv2.CV_32F)
    windowed = (picture[:h, :w] - picture[:h, :w].mean()) * window
    complex_planes = cv2.dft(windowed, flags=cv2.DFT_COMPLEX_OUTPUT)
    amplitude = cv2.magnitude(complex_planes[..., 0], complex_planes[..., 1])
    return np.asarray(amplitude * (2 / float(window.sum())), dtype=np.float32)


def line_strength(amplitude: NDArray[np.float32], period: int) -> float:
    """log(amplitude at (1/P, 1/P) / 90th percentile of the amplitudes around it)."""
    h, w = amplitude.shape
    rows = (round(h / period) + np.arange(-HALF, HALF + 1)) % h
    columns = (round(w / period) + np.arange(-HALF, HALF + 1)) % w
    around = amplitude[np.ix_(rows, columns)]
    middle = slice(HALF - 2, HALF + 3)
    line = float(around[HALF - 1 : HALF + 2, HALF - 1 : HALF + 2].max())
    outside = np.ones(around.shape, bool)
    outside[middle, middle] = False
    return float(np.log((line + FLOOR) / (np.percentile(around[outside], 90) + FLOOR)))
