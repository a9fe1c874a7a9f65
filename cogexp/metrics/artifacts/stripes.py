"""Stripes: lines across the whole width in a band near the bottom (or down it, see upright.py; or rows from
elsewhere, see covered.py).

Idea: a stripe is the same across the whole width, texture is not. So the mean over the width takes texture
away and leaves the wave: in the rows at the bottom one period stands out, in amplitude beyond what the parts
of the width differ by, beyond the clip's other bands, and beyond the other periods (the edge of a panel has
all of them). Lines of text make waves as well, but only in the brighter or in the darker pixels of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.covered import covered_rows
from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import over_width, split_row, top_mean, worst_frames
from cogexp.metrics.artifacts.upright import upright_rows, upright_wave

SMALLEST = 96  # px: in smaller pictures chance alone makes lines alike
SEGMENTS = 16
FARTHEST = 40.0  # levels: a larger step is an edge, and counts for no more
CAP, SHARED_NOISE = 8.0, 0.35  # levels of a step that the width shares
BANDS = (12, 16, 22, 30, 42)  # rows of 288 that a band of stripes may have
SHORTEST, DEEPEST = 6, 0.24  # rows; share of the height
ABOVE = 16  # rows above that, to see where the stripes begin
OTHERS = 0.8  # of the height: the clip's other bands lie above
PERIODS = np.geomspace(3.4, 18, 20)  # px
CYCLES = 1.4  # of a period that a band must hold
NOISE = 0.3  # levels
DARK, BRIGHT = 0.2, 0.8  # quantiles of a row's pixels
TEXT = 1.5  # the wave of both quantiles may be so much weaker than that of the mean
# Weights rounded from a logistic regression (as good on sources left out); beyond ENOUGH more says no more.
ENOUGH = 2.2
AT_MOST, BEYOND = 3.0, 2.0  # where the other bands wave as much, however clear the wave is: a wall, blinds
ALIKE, UNLIKE_OTHERS, ONE_PERIOD, NO_TEXT = 1.0, 0.5, 1.6, 3.0


@dataclass(frozen=True, kw_only=True)
class Waves:
    """Measures of a band at the bottom, logs by frame and period (t, F).

    alike: amplitude over what the parts of the width differ by. others: over that of the clip's other bands.
    single: over the median of all periods. text: 0 when dark and bright pixels wave alike, down to -4.
    """

    alike: NDArray[np.floating]
    others: NDArray[np.floating]
    single: NDArray[np.floating]
    text: NDArray[np.floating]

    def evidence(self) -> NDArray[np.floating]:
        """(t, F)."""
        total = (
            ALIKE * np.minimum(self.alike, ENOUGH)
            + UNLIKE_OTHERS * np.minimum(self.others, ENOUGH)
            + ONE_PERIOD * np.minimum(self.single, ENOUGH)
            + NO_TEXT * self.text
        )
        return np.minimum(total, AT_MOST + BEYOND * self.others)


def find_stripes(evidence: Evidence) -> Finding:
    """Raw evidence: weighted sum of logs (about -2..7, upright stripes up to 16)."""
    picked, luma = evidence.few
    _, h, w = luma.shape
    if h < SMALLEST or w < SMALLEST:
        return Finding(raw=0.0)
    level = cv2.resize(luma.reshape(-1, w), (SEGMENTS, len(picked) * h), interpolation=cv2.INTER_AREA)
    step = np.zeros((len(picked), h, SEGMENTS), np.float32)
    step[:, 1:] = np.diff(level.reshape(len(picked), h, SEGMENTS).astype(np.float32), axis=1)
    by_band = [waves.evidence() for waves in waves_by_band(luma, step)]
    lying = max(by_band, key=lambda each: float(top_mean(each).max()))
    best = int(np.argmax(top_mean(lying)))
    raw = float(top_mean(lying)[best])
    upright, covered = upright_wave(luma), covered_rows(luma, step)
    if covered.raw > max(raw, upright.raw):
        frames = tuple(int(picked[i]) for i in covered.frames)
        profile = np.maximum(covered.peak, 0.0)
        profile[: covered.row] = 0.0
        return Finding(
            raw=covered.raw, rows=(covered.row, h - 1), frames=frames, profile=tuple(profile.tolist())
        )
    if upright.raw > raw:
        row, level = upright_rows(luma, upright)
        frames = tuple(int(picked[i]) for i in upright.frames)
        return Finding(raw=upright.raw, rows=(row, h - 1), frames=frames, profile=tuple(level.tolist()))
    hit = worst_frames(lying[:, best], 0.6 * raw)
    starts = np.arange(h - int(DEEPEST * h), h - SHORTEST)
    first = int(starts[0]) - ABOVE
    shared = shared_steps(step[list(hit), first:])
    profile = np.zeros(h)
    profile[starts[0] :] = shared[ABOVE:]
    return Finding(
        raw=raw,
        rows=(first + split_row(np.log(shared + SHARED_NOISE), starts - first), h - 1),
        frames=tuple(int(picked[i]) for i in hit),
        profile=tuple(profile.tolist()),
    )


def shared_steps(step: NDArray[np.float32]) -> NDArray[np.floating]:
    """(n, h, parts) -> (h,): size of the step into each row that all parts share, at most CAP levels.

    Mean over the frames.
    """
    shared, _ = over_width(step)
    return np.asarray(np.minimum(shared, CAP).mean(0))


def waves_by_band(luma: NDArray[np.uint8], step: NDArray[np.float32]) -> list[Waves]:
    """luma: (t, h, w). step: (t, h, parts), from the row before into each row."""
    h = luma.shape[1]
    sizes = [round(rows / 288 * h) for rows in BANDS]
    step = step.clip(-FARTHEST, FARTHEST)
    mean = step.mean(2)
    dark, bright = quantile_steps(luma[:, h - max(sizes) - 1 :])
    found = []
    for size in sizes:
        periods = PERIODS[size >= CYCLES * PERIODS]
        if not len(periods):
            continue
        kernel = wave_kernel(size, periods)
        starts = np.arange(1, int(OTHERS * h) - size, max(4, size // 3))
        others = np.abs(np.stack([mean[:, y : y + size] for y in starts], axis=1) @ kernel)
        parts = np.swapaxes(step[:, h - size :], 1, 2) @ kernel  # (t, parts, F)
        whole = parts.mean(1)
        size_of = np.abs(whole)
        spread = np.sqrt((np.abs(parts - whole[:, None]) ** 2).sum(1) / (SEGMENTS - 1) / SEGMENTS)
        turn = whole.conj() / (size_of + 1e-6)
        weaker = np.minimum(
            *(((each[:, len(each[0]) - size :] @ kernel) * turn).real for each in (dark, bright))
        )
        kept = np.minimum(size_of, TEXT * np.maximum(weaker, 0.0))
        amplitude = np.log(size_of + NOISE)
        found.append(
            Waves(
                alike=amplitude - np.log(2 * spread + NOISE),
                others=amplitude - np.log(np.quantile(others, 0.95, axis=1) + NOISE),
                single=amplitude - np.log(np.median(size_of, axis=1, keepdims=True) + NOISE),
                text=np.log(kept + NOISE) - amplitude,
            )
        )
    return found


def quantile_steps(band: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(t, n + 1, w) -> twice (t, n): steps from row to row of the dark and of the bright pixels' level."""
    ordered = np.sort(band[:, :, 2::4], axis=2)
    count = ordered.shape[2]
    dark, bright = (
        np.diff(ordered[:, :, int(share * count)].astype(np.float32), axis=1) for share in (DARK, BRIGHT)
    )
    return dark, bright


def wave_kernel(size: int, periods: NDArray[np.floating]) -> NDArray[np.complex64]:
    """(size, F): what rows of a band are multiplied by for the amplitude at each period."""
    rows = np.arange(size)[:, None]
    window = np.sin(np.pi * (rows + 0.5) / size)
    return (2 * window / window.sum() * np.exp(-2j * np.pi * rows / periods)).astype(np.complex64)
