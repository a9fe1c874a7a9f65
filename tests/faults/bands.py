"""Faults of a band of rows, most often at the bottom: y0 is the first faulty row."""

from __future__ import annotations

import numpy as np

Clip = np.ndarray
Rng = np.random.Generator


def displaced_row(row: np.ndarray, shift: int, fill: str) -> np.ndarray:
    """(w, 3) moved right by `shift` px; what is vacated wraps round, repeats the edge or is black."""
    moved = np.roll(row, shift, axis=0)
    if fill != "wrap" and shift:
        vacated = slice(0, shift) if shift > 0 else slice(shift, None)
        moved[vacated] = 0 if fill == "black" else row[0 if shift > 0 else -1]
    return moved


def shear(
    clip: Clip,
    hit: np.ndarray,
    y0: int,
    y1: int,
    shifts: np.ndarray,
    fill: str = "wrap",
    soft: bool = False,
    ramp: bool = False,
) -> Clip:
    """Rows y0..y1-1 are displaced sideways by shifts[i] px in frame i, at once or (ramp) growing with y."""
    out = clip.copy()
    for i in np.flatnonzero(hit):
        for y in range(y0, y1):
            grown = (y - y0 + 1) / (y1 - y0) if ramp else 1.0
            out[i, y] = displaced_row(clip[i, y], round(float(shifts[i]) * grown), fill)
        if soft:
            out[i, y0] = (out[i, y0].astype(int) + clip[i, y0]) // 2
    return out


def smear(clip: Clip, hit: np.ndarray, y0: int, stretch: bool) -> Clip:
    """From y0 on one row is repeated, or the few rows there are stretched to the bottom."""
    out, h = clip.copy(), clip.shape[1]
    source = y0 + ((np.arange(h - y0) // 8) if stretch else np.zeros(h - y0, int))
    out[hit, y0:] = clip[hit][:, source]
    return out


def duplicated_band(clip: Clip, hit: np.ndarray, y0: int, source: int) -> Clip:
    """From y0 on the rows are those that begin at `source`."""
    out, n = clip.copy(), clip.shape[1] - y0
    out[hit, y0:] = clip[hit, source : source + n]
    return out


def desync(clip: Clip, hit: np.ndarray, y0: int, lag: int) -> Clip:
    """From y0 on the rows are those of the frame `lag` earlier (or later, near the beginning)."""
    out, t = clip.copy(), len(clip)
    for i in np.flatnonzero(hit):
        other = i - lag if i >= lag else min(i + lag, t - 1)
        out[i, y0:] = clip[other, y0:]
    return out


def noise_band(clip: Clip, hit: np.ndarray, y0: int, sigma: float, mode: str, rng: Rng) -> Clip:
    """From y0 on: gauss adds noise, jitter moves each row by itself, garbage replaces all by blocks."""
    out, (_, h, w, _) = clip.copy(), clip.shape
    for i in np.flatnonzero(hit):
        band = clip[i, y0:].astype(np.float32)
        if mode == "gauss":
            band += rng.normal(0, sigma, band.shape)
        elif mode == "jitter":
            moved = [
                displaced_row(row, int(s), "wrap")
                for row, s in zip(band, rng.normal(0, sigma, h - y0), strict=True)
            ]
            band = np.stack(moved)
        else:
            cells = rng.integers(0, 256, (-(-(h - y0) // 4), -(-w // 4), 3)).repeat(4, 0).repeat(4, 1)
            band = cells[: h - y0, :w].astype(np.float32)
        out[i, y0:] = np.clip(band, 0, 255)
    return out
