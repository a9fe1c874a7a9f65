"""Desynchronised band: from some row on, the picture belongs to another frame.

Idea: where the band begins, the step from one row to the next is too large by exactly what the upper row has
changed since that other frame. So the step, less what the rows around lead one to expect, is compared with
that change: at the line taking the change away leaves less, elsewhere it leaves more. At the edge of a panel
it makes no difference; a camera that moves upwards or downwards makes one at every row, so only a row that
stands out from those around it is a line.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import median_of_few, sampled, top_mean, worst_frames

LAGS = (1, 2, 4, 8)
FRAMES = 12  # are compared with others
SEGMENTS, POINTS = 8, 128  # parts of the width; a row is looked at in so many points
MIDDLE = np.float32(128)  # levels: products of smaller numbers are more exact
NOISE = 2.0  # squared levels: what compression leaves
CAP = 4.0  # a part of the width cannot say more than this
MARGIN = 10
CANDIDATES = 24  # rows of each lag that are compared with those around
AROUND = (-8, -7, -6, -5, -4, -3, 3, 4, 5, 6, 7, 8)
RIVAL = -2  # of them in order: one of the rows around may be the line itself, blended


def find_desync(evidence: Evidence) -> Finding:
    """Raw evidence: how much of the unexpected step the best other frame explains, over the rows around."""
    t, h, w = evidence.luma.shape
    if t < 3 or h < 64 or w < POINTS:
        return Finding(raw=0.0)
    rows = cv2.resize(evidence.luma.reshape(t * h, w), (POINTS, t * h), interpolation=cv2.INTER_AREA)
    luma = rows.reshape(t, h, POINTS).transpose(0, 2, 1).astype(np.float32, order="C") - MIDDLE
    picked = sampled(t, FRAMES)
    comparison = compared(luma, picked)
    gains = [lag_gain(comparison, lag) for lag in signed_lags(t)]
    by_lag = np.stack([top_mean(gain) for gain in gains])
    by_row = by_lag.max(0)
    y = int(np.argmax(by_row))
    best = int(np.argmax(by_lag[:, y]))
    raw = float(by_row[y])
    return Finding(
        raw=raw,
        rows=(y, h - 1),
        frames=tuple(int(picked[i]) for i in worst_frames(gains[best][:, y], 0.6 * raw)),
        profile=tuple(np.maximum(by_row, 0).tolist()),
    )


def signed_lags(frames: int) -> tuple[int, ...]:
    """The lags that a clip of this length allows, both ways."""
    return tuple(sign * lag for lag in LAGS if lag < frames - 1 for sign in (1, -1))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the frames at `picked` are compared with others by.

    before: (t, points, h) the row above each row, of all frames. goes_on: (picked, points, h) that and the
    surprise. energy: (picked, segments, h) of the surprise; usual: of the rows around. own, other:
    (picked, segments, h) and (t, segments, h), what does not depend on the pair.
    """

    picked: NDArray[np.intp]
    before: NDArray[np.float32]
    goes_on: NDArray[np.float32]
    energy: NDArray[np.float32]
    usual: NDArray[np.float32]
    own: NDArray[np.float32]
    other: NDArray[np.float32]


def compared(luma: NDArray[np.float32], picked: NDArray[np.intp]) -> Comparison:
    """luma: (t, points, h)."""
    surprise = unexpected_steps(luma[picked])
    energy = parts(surprise, surprise)
    before = np.zeros_like(luma)
    before[:, :, 1:] = luma[:, :, :-1]
    goes_on = before[picked]
    goes_on += surprise
    return Comparison(
        picked=picked,
        before=before,
        goes_on=goes_on,
        energy=energy,
        usual=median_of_few(np.stack([np.roll(energy, k, axis=2) for k in AROUND])),
        own=energy - parts(goes_on, goes_on),
        other=parts(before, before),
    )


def parts(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, points, h), twice -> means of their products (n, segments, h)."""
    shape = (len(one), SEGMENTS, POINTS // SEGMENTS, one.shape[2])
    sums = np.einsum("nsph,nsph->nsh", one.reshape(shape), other.reshape(shape))
    return np.asarray(sums * np.float32(SEGMENTS / POINTS))


def unexpected_steps(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, points, h): step into each row, less the mean of the steps before and after it."""
    weights = np.array([[0.5, -1.5, 1.5, -0.5]], np.float32)  # of rows y - 2 to y + 1
    surprise = cv2.filter2D(luma.reshape(-1, luma.shape[2]), -1, weights, anchor=(2, 0)).reshape(luma.shape)
    surprise[:, :, :2] = 0.0
    surprise[:, :, -1] = 0.0
    return surprise


def lag_gain(those: Comparison, lag: int) -> NDArray[np.float32]:
    """(picked, h): what the change since frame i - lag explains of the surprise at the clearest rows."""
    h = those.before.shape[2]
    source = those.picked - lag
    valid = (source >= 0) & (source < len(those.before))
    source, energy = source[valid], those.energy[valid]
    # |surprise|^2 - |surprise + change|^2, where the change is that of the row above, multiplied out.
    explained = those.own[valid] - those.other[source]
    explained += 2 * parts(those.goes_on[valid], those.before[source])
    # At the edge of a panel the surprise is large and another frame explains little of it.
    share = np.maximum(explained, 0.0) / (energy + NOISE)
    sure = np.clip(explained / (those.usual[valid] + NOISE), -CAP, CAP)
    sure = np.where(sure > 0, sure * share, sure).mean(1)
    inner = np.arange(MARGIN, h - MARGIN)
    rows = inner[np.argsort(top_mean(sure)[inner])[-CANDIDATES:]]
    around = np.sort(sure[:, rows[:, None] + np.array(AROUND)], axis=2)[:, :, RIVAL]
    gain = np.zeros((len(valid), h), np.float32)
    gain[np.ix_(valid, rows)] = sure[:, rows] - np.maximum(around, 0.0)
    return gain
