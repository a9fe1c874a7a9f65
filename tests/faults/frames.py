"""Faults of whole frames, of columns, and patterns all over the picture."""

from __future__ import annotations

import numpy as np

Clip = np.ndarray
Rng = np.random.Generator


def seam(clip: Clip, place: int, blend: int, gain: float, offset: tuple[int, int, int], axis: int) -> Clip:
    """From row (axis 1) or column (axis 2) `place` on the picture is a little brighter or of another hue."""
    size = clip.shape[axis]
    ramp = np.clip((np.arange(size) - place + blend / 2) / max(blend, 1), 0, 1)
    if not blend:
        ramp = (np.arange(size) >= place).astype(float)
    weight = ramp.reshape((1, -1, 1, 1) if axis == 1 else (1, 1, -1, 1))
    changed = clip * gain + np.array(offset)
    return np.clip(clip * (1 - weight) + changed * weight, 0, 255).astype(np.uint8)


def vertical_shear(clip: Clip, hit: np.ndarray, x0: int, shift: int) -> Clip:
    """Columns from x0 on are displaced upwards by `shift` px."""
    out = clip.copy()
    out[hit, :, x0:] = np.roll(clip[hit, :, x0:], -shift, axis=1)
    return out


def grid(clip: Clip, period: int, amplitude: float, lines: bool, rng: Rng) -> Clip:
    """A grid of lines, or cells each a little off in brightness, at the patch pitch.

    The same in all frames.
    """
    _, h, w, _ = clip.shape
    y, x = np.arange(h)[:, None], np.arange(w)[None]
    if lines:
        pattern = -amplitude * ((y % period == 0) | (x % period == 0))
    else:
        cells = rng.uniform(-amplitude, amplitude, (h // period + 1, w // period + 1))
        pattern = cells[y // period, x // period]
    return np.clip(clip + pattern[None, ..., None], 0, 255).astype(np.uint8)


def checkerboard(clip: Clip, period: int, amplitude: float) -> Clip:
    """Cells of period/2 px, alternately brighter and darker."""
    _, h, w, _ = clip.shape
    cell = period // 2
    sign = ((np.arange(h)[:, None] // cell + np.arange(w)[None] // cell) % 2) * 2 - 1
    return np.clip(clip + amplitude * sign[None, ..., None], 0, 255).astype(np.uint8)


def flicker(clip: Clip, gains: np.ndarray) -> Clip:
    """Frame i is gains[i] times as bright."""
    return np.clip(clip * gains[:, None, None, None], 0, 255).astype(np.uint8)


def freeze(clip: Clip, first: int, count: int, every: int = 0) -> Clip:
    """`count` frames from `first` on repeat the one before.

    With `every` each every-th frame repeats its forerunner.
    """
    out = clip.copy()
    if every:
        for i in range(every, len(clip), every):
            out[i] = out[i - 1]
    else:
        out[first : first + count] = clip[first - 1]
    return out


def black(clip: Clip, first: int, count: int, level: int = 0) -> Clip:
    """`count` frames from `first` on have no picture, as when NaN latents are decoded."""
    out = clip.copy()
    out[first : first + count] = level
    return out
