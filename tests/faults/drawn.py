"""Faults with parameters drawn at random, in the ranges of the project's reference clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.faults import bands, frames
from tests.faults.stripes import foreign_rows, stripes

Clip = np.ndarray
Rng = np.random.Generator
Made = tuple[Clip, dict[str, Any]]

TILE_ROW, TILE_COLUMN = 200 / 288, 288 / 512  # where the VAE's default tiles begin, of height and width
VISIBLE = 1.5  # levels
MASKED = 0.3  # of the mean difference of adjacent frames
# May change nothing: such as move, repeat or mix what is in the clip.
BY_CONTENT = ("shear", "shear_mid", "smear", "dupband", "desync", "vshear", "freeze", "stripes")


def visible(clean: Clip, faulty: Clip, kind: str) -> bool:
    """Whether the fault can be seen: it changes the rows, columns and frames that it touches by VISIBLE
    levels on average; a flicker also stands out from the clip's own changes from frame to frame.

    A desynchronised band in a still, a shear of a plain wall, a flicker of 3 % in a whirl are no faults.
    Kinds that add something of their own are always seen.
    """
    if kind not in (*BY_CONTENT, "flicker"):
        return True
    change = np.abs(clean.astype(np.int16) - faulty).mean(3)
    touched = [change.max(axis=axes) > 0 for axes in ((1, 2), (0, 2), (0, 1))]
    if not change.any():
        return False
    size = float(change[np.ix_(*touched)].mean())
    if kind == "flicker":
        return size >= MASKED * float(np.abs(np.diff(clean.astype(np.int16), axis=0)).mean())
    return size >= VISIBLE


def left_by_codec(clean: Clip, faulty: Clip, coded: Clip) -> float:
    """Share of the fault that is still in the compressed clip: 1 all of it, 0 nothing."""
    added = faulty.astype(np.float32) - clean
    return float(((coded.astype(np.float32) - clean) * added).sum() / max(1.0, float((added**2).sum())))


def frames_hit(clip: Clip, rng: Rng) -> np.ndarray:
    """(t,) bool: all frames, or a run of about half of them."""
    t = len(clip)
    if rng.random() < 0.6:
        return np.ones(t, bool)
    count = max(3, round(t * rng.uniform(0.4, 0.6)))
    first = int(rng.integers(0, t - count + 1))
    return (np.arange(t) >= first) & (np.arange(t) < first + count)


def _place(clip: Clip, rng: Rng, low: float, high: float, axis: int = 1) -> int:
    return round(clip.shape[axis] * rng.uniform(low, high))


def _shifts(clip: Clip, rng: Rng, sizes: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """(t,) px: the same, another in each frame, or growing with time."""
    size = int(rng.choice(sizes)) * int(rng.choice((-1, 1)))
    mode = str(rng.choice(("const", "const", "jitter", "grow")))
    t = len(clip)
    factor = {"const": np.ones(t), "jitter": rng.uniform(0.3, 1.0, t), "grow": np.linspace(0.2, 1.0, t)}[mode]
    return size * factor, mode


def make_shear(clip: Clip, rng: Rng) -> Made:
    y0, (shifts, mode) = _place(clip, rng, 0.78, 0.97), _shifts(clip, rng, (3, 5, 8, 12, 20, 30))
    fill, soft, ramp = str(rng.choice(("wrap", "edge", "black"))), rng.random() < 0.3, rng.random() < 0.05
    hit = frames_hit(clip, rng)
    made = bands.shear(clip, hit, y0, clip.shape[1], shifts, fill, bool(soft), bool(ramp))
    return made, {"y0": y0, "dx": float(shifts[-1]), "mode": "ramp" if ramp else mode, "fill": fill}


def make_shear_mid(clip: Clip, rng: Rng) -> Made:
    h, y0 = clip.shape[1], _place(clip, rng, 0.25, 0.6)
    y1 = h if rng.random() < 0.4 else y0 + round(h * rng.uniform(0.1, 0.2))
    shifts, mode = _shifts(clip, rng, (3, 6, 12, 24))
    made = bands.shear(clip, frames_hit(clip, rng), y0, y1, shifts, "wrap", bool(rng.random() < 0.3))
    return made, {"y0": y0, "y1": y1, "dx": float(shifts[-1]), "mode": mode}


def make_smear(clip: Clip, rng: Rng) -> Made:
    y0, stretch = _place(clip, rng, 0.86, 0.97), bool(rng.random() < 0.5)
    made = bands.smear(clip, frames_hit(clip, rng), y0, stretch)
    return made, {"y0": y0, "mode": "stretch" if stretch else "repeat"}


def make_dupband(clip: Clip, rng: Rng) -> Made:
    y0 = _place(clip, rng, 0.83, 0.95)
    n = clip.shape[1] - y0
    source = 0 if rng.random() < 0.5 else y0 - n
    made = bands.duplicated_band(clip, frames_hit(clip, rng), y0, source)
    return made, {"y0": y0, "mode": "up" if source else "top"}


def make_desync(clip: Clip, rng: Rng) -> Made:
    y0, lag = _place(clip, rng, 0.75, 0.95), min(int(rng.choice((1, 2, 4, 8))), len(clip) // 2)
    return bands.desync(clip, frames_hit(clip, rng), y0, lag), {"y0": y0, "k": lag}


def make_noiseband(clip: Clip, rng: Rng) -> Made:
    y0, mode = _place(clip, rng, 0.87, 0.975), str(rng.choice(("gauss", "gauss", "jitter", "garbage")))
    sigma = float(rng.uniform(10, 60)) if mode == "gauss" else float(rng.uniform(6, 18))
    made = bands.noise_band(clip, frames_hit(clip, rng), y0, sigma, mode, rng)
    return made, {"y0": y0, "mode": mode, "sigma": sigma}


def make_stripes(clip: Clip, rng: Rng) -> Made:
    mode = str(rng.choice(("horizontal", "vertical", "rows"), p=(0.4, 0.2, 0.4)))
    params: dict[str, Any] = {
        "y0": _place(clip, rng, 0.83, 0.955),
        "period": float(rng.choice((4, 6, 8, 10, 16))),
        "drift": float(rng.choice((0, 0, 1))),
        "fade_in": int(rng.choice((1, 1, 8))),
    }
    hit = frames_hit(clip, rng)
    if mode == "rows":
        return _foreign_rows(clip, hit, params, rng), {"mode": mode, **params}
    params["amplitude"] = float(rng.choice((10, 20, 35, 60)))
    params["smooth"] = bool(rng.random() < 0.3)
    return stripes(clip, hit, vertical=mode == "vertical", **params), {"mode": mode, **params}


def _foreign_rows(clip: Clip, hit: np.ndarray, params: dict[str, Any], rng: Rng) -> Clip:
    """Half a period a row, the same rows in all frames, or others in each where they drift."""
    y0, rows = params["y0"], int(params["period"]) // 2
    size = (len(clip), -(-(clip.shape[1] - y0) // rows))
    sources = rng.integers(0, y0, size)
    if not params["drift"]:
        sources[:] = sources[0]
    return foreign_rows(clip, hit, y0, rows, sources, params["fade_in"])


def make_seam(clip: Clip, rng: Rng) -> Made:
    low, high = (TILE_ROW, TILE_ROW) if rng.random() < 0.35 else (0.69, 0.92)
    place, blend = _place(clip, rng, low, high), int(rng.choice((0, 0, 4, 16, 40)))
    gain, offset = float(rng.choice((0.853, 0.907, 1.093, 1.147))), (0, 0, 0)
    if rng.random() < 0.2:
        gain, offset = 1.0, ((8, 8, 8), (8, 0, -8))[int(rng.integers(2))]
    made = frames.seam(clip, place, blend, gain, offset, 1)
    return made, {"y0": place, "blend": blend, "gain": gain, "offset": list(offset)}


def _column(clip: Clip, rng: Rng) -> int:
    low, high = (TILE_COLUMN, TILE_COLUMN) if rng.random() < 0.5 else (0.4, 0.75)
    return _place(clip, rng, low, high, axis=2)


def make_vshear(clip: Clip, rng: Rng) -> Made:
    x0, shift = _column(clip, rng), int(rng.choice((3, 6, 12)))
    return frames.vertical_shear(clip, frames_hit(clip, rng), x0, shift), {"x0": x0, "dx": shift}


def make_vstep(clip: Clip, rng: Rng) -> Made:
    x0, step = _column(clip, rng), int(rng.choice((6, 10, 18)))
    return frames.seam(clip, x0, 0, 1.0, (step,) * 3, 2), {"x0": x0, "step": step}


def make_grid(clip: Clip, rng: Rng) -> Made:
    period, lines = int(rng.choice((8, 16, 32))), bool(rng.random() < 0.5)
    amplitude = float(rng.choice((4, 7, 12)))
    made = frames.grid(clip, period, amplitude, lines, rng)
    return made, {"period": period, "lines": lines, "amplitude": amplitude}


def make_checkerboard(clip: Clip, rng: Rng) -> Made:
    period, amplitude = int(rng.choice((2, 4, 8, 16))), float(rng.choice((2, 4, 8)))
    return frames.checkerboard(clip, period, amplitude), {"period": period, "amplitude": amplitude}


def make_flicker(clip: Clip, rng: Rng) -> Made:
    t, size = len(clip), float(rng.choice((0.03, 0.06, 0.12, 0.25)))
    mode, gains = str(rng.choice(("alternate", "random", "spike"))), np.ones(len(clip))
    if mode == "alternate":
        gains += size * (np.arange(t) % 2)
    elif mode == "random":
        gains += rng.uniform(-size, size, t)
    else:
        gains[int(rng.integers(1, t - 1))] += size
    return frames.flicker(clip, gains), {"mode": mode, "size": size}


def make_freeze(clip: Clip, rng: Rng) -> Made:
    if rng.random() < 0.5:
        every = int(rng.integers(2, 5))
        return frames.freeze(clip, 0, 0, every), {"every": every}
    count = int(rng.integers(2, max(3, len(clip) // 2)))
    first = int(rng.integers(1, len(clip) - count + 1))
    return frames.freeze(clip, first, count), {"first": first, "count": count}


def make_black(clip: Clip, rng: Rng) -> Made:
    count, first = int(rng.integers(1, 4)), int(rng.integers(1, len(clip) - 4))
    return frames.black(clip, first, count), {"first": first, "count": count}


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
