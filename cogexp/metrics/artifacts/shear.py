"""Shear: from some row (or column) on, the picture is displaced along it.

Idea: across the tear the rows differ, and a sideways shift explains the difference, in several parts of the
width at once. Rows that merely differ (a horizon, a letterbox, a subtitle) are not explained by a shift; a
slanted texture is, but then the rows above and below are so as well and their gain is subtracted.

Several measures of that are added for each row, with weights found by logistic regression across sources:
the shift search of shift.py, the correlation and the sway of across.py, the slip of slip.py, black that is
left at the side (vacated.py), and the size of the step: a tear steps as far as its texture does, the edge of
a panel steps farther.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.across import GAPS, across, goes_on_profile, shift_profile, sway_profile
from cogexp.metrics.artifacts.evidence import (
    Evidence,
    Finding,
    in_pairs,
    median_of_few,
    row_steps,
    top_mean,
    worst_frames,
)
from cogexp.metrics.artifacts.shift import shift_gain
from cogexp.metrics.artifacts.slip import slip_evidence
from cogexp.metrics.artifacts.vacated import vacated_profile

ROW_FRAMES, COLUMN_FRAMES = 12, 6  # of a clip are looked at
CANDIDATES = 8  # rows with the clearest evidence, for the shift search
AROUND = (-6, -5, -4, -3, 3, 4, 5, 6)
NOISE = 1.0  # levels of a step
MARGIN = 8
BAND_SHARE = 0.75  # a second line this strong is the other end of the band

# Weights beside the shift search's 1. A step up to 1 (log) above those around is what a tear makes.
SHARP, BLENDED, SLIP, SWAY, GOES_ON = 0.25, 0.2, 0.15, 0.22, 0.2
STEP, PANEL, VACATED = 0.1, 0.5, 0.12


def find_shear(evidence: Evidence) -> Finding:
    """Rows displaced sideways.

    Raw evidence: sum of the measures, mainly logs of what is left without and with the best shift (-1..3).
    """
    luma = evidence.luma
    picked = in_pairs(len(luma), ROW_FRAMES)
    found = line_evidence(luma[picked], picked, VACATED * vacated_profile(luma[picked]))
    if found is None:
        return Finding(raw=0.0)
    rows, frames, raw = found
    first, last = band(rows, raw, luma.shape[1])
    return Finding(
        raw=float(raw.max()),
        rows=(first, last),
        frames=frames,
        profile=profile_of(rows, raw, luma.shape[1]),
    )


def find_vertical_shear(evidence: Evidence) -> Finding:
    """Columns displaced up or down. Raw evidence as for rows."""
    luma = evidence.luma
    picked = in_pairs(len(luma), COLUMN_FRAMES)
    turned = np.ascontiguousarray(luma[picked].transpose(0, 2, 1))
    found = line_evidence(turned, picked, 0.0)
    if found is None:
        return Finding(raw=0.0)
    columns, frames, raw = found
    best = int(np.argmax(raw))
    return Finding(
        raw=float(raw[best]),
        rows=(0, luma.shape[1] - 1),
        columns=(int(columns[best]), luma.shape[2] - 1),
        frames=frames,
    )


def line_evidence(
    luma: NDArray[np.uint8], picked: NDArray[np.intp], extra: NDArray[np.floating] | float
) -> tuple[NDArray[np.intp], tuple[int, ...], NDArray[np.floating]] | None:
    """Candidate rows (K,), the frames in which the best one is seen, evidence of the clip (K,).

    picked: (t,) which frames of the clip these are. extra: (h,) evidence that is added.
    None for a picture too small to say.
    """
    _, h, w = luma.shape
    if h < 40 or w < 96:
        return None
    profile = dense_evidence(luma, picked) + extra
    rows = np.sort(np.argsort(profile)[-CANDIDATES:])
    gains = np.stack([shift_gain(luma, rows, gap) for gap in GAPS], axis=1)  # (t, gaps, K)
    raw = np.maximum(top_mean(gains).max(0), 0.0) + profile[rows]
    best = int(np.argmax(raw))
    seen = worst_frames(gains[:, :, best].max(1), 0.6 * float(raw[best]))
    return rows, tuple(int(picked[i]) for i in seen), raw


def dense_evidence(luma: NDArray[np.uint8], picked: NDArray[np.intp]) -> NDArray[np.floating]:
    """(h,): all measures but the shift search, for every row; -inf at the upper and lower edge."""
    rows = across(luma, np.flatnonzero(np.diff(picked) == 1))
    step = step_excess(luma)
    profile = (
        SHARP * shift_profile(rows.gains[0]).clip(-0.5, 2.0)
        + BLENDED * shift_profile(rows.gains[1]).clip(-0.5, 2.0)
        + SLIP * near_best(slip_evidence(luma)).clip(-0.2, 3.0)
        + SWAY * sway_profile(rows.sways).clip(-0.5, 2.0)
        + GOES_ON * goes_on_profile(rows.goes_on)
        + STEP * np.minimum(step, 1.0)
        - PANEL * np.maximum(step - 1.0, 0.0)
    )
    profile[: MARGIN + 1] = profile[len(profile) - MARGIN :] = -np.inf
    return profile


def near_best(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h,): the best of each row and its two neighbours: a blended line slips over two rows."""
    return np.asarray(np.max([np.roll(evidence, k) for k in (-1, 0, 1)], axis=0), dtype=np.float32)


def step_excess(luma: NDArray[np.uint8]) -> NDArray[np.floating]:
    """(h,): log of the step into each row over that into the rows around."""
    steps = row_steps(luma)
    around = median_of_few(np.stack([np.roll(steps, k, axis=1) for k in AROUND]))
    return top_mean(np.log((steps + NOISE) / (around + NOISE)))


def band(rows: NDArray[np.intp], raw: NDArray[np.floating], height: int) -> tuple[int, int]:
    """First and last row of what is displaced: to the second line where there is one, else to the bottom."""
    best = int(np.argmax(raw))
    others = [k for k in range(len(rows)) if abs(int(rows[k]) - int(rows[best])) >= 6]
    if others:
        second = max(others, key=lambda k: float(raw[k]))
        if raw[second] > max(BAND_SHARE * float(raw[best]), 0.15):
            return int(min(rows[best], rows[second])), int(max(rows[best], rows[second])) - 1
    return int(rows[best]), height - 1


def profile_of(rows: NDArray[np.intp], raw: NDArray[np.floating], height: int) -> tuple[float, ...]:
    """(h,) evidence by row: that of the candidates, 0 elsewhere."""
    profile = np.zeros(height)
    np.maximum.at(profile, rows, np.maximum(raw, 0))
    return tuple(profile.tolist())
