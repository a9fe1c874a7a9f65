"""Faults put into clips on purpose: what the artifact detectors are judged by.

Every function takes (t, h, w, 3) uint8 RGB and returns a new clip; rows and columns are in pixels, `hit`
(t,) bool says in which frames the fault occurs. `FAULTS` maps a kind to a function of (clip, generator)
that picks the parameters and returns the clip with what was done to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

Clip = np.ndarray
Rng = np.random.Generator
Made = tuple[Clip, dict[str, Any]]


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


def stripes(
    clip: Clip, hit: np.ndarray, y0: int, period: float, amplitude: float, vertical: bool, drift: float
) -> Clip:
    """From y0 on lines of +-amplitude with `period` px between them, horizontal or vertical."""
    out, (t, h, w, _) = clip.copy(), clip.shape
    for i in range(t):
        if hit[i]:
            place = (np.arange(w)[None] if vertical else np.arange(h - y0)[:, None]) + drift * i
            wave = amplitude * np.sign(np.sin(2 * np.pi * (place + 0.5) / period))
            out[i, y0:] = np.clip(clip[i, y0:].astype(np.float32) + wave[..., None], 0, 255)
    return out


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


def frames_hit(clip: Clip, rng: Rng) -> np.ndarray:
    """(t,) bool: all frames, or a run of about half of them."""
    t = len(clip)
    if rng.random() < 0.6:
        return np.ones(t, bool)
    count = max(3, round(t * rng.uniform(0.4, 0.6)))
    first = int(rng.integers(0, t - count + 1))
    return (np.arange(t) >= first) & (np.arange(t) < first + count)


def _bottom(clip: Clip, rng: Rng, low: float = 0.77, high: float = 0.96) -> int:
    return round(clip.shape[1] * rng.uniform(low, high))


def _shifts(clip: Clip, rng: Rng, low: int, high: int) -> tuple[np.ndarray, str]:
    """(t,) px: the same, another in each frame, or growing with time."""
    size = int(rng.integers(low, high + 1)) * int(rng.choice((-1, 1)))
    mode = str(rng.choice(("const", "jitter", "grow")))
    t = len(clip)
    factor = {"const": np.ones(t), "jitter": rng.uniform(0.3, 1.0, t), "grow": np.linspace(0.2, 1.0, t)}[mode]
    return size * factor, mode


def make_shear(clip: Clip, rng: Rng) -> Made:
    y0, (shifts, mode), fill = (
        _bottom(clip, rng),
        _shifts(clip, rng, 3, 28),
        str(rng.choice(("wrap", "edge", "black"))),
    )
    made = shear(clip, frames_hit(clip, rng), y0, clip.shape[1], shifts, fill, bool(rng.random() < 0.3))
    return made, {"y0": y0, "dx": float(shifts[-1]), "mode": mode, "fill": fill}


def make_shear_mid(clip: Clip, rng: Rng) -> Made:
    h = clip.shape[1]
    y0 = round(h * rng.uniform(0.25, 0.6))
    y1 = h if rng.random() < 0.4 else y0 + round(h * rng.uniform(0.1, 0.2))
    shifts, mode = _shifts(clip, rng, 3, 22)
    made = shear(clip, frames_hit(clip, rng), y0, y1, shifts, "wrap", bool(rng.random() < 0.3))
    return made, {"y0": y0, "y1": y1, "dx": float(shifts[-1]), "mode": mode}


def make_smear(clip: Clip, rng: Rng) -> Made:
    y0, stretch = _bottom(clip, rng, 0.85, 0.97), bool(rng.random() < 0.5)
    return smear(clip, frames_hit(clip, rng), y0, stretch), {
        "y0": y0,
        "mode": "stretch" if stretch else "repeat",
    }


def make_dupband(clip: Clip, rng: Rng) -> Made:
    y0 = _bottom(clip, rng, 0.83, 0.95)
    n = clip.shape[1] - y0
    source = 0 if rng.random() < 0.5 else y0 - n
    return duplicated_band(clip, frames_hit(clip, rng), y0, source), {
        "y0": y0,
        "mode": "up" if source else "top",
    }


def make_desync(clip: Clip, rng: Rng) -> Made:
    y0, lag = _bottom(clip, rng, 0.75, 0.95), int(rng.choice((1, 2, 3, 5)))
    return desync(clip, frames_hit(clip, rng), y0, min(lag, len(clip) // 2)), {"y0": y0, "k": lag}


def make_noiseband(clip: Clip, rng: Rng) -> Made:
    y0, mode = _bottom(clip, rng, 0.87, 0.97), str(rng.choice(("gauss", "gauss", "jitter", "garbage")))
    sigma = float(rng.uniform(10, 50)) if mode == "gauss" else float(rng.uniform(6, 18))
    return noise_band(clip, frames_hit(clip, rng), y0, sigma, mode, rng), {
        "y0": y0,
        "mode": mode,
        "sigma": sigma,
    }


def make_stripes(clip: Clip, rng: Rng) -> Made:
    y0, period, amplitude = (
        _bottom(clip, rng, 0.83, 0.95),
        float(rng.choice((4, 6, 8, 12))),
        float(rng.uniform(12, 50)),
    )
    vertical, drift = bool(rng.random() < 0.25), float(rng.choice((0, 1)))
    made = stripes(clip, frames_hit(clip, rng), y0, period, amplitude, vertical, drift)
    return made, {"y0": y0, "period": period, "amplitude": amplitude, "vertical": vertical}


def make_seam(clip: Clip, rng: Rng) -> Made:
    h = clip.shape[1]
    place, blend = round(h * rng.uniform(0.65, 0.92)), int(rng.choice((0, 4, 12, 32)))
    gain = float(rng.choice((0.86, 0.9, 1.08, 1.14)))
    return seam(clip, place, blend, gain, (0, 0, 0), 1), {"y0": place, "blend": blend, "gain": gain}


def make_vshear(clip: Clip, rng: Rng) -> Made:
    x0, shift = round(clip.shape[2] * rng.uniform(0.5, 0.7)), int(rng.integers(3, 14))
    return vertical_shear(clip, frames_hit(clip, rng), x0, shift), {"x0": x0, "dx": shift}


def make_vstep(clip: Clip, rng: Rng) -> Made:
    x0, gain = round(clip.shape[2] * rng.uniform(0.5, 0.7)), float(rng.uniform(8, 18))
    return seam(clip, x0, 0, 1.0, (round(gain),) * 3, 2), {"x0": x0, "step": gain}


def make_grid(clip: Clip, rng: Rng) -> Made:
    period, lines, amplitude = (
        int(rng.choice((8, 16, 32))),
        bool(rng.random() < 0.5),
        float(rng.uniform(5, 14)),
    )
    return grid(clip, period, amplitude, lines, rng), {
        "period": period,
        "lines": lines,
        "amplitude": amplitude,
    }


def make_checkerboard(clip: Clip, rng: Rng) -> Made:
    period, amplitude = int(rng.choice((2, 4, 8, 16))), float(rng.uniform(3, 8))
    return checkerboard(clip, period, amplitude), {"period": period, "amplitude": amplitude}


def make_flicker(clip: Clip, rng: Rng) -> Made:
    t, size = len(clip), float(rng.uniform(0.05, 0.25))
    mode = str(rng.choice(("alternate", "random", "spike")))
    gains = np.ones(t)
    if mode == "alternate":
        gains += size * (np.arange(t) % 2)
    elif mode == "random":
        gains += rng.uniform(-size, size, t)
    else:
        gains[int(rng.integers(1, t - 1))] += size
    return flicker(clip, gains), {"mode": mode, "size": size}


def make_freeze(clip: Clip, rng: Rng) -> Made:
    if rng.random() < 0.5:
        every = int(rng.integers(2, 5))
        return freeze(clip, 0, 0, every), {"every": every}
    count = int(rng.integers(2, max(3, len(clip) // 2)))
    first = int(rng.integers(1, len(clip) - count + 1))
    return freeze(clip, first, count), {"first": first, "count": count}


def make_black(clip: Clip, rng: Rng) -> Made:
    count, first = int(rng.integers(1, 4)), int(rng.integers(1, len(clip) - 4))
    return black(clip, first, count), {"first": first, "count": count}


FAULTS: dict[str, Callable[[Clip, Rng], Made]] = {
    "shear": make_shear,
    "shear_mid": make_shear_mid,
    "smear": make_smear,
    "dupband": make_dupband,
    "desync": make_desync,
    "noiseband": make_noiseband,
    "stripes": make_stripes,
    "seam": make_seam,
    "vshear": make_vshear,
    "vstep": make_vstep,
    "grid16": make_grid,
    "checker": make_checkerboard,
    "flicker": make_flicker,
    "freeze": make_freeze,
    "black": make_black,
}


def compressed(clip: Clip, crf: int, fps: int = 16) -> Clip:
    """The clip after H.264 at this quality (as files on disk are), decoded again."""
    import io

    import av

    store = io.BytesIO()
    _, h, w, _ = clip.shape
    with av.open(store, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
        for frame in clip:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    store.seek(0)
    with av.open(store) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def upscaled(clip: Clip, scale: int) -> Clip:
    """Lanczos."""
    h, w = clip.shape[1:3]
    return np.stack([cv2.resize(f, (w * scale, h * scale), interpolation=cv2.INTER_LANCZOS4) for f in clip])
