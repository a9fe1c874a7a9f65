"""Stripes: lines of another brightness in a band, or rows from elsewhere in the frame."""

from __future__ import annotations

import cv2
import numpy as np

Clip = np.ndarray

THROUGH = 0.3  # share of the original picture under rows from elsewhere
ALONG = 65  # px along which those are blurred


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


def foreign_rows(
    clip: Clip, hit: np.ndarray, y0: int, rows: int, sources: np.ndarray, fade_in: int = 1
) -> Clip:
    """From y0 on blocks of `rows` rows, each covered by one blurred row from elsewhere in the frame.

    sources: (t, blocks) which row. fade_in: rows until nothing but THROUGH of the original is left.
    """
    out, h = clip.copy(), clip.shape[1]
    below = np.arange(h - y0)
    cover = ((1 - THROUGH) * np.minimum(1.0, (below + 1) / fade_in))[:, None, None]
    for i in np.flatnonzero(hit):
        blurred = cv2.blur(clip[i][sources[i]].astype(np.float32), (ALONG, 1))[below // rows]
        out[i, y0:] = np.round((1 - cover) * clip[i, y0:] + cover * blurred)
    return out
