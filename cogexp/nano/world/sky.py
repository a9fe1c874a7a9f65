"""The sky: gradient, glow, sun or moon, clouds, stars. The same at every frame: it is infinitely far."""

from __future__ import annotations

import numpy as np

from cogexp.nano.world.palette import LIGHTS, Light, mix, sky_rows
from cogexp.nano.world.plants import cloud
from cogexp.nano.world.shapes import Image, canvas, disc, over, split_alpha

# The horizon's height as a share of the picture's.
HORIZON = 0.54


def paint_sky(
    time: str, width: int, height: int, lamp_x: float, rng: np.random.Generator, looseness: float
) -> Image:
    """(height, width, 3) RGB. lamp_x: where sun or moon stands, a share of the width."""
    light = LIGHTS[time]
    lamp_y = {"day": 0.15, "sunset": 0.43, "night": 0.15}[time] + looseness * rng.uniform(-0.03, 0.03)
    at = (lamp_x * width, lamp_y * height)
    rows = sky_rows(light, height, HORIZON)
    y = np.arange(height, dtype=np.float32)[:, None] - at[1]
    x = np.arange(width, dtype=np.float32)[None] - at[0]
    spread = {"day": 0.30, "sunset": 0.55, "night": 0.34}[time] * height
    # A glow that falls off like exp(-(r/spread)): separable squares, one exponential.
    glow = np.exp(-np.sqrt(x * x + 1.6 * y * y) / spread)[..., None] * 0.85
    picture = (rows + (np.asarray(light.glow, np.float32) - rows) * glow).astype(np.uint8)
    if time == "night":
        _stars(picture, width, height, rng)
        _moon(picture, at, height * 0.062, light)
    else:
        disc(picture, *at, height * (0.062 if time == "day" else 0.095), light.lamp)
        disc(
            picture, *at, height * (0.050 if time == "day" else 0.080), mix(light.lamp, (255, 255, 255), 0.45)
        )
    _clouds(picture, width, height, light, lamp_x, rng, looseness)
    return picture


def _stars(picture: Image, width: int, height: int, rng: np.random.Generator) -> None:
    for _ in range(round(46 * width / height / 1.78)):
        x, y = rng.uniform(0, width), rng.uniform(0, 0.46 * height) * rng.uniform(0.3, 1)
        bright = rng.uniform(0.45, 1.0)
        disc(
            picture,
            x,
            y,
            height * (0.0016 + 0.0026 * bright * bright),
            mix((40, 56, 110), (255, 252, 232), bright),
        )


def _moon(picture: Image, at: tuple[float, float], radius: float, light: Light) -> None:
    disc(picture, *at, radius, light.lamp)
    for dx, dy, r in ((-0.3, -0.2, 0.22), (0.25, 0.3, 0.16), (0.3, -0.35, 0.12)):
        disc(picture, at[0] + dx * radius, at[1] + dy * radius, r * radius, (232, 224, 188))


def _clouds(
    picture: Image,
    width: int,
    height: int,
    light: Light,
    lamp_x: float,
    rng: np.random.Generator,
    looseness: float,
) -> None:
    layer = canvas(width, height)
    under = mix(light.cloud, light.sky[1], 0.42)
    for x, y, size in ((0.20, 0.17, 0.070), (0.47, 0.27, 0.050), (0.90, 0.30, 0.060)):
        x += looseness * rng.uniform(-0.15, 0.15)
        y += looseness * rng.uniform(-0.05, 0.05)
        if abs(x - lamp_x) < 0.13:
            # Sun and moon say what time it is: no cloud hides them.
            x = lamp_x + (0.24 if x >= lamp_x else -0.24)
        size *= 1 + looseness * rng.uniform(-0.3, 0.5)
        cloud(layer, x * width, y * height, size * height, light.cloud, under)
    # Clouds let some sky through.
    layer = (layer * 0.86).astype(np.uint8)
    over(picture, *split_alpha(layer))
