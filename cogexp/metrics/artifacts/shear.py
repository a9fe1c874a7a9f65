"""Shear: from some row (or column) on, the picture is displaced along it.

Idea: across the tear the rows differ, and a sideways shift explains the difference, in several parts of the
width at once. Rows that merely differ (a horizon, a letterbox, a subtitle) are not explained by a shift; a
slanted texture is, but then the rows above and below are so as well and their gain is subtracted.

Several measures of that are added for each row: the shift search of shift.py, the correlation and the sway
of across.py, the slip of slip.py, black that is left at the side (vacated.py), and the size of the step: a
tear steps as far as its texture does, the edge of a panel steps farther. In a clip in which many rows look a
little like a tear, each is believed less. The weights were fitted so that a tear is ranked above every row of
clean clips (Burges et al., Learning to rank using gradient descent, 2005).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.across import GAPS, Across, across, goes_on_profile, shift_profile, sway_profile
from cogexp.metrics.artifacts.evidence import Evidence, Finding
from cogexp.metrics.artifacts.rows import in_pairs, median_of_few, row_steps, top_mean, worst_frames
from cogexp.metrics.artifacts.shift import shift_gain
from cogexp.metrics.artifacts.slip import slip_evidence
from cogexp.metrics.artifacts.vacated import vacated_profile

COLUMN_FRAMES = 6  # of a clip are looked at
CANDIDATES = 8  # rows with the clearest evidence, for the shift search
AROUND = (-6, -5, -4, -3, 3, 4, 5, 6)
NOISE = 1.0  # levels of a step
MARGIN = 8
BAND_SHARE = 0.75  # a second line this strong is the other end of the band

# Weights beside the shift search's 1. A step up to 1 (log) above those around is what a tear makes.
SHARP, BLENDED, ALONE, SLIP, SWAY, GOES_ON = 0.28, 0.5, 0.29, 0.31, 0.18, 0.33
STEP, PANEL, VACATED = 0.15, 1.07, 0.154
PANEL_AT_FIRST = 0.43  # when rows are chosen for the search
OTHERS_SHARP, USUAL_ALONE = 0.5, 0.32


def find_shear(evidence: Evidence) -> Finding:
    """Rows displaced sideways.

    Raw evidence: sum of the measures, mainly logs of what is left without and with the best shift (-1..3).
    """
    picked, luma = evidence.pairs
    if too_small(luma):
        return Finding(raw=0.0)
    extra = VACATED * vacated_profile(luma)
    rows, frames, raw = line_evidence(luma, picked, evidence.across, extra)
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
    if too_small(turned):
        return Finding(raw=0.0)
    beside = across(turned, np.flatnonzero(np.diff(picked) == 1))
    columns, frames, raw = line_evidence(turned, picked, beside, 0.0)
    best = int(np.argmax(raw))
    return Finding(
        raw=float(raw[best]),
        rows=(0, luma.shape[1] - 1),
        columns=(int(columns[best]), luma.shape[2] - 1),
        frames=frames,
    )


def too_small(luma: NDArray[np.uint8]) -> bool:
    """(t, h, w): too few rows or columns to say anything."""
    return luma.shape[1] < 40 or luma.shape[2] < 96


def line_evidence(
    luma: NDArray[np.uint8],
    picked: NDArray[np.intp],
    rows_across: Across,
    extra: NDArray[np.floating] | float,
) -> tuple[NDArray[np.intp], tuple[int, ...], NDArray[np.floating]]:
    """Candidate rows (K,), the frames in which the best one is seen, evidence of the clip (K,).

    picked: (t,) which frames of the clip these are. extra: (h,) evidence that is added.
    """
    step = step_excess(luma)
    like_a_panel = np.maximum(step - 1.0, 0.0)
    profile = dense_evidence(luma, rows_across, np.minimum(step, 1.0)) + extra
    # A step that is too large for a tear may still be one in flat ground: the search says.
    rows = np.sort(np.argsort(profile - PANEL_AT_FIRST * like_a_panel)[-CANDIDATES:])
    gains = np.stack([shift_gain(luma, rows, gap) for gap in GAPS], axis=1)  # (t, gaps, K)
    raw = np.maximum(top_mean(gains).max(0), 0.0) + profile[rows] - PANEL * like_a_panel[rows]
    best = int(np.argmax(raw))
    gain = gains[:, :, best].max(1)
    seen = worst_frames(gain, 0.6 * float(gain.max()))
    return rows, tuple(int(picked[i]) for i in seen), raw


def dense_evidence(luma: NDArray[np.uint8], rows: Across, step: NDArray[np.floating]) -> NDArray[np.floating]:
    """(h,): what speaks for a tear but for the shift search; -inf at the upper and lower edge.

    step: (h,) see `step_excess`, at most 1.
    """
    alone = top_mean(rows.gains[0])
    sharp, inner = shift_profile(rows.gains[0]), slice(MARGIN + 1, -MARGIN)
    profile = (
        SHARP * sharp.clip(-0.5, 2.0)
        + BLENDED * shift_profile(rows.gains[1]).clip(-0.5, 2.0)
        + ALONE * alone.clip(-1.5, 2.0)
        + SLIP * near_best(slip_evidence(luma)).clip(-0.2, 3.0)
        + SWAY * sway_profile(rows.sways).clip(-0.5, 2.0)
        + GOES_ON * goes_on_profile(rows.goes_on)
        + STEP * step
        # What the clip's rows are like anyway.
        - OTHERS_SHARP * np.quantile(sharp[inner], 0.9)
        + USUAL_ALONE * np.median(alone[inner])
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
