"""Who made a fault: the decoder or the denoiser? The same latents are decoded a second time, untiled, and
compared.

A seam of the tiled decoder is gone in the second decoding, and the two differ more beyond the line than in
the frame's other bands. A fault that is in the latents is in both. Both can be so at once: then a fault that
is certain and lies along a line is what the clip suffers from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.detect import Artifacts, Tiles, detect, summed_up
from cogexp.metrics.artifacts.evidence import SUSPECT, Finding
from cogexp.metrics.artifacts.latent_lines import torn_rows
from cogexp.metrics.clip_frames import EvalClip, Frames

BAND = 8  # rows or columns a value of the profile stands for: one latent row
JUMP = 1.5  # times the median band: a band that the tiling changed
SURE, VISIBLE = 2.0, 1.0  # times JUMP, and levels: tiles that surely tore the picture
FAINT = 1.9  # the highest score of what is not VISIBLE
LEAST = 0.4  # levels of 255: two decodings that differ by rounding only are far below, in every band
# Faults along a line, as tiles may make them; grids, flicker and freezes fill whole frames.
LINES = (
    "shear",
    "vertical_shear",
    "smear",
    "duplicated_band",
    "desync",
    "noise_band",
    "stripes",
    "seam",
    "vertical_seam",
)


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Verdict on a clip decoded twice.

    cause: "decoder" (the decodings differ beyond a line, or the fault is gone in the second decoding),
        "denoiser" (the fault is in both) or "unknown" (no fault, and nothing differs more than elsewhere).
    rows, columns: (first, last) where the two decodings differ most, None when they agree.
    row_profile, column_profile: mean |difference| in levels by band of 8 rows, columns.
    score: log of the largest band over the median one; 0 when they agree to a fraction of a level. Larger
        means a clearer seam.
    latent_rows: (first, last) row from a line in the latents to the bottom, None when there is none.
    """

    cause: str
    rows: tuple[int, int] | None
    columns: tuple[int, int] | None
    row_profile: tuple[float, ...]
    column_profile: tuple[float, ...]
    score: float
    latent_rows: tuple[int, int] | None = None


def attribute(
    native: Frames, redecoded: Frames, fps: float = 8.0, latents: NDArray[np.float32] | None = None
) -> Attribution:
    """Compare a clip with a second decoding of the same latents, both (t, h, w, 3) uint8 RGB.

    latents: (t, c, h/8, w/8), in which a line is sharp that both decodings blend.

    Raises ValueError when the shapes differ.
    """
    if native.shape != redecoded.shape:
        raise ValueError(f"expected two decodings of one size, got {native.shape} and {redecoded.shape}")
    by_row, by_column = difference_profiles(native, redecoded)
    rows, row_score = changed_span(by_row)
    columns, column_score = changed_span(by_column)
    score = max(row_score, column_score)
    in_latents = torn_rows(latents) if latents is not None else None
    cause = "denoiser"
    if in_latents is None:
        changed = rows is not None or columns is not None
        cause = cause_of(native, redecoded, fps, changed, max(by_row) >= LEAST)
    if cause == "decoder" and rows is None and columns is None:
        rows = (0, native.shape[1] - 1)  # they differ by about as much all over
    return Attribution(
        cause=cause,
        rows=rows,
        columns=columns,
        row_profile=tuple(by_row),
        column_profile=tuple(by_column),
        score=score,
        latent_rows=in_latents,
    )


def tile_seams(tiled: Frames, whole: Frames, tiles: Tiles) -> dict[str, Finding]:
    """What VAE tiles changed, as evidence of seams, from the same latents decoded in tiles and whole.

    tiles: where they begin. Detector -> finding, for "seam" and "vertical_seam" where a band stands out.
    Raw evidence: the common score, 1 where a band is JUMP times the usual one, 2 where it is SURE times that
    and differs by VISIBLE levels. The profile is the difference in levels by row.
    """
    by_row, by_column = difference_profiles(tiled, whole)
    h, w = tiled.shape[1:3]
    found = {}
    rows, columns = seam_span(by_row, tiles.rows), seam_span(by_column, tiles.columns)
    if rows is not None:
        (first, last), raw = rows
        found["seam"] = Finding(
            raw=raw, rows=(first, min(last, h - 1)), profile=tuple(np.repeat(by_row, BAND)[:h].tolist())
        )
    if columns is not None:
        (first, last), raw = columns
        found["vertical_seam"] = Finding(raw=raw, rows=(0, h - 1), columns=(first, min(last, w - 1)))
    return found


def seam_span(profile: list[float], lines: tuple[int, ...]) -> tuple[tuple[int, int], float] | None:
    """The bands that tiles changed most and the score of that; None without lines or without such bands."""
    span, above = changed_span(profile)
    if not lines or span is None:
        return None
    score = SUSPECT + (above - math.log(JUMP)) / math.log(SURE)
    return span, score if max(profile) >= VISIBLE else min(score, FAINT)


def cause_of(native: Frames, redecoded: Frames, fps: float, changed: bool, differ: bool) -> str:
    """The verdict. changed: the decodings differ beyond a line; differ: they differ at all."""
    fault = detect(EvalClip.collect([native], fps), tiles=Tiles())
    lines = {name: each for name, each in fault.findings.items() if name in LINES}
    line = summed_up(lines, fault.row_factor)
    if line.level == "certain" and persists(line, redecoded, fps):
        return "denoiser"
    if changed:
        return "decoder"
    if persists(fault, redecoded, fps):
        return "denoiser"
    return "decoder" if differ and fault.kind is not None else "unknown"


def difference_profiles(native: Frames, redecoded: Frames) -> tuple[list[float], list[float]]:
    """Mean |difference| in levels, by bands of BAND rows and by bands of BAND columns."""
    total = np.zeros(native.shape[1:], np.float32)
    for first, second in zip(native, redecoded, strict=True):
        cv2.accumulate(cv2.absdiff(first, second), total)
    mean = total.mean(axis=2) / len(native)
    return bands(mean.mean(axis=1)), bands(mean.mean(axis=0))


def bands(values: NDArray[np.float32]) -> list[float]:
    """(n,) -> means of BAND neighbours each."""
    return [float(values[i : i + BAND].mean()) for i in range(0, len(values), BAND)]


def changed_span(profile: list[float]) -> tuple[tuple[int, int] | None, float]:
    """(first, last) row of the bands that stand out round the largest one, and its log ratio to the median.

    None if none stands out enough to be seen.
    """
    values = np.asarray(profile)
    usual = max(float(np.median(values)), LEAST / JUMP)
    peak = int(np.argmax(values))
    score = float(np.log(max(values[peak] / usual, 1.0)))
    if values[peak] < JUMP * usual:
        return None, score  # too faint to call, yet it ranks
    limit = max(0.5 * float(values[peak]), JUMP * usual)
    first = last = peak
    while first > 0 and values[first - 1] >= limit:
        first -= 1
    while last + 1 < len(values) and values[last + 1] >= limit:
        last += 1
    return (first * BAND, (last + 1) * BAND - 1), score


def persists(fault: Artifacts, redecoded: Frames, fps: float) -> bool:
    """True when what was found in the first decoding is found in the second as well, by the same detector."""
    if fault.kind is None:
        return False
    again = detect(EvalClip.collect([redecoded], fps), names=[fault.kind], tiles=Tiles())
    return again.score >= 1.0 or again.score > 0.6 * fault.score
