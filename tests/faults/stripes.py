"""Stripes: lines of another brightness in a band."""

from __future__ import annotations

import numpy as np

Clip = np.ndarray


def stripes(
    clip: Clip,
    hit: np.ndarray,
    y0: int,
    period: float,
    amplitude: float,
    vertical: bool,
    drift: float,
    fade_in: int = 1,
    smooth: bool = False,
) -> Clip:
    """From y0 on lines of +-amplitude with `period` px between them, horizontal or vertical.

    drift: px a frame. fade_in: rows until the amplitude is reached. smooth: a sine instead of hard edges.
    """
    out, (t, h, w, _) = clip.copy(), clip.shape
    depth = np.minimum(1.0, (np.arange(h - y0)[:, None] + 1) / fade_in)
    for i in range(t):
        if hit[i]:
            place = (np.arange(w)[None] if vertical else np.arange(h - y0)[:, None]) + drift * i
            wave = np.sin(2 * np.pi * (place + 0.5) / period)
            added = amplitude * depth * (wave if smooth else np.sign(wave))
            out[i, y0:] = np.clip(clip[i, y0:].astype(np.float32) + added[..., None], 0, 255)
    return out
